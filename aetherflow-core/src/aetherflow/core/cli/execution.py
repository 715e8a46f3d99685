"""Running a flow for `run`, `resume` and `wrap`: progress on stderr, the result on stdout, the failure block."""

import contextlib
import functools
import gc
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from aetherflow.core.base.errors import AetherflowError, UsageError
from aetherflow.core.console.streams import print_json, unhindered

if TYPE_CHECKING:
    from aetherflow.core.cli.flow_source import FlowSource
    from aetherflow.core.cli.noted_start import NotedStart
    from aetherflow.core.kernel.sequencing.results import RunSummary
    from aetherflow.core.runtime.environment.snapshot import Snapshot
    from aetherflow.core.runtime.logs.events import Observer

    Start = Callable[[Snapshot, list[Observer]], RunSummary]

COLLECT_AFTER = 5_000
"""Threshold of the garbage collector, in place of 700: reading a long flow creates many objects that all stay."""


def execute(
    source: "FlowSource",
    *,
    config: Path | None,
    quiet: bool,
    as_json: bool,
    noting: "NotedStart",
    start: "Start | None" = None,
) -> None:
    """Run a flow with the arguments of `noting`, as `run_flow` takes them, or what `start` makes of its environment.

    `noting` learns how far it gets. Raises what `run_flow` raises, after showing what there is to show.
    """
    from aetherflow.core.cli.progress import make_observer
    from aetherflow.core.cli.summary import failure_blocks, nothing_to_do, refusal, summary_text
    from aetherflow.core.kernel.sequencing.run_errors import RunError
    from aetherflow.core.runner import resume_flow, run_flow
    from aetherflow.core.runtime.logs.logs import shown_on

    _collect_from_now_on()
    failure: RunError | None = None
    lines = False
    try:
        with (
            shown_on(sys.stderr),  # a hook may have set up logging there: each event would come twice
            source.open(
                config=config,
                run_hooks=True,
                quiet=quiet,
                run_id=None if noting.goes_on else noting.given.get("run_id"),
            ) as (path, snapshot),
        ):
            noting.snapshot = snapshot
            lines = snapshot.settings.log_format == "json"
            observer = make_observer(quiet=quiet, log_format=snapshot.settings.log_format)
            observers: list[Observer] = [observer, noting]
            try:
                begin: Callable[..., RunSummary] = resume_flow if noting.goes_on else run_flow
                summary = (
                    begin(path, observers=observers, trigger=noting.trigger, snapshot=snapshot, **noting.given)
                    if start is None
                    else start(snapshot, observers)
                )
            finally:
                observer.close()
    except RunError as error:
        failure, summary = error, error.summary
    except AetherflowError as error:
        document = refusal(error, source.shown)
        if as_json:
            print_json(document)
        if lines:  # with log_format json every line on stderr is an object
            _tell("refused", "ERROR", **document["error"])
            error.told = True
        raise
    note = nothing_to_do(summary) if summary.nothing_to_do else summary.note if not quiet else None
    if note is not None:
        if lines:
            _tell("nothing_to_do", "INFO", flow_id=summary.flow_id, run_id=summary.run_id, message=note)
        else:
            typer.echo(note, err=True)
    if as_json:
        print_json(summary.as_json())
    elif not quiet and not summary.nothing_to_do and not summary.note:
        typer.echo(summary_text(summary))
    if failure is not None:
        if not lines:  # with log_format json the events contain it
            note, commands = _following(summary, noting)
            shown = failure_blocks(summary, commands, in_file=start is None, note=note)
            typer.echo(shown, err=True)
        raise failure


@functools.cache  # a second run in the same process would freeze the garbage of the first, for ever
def _freeze_what_is_imported() -> None:
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER)


def _collect_from_now_on() -> None:
    # main() disabled the collector for the imports; a run may take hours. What was imported is never looked at again,
    # nor at the end of the process
    _freeze_what_is_imported()
    gc.enable()


def _following(summary: "RunSummary", noting: "NotedStart") -> tuple[str | None, tuple[str, ...]]:
    """What to know of changed inputs, and what goes on with the run, from where it was typed."""
    from aetherflow.core.base.errors import StateError
    from aetherflow.core.records.history import list_runs
    from aetherflow.core.runtime.resuming import Resumes
    from aetherflow.core.runtime.workspace.store_places import state_root

    if noting.snapshot is None:
        return None, ()
    root = state_root(noting.snapshot)
    try:
        runs = list_runs(Path(summary.state_path), flow_id=summary.flow_id, run_id=summary.run_id)
        if not runs:
            return None, ()
        resumes = Resumes(root, noting.config, noting.here)
        changed = resumes.changed_input(runs[0])
        return str(changed) if changed else None, resumes.commands(runs[0])
    except StateError:  # the run has failed, and says so: that must not be lost
        return None, ()


def _tell(event: str, level: str, **fields: Any) -> None:
    import json

    head = {"ts_ms": time.time_ns() // 1_000_000, "level": level, "event": event}
    typer.echo(json.dumps({**head, **fields}, ensure_ascii=False), err=True)


@contextlib.contextmanager
def noted(start: "NotedStart") -> "Iterator[NotedStart]":
    """Within it, an error is written down if the run has not begun; it is still raised. Output hinders nothing.

    Not on a terminal what the person sees and corrects at once: a file that is not there, an argument that is wrong.
    """
    unhindered()
    try:
        yield start
    except (AetherflowError, OSError) as error:
        named = start.flow is not None or start.manifest is not None
        if named and not start.entered and not _is_typing(start, error):
            from aetherflow.core.cli.refusing import write_down  # few starts are refused

            with contextlib.suppress(Exception):  # the start was refused, and says so: that must not be lost
                write_down(start, error)
        raise


def _is_typing(start: "NotedStart", error: AetherflowError | OSError) -> bool:
    named = start.manifest or start.flow
    wrong = isinstance(error, UsageError) or (named is not None and start.flow_id is None and not named.exists())
    return wrong and sys.stderr.isatty()
