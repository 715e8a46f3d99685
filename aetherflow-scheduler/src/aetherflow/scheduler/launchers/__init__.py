"""Launchers: what starts the run of a slot. Found by name in the entry-point group `aetherflow.launchers`."""

from functools import cache
from importlib.metadata import EntryPoint, entry_points

from aetherflow.core.embedding import PluginConflictError, PluginLoadError, PluginNotFoundError
from aetherflow.scheduler.launchers.base import GROUP, Launcher, Outcome, Running, RunRequest

__all__ = ["GROUP", "Launcher", "Order", "Outcome", "RunRequest", "Running", "launcher_names", "load_launcher"]

Order = RunRequest
"""Name of `RunRequest` in version 1.0; kept for third-party launchers."""


@cache
def _installed() -> dict[str, list[EntryPoint]]:
    found: dict[str, list[EntryPoint]] = {}
    for point in sorted(entry_points(group=GROUP), key=lambda point: (point.name, point.value)):
        known = found.setdefault(point.name, [])
        if all(_distribution(point) != _distribution(other) for other in known):
            known.append(point)
    return found


def launcher_names() -> list[str]:
    """The names of all installed launchers, without importing them."""
    return sorted(_installed())


@cache
def load_launcher(name: str) -> Launcher:
    """Import and create a launcher by its name. Raises PluginNotFoundError, PluginConflictError or PluginLoadError."""
    points = _installed().get(name, [])
    if not points:
        fix = f"write one of: {', '.join(launcher_names())}; or install the distribution that provides it"
        raise PluginNotFoundError(f"no installed distribution provides the launcher {name!r}", fix=fix)
    if len(points) > 1:
        names = " and ".join(_distribution(point) for point in points)
        raise PluginConflictError(f"the launcher {name!r} is provided by {names}", fix="uninstall one of them")
    point = points[0]
    try:
        found = point.load()
    except (Exception, SystemExit) as error:  # a plugin's module may raise anything while it is imported
        message = f"launcher {name!r} cannot be loaded from {point.value}: {type(error).__name__}: {error}"
        raise PluginLoadError(message, fix=f"reinstall or update {_distribution(point)}") from error
    if not (isinstance(found, type) and issubclass(found, Launcher)):
        message = f"launcher {name!r}: {point.value} is not a subclass of Launcher"
        raise PluginLoadError(message, fix=f"report it to the authors of {_distribution(point)}")
    return found()


def _distribution(point: EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist is not None else point.value
