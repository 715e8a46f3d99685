"""Looking up plugins by name; a plugin is imported when it is used."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache, lru_cache, partial
from typing import TYPE_CHECKING, Any, NamedTuple

from aetherflow.core.base.errors import (
    LegacyPluginError,
    PluginConflictError,
    PluginError,
    PluginNotAllowedError,
    PluginNotFoundError,
    PluginOverrideError,
)
from aetherflow.core.base.suggest import nearest
from aetherflow.core.base.typed import typed_here
from aetherflow.core.host.compatible import is_compatible
from aetherflow.core.host.first_party import CORE, distribution_for, extra_for
from aetherflow.core.host.installing import install_command, installed_version, repair_command
from aetherflow.core.host.metadata import PluginEntry, group_errors, installed_in, legacy_plugins
from aetherflow.core.host.names import BUNDLE_SOURCES, CONNECTORS, DOCUMENTS, MANY, STEPS, WORDS, shown
from aetherflow.core.host.registering import registering
from aetherflow.core.host.rules import Rules, allowed_among, preference

if TYPE_CHECKING:
    from aetherflow.core.host.folder import FolderPlugins
    from aetherflow.core.host.registering import Registration


class Notice(NamedTuple):
    """An error or warning about the set of plugins; a `fatal` one forbids a run."""

    error: PluginError
    fatal: bool


class Catalog:
    """The plugins that can be used, by group and name."""

    def __init__(
        self,
        entries: Iterable[PluginEntry],
        *,
        rules: Rules = Rules(),  # noqa: B008 it does not change
        folder: "FolderPlugins | None" = None,
        legacy: Iterable[PluginEntry] = (),
        unread: Iterable[PluginError] = (),
        strict: bool = True,
        skipped: tuple[str, ...] = (),
    ) -> None:
        """`rules` say which of the plugins may be used; if they allow or lock some, no folder plugin may replace an
        installed one.

        `legacy` are entries of the old group, loaded when a name is not found elsewhere; `unread` tells of entries in
        groups that do not exist. With `strict` a plugin that cannot be loaded is an error, else a warning. `skipped`
        are plugin paths that were not loaded.
        """
        self.entries = sorted(entries)
        self.rules = rules
        self.skipped = skipped
        self.notices = [Notice(error, False) for error in unread]
        self._fixed = rules.allow is not None or bool(rules.locks.files)
        self._free = folder is None and rules.choose_nothing
        self._strict = strict
        self._by_name: dict[tuple[str, str], list[PluginEntry]] = {}
        self._loaded: dict[tuple[str, str], Any] = {}
        self._folder: dict[tuple[str, str], Registration] = {}
        self._legacy = list(legacy)
        self._legacy_told: set[PluginEntry] = set()
        self._from_legacy: dict[tuple[str, str], Registration] = {}
        for entry in self.entries:
            self._by_name.setdefault((entry.group, entry.name), []).append(entry)
        if folder is not None:
            self._add_folder(folder)

    def _add_folder(self, folder: "FolderPlugins") -> None:
        self.notices += [Notice(error, self._strict) for error in folder.errors]
        for found in folder.registrations:
            key = found.entry.group, found.entry.name
            before = self._folder.get(key)
            if before is not None and before.file != found.file:
                message = f"two folder plugins register {_label(found.entry)}: {before.file} and {found.file}"
                error = PluginConflictError(message, fix="rename one of them, or take it out of the plugin path")
                self.notices.append(Notice(error, self._strict))
            elif before is None and (hidden := self._by_name.get(key)):
                self.notices.append(Notice(_override(found.entry, hidden), self._fixed))
            self._folder[key] = found

    def raise_if_broken(self) -> None:
        """Raise the first fatal notice, if there is one."""
        for notice in self.notices:
            if notice.fatal:
                raise notice.error

    def may_be_skipped(self, group: str, name: str) -> bool:
        """True if a name is unknown, no extra provides it, and a plugin path that may hold it was skipped."""
        return bool(self.skipped) and name not in self.names(group) and extra_for(group, name) is None

    @property
    def folder_entries(self) -> list[PluginEntry]:
        """Names of folder plugins, sorted."""
        return sorted(found.entry for found in self._folder.values())

    @property
    def legacy(self) -> list[PluginEntry]:
        """Entries of the old group; the names that they register are known only after loading."""
        return self._legacy

    def names(self, group: str) -> list[str]:
        """Sorted names in one group, without those that the old group registers."""
        known = self._by_name.keys() | self._folder.keys()
        return sorted({name for found, name in known if found == group} | _registered.get(group, {}).keys())

    def status(self, entry: PluginEntry) -> str:
        """`ok`; `conflict`: another distribution provides the name too; `not preferred`; `shadowed` by a folder plugin;
        `blocked`; `refused` by a rule.
        """
        key = entry.group, entry.name
        if self._free and len(self._by_name.get(key, ())) == 1:  # nearly all, of hundreds: what is below says the same
            return "ok" if is_compatible(entry) else "refused"
        if entry.group not in MANY and self._finds(entry):
            return "ok"
        if entry.group in MANY and self.rules.blocks(entry):
            return "blocked"
        if not self.rules.usable(entry):
            return "refused"
        if entry.group in MANY:
            return "ok"
        if key in self._folder and not self._fixed:
            return "shadowed"
        try:
            self.find(*key)
        except PluginConflictError:
            return "conflict"
        except PluginNotFoundError:
            return "not preferred"
        except PluginError:
            return "refused"
        return "not preferred"

    def _finds(self, entry: PluginEntry) -> bool:
        """Whether `find` finds this one."""
        try:
            return self.find(entry.group, entry.name) == entry
        except PluginError:
            return False

    def find(self, group: str, name: str) -> PluginEntry:
        """The entry of that name, without importing it (entries of the old group are imported).

        Raises PluginNotFoundError with the pip command that installs it, PluginConflictError with both distributions,
        PluginOverrideError, and what `Rules.require` and `Rules.require_name` raise.
        """
        self.rules.require_name(group, name)
        found = self._by_name.get((group, name), [])
        if (own := self._folder.get((group, name))) is not None:
            if found and self._fixed:
                raise _override(own.entry, found)
            return own.entry
        if not found:
            return self._in_legacy(group, name).entry
        usable = allowed_among(self.rules, self.rules.preferred(group, name, found))
        if len(usable) > 1 and len({entry.distribution for entry in usable}) > 1:
            raise _conflict(group, name, usable)
        self.rules.require(usable[0])
        return usable[0]

    def step(self, name: str) -> Any:
        """The class of a step type; raises what `find` raises, and PluginLoadError."""
        return self.get(STEPS, name)

    def connector(self, kind: str, driver: str) -> Any:
        """The class of a connector; raises what `find` raises, and PluginLoadError."""
        return self.get(CONNECTORS, f"{kind}.{driver}")

    def bundle_source(self, name: str) -> Any:
        """The class of a bundle source; raises what `find` raises, and PluginLoadError."""
        return self.get(BUNDLE_SOURCES, name)

    def load(self, entry: PluginEntry) -> Any:
        """The class of one entry, even if others provide the same name. Raises PluginLoadError."""
        from aetherflow.core.host.loading import check_registered, load_plugin

        for known in (self._folder, self._from_legacy):
            own = known.get((entry.group, entry.name))
            if own is not None and own.entry == entry:
                return check_registered(entry, own.found)
        return load_plugin(entry)

    def get(self, group: str, name: str) -> Any:
        """The class of that name; raises what `find` raises, and PluginLoadError."""
        if (registered := _registered.get(group, {}).get(name)) is not None:
            self.rules.require_name(group, name)
            return registered
        if (group, name) not in self._loaded:
            from aetherflow.core.host.loading import check_registered, load_plugin  # imports pydantic

            entry = self.find(group, name)
            own = self._folder.get((group, name)) or self._from_legacy.get((group, name))
            self._loaded[group, name] = check_registered(entry, own.found) if own else load_plugin(entry)
        return self._loaded[group, name]

    def _in_legacy(self, group: str, name: str) -> "Registration":
        """The registration of a name by the old group; PluginNotFoundError if there is none."""
        for entry in self._legacy:
            if (group, name) not in self._from_legacy:
                self.load_legacy(entry)
        if (group, name) not in self._from_legacy:
            raise self._not_found(group, name)
        return self._from_legacy[group, name]

    def load_legacy(self, entry: PluginEntry) -> "list[Registration]":
        """Load one entry of the old group; its registrations are available from now on, and a notice is added."""
        from aetherflow.core.host.loading import load_legacy

        try:
            self.rules.require(entry)
        except PluginNotAllowedError:
            return []
        except PluginError as error:  # whether it has the name that is looked for cannot be known
            if entry not in self._legacy_told:
                self._legacy_told.add(entry)
                self.notices.append(Notice(error, False))
            return []
        found, failed = load_legacy(entry)
        if entry in self._legacy_told:
            return found
        self._legacy_told.add(entry)
        if failed is not None:
            self.notices.append(Notice(failed, self._strict))
        else:
            message = f"{entry.source} registers its plugins in the old group aetherflow.plugins (entry {entry.name})"
            fix = "its authors name each class in the groups aetherflow.steps and aetherflow.connectors"
            self.notices.append(Notice(LegacyPluginError(message, fix=fix), False))
        for each in found:
            self._from_legacy.setdefault((each.entry.group, each.entry.name), each)
        return found

    def _not_found(self, group: str, name: str) -> PluginNotFoundError:
        message = f"no installed distribution provides {WORDS[group]} {shown(group, name)!r}"
        if (extra := extra_for(group, name)) is not None:
            distribution = distribution_for(extra)
            if (there := installed_version(distribution)) is not None:
                message += f"; {distribution} {there} is installed and has no such {WORDS[group]}"
                if there == installed_version(CORE):  # the version is right, its files are not
                    return PluginNotFoundError(message, fix=repair_command())
            error = PluginNotFoundError(message, fix=install_command(extra))
            error.extra = extra
            return error
        likely = _nearest(shown(group, name), tuple(shown(group, known) for known in self.names(group)))
        listed = typed_here("plugins", "list", "--kind", WORDS[group])
        return PluginNotFoundError(
            message, fix=f"did you mean {likely!r}?" if likely else f"what is installed: {listed}"
        )


def _label(entry: PluginEntry) -> str:
    return f"{entry.kind} {entry.shown_name!r}"


def _override(entry: PluginEntry, hidden: list[PluginEntry]) -> PluginOverrideError:
    sources = " and ".join(sorted({each.source for each in hidden}))
    message = f"{_label(entry)} of the folder plugin {entry.target} takes the place of that of {sources}"
    return PluginOverrideError(message, fix="register it under a name of its own; enterprise mode refuses it")


def _conflict(group: str, name: str, found: list[PluginEntry]) -> PluginConflictError:
    found = sorted(found, key=lambda entry: entry.distribution != CORE)  # the core's first: the fix proposes it
    lines = [f"{entry.distribution} {entry.version} {entry.target}" for entry in found]
    message = f"{len(found)} installed distributions provide {WORDS[group]} {shown(group, name)!r}: " + "; ".join(lines)
    choice = f"{{prefer: {{{preference(group, name)}: {found[0].distribution}}}}}"
    fix = f"uninstall one, or choose in the project file: plugins: {choice}"
    return PluginConflictError(message, fix=fix)


@cache
def installed_catalog() -> Catalog:
    """The catalogue of the installed distributions, without folder plugins and policy."""
    return Catalog(installed_in(), legacy=legacy_plugins(), unread=group_errors())


_nearest = lru_cache(maxsize=2_048)(nearest)  # the checks of a flow ask for the same name several times
_registered: dict[str, dict[str, Any]] = {STEPS: {}, CONNECTORS: {}, BUNDLE_SOURCES: {}, DOCUMENTS: {}}

_active: ContextVar[Catalog | None] = ContextVar("catalog", default=None)


@contextmanager
def active(catalog: Catalog) -> Iterator[None]:
    """While the block runs, `get_step`, `list_steps` and the like use this catalogue in the current context."""
    token = _active.set(catalog)
    try:
        yield
    finally:
        _active.reset(token)


def _current() -> Catalog:
    return _active.get() or installed_catalog()


def register_step(name: str) -> Callable[[type], type]:
    """Class decorator: register a step type for this process, or, in a folder plugin, for the runs that use the folder.

    An installed package declares an entry point instead.
    """
    return registering(STEPS, name, partial(_registered[STEPS].__setitem__, name))


def register_connector(kind: str, driver: str) -> Callable[[type], type]:
    """Class decorator: register a connector, as `register_step` does a step type."""
    name = f"{kind}.{driver}"
    return registering(CONNECTORS, name, partial(_registered[CONNECTORS].__setitem__, name))


def get_step(name: str) -> Any:
    """Class of a step type; KeyError `Unknown step type: N. Loaded: […]`."""
    if name not in _current().names(STEPS):
        raise PluginNotFoundError(f"Unknown step type: {name}. Loaded: {list_steps()}")
    return _current().step(name)


def list_steps() -> list[str]:
    """The names of all step types, sorted."""
    return _current().names(STEPS)


def get_connector(kind: str, driver: str) -> Any:
    """Class of a connector; KeyError `Unknown connector: K:D. Loaded: […]`."""
    if f"{kind}.{driver}" not in _current().names(CONNECTORS):
        raise PluginNotFoundError(f"Unknown connector: {kind}:{driver}. Loaded: {list_connectors()}")
    return _current().connector(kind, driver)


def list_connectors() -> list[str]:
    """All connectors as `kind:driver`, sorted."""
    return [shown(CONNECTORS, name) for name in _current().names(CONNECTORS)]
