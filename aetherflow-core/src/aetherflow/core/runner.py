"""Running a flow, from a program or from the command line."""

import contextlib
import dataclasses
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from aetherflow.core.base import durable
from aetherflow.core.base.actor import actor
from aetherflow.core.base.errors import RunBusyError, StateError, UsageError
from aetherflow.core.base.run_id import RUN_ID, new_run_id
from aetherflow.core.checks.prepare import prepare_flow
from aetherflow.core.kernel.sequencing.plan import Plan, RunOptions
from aetherflow.core.kernel.sequencing.results import RunSummary
from aetherflow.core.kernel.sequencing.run_errors import RunFailedError
from aetherflow.core.kernel.state.ownership import RunLock
from aetherflow.core.kernel.state.records import RunRecord
from aetherflow.core.kernel.state.store import StateStore
from aetherflow.core.kernel.state.transitions import Status
from aetherflow.core.records.history import carried_out
from aetherflow.core.records.migration import open_state
from aetherflow.core.records.reading import empty_state, read
from aetherflow.core.records.run_lock import run_lock
from aetherflow.core.runtime.environment.settings import Settings, overrides_of
from aetherflow.core.runtime.environment.snapshot import Snapshot, build_snapshot
from aetherflow.core.runtime.hooks.plan_check import check_plan
from aetherflow.core.runtime.logs.events import Observer
from aetherflow.core.runtime.opening.inputs import RunInputs
from aetherflow.core.runtime.opening.opening import Opened, open_run
from aetherflow.core.runtime.opening.prepare import PreparedFlow
from aetherflow.core.runtime.run import IfBusy, Run, summary_of
from aetherflow.core.runtime.subflow import InnerRuns, OuterRun
from aetherflow.core.runtime.workspace.engine_files import make_engine_folder_of

BUSY_POLL_SECONDS = 0.2


def run_flow(
    flow_yaml: str | Path | None = None,
    *,
    settings: Settings | Mapping[str, Any] | None = None,
    run_id: str | None = None,
    params: Mapping[str, Any] | None = None,
    slot: str | None = None,
    data_date: str | None = None,
    flow_job: str | None = None,
    from_step: str | None = None,
    accept_changes: bool = False,
    decisions: Mapping[str, str] | None = None,
    reason: str | None = None,
    if_busy: IfBusy = "fail",
    bundle_manifest: str | Path | None = None,
    allow_stale_bundle: bool = False,
    expect_fingerprint: str | None = None,
    observers: Sequence[Observer] = (),
    trigger: str = "api",
    order: str | None = None,
    env: Mapping[str, str] | None = None,
    snapshot: Snapshot | None = None,
) -> RunSummary:
    """Run a flow file, or resume an unfinished run by its id; returns the summary of a run that ended with success.

    `params` are the flow's parameters, as text or typed. `slot` is the instant that the run is for, `data_date` the
    date of its data (both ISO 8601). `flow_job` runs only that job; without it a run that was asked for some of its
    jobs becomes one of all. For a resumed run, `from_step` (`JOB` or
    `JOB.STEP`) discards a result and all results that follow from it, `accept_changes` keeps the results of steps
    whose definition has changed, `decisions` (`JOB.STEP` to `done` or `again`) settles interrupted `once` steps;
    `reason` is recorded with each of these. `if_busy` applies while another process has the run, or the flow's lock.

    With `bundle_manifest` the bundle is synced first, and its version is verified and held for the run; a run that was
    cut off goes on with the version that it began with; `flow_yaml`
    is then a path in the bundle, by default its entry flow. With `allow_stale_bundle` the version already stored is
    used if the source fails. `expect_fingerprint` is the content fingerprint, or a prefix, that the version must have.

    `observers` receive every event. `trigger` is recorded as the origin of the run. `order` is
    the id of an order for the run, for those who may get one twice: a run that the same order has brought to its end
    before is not resumed, and ends as it did then. `settings` win over the environment
    and the project file, except over their policy; of a `Settings` those count that were given to it. `env` replaces
    the environment of the process, `snapshot` a whole environment built before, settings included. When this is called
    from the main thread, the signals HUP, INT, QUIT and TERM stop the run.

    Raises SpecError (nothing was run), UsageError, ChangedDefinitionError, RunBusyError, StateError, RunFailedError,
    RunUnknownError and RunInterruptedError; the last three carry the summary. With a bundle also BundleError,
    BundleStoreError, FingerprintError and ConnectorError.
    """
    run_id = _checked(new_run_id() if run_id is None else run_id)
    with contextlib.ExitStack() as stack:
        if bundle_manifest is not None:
            from aetherflow.core.bundle.using import using_bundle  # most runs have none

            name = str(flow_yaml) if flow_yaml is not None else None
            used = stack.enter_context(
                using_bundle(
                    Path(bundle_manifest),
                    name,
                    allow_stale=allow_stale_bundle,
                    expect_fingerprint=expect_fingerprint,
                    ambient=env,
                    overrides=overrides_of(settings),
                    run_hooks=True,
                    run_id=run_id,
                )
            )
            flow_yaml, snapshot = used.flow, used.snapshot
        if flow_yaml is None:
            raise UsageError("no flow is named", fix="give the path of a flow file, or the manifest of a bundle")
        flow = _prepare(flow_yaml, env, snapshot, settings)
        options = RunOptions(_jobs(flow_job), from_step, accept_changes, decisions or {}, actor(), _as_utf8(reason))
        inputs = RunInputs(params or {}, slot, data_date)
        return _run(flow, run_id, inputs, options, if_busy, observers, trigger, order=order)


