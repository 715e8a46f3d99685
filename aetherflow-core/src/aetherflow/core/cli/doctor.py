import sys
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aetherflow.core.base.errors import UsageError
from aetherflow.core.cli.arguments import ConfigOption, FlowYamlOption, JsonOption
from aetherflow.core.cli.flow_source import AllowStaleOption, ManifestOption
from aetherflow.core.console.streams import print_json

if TYPE_CHECKING:
    from aetherflow.core.checks.doctor import Diagnosis

FlowsArgument = Annotated[
    list[Path] | None,
    typer.Argument(metavar="FLOW", readable=False, help="Flow, project file or schedule.", show_default=False),
]


class Caller(StrEnum):
    """Callers with an environment of their own."""

    cron = "cron"


def doctor(
    flows: FlowsArgument = None,
    flow_yaml: FlowYamlOption = None,
    connect: Annotated[
        bool, typer.Option("--connect", help="Reach every resource and the server of the state once.")
    ] = False,
    deadline: Annotated[
        float, typer.Option("--deadline", metavar="SECONDS", min=0.1, help="Time for all of --connect.")
    ] = 10.0,
    caller: Annotated[
        Caller | None, typer.Option("--as", help="Also check with the bare environment of this caller.")
    ] = None,
    upgrade_from: Annotated[
        str | None,
        typer.Option(
            "--upgrade-from", metavar="VERSION", help="Only list what the documents meant otherwise in 0.9, or 1.0."
        ),
    ] = None,
    installation: Annotated[
        bool, typer.Option("--installation", help="Only compare what is installed with its release.")
    ] = False,
    bundle_manifest: ManifestOption = None,
    allow_stale_bundle: AllowStaleOption = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check whether a flow can run here: environment, profiles, plugins, drivers, folders, clock.

    Creates nothing, and imports no driver without --connect. Exit code 2 if something is missing. For a schedule,
    --connect reaches the server of its ledger.

    With --upgrade-from it takes several documents, also of installed programs, and folders, and lists what they meant
    otherwise in that version without an error from this one, exit code 1 if there is anything; then what else has
    changed for an installation.

    With --installation it lists files, packages and folders that are not as the release installed them, exit code 1
    if there are any.

    Example: aetherflow doctor flow.yaml --connect --as cron
    """
    if installation:
        if any((flows, flow_yaml, bundle_manifest, connect, caller, upgrade_from)):
            raise UsageError("--installation examines no flow", fix="leave the other options out")
        raise typer.Exit(_show_installation(as_json=as_json))
    if upgrade_from is not None:
        from aetherflow.core.cli.arguments import flow_paths
        from aetherflow.core.cli.upgrading import show_differences

        if bundle_manifest is not None or connect or caller is not None:
            raise UsageError(
                "--upgrade-from only reads documents",
                fix="leave the other options out; for a bundle, name a checkout of it",
            )
        named = flow_paths(flows, flow_yaml)
        raise typer.Exit(show_differences(named, upgrade_from, config=config, as_json=as_json))
    if flows and len(flows) > 1:
        raise UsageError("doctor examines one flow", fix="name one; several only with --upgrade-from")
    flow = flows[0] if flows else None

    from aetherflow.core.checks.doctor import examine
    from aetherflow.core.cli.flow_source import flow_source, signed_line

    source = flow_source(flow, flow_yaml, bundle_manifest, allow_stale=allow_stale_bundle)
    limit, cron, signed = deadline if connect else None, caller is not None, list[str]()
    if source.manifest is None:  # errors of the environment become findings
        found = examine(source.shown, config=config, cron=cron, deadline=limit)
    else:
        with source.open(config=config, run_hooks=False) as (path, snapshot):
            found = examine(path, config=config, cron=cron, deadline=limit, bundle=snapshot.bundle)
            signed = signed_line(snapshot)
    _add_unreadable(found, (bundle_manifest or source.shown).absolute().parent, config)
    _show(found, signed, as_json=as_json)
    raise typer.Exit(0 if found.ok else 2)


def _show(found: "Diagnosis", signed: list[str], *, as_json: bool) -> None:
    from aetherflow.core.checks.doctor import DOCTOR_SCHEMA
    from aetherflow.core.console.findings import install_lines, problem_lines

    if as_json:
        print_json({"schema": DOCTOR_SCHEMA, **found.as_json()})
    else:
        typer.echo("\n".join([f"{'OK' if found.ok else 'FAIL'}: {found.path}", *signed]))
        for item in found.missing_env:
            typer.echo(item.as_text())
        for line in problem_lines(found.problems):
            typer.echo(line)
        for probe in found.probes:
            if probe.state == "ok":
                note = f": {probe.note}" if probe.note else ""
                typer.echo(f"connected: {probe.resource} in {probe.seconds:.2f} s{note}")
        if found.masked:
            typer.echo(f"masked keys: {', '.join(found.masked)}")
        for line in install_lines(found.problems):
            typer.echo(line)


def _show_installation(*, as_json: bool) -> int:
    from aetherflow.core.host.installation import INSTALLATION_SCHEMA, differences

    found = differences()
    if as_json:
        rows = [each._asdict() for each in found]
        print_json({"schema": INSTALLATION_SCHEMA, "prefix": sys.prefix, "ok": not found, "differences": rows})
    else:
        typer.echo(f"{'FAIL' if found else 'OK'}: {sys.prefix}")
        for each in found:
            typer.echo(f"{each.file}: {each.reason}\n  fix: {each.fix}")
    return 1 if found else 0


def _add_unreadable(found: "Diagnosis", folder: Path, config: Path | None) -> None:
    """Add the findings of installed hooks, such as a schedule history that cannot be read."""
    from aetherflow.core.base.errors import AetherflowError
    from aetherflow.core.base.location import Location
    from aetherflow.core.base.problems import Problem
    from aetherflow.core.cli.hooks_here import unreadable_needs

    with suppress(AetherflowError):  # the environment cannot be built: that is a finding already
        for need in unreadable_needs(folder, config):
            fix = "; or: ".join(need.commands)  # without one, the cause ends with what to do
            found.problems.add(Problem(need.error_code or "AF4001", need.cause, Location(found.path), fix=fix))
