"""The check of `plugins check`: every plugin is imported and examined; drivers are not imported."""

import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from aetherflow.core.base.errors import PluginConflictError, PluginError, PluginNotAllowedError
from aetherflow.core.host.asset_fields import CLASS_FIX, unclassed
from aetherflow.core.host.catalog import Catalog
from aetherflow.core.host.commands import load_command
from aetherflow.core.host.describe import declared_models, fields_of
from aetherflow.core.host.first_party import has_optional_driver
from aetherflow.core.host.hook_objects import hook_of, imported, settings_model
from aetherflow.core.host.hooks import load_hooks
from aetherflow.core.host.importing import import_target
from aetherflow.core.host.installing import driver_command, missing_drivers
from aetherflow.core.host.metadata import PluginEntry, installed_commands
from aetherflow.core.host.names import COMMANDS, CONNECTORS, HOOKS, LAUNCHERS, MANY, OTEL, STATUS


@dataclass(frozen=True, slots=True)
class PluginFinding:
    """One finding about the installed plugins."""

    code: str
    plugin: str
    """`step NAME`, `connector KIND:DRIVER` or the like; empty if it concerns no single plugin."""
    source: str
    """Distribution and version, or `a plugin path`."""
    message: str
    fix: str

    def as_text(self) -> str:
        """`AFnnnn message`, then a line with the fix."""
        text = f"{self.code} {self.message}"
        return f"{text}\n  fix: {self.fix}" if self.fix else text


class AbsentDriver(NamedTuple):
    """A connector whose driver is left to those who use it, and is not installed."""

    connector: str
    """Its name in messages: `KIND:DRIVER`."""
    source: str
    modules: list[str]
    fix: str


def absent_drivers(catalog: Catalog) -> list[AbsentDriver]:
    """The usable connectors that lack a driver which nobody has to install: a flow that needs it has a finding."""
    found = []
    for entry in catalog.entries:
        if entry.group != CONNECTORS or catalog.status(entry) == "refused":
            continue
        if has_optional_driver(entry.distribution, entry.name) and (absent := _missing(catalog, entry)):
            fix = driver_command(entry.name, absent, entry.distribution)
            found.append(AbsentDriver(entry.shown_name, entry.source, absent, fix))
    return found


def _missing(catalog: Catalog, entry: PluginEntry) -> list[str]:
    try:
        return missing_drivers(catalog.load(entry))
    except PluginError:
        return []  # a finding


def check_installed_plugins(catalog: Catalog, commands: Catalog) -> tuple[int, list[PluginFinding]]:
    """Import and check every plugin that may be used; returns their number and the findings.

    `commands` contains the commands of installed distributions and the program's own.
    """
    findings: list[PluginFinding] = []
    entries = [each for each in (*catalog.entries, *catalog.folder_entries) if each.group != COMMANDS]
    for legacy in list(catalog.legacy):
        entries += [found.entry for found in catalog.load_legacy(legacy)]
    entries += [each for each in commands.entries if each in installed_commands()]
    findings += [PluginFinding(error.code, "", "", error.message, error.fix) for error, _ in catalog.notices]
    told: set[tuple[str, str]] = set()
    count = 0
    for entry in sorted(entries, key=lambda each: (each.kind, each.shown_name, each.distribution)):
        among = commands if entry.group == COMMANDS else catalog
        status, key = among.status(entry), (entry.group, entry.name)
        if status == "refused":
            findings += _refusal(among, entry, told)
            continue
        if status == "blocked":
            continue
        count += 1
        if status == "conflict" and key not in told:
            told.add(key)
            findings += _conflict(among, entry)
        findings += _EXAMINED.get(entry.group, _check)(among, entry)
    # each of the hooks that one class has tells what is wrong with their settings
    once = {(each.code, each.source, each.message): each for each in reversed(findings)}
    return count, list(reversed(once.values()))


def _refusal(catalog: Catalog, entry: PluginEntry, told: set[tuple[str, str]]) -> Iterator[PluginFinding]:
    """The finding about what is refused: by a lock, once for each distribution; by enterprise mode, of a hook alone."""
    try:
        catalog.rules.require(entry)
    except PluginNotAllowedError as error:
        if entry.group in MANY:  # every command stops with it
            yield PluginFinding(error.code, f"hook {entry.name}", entry.source, error.message, error.fix)
    except PluginError as error:
        if (key := (error.code, entry.distribution)) not in told:
            told.add(key)
            yield PluginFinding(error.code, f"{entry.kind} {entry.shown_name}", entry.source, error.message, error.fix)


