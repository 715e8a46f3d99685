import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from aetherflow.core.base.typed import typed_here
from aetherflow.core.cli import arguments
from aetherflow.core.cli.flow_source import AllowStaleOption

if TYPE_CHECKING:
    from aetherflow.core.cli.flow_source import FlowSource
    from aetherflow.core.cli.noted_start import NotedStart
    from aetherflow.core.records.history import PastRun
    from aetherflow.core.runtime.opening.prepare import PreparedFlow
    from aetherflow.core.runtime.resuming import Start


def resume(
    what: Annotated[
        str,
        typer.Argument(
            metavar="RUN_ID|FLOW",
            help="Id of the run; or a flow file: its latest run that has not ended with SUCCESS.",
            show_default=False,
            autocompletion=arguments.complete_run_id,
        ),
    ],
    flow: arguments.FlowIdOption = None,
    state_path: arguments.StatePathOption = None,
    decide: Annotated[
        list[str] | None,
        typer.Option(metavar="JOB.STEP=done|again", help="Whether an interrupted `once` step was done."),
    ] = None,
    from_step: arguments.FromOption = None,
    accept_changes: arguments.AcceptChangesOption = False,
    reason: Annotated[str | None, typer.Option(metavar="TEXT", help="Why; recorded with your decision.")] = None,
    allow_stale_bundle: AllowStaleOption = False,
    config: arguments.ConfigOption = None,
    quiet: arguments.QuietOption = False,
    as_json: arguments.SummaryJsonOption = False,
) -> None:
    """Resume a run that was interrupted or failed.

    It works in any folder: flow file, jobs (--flow-job), project file, working directory, parameters and dates are
    those that the run started with; a bundle is synced again. Finished steps are not repeated. A step that must not be
    repeated unasked and was interrupted waits for your decision: look whether it had its effect, then say done or
    again. If another run has taken over what a step had claimed, this is refused; --from-step then does the step again,
    with what is new now.

    Example: aetherflow resume nightly-2026-11-24

    Example: aetherflow resume nightly-2026-11-24 --decide mail.send=done --reason "the customer has it"
    """
    from aetherflow.core.cli.execution import execute, noted
    from aetherflow.core.cli.noted_start import NotedStart

    decisions = dict(map(_decision, decide or []))
    noting = NotedStart(Path(what) if _is_file(what) else None, goes_on=True, config=config, here=Path.cwd())
    with noted(noting), contextlib.ExitStack() as moved:
        given = config.absolute() if config is not None else None
        found = _by_file(Path(what), given) if noting.flow else _by_id(what, (flow, state_path), given, noting, moved)
        if found is None:
            return
        source = found.source._replace(allow_stale=allow_stale_bundle)
        noting.given = {"run_id": found.run_id, "decisions": decisions, "accept_changes": accept_changes}
        noting.given |= {"reason": reason, "from_step": from_step}
        held_up = _held_up(found) if found.slot is not None and not (quiet or as_json) else ()
        execute(source, config=found.config, quiet=quiet, as_json=as_json, noting=noting)
        if held_up:
            typer.echo(
                f"it held up {', '.join(held_up)}: the scheduler starts that now, or `aetherflow status` says how"
            )


class _Found(NamedTuple):
    """A run that is to be resumed, with its flow and the project file that it is resumed with."""

    run_id: str
    source: "FlowSource"
    config: Path | None
    slot: str | None = None


def _held_up(found: _Found) -> tuple[str, ...]:
    """What waits for the slot of a run, as schedules say it: it will start once the run is good."""
    from aetherflow.core.base.errors import AetherflowError
    from aetherflow.core.cli.hooks_here import HooksHere
    from aetherflow.core.cli.lookup import state_root_here

    try:
        told = list(HooksHere(found.config).needs(state_root_here(found.config), None))
    except AetherflowError:  # the run still continues, and reports the cause itself
        return ()
    return next((need.holds_up for need in told if need.run_id == found.run_id), ())


def _decision(text: str) -> tuple[str, str]:
    from aetherflow.core.base.errors import UsageError

    step, _, answer = text.rpartition("=")
    if "." not in step or answer not in ("done", "again"):
        raise UsageError(f"--decide {text!r} is not a decision", fix="write --decide JOB.STEP=done, or =again")
    return step, answer


def _is_file(what: str) -> bool:
    return what.endswith((".yaml", ".yml")) or "/" in what or Path(what).is_file()


