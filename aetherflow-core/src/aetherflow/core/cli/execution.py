"""Running a flow for `run` and `resume`: progress on stderr, the result on stdout, the failure block."""

import gc
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer

COLLECT_AFTER = 5_000
"""Objects until the collector looks, in place of 700: reading a long flow makes many, and all of them stay."""


def execute(
    path: Path,
    *,
    config: Path | None,
    quiet: bool,
    as_json: bool,
    given: Mapping[str, Any],
) -> None:
    """Run a flow file with the arguments `given` of `run_flow`.

    Raises what `run_flow` raises, after showing what there is to show.
    """
    import json

    from aetherflow.core.cli.progress import make_observer
    from aetherflow.core.cli.summary import failure_blocks, nothing_to_do, refusal, summary_text
    from aetherflow.core.errors import AetherflowError, RunError
    from aetherflow.core.resolve.snapshot import build_snapshot
    from aetherflow.core.runner import run_flow

    gc.freeze()
    gc.set_threshold(COLLECT_AFTER)
    gc.enable()  # main() had it off for the imports; a run may live for hours
    failure: RunError | None = None
    try:
        snapshot = build_snapshot(path.absolute().parent, config=config, run_hooks=True)
        observer = make_observer(quiet=quiet, log_format=snapshot.settings.log_format)
        try:
            summary = run_flow(path, observers=[observer], trigger="cli", snapshot=snapshot, **given)
        finally:
            observer.close()
    except RunError as error:
        failure, summary = error, error.summary
    except AetherflowError as error:
        if as_json:
            typer.echo(json.dumps(refusal(error, path), ensure_ascii=False, indent=2))
        raise
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