def resume_flow(
    flow_yaml: Path,
    *,
    run_id: str,
    from_step: str | None,
    accept_changes: bool,
    decisions: Mapping[str, str],
    reason: str | None,
    observers: Sequence[Observer],
    trigger: str,
    snapshot: Snapshot,
) -> RunSummary:
    """Go on with a run, with the jobs that it was asked for so far; otherwise as `run_flow`, and raises what it raises.

    `run_flow` without `flow_job` makes a run of some jobs one of all jobs.
    """
    options = RunOptions((), from_step, accept_changes, decisions, actor(), _as_utf8(reason), goes_on=True)
    flow = _prepare(flow_yaml, None, snapshot)
    return _run(flow, _checked(run_id), RunInputs({}), options, "fail", observers, trigger)


def _jobs(flow_job: str | None) -> tuple[str, ...]:
    return () if flow_job is None else (flow_job,)


def _as_utf8(reason: str | None) -> str | None:
    return None if reason is None else reason.encode(errors="backslashreplace").decode()


def _run(
    flow: PreparedFlow,
    run_id: str,
    inputs: RunInputs,
    options: RunOptions,
    if_busy: IfBusy,
    observers: Sequence[Observer],
    trigger: str,
    outer: OuterRun | None = None,
    lock_key: str | None = None,
    order: str | None = None,
) -> RunSummary:
    make_engine_folder_of(flow.snapshot)
    store = open_state(flow.state_path)
    lock = run_lock(store.path, flow.flow_id, run_id)
    try:
        if (busy := _acquire(lock, run_id, if_busy)) is not None:
            return dataclasses.replace(
                summary_of(flow, store, run_id), status=Status.SKIPPED, note=f"nothing done: {busy}"
            )
        if order is not None and carried_out(store.connection, flow.flow_id, run_id, order):
            return _as_before(flow, store, run_id)
        opened = _open(flow, store, run_id, inputs, options)
        if opened.ended:
            summary = summary_of(flow, store, run_id, opened.places.work_root)
            return dataclasses.replace(_nothing_to_do(summary, opened.found), part=opened.part)
        make_engine_folder_of(flow.snapshot, opened.places.work_root)
        run = Run(opened, store, INNER_RUNS, lock, outer, lock_key)
        return run.execute(observers, trigger, if_busy, order)
    except store.errors as error:  # transitions report their own; this is a read of a damaged file
        raise StateError(f"state file {store.path}: {error}", fix="restore it, or name another one") from error
    finally:
        lock.release()
        store.close()


def _open(flow: PreparedFlow, store: StateStore, run_id: str, inputs: RunInputs, options: RunOptions) -> Opened:
    """Open a run and pass its plan to the hooks, which may refuse it; changes nothing."""
    opened = open_run(flow, store, run_id, inputs, options)
    if opened.plan.jobs:
        check_plan(flow, opened.info, opened.plan)
    return opened


def run_prepared(
    flow: PreparedFlow,
    *,
    trigger: str,
    run_id: str | None = None,
    slot: str | None = None,
    lock_key: str | None = None,
    if_busy: IfBusy = "fail",
    order: str | None = None,
    observers: Sequence[Observer] = (),
) -> RunSummary:
    """Run a flow that was built in memory instead of read from a file; raises as `run_flow` does."""
    run_id = _checked(new_run_id() if run_id is None else run_id)
    inputs, options = RunInputs({}, slot), RunOptions(actor=actor())
    return _run(flow, run_id, inputs, options, if_busy, observers, trigger, lock_key=lock_key, order=order)