def _by_id(
    run_id: str,
    where: tuple[str | None, str | None],
    config: Path | None,
    noting: "NotedStart",
    moved: contextlib.ExitStack,
) -> _Found:
    """The run with an id. `moved` enters the folder in which it was started: paths of settings are relative to that."""
    from aetherflow.core.base.errors import UsageError
    from aetherflow.core.cli.flow_source import FlowSource
    from aetherflow.core.cli.lookup import find_run, state_root_here
    from aetherflow.core.records.history import bundle_of
    from aetherflow.core.records.registry import find_runs
    from aetherflow.core.runtime.resuming import Resumes, stands_in_no_file, start_of

    root = state_root_here(config)
    for known in find_runs(root, run_id):
        _bring_up_to_date(Path(known.state_path))
    run = find_run(root, run_id, *where, "resume")
    if stands_in_no_file(run):
        message = f"run {run_id!r} is one of a command line, which has no flow file"
        raise UsageError(message, fix=f"run it again: {Resumes(root, config, noting.here).command(run)}")
    noting.flow, noting.flow_id, noting.given = Path(run.flow_path), run.flow_id, {"run_id": run_id}
    start = start_of(run)
    config = _config(start, config, run_id)
    if start.folder is not None and os.access(start.folder / ".", os.X_OK):
        moved.enter_context(contextlib.chdir(start.folder))
    if (bundle := bundle_of(run)) is not None:
        return _Found(
            run_id, FlowSource(Path(bundle["flow"]), _shown(Path(bundle["manifest"]), noting.here)), config, run.slot
        )
    path = Path(run.flow_path)
    if not path.is_file():
        message = f"the flow file of run {run_id!r} is gone: {path}"
        raise UsageError(message, fix=f"bring it back, or run another: {typed_here('run', 'FLOW', '--run-id', run_id)}")
    _require_same(_prepared(path, config), run)
    return _Found(run_id, FlowSource(_shown(path, noting.here)), config, run.slot)


def _by_file(path: Path, config: Path | None) -> _Found | None:
    from aetherflow.core.base import durable
    from aetherflow.core.base.errors import UsageError
    from aetherflow.core.cli.flow_source import FlowSource
    from aetherflow.core.console.since import both
    from aetherflow.core.records.history import latest_run, latest_unfinished

    flow = _prepared(path, config)
    _bring_up_to_date(flow.state_path)
    known = durable.is_there(flow.state_path)
    run = latest_unfinished(flow.state_path, flow.flow_id) if known else None
    if run is not None:
        return _Found(run.run_id, FlowSource(path), config)
    last = latest_run(flow.state_path, flow.flow_id) if known else None
    if last is None:
        message = f"no run of flow {flow.flow_id} is recorded in {flow.state_path}"
        raise UsageError(message, fix=typed_here("run", str(path)))
    ended = f"run {last.run_id} ended {last.status} at {both(last.finished_at)}"
    typer.echo(f"nothing to resume: every run of flow {flow.flow_id} ended well; {ended}", err=True)
    return None


def _config(start: "Start", given: Path | None, run_id: str) -> Path | None:
    """The project file to resume with: the given one, else that of the run if it is still there."""
    from aetherflow.core.base.errors import UsageError

    if given is None and start.unplaced is not None:
        message = f"run {run_id!r} was started with --config {start.unplaced}, in a folder that 1.0 did not record"
        raise UsageError(message, fix=f"name that file: aetherflow resume {run_id} --config FILE")
    own = start.config if start.config is not None and os.access(start.config, os.R_OK) else None
    if given is None or own is None or not given.is_file():
        return given or own
    return own if own.samefile(given) else given  # the state root is found by its spelling


def _bring_up_to_date(state_path: Path) -> None:
    """Migrate a state file of an older engine, as the resumed run would do; commands that only read refuse it."""
    from aetherflow.core.cli.state_files import migrate_file

    if state_path.is_file():
        migrate_file(state_path)


def _prepared(path: Path, config: Path | None) -> "PreparedFlow":
    from aetherflow.core.checks.prepare import prepare_flow
    from aetherflow.core.runtime.environment.snapshot import build_snapshot

    return prepare_flow(path, build_snapshot(path.absolute().parent, config=config, run_hooks=True))


def _require_same(flow: "PreparedFlow", run: "PastRun") -> None:
    """UsageError if the flow file now has another id or state, so that it would start a new run."""
    from aetherflow.core.base import durable
    from aetherflow.core.base.errors import UsageError

    now, then = (flow.flow_id, str(flow.state_path)), (run.flow_id, run.state_path)
    files = [durable.real_file(Path(path)) for _, path in (now, then)]
    if now[0] != then[0] or files[0] != files[1]:
        message = (
            f"run {run.run_id!r} is recorded for flow {then[0]} in {then[1]}, but {run.flow_path} is now flow {now[0]} "
            f"with the state {now[1]}"
        )
        raise UsageError(message, fix="set the environment and the flow as they were when the run started")


def _shown(path: Path, typed_in: Path | None) -> Path:
    """The path relative to the working directory, if it is below it and the command was typed there."""
    here = Path.cwd()
    return path.relative_to(here) if here == typed_in and path.is_relative_to(here) else path
