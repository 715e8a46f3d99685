"""Launchers: what starts the run of a slot. Found by name in the entry-point group `aetherflow.launchers`."""

import os
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from aetherflow.core.embedding import (
    PluginConflictError,
    PluginLoadError,
    PluginNotFoundError,
    find_target,
    installed_in,
    require_allowed,
)
from aetherflow.scheduler.launchers.base import GROUP, Launcher, Outcome, Running, RunRequest

if TYPE_CHECKING:
    from aetherflow.core.embedding import PluginEntry

__all__ = ["GROUP", "Launcher", "Order", "Outcome", "RunRequest", "Running", "launcher_names", "load_launcher"]

Order = RunRequest
"""Name of `RunRequest` in version 1.0; kept for third-party launchers."""


@cache
def _installed() -> "dict[str, list[PluginEntry]]":
    found: dict[str, list[PluginEntry]] = {}
    for entry in installed_in(GROUP):
        known = found.setdefault(entry.name, [])
        if all(entry.source != other.source for other in known):
            known.append(entry)
    return found


def launcher_names() -> list[str]:
    """The names of all installed launchers, without importing them."""
    return sorted(_installed())


@cache
def load_launcher(name: str) -> Launcher:
    """Import and create a launcher by its name.

    Raises PluginNotFoundError, PluginConflictError, PluginLoadError, and PluginNotAllowedError for one that enterprise
    mode refuses where the scheduler was started; nothing of it is imported then.
    """
    entries = _installed().get(name, [])
    if not entries:
        fix = f"write one of: {', '.join(launcher_names())}; or install the distribution that provides it"
        raise PluginNotFoundError(f"no installed distribution provides the launcher {name!r}", fix=fix)
    if len(entries) > 1:
        names = " and ".join(entry.source for entry in entries)
        raise PluginConflictError(f"the launcher {name!r} is provided by {names}", fix="uninstall one of them")
    entry = entries[0]
    require_allowed(entry.distribution, f"launcher {name!r}", Path.cwd(), os.environ)
    try:
        found = find_target(entry.target)
    except (Exception, SystemExit) as error:  # a plugin's module may raise anything while it is imported
        message = f"launcher {name!r} cannot be loaded from {entry.target}: {type(error).__name__}: {error}"
        raise PluginLoadError(message, fix=f"reinstall or update {entry.source}") from error
    if not (isinstance(found, type) and issubclass(found, Launcher)):
        message = f"launcher {name!r}: {entry.target} is not a subclass of Launcher"
        raise PluginLoadError(message, fix=f"report it to the authors of {entry.source}")
    return found()
