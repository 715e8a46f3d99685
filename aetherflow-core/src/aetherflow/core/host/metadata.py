"""One scan of the installed distributions' entry points; nothing is imported."""

import sys
from functools import cache
from importlib.metadata import Distribution, PackageNotFoundError, distribution, distributions
from typing import NamedTuple

from aetherflow.core.host.names import COMMANDS, HOOKS, KINDS, LEGACY, WORDS, shown

PYDANTIC = "pydantic"
"""Group of the plugins of pydantic."""
UNKNOWN = "(unknown)"
FOLDER = "(folder)"
"""Stands where a folder plugin has no distribution."""
_GROUPS = (*KINDS, HOOKS, COMMANDS, LEGACY)


class PluginEntry(NamedTuple):
    """One name that one installed distribution, or a folder plugin, provides."""

    group: str
    name: str
    distribution: str
    version: str
    target: str

    @property
    def kind(self) -> str:
        """`step`, `connector`, `bundle source`, `hook`, `command`, `kind of document`; `legacy` of the old group."""
        return WORDS.get(self.group, "legacy")

    @property
    def source(self) -> str:
        """Distribution and version; of a folder plugin, that it is one."""
        return "a plugin path" if self.distribution == FOLDER else f"{self.distribution} {self.version}".strip()

    @property
    def shown_name(self) -> str:
        """The name as users read it."""
        return shown(self.group, self.name)


@cache
def installed_plugins() -> tuple[PluginEntry, ...]:
    """All that is looked up by name in the installed distributions, sorted, so that order never depends on disk."""
    return tuple(entry for entry in _entries() if entry.group in KINDS)


@cache
def installed_hooks() -> tuple[PluginEntry, ...]:
    """All hooks of the installed distributions, sorted by distribution and name."""
    found = [entry for entry in _entries() if entry.group == HOOKS]
    return tuple(sorted(found, key=lambda entry: (entry.distribution, entry.name)))


@cache
def installed_commands() -> tuple[PluginEntry, ...]:
    """All commands of the installed distributions, sorted by name and distribution."""
    found = [entry for entry in _entries() if entry.group == COMMANDS]
    return tuple(sorted(found, key=lambda entry: (entry.name, entry.distribution)))


@cache
def legacy_plugins() -> tuple[PluginEntry, ...]:
    """All entries of the old group, sorted."""
    return tuple(entry for entry in _entries() if entry.group == LEGACY)


@cache
def installed_in(group: str) -> tuple[PluginEntry, ...]:
    """All entries of a group that few commands ask for, sorted: a scan of its own, so that others do not pay for it."""
    return _scan((group,))[0]


@cache
def _entries() -> tuple[PluginEntry, ...]:
    entries, others = _scan(_GROUPS)
    if not others and PYDANTIC in sys.modules:
        from aetherflow.core.host.pydantic_internals import spare_plugin_scan

        spare_plugin_scan()
    return entries


def _scan(groups: tuple[str, ...]) -> tuple[tuple[PluginEntry, ...], bool]:
    """The entries of these groups, sorted, and whether a plugin of pydantic is installed."""
    entries = []
    seen: set[str] = set()
    others = False
    # the text is looked at before it is parsed: a hundred distributions have entry points, a handful has ours
    for found in distributions():
        text = found.read_text("entry_points.txt") or ""
        others = others or f"[{PYDANTIC}]" in text
        if not any(group in text for group in groups):
            continue
        name, version = _facts(found)
        if name in seen - {UNKNOWN} or _is_shadowed(name, text):
            continue
        seen.add(name)
        entries += [
            PluginEntry(point.group, point.name, name, version, point.value)
            for point in found.entry_points
            if point.group in groups
        ]
    return tuple(sorted(entries)), others


def version_of(name: str) -> str:
    """The version of an installed distribution; PackageNotFoundError if it is not installed."""
    return _facts(distribution(name))[1]


def _facts(found: Distribution) -> tuple[str, str]:
    # the head is read as text: parsing all of METADATA, a mail with the README as its body, costs ten times as much
    head, _, _ = (found.read_text("METADATA") or found.read_text("PKG-INFO") or "").partition("\n\n")
    facts = dict(line.split(": ", 1) for line in head.splitlines() if line.startswith(("Name: ", "Version: ")))
    # a half-removed distribution has entry points and no name or version
    return facts.get("Name", UNKNOWN).strip(), facts.get("Version", UNKNOWN).strip()


def _is_shadowed(name: str, text: str) -> bool:
    """True if an earlier entry of the path holds another distribution of the same name, which Python would use."""
    try:
        return (distribution(name).read_text("entry_points.txt") or "") != text
    except PackageNotFoundError:
        return False
