from enum import StrEnum
from typing import Annotated

import typer

from aetherflow.core.cli.arguments import ConfigOption, FlowArgument, FlowYamlOption, JsonOption
from aetherflow.core.cli.flow_source import AllowStaleOption, ManifestOption


class Caller(StrEnum):
    """Callers with an environment of their own."""

    cron = "cron"


def doctor(
    flow: FlowArgument = None,
    flow_yaml: FlowYamlOption = None,
    connect: Annotated[bool, typer.Option("--connect", help="Reach every resource once.")] = False,
    deadline: Annotated[
        float, typer.Option("--deadline", metavar="SECONDS", min=0.1, help="Time for all of --connect.")
    ] = 10.0,
    caller: Annotated[
        Caller | None, typer.Option("--as", help="Also check with the bare environment of this caller.")
    ] = None,
    bundle_manifest: ManifestOption = None,
    allow_stale_bundle: AllowStaleOption = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check whether a flow can run here: environment, profiles, plugins, drivers, folders, clock.

    Creates nothing, and imports no driver without --connect. Exit code 2 if something is missing.

    Example: aetherflow doctor flow.yaml --connect --as cron
    """
    import json

    from aetherflow.core.checks.doctor import DOCTOR_SCHEMA, examine
    from aetherflow.core.cli.flow_source import flow_source
    from aetherflow.core.console.findings import install_lines, problem_lines

    source = flow_source(flow, flow_yaml, bundle_manifest, allow_stale=allow_stale_bundle)
    limit, cron = deadline if connect else None, caller is not None
    if source.manifest is None:  # errors of the environment become findings
        found = examine(source.shown, config=config, cron=cron, deadline=limit)
    else:
        with source.open(config=config, run_hooks=False) as (path, snapshot):
            found = examine(path, config=config, cron=cron, deadline=limit, bundle=snapshot.bundle)
    if as_json:
        typer.echo(json.dumps({"schema": DOCTOR_SCHEMA, **found.as_json()}, ensure_ascii=False, indent=2))
    else:
        typer.echo(f"{'OK' if found.ok else 'FAIL'}: {found.path}")
        for item in found.missing_env:
            typer.echo(item.as_text())
        for line in problem_lines(found.problems):
            typer.echo(line)
        for probe in found.probes:
            if probe.state == "ok":
                typer.echo(f"connected: {probe.resource} in {probe.seconds:.2f} s")
        if found.masked:
            typer.echo(f"masked keys: {', '.join(found.masked)}")
        for line in install_lines(found.problems):
            typer.echo(line)
    raise typer.Exit(0 if found.ok else 2)
