"""Launchers: what starts the run of a slot. Found by name in the entry-point group `aetherflow.launchers`."""

import os
from functools import cache
from pathlib import Path
from typing import cast

from aetherflow.core.embedding import PluginLoadError, import_target, installed_in, usable_in
from aetherflow.scheduler.launchers.base import GROUP, LateHeartbeat, Launcher, Outcome, Running, RunRequest

__all__ = [
    "GROUP",
    "LateHeartbeat",
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
    """Raise what `load_launcher` raises; none of AetherFlow's own launchers is imported for it."""
    if not usable_in(GROUP, name, Path.cwd(), os.environ).target.startswith(f"{__name__}."):
        _launcher_class(name)


def _launcher_class(name: str) -> type[Launcher]:
    """Import the class of a launcher; raises what `load_launcher` raises."""
    entry = usable_in(GROUP, name, Path.cwd(), os.environ)
    found = import_target(entry)
    wrong = ""
    if not (isinstance(found, type) and issubclass(found, Launcher)):
        wrong = "is not a subclass of Launcher"
    elif missing := ", ".join(sorted(found.__abstractmethods__)):
        wrong = f"does not define {missing}"
    if wrong:
        message = f"launcher {name!r} of {entry.source}: {entry.target} {wrong}"
        raise PluginLoadError(message, fix=f"report it to the authors of {entry.source}")
    return cast("type[Launcher]", found)


@cache
def load_launcher(name: str) -> Launcher:
    """Import and create a launcher by its name, under the rules of the folder in which the scheduler was started.

    Raises PluginNotFoundError, PluginConflictError, PluginLoadError; PluginNotAllowedError and PluginLockError for one
    that enterprise mode or a lock refuses: nothing of it is imported then.
    """
    return _launcher_class(name)()