def _run_inside(
    flow: PreparedFlow, run_id: str, inputs: RunInputs, observers: tuple[Observer, ...], outer: OuterRun
) -> RunSummary:
    """A run that a step of another one asked for."""
    return _run(flow, run_id, inputs, RunOptions(actor=actor()), "fail", observers, "flow", outer)


INNER_RUNS = InnerRuns(prepare_flow, _run_inside)
"""How flows are prepared and run that steps of other runs call."""


def plan_flow(
    flow_yaml: str | Path,
    *,
    run_id: str | None = None,
    params: Mapping[str, Any] | None = None,
    slot: str | None = None,
    data_date: str | None = None,
    flow_job: str | None = None,
    from_step: str | None = None,
    accept_changes: bool = False,
    decisions: Mapping[str, str] | None = None,
    effects: bool = False,
    env: Mapping[str, str] | None = None,
    snapshot: Snapshot | None = None,
) -> Plan:
    """The plan of `run_flow` with the same arguments: a verdict for each step. Nothing is written, nothing is run.

    With `effects` each step that would run and whose inputs are known makes a dry run (`Step.plan`), which may read
    files and reach peers. Raises what `run_flow` raises before anything runs.
    """
    run_id = _checked(new_run_id() if run_id is None else run_id)
    flow = _prepare(flow_yaml, env, snapshot)
    options = RunOptions(_jobs(flow_job), from_step, accept_changes, decisions or {}, actor())

    def planned(connection: durable.Database) -> Plan:
        store = StateStore(flow.state_path, connection=connection)
        opened = _open(flow, store, run_id, RunInputs(params or {}, slot, data_date), options)
        if effects:
            from aetherflow.core.runtime.dry_run import dry_run  # few plans need it

            dry_run(opened)
        return opened.plan

    if durable.is_there(flow.state_path):
        return read(flow.state_path, planned)
    with contextlib.closing(empty_state()) as connection:
        return planned(connection)


def _prepare(
    flow_yaml: str | Path,
    env: Mapping[str, str] | None,
    snapshot: Snapshot | None,
    settings: Settings | Mapping[str, Any] | None = None,
) -> PreparedFlow:
    if not _is_utf8(str(Path(flow_yaml).absolute())):  # the state records it as text, for `resume`
        raise UsageError(f"the path {str(flow_yaml)!r} is not UTF-8", fix="rename the file or the folder")
    if snapshot is None:
        folder = Path(flow_yaml).absolute().parent
        snapshot = build_snapshot(folder, ambient=env, overrides=overrides_of(settings), run_hooks=True)
    return prepare_flow(flow_yaml, snapshot)


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # Python decodes the other bytes of a path to surrogates
        return False
    return True


def _checked(run_id: str) -> str:
    if not RUN_ID.match(run_id):
        raise UsageError(
            f"{run_id!r} is not a run id", fix="use letters, digits, '.', '_' and '-', at most 128 of them"
        )
    return run_id


def _acquire(lock: RunLock, run_id: str, if_busy: IfBusy) -> str | None:
    """Take the run's lock. Returns None, or with `if_busy` "skip" a text that names the process that has it."""
    while True:
        try:
            lock.acquire(run_id)
        except RunBusyError as error:
            if if_busy == "fail":
                raise
            if if_busy == "skip":
                return str(error)
            time.sleep(BUSY_POLL_SECONDS)
        else:
            return None


def _nothing_to_do(summary: RunSummary, found: RunRecord | None) -> RunSummary:
    if found is None:
        return summary
    return dataclasses.replace(summary, status=found.status, nothing_to_do=True, finished_at=found.finished_at)


def _as_before(flow: PreparedFlow, store: StateStore, run_id: str) -> RunSummary:
    """The end of a run, as recorded. RunFailedError if it wasn't SUCCESS."""
    summary = _nothing_to_do(summary_of(flow, store, run_id), store.find_run(flow.flow_id, run_id))
    if summary.status == Status.SUCCESS:
        return summary
    summary.exit_code = 1
    raise RunFailedError(f"run {run_id} was brought to its end by the same order before: {summary.status}", summary)
