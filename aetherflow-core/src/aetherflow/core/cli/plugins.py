from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import typer

from aetherflow.core.base.errors import UsageError
from aetherflow.core.cli.arguments import ConfigOption, JsonOption
from aetherflow.core.console.commands import LazyGroup
from aetherflow.core.console.streams import print_json

if TYPE_CHECKING:
    from aetherflow.core.host.catalog import Catalog
    from aetherflow.core.runtime.environment.snapshot import Snapshot


class PluginGroup(LazyGroup):
    """The commands of `aetherflow plugins`."""

    lazy: ClassVar = {
        "list": "aetherflow.core.cli.plugins:list_plugins",
        "show": "aetherflow.core.cli.plugins_show:show_plugin",
        "check": "aetherflow.core.cli.plugins:check_plugins",
        "lock": "aetherflow.core.cli.plugins_lock:lock",
        "docs": "aetherflow.core.cli.plugins_docs:docs",
        "new": "aetherflow.core.cli.plugins_new:new",
    }


app = typer.Typer(
    cls=PluginGroup,
    help="What is installed: step types and connectors, and the distributions that provide them.",
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.callback()(lambda: None)  # makes it a group, though it has no command yet
LIST_SCHEMA = 1
CHECK_SCHEMA = 1
CONFIGURING = ("CONFIG", "PLUGIN_PATHS", "SETTINGS_MODULE", "ENV_FILES_JSON", "MODE")
"""Variables, without the prefix AETHERFLOW_, that may change the set of plugins."""
KIND_HELP = "Only plugins of this kind, such as step, connector or hook."
WideOption = Annotated[bool, typer.Option("--wide", help="Also what is imported for each: module:class.")]
HooksOption = Annotated[bool, typer.Option("--run-hooks", help="Also load folder plugins in this folder or below.")]


def list_plugins(
    kind: Annotated[str | None, typer.Option("--kind", metavar="KIND", help=KIND_HELP)] = None,
    wide: WideOption = False,
    config: ConfigOption = None,
    run_hooks: HooksOption = False,
    as_json: JsonOption = False,
) -> None:
    """List all plugins: those of installed distributions, which are not imported, and those of plugin paths.

    Status is `ok`; `conflict` if two distributions provide the name (using it is an error); `not preferred` or
    `shadowed` if another plugin of that name is used; `blocked`; `refused` by the policy or the lock; `legacy` for an
    entry of the old group.

    Example: aetherflow plugins list --kind connector
    """
    from aetherflow.core.console.table import table
    from aetherflow.core.host.names import COMMANDS

    catalog, snapshot = found_plugins(config, run_hooks)
    commands = found_commands(snapshot)
    found = [*catalog.entries, *catalog.folder_entries, *catalog.legacy]
    locks = catalog.rules.locks
    rows: list[dict[str, Any]] = [
        {
            "kind": kind,
            "name": name,
            "distribution": distribution,
            "version": entry.version,
            "target": entry.target,
            "status": "legacy"
            if kind == "legacy"
            else (commands if entry.group == COMMANDS else catalog).status(entry),
            "locked": locks.holds(entry) if locks.files else None,
        }
        for kind, name, distribution, entry in sorted(
            (entry.kind, entry.shown_name, entry.distribution, entry) for entry in found
        )
    ]
    kinds = sorted({row["kind"] for row in rows})
    if kind is not None:
        rows = [row for row in rows if row["kind"] == kind]
        if kind not in kinds:
            raise UsageError(f"there is no plugin of kind {kind!r}", fix=f"kinds here: {', '.join(kinds)}")
    if as_json:
        problems = [{"code": error.code, "message": error.message, "fix": error.fix} for error, _ in catalog.notices]
        locked = [{"path": str(lock.path), "sha256": lock.sha256} for lock in locks.files]
        report = {"plugins": rows, "locks": locked, "problems": problems, "not_evaluated": list(catalog.skipped)}
        print_json({"schema": LIST_SCHEMA, **report})
        return
    header = ["kind", "name", "distribution", "version", *(["target"] if wide else []), "status"]
    typer.echo(table(header, [[row[name] or "-" for name in header] for row in rows]))
    for error, _ in catalog.notices:
        typer.echo(f"{error.code} {error.message}\n  fix: {error.fix}", err=True)
    _tell_skipped(catalog)


def check_plugins(config: ConfigOption = None, run_hooks: HooksOption = False, as_json: JsonOption = False) -> None:
    """Import every plugin and report problems; exit code 1 if there are any.

    Problems are names that two distributions provide, modules that cannot be imported, classes of the wrong kind,
    fields without a description or a class, plugin paths that cannot be loaded, entries of the old group, unknown or
    wrong hooks, entries that are not commands, and missing drivers of connectors that always need theirs. A driver that
    an extra brings is listed, and is no problem: `validate` reports the flows that need it.

    Example: aetherflow plugins check
    """
    from aetherflow.core.checks.installed_plugins import absent_drivers, check_installed_plugins
    from aetherflow.core.console.table import table

    catalog, snapshot = found_plugins(config, run_hooks)
    count, findings = check_installed_plugins(catalog, found_commands(snapshot))
    absent = absent_drivers(catalog)
    if as_json:
        shown = [
            {
                "code": each.code,
                "plugin": each.plugin,
                "source": each.source,
                "message": each.message,
                "fix": each.fix,
            }
            for each in findings
        ]
        report = {
            "ok": not findings,
            "checked": count,
            "findings": shown,
            "absent_drivers": [each._asdict() for each in absent],
            "not_evaluated": list(catalog.skipped),
        }
        print_json({"schema": CHECK_SCHEMA, **report})
    else:
        for each in findings:
            typer.echo(each.as_text())
        found = f"{len(findings)} finding{'s' * (len(findings) != 1)}" if findings else "nothing is wrong"
        typer.echo(f"{count} plugins checked: {found}")
        if absent:
            rows = [[each.connector, ", ".join(each.modules), each.fix] for each in absent]
            typer.echo(f"\nDrivers that are not installed:\n{table(['connector', 'needs', 'to use it'], rows)}")
        _tell_skipped(catalog)
    raise typer.Exit(1 if findings else 0)


def found_commands(snapshot: "Snapshot | None") -> "Catalog":
    from aetherflow.core.cli.app import Commands
    from aetherflow.core.host.commands import command_catalog

    return command_catalog(Commands.lazy) if snapshot is None else command_catalog(Commands.lazy, snapshot.rules)


def found_plugins(config: Path | None, run_hooks: bool) -> "tuple[Catalog, Snapshot | None]":
    import os

    from aetherflow.core.host.catalog import installed_catalog
    from aetherflow.core.runtime.environment.administrator import administrator
    from aetherflow.core.runtime.environment.project_file import find_project

    here = Path.cwd()
    named = any(os.environ.get(f"AETHERFLOW_{name}") for name in CONFIGURING)
    if config is None and not named and find_project(here) is None and administrator() is None:
        return installed_catalog(), None
    from aetherflow.core.host.metadata import installed_plugins
    from aetherflow.core.runtime.environment.policy import catalog_for
    from aetherflow.core.runtime.environment.snapshot import build_snapshot

    installed_plugins()  # before any model is built: it spares pydantic its own scan of distributions
    # without hooks: they cannot change the set of plugins, and `check` must be able to report a broken one
    snapshot = build_snapshot(here, config=config, run_hooks=run_hooks, use_plugins=False)
    return catalog_for(snapshot), snapshot


def _tell_skipped(catalog: "Catalog") -> None:
    for path in catalog.skipped:
        typer.echo(f"Not evaluated: plugin path {path}; --run-hooks loads it")
