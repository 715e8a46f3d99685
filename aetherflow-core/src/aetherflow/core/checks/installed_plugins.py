"""The check of `plugins check`: every plugin is imported and examined; drivers are not imported."""

import inspect
from collections.abc import Iterator
from dataclasses import dataclass

from aetherflow.core.base.errors import PluginConflictError, PluginError, PluginNotAllowedError
from aetherflow.core.host.catalog import Catalog
from aetherflow.core.host.commands import load_command
from aetherflow.core.host.describe import declared_models, fields_of
from aetherflow.core.host.hooks import load_hooks, select_hooks
from aetherflow.core.host.installing import driver_command, missing_drivers
from aetherflow.core.host.metadata import PluginEntry, installed_commands, installed_hooks, installed_in
from aetherflow.core.host.names import CONNECTORS, STATUS
from aetherflow.core.runtime.environment.allowed import allowed_distributions
from aetherflow.core.runtime.environment.snapshot import Snapshot
from aetherflow.core.runtime.environment.spec.project import PluginsSpec


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


def check_installed_plugins(
    catalog: Catalog, commands: Catalog, snapshot: Snapshot | None = None
) -> tuple[int, list[PluginFinding]]:
    """Import and check every plugin that may be used; returns their number and the findings.

    `commands` contains the commands of installed distributions and the program's own. `snapshot` gives the blocked
    hooks and, in enterprise mode, the allowed distributions.
    """
    findings: list[PluginFinding] = []
    entries = [each for each in (*catalog.entries, *catalog.folder_entries) if catalog.status(each) != "refused"]
    for legacy in list(catalog.legacy):
        entries += [found.entry for found in catalog.load_legacy(legacy)]
    findings += [PluginFinding(error.code, "", "", error.message, error.fix) for error, _ in catalog.notices]
    conflicts: set[tuple[str, str]] = set()
    for entry in sorted(entries, key=lambda each: (each.kind, each.shown_name, each.distribution)):
        key = entry.group, entry.name
        if catalog.status(entry) == "conflict" and key not in conflicts:
            conflicts.add(key)
            findings += _conflict(catalog, entry)
        findings += _check(catalog, entry)
    calls = [entry for entry in installed_commands() if commands.status(entry) != "refused"]
    for rival in {entry.name: entry for entry in calls if commands.status(entry) == "conflict"}.values():
        findings += _conflict(commands, rival)
    for entry in calls:
        findings += _check_command(entry)
    plugins = snapshot.project.spec.plugins if snapshot else PluginsSpec()
    allow = allowed_distributions(snapshot.settings, plugins) if snapshot else None
    try:
        hooks = select_hooks(plugins.block, allow, (*installed_hooks(), *installed_in(STATUS)))
    except PluginNotAllowedError as error:  # every command stops with it
        findings.append(PluginFinding(error.code, "", "", error.message, error.fix))
        hooks = [hook for hook in (*installed_hooks(), *installed_in(STATUS)) if hook.distribution in (allow or ())]
    for hook in hooks:
        findings += _check_hook(hook)
    return len(entries) + len(calls) + len(hooks), findings


def _check_hook(entry: PluginEntry) -> Iterator[PluginFinding]:
    """The finding about a hook that is unknown, not marked, has wrong arguments or cannot be imported."""
    try:
        load_hooks([entry])
    except PluginError as error:
        yield PluginFinding(error.code, f"hook {entry.name}", entry.source, error.message, error.fix)


def _check_command(entry: PluginEntry) -> Iterator[PluginFinding]:
    """The finding about a command that cannot be imported, or is not one."""
    try:
        load_command(entry)
    except PluginError as error:
        yield PluginFinding(error.code, f"command {entry.name}", entry.source, error.message, error.fix)


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
                yield finding("AF2124", text, "give it a Field(description=…)")
    if entry.group == CONNECTORS and (absent := missing_drivers(cls)):
        text = f"{label}: its driver is not installed ({', '.join(absent)})"
        yield finding("AF2105", text, driver_command(entry.name, absent))
