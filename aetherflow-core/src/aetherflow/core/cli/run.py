"""`aetherflow run`."""

import gc
from pathlib import Path
from typing import Annotated

import typer

from aetherflow.core.cli.arguments import ConfigOption

COLLECT_AFTER = 5_000
"""Objects until the collector looks, in place of 700: reading a long flow makes many, and all of them stay."""


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
    config: ConfigOption = None,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Print nothing on success.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as one JSON document.")] = False,
) -> None:
    """Run a flow, job after job, step after step.

    Steps that an earlier process of the same --run-id finished are not repeated; their outputs are read from the
    state. A finished step that has changed since is refused, with a diff; see --accept-changes and --from. Progress
    goes to stderr, the result to stdout.

    Example: aetherflow run flow.yaml --run-id 2026-11-24
    """
    import json

    from aetherflow.core.cli.arguments import busy_policy, flow_paths
    from aetherflow.core.cli.progress import make_observer
    from aetherflow.core.cli.summary import failure_blocks, nothing_to_do, summary_text
    from aetherflow.core.errors import RunError
    from aetherflow.core.resolve.params import parse_assignments
    from aetherflow.core.resolve.snapshot import build_snapshot
    from aetherflow.core.runner import run_flow

    gc.freeze()
    gc.set_threshold(COLLECT_AFTER)
    gc.enable()  # main() had it off for the imports; a run may live for hours
    (path,) = flow_paths([flow] if flow else None, flow_yaml)
    snapshot = build_snapshot(path.absolute().parent, config=config, run_hooks=True)
    observer = make_observer(quiet=quiet, log_format=snapshot.settings.log_format)
    failure: RunError | None = None
    try:
        summary = run_flow(
            path,
            run_id=run_id,
            params=parse_assignments(param or []),
            slot=slot,
            data_date=data_date,
            flow_job=flow_job,
            from_step=from_step,
            accept_changes=accept_changes,
            reason=reason,
            if_busy=busy_policy(if_busy),
            observers=[observer],
            trigger="cli",
            snapshot=snapshot,
        )
    except RunError as error:
        failure, summary = error, error.summary
    finally:
        observer.close()
    if summary.nothing_to_do:
        typer.echo(nothing_to_do(summary), err=True)
    elif summary.note and not quiet:
        typer.echo(summary.note, err=True)
    if as_json:
        typer.echo(json.dumps(summary.as_json(), ensure_ascii=False, indent=2))
    elif not quiet and not summary.nothing_to_do and not summary.note:
        typer.echo(summary_text(summary))
    if failure is not None:
        if snapshot.settings.log_format != "json":  # there the events say it, and every line is an object
            typer.echo(failure_blocks(summary), err=True)
        raise failure