def _check_hook(catalog: Catalog, entry: PluginEntry) -> Iterator[PluginFinding]:
    """The findings about a hook that is unknown, not marked, has wrong arguments or settings or cannot be imported."""
    try:
        if (hooks := load_hooks([entry], catalog.rules.settings)) is not None and (
            declared := hook_of(entry)
        ) is not None:
            hooks.require(declared)
        if (model := settings_model(imported(entry))) is not None:
            for info in (each for each in fields_of(model) if not each.description.strip()):
                text = f"hook {entry.name!r} of {entry.source}: settings.{info.name} has no description"
                yield PluginFinding("AF2124", f"hook {entry.name}", entry.source, text, _DESCRIBE)
    except PluginError as error:
        yield PluginFinding(error.code, f"hook {entry.name}", entry.source, error.message, error.fix)


def _check_command(_catalog: Catalog, entry: PluginEntry) -> Iterator[PluginFinding]:
    """The finding about a command that cannot be imported, or is not one."""
    try:
        load_command(entry)
    except PluginError as error:
        yield PluginFinding(error.code, f"command {entry.name}", entry.source, error.message, error.fix)


def _check_target(_catalog: Catalog, entry: PluginEntry) -> Iterator[PluginFinding]:
    """The finding about what cannot be imported: a launcher, or hooks that make spans, which are built where they are
    on, with their exporter. Whether a class is a launcher is checked by the scheduler, which knows the base class.
    """
    try:
        import_target(entry)
    except PluginError as error:
        yield PluginFinding(error.code, f"{entry.kind} {entry.name}", entry.source, error.message, error.fix)


def _conflict(catalog: Catalog, entry: PluginEntry) -> Iterator[PluginFinding]:
    try:
        catalog.find(entry.group, entry.name)
    except PluginConflictError as error:
        yield PluginFinding(error.code, f"{entry.kind} {entry.shown_name}", "", error.message, error.fix)


def _check(catalog: Catalog, entry: PluginEntry) -> Iterator[PluginFinding]:
    label = f"{entry.kind} {entry.shown_name!r} of {entry.source}"

    def finding(code: str, message: str, fix: str) -> PluginFinding:
        return PluginFinding(code, f"{entry.kind} {entry.shown_name}", entry.source, message, fix)

    try:
        cls = catalog.load(entry)
    except PluginError as error:
        yield finding(error.code, error.message, error.fix)
        return
    if inspect.isabstract(cls):
        missing = ", ".join(sorted(cls.__abstractmethods__))
        yield finding("AF2102", f"{label} does not define {missing}", "define it in the class")
    for section, model in declared_models(entry, cls):
        try:
            model.model_rebuild()
        except Exception as error:  # noqa: BLE001 annotations are the plugin's own code
            first = next(iter(str(error).splitlines()), "")
            text = f"{label}: the model of its {section} cannot be built: {type(error).__name__}: {first}"
            yield finding("AF2102", text, "correct the annotations of the model")
            continue
        for info in fields_of(model):
            if not info.description.strip():
                text = f"{label}: {section}.{info.name} has no description"
                yield finding("AF2124", text, _DESCRIBE)
        if section != "outputs" and (fields := [f"{section}.{name}" for name in unclassed(model)]):
            text = f"{label}: fields without a class, which a policy takes for data: {', '.join(fields)}"
            yield finding("AF2125", text, CLASS_FIX)
    if entry.group != CONNECTORS or has_optional_driver(entry.distribution, entry.name):
        return
    if absent := missing_drivers(cls):
        text = f"{label}: its driver is not installed ({', '.join(absent)})"
        yield finding("AF2105", text, driver_command(entry.name, absent, entry.distribution))


_DESCRIBE = "give it a Field(description=…)"
_EXAMINED = {
    HOOKS: _check_hook,
    STATUS: _check_hook,
    OTEL: _check_target,
    COMMANDS: _check_command,
    LAUNCHERS: _check_target,
}
