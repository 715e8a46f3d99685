"""The rules for plugins: what is allowed, preferred, blocked and locked, for every group alike; and what is set."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from aetherflow.core.base.errors import PluginError, PluginNotAllowedError, PluginNotFoundError
from aetherflow.core.host.compatible import require_compatible
from aetherflow.core.host.distributions import key_of
from aetherflow.core.host.first_party import first_party
from aetherflow.core.host.locked import Locks
from aetherflow.core.host.metadata import FOLDER, PluginEntry
from aetherflow.core.host.names import WORDS, shown
from aetherflow.core.host.requirements import accepted, accepts, names_only


def _refuse_nothing(_group: str, _name: str) -> str | None:
    return None


class Rules(NamedTuple):
    """What holds for the installed plugins of all groups. Without arguments everything may be used."""

    prefer: Mapping[str, str] = MappingProxyType({})
    """`steps.NAME`, `connectors.KIND.DRIVER`, `commands.NAME` and so on to the distribution that provides it."""
    allow: Sequence[str] | None = None
    """The distributions that may be used besides ours, as requirements; None for all."""
    block: Sequence[str] = ()
    """Hooks that are not loaded: a requirement, or `DISTRIBUTION:ENTRY`."""
    settings: Mapping[str, Any] = MappingProxyType({})
    """`plugins.settings`: distribution to what its hooks are given."""
    locks: Locks = Locks()
    refused: Callable[[str, str], str | None] = _refuse_nothing
    """Tells for group and name why the administrator's policy refuses it, or None."""

    @property
    def choose_nothing(self) -> bool:
        """Whether every compatible plugin may be used."""
        chosen = self.prefer or self.block or self.locks.files or self.allow is not None
        return not chosen and self.refused is _refuse_nothing

    def require(self, entry: PluginEntry) -> None:
        """Raise why a plugin may not be used: PluginNotAllowedError, PluginVersionError, PluginLockError.

        Nothing of it is imported.
        """
        if not self.allows(entry):
            message = f"{entry.kind} {entry.shown_name!r} of {entry.source} is not allowed in enterprise mode"
            named = [each for each in self.allow or () if key_of(entry.distribution) in names_only([each])]
            fix = f"add {entry.distribution} to plugins.allow in the project file"
            raise PluginNotAllowedError(message, fix=f"plugins.allow accepts {', '.join(named)}" if named else fix)
        require_compatible(entry)
        self.locks.require(entry)

    def require_name(self, group: str, name: str) -> None:
        """Raise PluginNotAllowedError for a name that the administrator's policy refuses, from any package."""
        if (why := self.refused(group, name)) is not None:
            message = f"{WORDS[group]} {shown(group, name)!r} is refused by the administrator's policy: {why}"
            raise PluginNotAllowedError(message, fix="use another one, or ask who administers this machine")

    def allows(self, entry: PluginEntry) -> bool:
        """Whether the distribution of a plugin is ours or on the list; folder plugins have none."""
        if self.allow is None or entry.distribution == FOLDER or is_ours(entry):
            return True
        return accepted(self.allow, entry.distribution, entry.version)

    def blocks(self, entry: PluginEntry) -> bool:
        """Whether a hook is left out."""
        for each in self.block:
            name, _, hook = each.partition(":")
            if accepts(name, entry.distribution, entry.version) and hook in ("", entry.name):
                return True
        return False

    def preferred(self, group: str, name: str, found: Sequence[PluginEntry]) -> Sequence[PluginEntry]:
        """Those of the entries of one name that the preference leaves; PluginNotFoundError if it leaves none."""
        if not self.prefer or (wanted := self.prefer.get(preference(group, name))) is None:
            return found
        left = [entry for entry in found if accepts(wanted, entry.distribution, entry.version)]
        if not left:
            there = " and ".join(sorted({entry.source for entry in found}))
            message = f"plugins.prefer chooses {wanted} for {WORDS[group]} {shown(group, name)!r}; it is of {there}"
            raise PluginNotFoundError(message, fix=f"install {wanted}, or correct plugins.prefer in the project file")
        return left

    def usable(self, entry: PluginEntry) -> bool:
        """Whether `require` would accept a plugin."""
        try:
            self.require(entry)
        except PluginError:
            return False
        return True


def preference(group: str, name: str) -> str:
    """The key of a name in `plugins.prefer`."""
    return f"{group.removeprefix('aetherflow.')}.{name}"


def is_ours(entry: PluginEntry) -> bool:
    """Whether a plugin belongs to a distribution that is developed with the core."""
    return entry.distribution in first_party()


def allowed_among(rules: Rules, entries: Iterable[PluginEntry]) -> list[PluginEntry]:
    """The entries that the list of allowed distributions accepts; all if it accepts none, to tell which they are."""
    found = list(entries)
    return found if rules.allow is None else [entry for entry in found if rules.allows(entry)] or found
