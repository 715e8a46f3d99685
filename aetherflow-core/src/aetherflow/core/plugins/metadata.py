"""One scan of the installed distributions' entry points; nothing is imported."""

from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import NamedTuple

from aetherflow.core.plugins.names import KINDS, shown


class PluginEntry(NamedTuple):
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
    facts: dict[int, tuple[str, str]] = {}  # reading a name or a version parses the whole METADATA each time
    for group in KINDS:
        for point in found.select(group=group):
            if id(point.dist) not in facts:
                facts[id(point.dist)] = _facts(point)
            entries.append(PluginEntry(group, point.name, *facts[id(point.dist)], point.value))
    return tuple(sorted(entries))


def _facts(point: EntryPoint) -> tuple[str, str]:
    # a half-removed distribution has entry points and no name or version
    metadata = point.dist.metadata if point.dist else None
    if metadata is None:
        return "(unknown)", "(unknown)"
    name, version = (
        metadata[key] if key in metadata else "(unknown)"  # noqa: SIM401 PackageMetadata promises no get()
        for key in ("Name", "Version")
    )
    return name, version
