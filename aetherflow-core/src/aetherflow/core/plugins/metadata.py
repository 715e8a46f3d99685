"""One scan of the installed distributions' entry points; nothing is imported."""

from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points

from aetherflow.core.plugins.names import KINDS, shown


@dataclass(frozen=True, slots=True, order=True)
class PluginEntry:
    """One name that one installed distribution provides."""

    group: str
    name: str
    distribution: str
    version: str
    target: str

    @property
    def kind(self) -> str:
        """`step` or `connector`."""
        return KINDS[self.group]

    @property
    def shown_name(self) -> str:
        """The name as users read it."""
        return shown(self.group, self.name)


@cache
def installed_plugins() -> tuple[PluginEntry, ...]:
    """All steps and connectors of the installed distributions, sorted, so that order never depends on disk."""
    # entry_points(), not distributions(): it leaves out distributions that another path entry shadows
    found = entry_points()
    entries = []
    for group in KINDS:
        for point in found.select(group=group):
            name, version = (point.dist.name, point.dist.version) if point.dist else ("(unknown)", "")
            entries.append(PluginEntry(group, point.name, name, version, point.value))
    return tuple(sorted(entries))
