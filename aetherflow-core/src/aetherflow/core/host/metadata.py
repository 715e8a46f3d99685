"""One scan of the installed distributions' entry points; nothing is imported."""

import sys
from functools import cache
from typing import NamedTuple

from aetherflow.core.base.errors import PluginError
from aetherflow.core.base.suggest import nearest
from aetherflow.core.host.distributions import UNKNOWN, Found, distributions, key_of, name_and_version, points_in
from aetherflow.core.host.names import COMMANDS, HOOKS, INTERNAL, KINDS, LEGACY, WORDS, shown

PYDANTIC = "pydantic"
"""Entry-point group of pydantic's own plugins."""
_GROUP = "[aetherflow."
FOLDER = "(folder)"
"""The distribution of a folder plugin, which has none."""


class PluginGroupError(PluginError):
    """A distribution has an entry point in a group `aetherflow.…` that does not exist; nothing reads it."""

    code = "AF2114"
    misspelt = False
    """Whether a known group has a similar name. A group that looks like none may be known to a later version."""


class PluginEntry(NamedTuple):
    """One name that one installed distribution, or a folder plugin, provides."""

    group: str
    name: str
    distribution: str
    version: str
    target: str

    @property
    def kind(self) -> str:
        """The word for its group, such as `step`; `legacy` of the old group."""
        return WORDS.get(self.group, "legacy")

    @property
    def source(self) -> str:
        """Distribution and version; for a folder plugin `a plugin path`."""
        return "a plugin path" if self.distribution == FOLDER else f"{self.distribution} {self.version}".strip()

    @property
    def shown_name(self) -> str:
        """The name as users see it."""
        return shown(self.group, self.name)


@cache
def installed_in(*groups: str) -> tuple[PluginEntry, ...]:
    """The plugins of these groups, or of all but the old group, sorted by group, name and distribution."""
    wanted = frozenset(groups or WORDS)
    entries: list[PluginEntry] = []
    seen: set[str] = set()
    first = _texts()
    marks = [f"[{group}]" for group in wanted]
    # the text is searched before it is parsed, and metadata is read of those alone that have such plugins
    for found, text in first.ours:
        if groups and not any(mark in text for mark in marks):
            continue
        name, version = name_and_version(found)
        # Python would use another distribution of the same name that comes earlier on `sys.path`
        if (name in seen and name != UNKNOWN) or first.by_key.get(key_of(name), text) != text:
            continue
        seen.add(name)
        entries += [
            PluginEntry(group, point, name, version, target)
            for group, point, target in points_in(text)
            if group in wanted
        ]
    entries.sort()
    return tuple(entries)


def installed_plugins() -> tuple[PluginEntry, ...]:
    """The steps, connectors and bundle sources of the installed distributions, sorted."""
    return installed_in(*KINDS)


@cache
def installed_hooks() -> tuple[PluginEntry, ...]:
    """All hooks of the installed distributions but those that only `status` asks, sorted by distribution and name."""
    return tuple(sorted(installed_in(HOOKS), key=lambda entry: (entry.distribution, entry.name)))


def installed_commands() -> tuple[PluginEntry, ...]:
    """All commands of the installed distributions, sorted by name and distribution."""
    return installed_in(COMMANDS)


@cache
def group_errors() -> tuple[PluginGroupError, ...]:
    """An error for each entry-point group `aetherflow.…` that nothing reads, sorted by distribution and group."""
    known = {*WORDS, LEGACY, *INTERNAL}
    first = _texts()
    found = []
    for each, text in first.ours:
        heads = (line.strip() for line in text.splitlines() if _GROUP in line)
        unknown = {head[1:].partition("]")[0] for head in heads if head.startswith(_GROUP)} - known
        if not unknown:  # as nearly always: the metadata of these alone is read
            continue
        name, version = name_and_version(each)
        if first.by_key.get(key_of(name), text) == text:
            found += [(name, group, version) for group in unknown]
    return tuple(_group_error(*each, known) for each in sorted(found))


def _group_error(name: str, group: str, version: str, known: set[str]) -> PluginGroupError:
    meant = nearest(group, known)
    message = f"{name} {version} has entry points in the group {group}, which does not exist"
    advice = f"name the group {meant}" if meant else "use a version of AetherFlow that knows it"
    error = PluginGroupError(message, fix=f"{advice}; it is in the pyproject.toml of {name}")
    error.misspelt = meant is not None
    return error


def legacy_plugins() -> tuple[PluginEntry, ...]:
    """All entries of the old group, sorted."""
    return installed_in(LEGACY)


class _Texts(NamedTuple):
    by_key: dict[str, str]
    """Key of a distribution to its entry points; of one name, that of the first on `sys.path`."""
    ours: "list[tuple[Found, str]]"
    """The distributions that may have plugins of ours, with their entry points."""


@cache
def _texts() -> _Texts:
    """The entry points of all distributions, as text; pydantic is informed if it has no plugin."""
    found = _Texts({}, [])
    others = False
    for key, each in distributions():
        text = each.read_text("entry_points.txt") or ""
        found.by_key.setdefault(key, text)
        others = others or f"[{PYDANTIC}]" in text
        if "[aetherflow." in text:
            found.ours.append((each, text))
    if not others and PYDANTIC in sys.modules:
        from aetherflow.core.host.pydantic_internals import spare_plugin_scan

        spare_plugin_scan()
    return found
