"""Looking a plugin up by name: one name, one object, imported when it is used."""

from collections.abc import Callable, Collection, Iterable, Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from aetherflow.core.documents.suggest import did_you_mean
from aetherflow.core.errors import PluginConflictError, PluginNotAllowedError, PluginNotFoundError
from aetherflow.core.plugins.metadata import PluginEntry, installed_plugins
from aetherflow.core.plugins.names import CONNECTORS, KINDS, STEPS, distribution_for, extra_for, shown


class Catalog:
    """Every plugin that can be used, by group and name."""

    def __init__(
        self,
        entries: Iterable[PluginEntry],
        *,
        prefer: Mapping[str, str] | None = None,
        allow: Collection[str] | None = None,
    ) -> None:
        """`prefer` maps `steps.NAME` or `connectors.KIND.DRIVER` to the distribution that wins it; `allow` names the
        distributions that may be used, None for all.
        """
        self.entries = sorted(entries)
        self._prefer = prefer or {}
        self._allow = allow
        self._by_name: dict[tuple[str, str], list[PluginEntry]] = {}
        self._loaded: dict[tuple[str, str], Any] = {}
        for entry in self.entries:
            self._by_name.setdefault((entry.group, entry.name), []).append(entry)

    def names(self, group: str) -> list[str]:
        """Sorted names of one group."""
        return sorted({name for found, name in self._by_name if found == group} | _registered[group].keys())

    def rivals(self, entry: PluginEntry) -> list[PluginEntry]:
        """Other distributions that provide the same name."""
        return [other for other in self._by_name[entry.group, entry.name] if other.distribution != entry.distribution]

    def find(self, group: str, name: str) -> PluginEntry:
        """The one entry of that name, without importing it.

        Raises PluginNotFoundError with the pip command that brings it, PluginConflictError with both distributions.
        """
        found = self._by_name.get((group, name), [])
        if not found:
            raise self._not_found(group, name)
        key = f"{group.removeprefix('aetherflow.')}.{name}"
        if (preferred := self._prefer.get(key)) is not None:
            found = [entry for entry in found if entry.distribution == preferred] or found
        if len({entry.distribution for entry in found}) > 1:
            raise _conflict(group, name, found, key)
        return self._allowed(found[0])

    def _allowed(self, entry: PluginEntry) -> PluginEntry:
        if self._allow is not None and entry.distribution not in self._allow:
            message = f"{entry.kind} {entry.shown_name!r} of {entry.distribution} is not allowed in enterprise mode"
            raise PluginNotAllowedError(message, fix=f"add {entry.distribution} to plugins.allow in the project file")
        return entry

    def step(self, name: str) -> Any:
        """The class of a step type; raises what `find` raises, and PluginLoadError."""
        return self._object(STEPS, name)

    def connector(self, kind: str, driver: str) -> Any:
        """The class of a connector; raises what `find` raises, and PluginLoadError."""
        return self._object(CONNECTORS, f"{kind}.{driver}")

    def _object(self, group: str, name: str) -> Any:
        if (registered := _registered[group].get(name)) is not None:
            return registered
        if (group, name) not in self._loaded:
            from aetherflow.core.plugins.loading import load_plugin  # imports pydantic through the contracts

            self._loaded[group, name] = load_plugin(self.find(group, name))
        return self._loaded[group, name]

    def _not_found(self, group: str, name: str) -> PluginNotFoundError:
        message = f"no installed distribution provides {KINDS[group]} {shown(group, name)!r}"
        if (extra := extra_for(group, name)) is not None:
            distribution = distribution_for(extra)
            try:
                message += f"; {distribution} {version(distribution)} is installed and has no such {KINDS[group]}"
                return PluginNotFoundError(message, fix=f'pip install --upgrade "aetherflow-core[{extra}]"')
            except PackageNotFoundError:
                return PluginNotFoundError(message, fix=f'pip install "aetherflow-core[{extra}]"')
        known = [shown(group, known) for known in self.names(group)]
        fix = did_you_mean(shown(group, name), known, what=f"installed {KINDS[group]}s")
        return PluginNotFoundError(message, fix=fix)


def _conflict(group: str, name: str, found: list[PluginEntry], key: str) -> PluginConflictError:
    lines = [f"{entry.distribution} {entry.version} {entry.target}" for entry in found]
    message = f"{len(found)} installed distributions provide {KINDS[group]} {shown(group, name)!r}: " + "; ".join(lines)
    fix = f"uninstall one, or choose in the project file: plugins: {{prefer: {{{key}: {found[0].distribution}}}}}"
    return PluginConflictError(message, fix=fix)


@cache
def installed_catalog() -> Catalog:
    """The catalogue of what is installed."""
    return Catalog(installed_plugins())


_registered: dict[str, dict[str, Any]] = {STEPS: {}, CONNECTORS: {}}


def register_step(name: str) -> Callable[[type], type]:
    """Class decorator: make a step known in this process; an installed package uses an entry point instead."""

    def decorate(cls: type) -> type:
        _registered[STEPS][name] = cls
        return cls

    return decorate


def register_connector(kind: str, driver: str) -> Callable[[type], type]:
    """Class decorator: make a connector known in this process; an installed package uses an entry point instead."""

    def decorate(cls: type) -> type:
        _registered[CONNECTORS][f"{kind}.{driver}"] = cls
        return cls

    return decorate


def get_step(name: str) -> Any:
    """Class of a step type; KeyError `Unknown step type: N. Loaded: […]`."""
    if name not in installed_catalog().names(STEPS):
        raise PluginNotFoundError(f"Unknown step type: {name}. Loaded: {list_steps()}")
    return installed_catalog().step(name)


def list_steps() -> list[str]:
    """Sorted step types."""
    return installed_catalog().names(STEPS)


def get_connector(kind: str, driver: str) -> Any:
    """Class of a connector; KeyError `Unknown connector: K:D. Loaded: […]`."""
    if f"{kind}.{driver}" not in installed_catalog().names(CONNECTORS):
        raise PluginNotFoundError(f"Unknown connector: {kind}:{driver}. Loaded: {list_connectors()}")
    return installed_catalog().connector(kind, driver)


def list_connectors() -> list[str]:
    """Sorted `kind:driver`."""
    return [shown(CONNECTORS, name) for name in installed_catalog().names(CONNECTORS)]
