"""`aetherflow run`."""

from pathlib import Path
from typing import Annotated

import typer

from aetherflow.core.cli.arguments import ConfigOption
from aetherflow.core.cli.flow_source import AllowStaleOption, ExpectOption, ManifestOption


def run(
    flow: Annotated[
        Path | None, typer.Argument(metavar="FLOW", readable=False, help="Flow file.", show_default=False)
    ] = None,
    flow_yaml: Annotated[
        Path | None, typer.Option("--flow-yaml", readable=False, help="Flow file, instead of the argument.")
    ] = None,
    run_id: Annotated[str | None, typer.Option("--run-id", help="Id of the run; an unfinished one is resumed.")] = None,
    param: Annotated[list[str] | None, typer.Option(metavar="NAME=VALUE", help="Parameter of the flow.")] = None,
    slot: Annotated[str | None, typer.Option(metavar="INSTANT", help="Instant that the run stands for.")] = None,
    data_date: Annotated[str | None, typer.Option(metavar="DATE", help="Date of the data.")] = None,
    flow_job: Annotated[str | None, typer.Option(metavar="JOB", help="Run only this job.")] = None,
    from_step: Annotated[
        str | None,
        typer.Option("--from", metavar="JOB[.STEP]", help="Do this again, and what follows."),
    ] = None,
    accept_changes: Annotated[
        bool, typer.Option("--accept-changes", help="Keep results of finished steps that have changed since.")
    ] = False,
    reason: Annotated[str | None, typer.Option(metavar="TEXT", help="Why, for the journal.")] = None,
    if_busy: Annotated[
        str, typer.Option(metavar="fail|skip|wait", help="While another process owns the run.")
    ] = "fail",
    bundle_manifest: ManifestOption = None,
    allow_stale_bundle: AllowStaleOption = False,
    expect_fingerprint: ExpectOption = None,
    trigger: Annotated[
        str, typer.Option(metavar="WORD", help="What asked for the run, for the history.", show_default=False)
    ] = "cli",
    config: ConfigOption = None,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Print nothing on success.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as one JSON document.")] = False,
) -> None:
    """Run a flow, job after job, step after step.

    Steps that an earlier process of the same --run-id finished are not repeated; their outputs are read from the
    state. A finished step that has changed since is refused, with a diff; see --accept-changes and --from. Progress
    goes to stderr, the result to stdout.

    With --bundle-manifest the bundle is synced first, every file of its version is hashed, and the run keeps that
    version whatever syncs come after.

    Example: aetherflow run flow.yaml --run-id 2026-11-24

    Example: aetherflow run --bundle-manifest bundle.yaml --expect-fingerprint 3f9c1a70
    """
    from aetherflow.core.cli.arguments import busy_policy
    from aetherflow.core.cli.execution import execute
    from aetherflow.core.cli.flow_source import flow_source
    from aetherflow.core.kernel.resolver.params import parse_assignments

    source = flow_source(
        flow, flow_yaml, bundle_manifest, allow_stale=allow_stale_bundle, expect_fingerprint=expect_fingerprint
    )
    given = {
        "run_id": run_id,
        "params": parse_assignments(param or []),
        "slot": slot,
        "data_date": data_date,
        "flow_job": flow_job,
        "from_step": from_step,
        "accept_changes": accept_changes,
        "reason": reason,
        "if_busy": busy_policy(if_busy),
    }
    execute(source, config=config, quiet=quiet, as_json=as_json, given=given, trigger=trigger)
