"""Launchers: what starts the run of a slot. Found by name in the entry-point group `aetherflow.launchers`."""

import os
from functools import cache
from pathlib import Path

from aetherflow.core.embedding import PluginLoadError, import_target, installed_in, usable_in
from aetherflow.scheduler.launchers.base import GROUP, Launcher, Outcome, Running, RunRequest

__all__ = [
    "GROUP",
    "Launcher",
    "Order",
    "Outcome",
    "RunRequest",
    "Running",
    "check_launcher",
    "launcher_names",
    "load_launcher",
]

Order = RunRequest
"""Name of `RunRequest` in version 1.0; kept for third-party launchers."""


def launcher_names() -> list[str]:
    """The names of all installed launchers, without importing them."""
    return sorted({entry.name for entry in installed_in(GROUP)})


def check_launcher(name: str) -> None:
    """Raise what `load_launcher` raises for a launcher that may not be used, without importing anything of it."""
    usable_in(GROUP, name, Path.cwd(), os.environ)


@cache
def load_launcher(name: str) -> Launcher:
    """Import and create a launcher by its name, under the rules of the folder in which the scheduler was started.

    Raises PluginNotFoundError, PluginConflictError, PluginLoadError; PluginNotAllowedError and PluginLockError for one
    that enterprise mode or a lock refuses: nothing of it is imported then.
    """
    entry = usable_in(GROUP, name, Path.cwd(), os.environ)
    found = import_target(entry)
    if not (isinstance(found, type) and issubclass(found, Launcher)):
        message = f"launcher {name!r}: {entry.target} is not a subclass of Launcher"
        raise PluginLoadError(message, fix=f"report it to the authors of {entry.source}")
    return found()
