"""Inner runs (`ctx.call_flow`): they run in the same process, with their own state, log and guard.

Those that a step has side by side (`for_each.max_parallel`) have a process each, see `child_run`.

Stopping the outer step stops the inner run, which is then INTERRUPTED; a later attempt of the step, in this process or
another, resumes it under the same id. It shares the locks of the outer run.
"""

import os
import subprocess
import threading
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from aetherflow.core.base.durable import ChildProcess
from aetherflow.core.base.errors import AetherflowError, SpecError, StepError
from aetherflow.core.base.typed import typed_anywhere
from aetherflow.core.contracts.handles import FlowResult
from aetherflow.core.host.catalog import Catalog
from aetherflow.core.kernel.locks.run_locks import RunLocks
from aetherflow.core.kernel.sequencing.attempt import Attempt
from aetherflow.core.kernel.sequencing.run_errors import RunError, RunUnknownError
from aetherflow.core.kernel.sequencing.stopping import Control
from aetherflow.core.kernel.sequencing.worker import RunThreadCall
from aetherflow.core.kernel.state.run_state import RunState
from aetherflow.core.records.family import flow_started
from aetherflow.core.records.migration import open_state
from aetherflow.core.runtime.context.services import FlowCall
from aetherflow.core.runtime.environment.inner import MAX_DEPTH, TOO_DEEP, TOO_DEEP_FIX, snapshot_for
from aetherflow.core.runtime.environment.snapshot import Snapshot
from aetherflow.core.runtime.opening.inputs import RunInputs
from aetherflow.core.runtime.opening.prepare import PreparedFlow
from aetherflow.core.runtime.processes.processes import Processes

if TYPE_CHECKING:
    from aetherflow.core.kernel.sequencing.results import RunSummary
    from aetherflow.core.runtime.logs.events import Observer

GRACE_SHARE_SECONDS = 1.0
"""Seconds by which an inner run's time to stop is shorter than that of the outer run, so that it ends in time."""


class OuterRun(NamedTuple):
    """What an inner run gets from the outer run that started it."""

    run: str
    """Flow id and run id of the outer run, `FLOW/RUN`."""
    outermost: str
    """The first of the runs around it, as `Member.text`."""
    files: tuple[Path, ...]
    """The flow files that are running around it, outermost first."""
    control: Control
    locks: RunLocks | None
    lock_env: Mapping[str, str]
    """Environment variables for children: the token of the lock that the outer step works under."""
    grace: float
    failures: dict[tuple[str, str], StepError]
    """Job and step of the inner run to the error of a run that this step started; filled by the inner run."""

    def grace_inside(self, own: float) -> float:
        """Seconds that the steps of the inner run have to stop."""
        return min(own, max(0.0, self.grace - GRACE_SHARE_SECONDS))


class InnerRuns(NamedTuple):
    """The functions that prepare and run an inner run; given by the caller to avoid a circular import."""

    prepare: Callable[[Path, Snapshot, Catalog | None], PreparedFlow]
    """Checks a flow file; SpecError carries every problem."""
    run: Callable[[PreparedFlow, str, RunInputs, "tuple[Observer, ...]", OuterRun], "RunSummary"]
    """Runs a flow to its end, as `run_flow` does."""


class FlowCalls:
    """Runs the flows that the steps of one run call."""

    def __init__(
        self,
        flow: PreparedFlow,
        run_id: str,
        state: RunState,
        locks: RunLocks,
        grace: float,
        outer: OuterRun | None,
        inner: InnerRuns,
        processes: Processes,
    ) -> None:
        self._flow = flow
        self._processes = processes
        self._prepared: dict[Path, PreparedFlow] = {}
        self._preparing = threading.Lock()
        self._run = f"{flow.flow_id}/{run_id}"
        self._state = state
        self._locks = locks
        self._lock_env = outer.lock_env if outer is not None else {}
        self._grace = grace
        self._failures = outer.failures if outer is not None else {}
        self._files = (*(outer.files if outer else ()), Path(flow.document.file).resolve())
        self._inner = inner

    def call(self, attempt: Attempt, wanted: FlowCall) -> FlowResult:
        """As `RunContext.call_flow`; `wanted` has the run's id."""
        try:
            return self._call(attempt, wanted)
        except StepError as error:
            self._failures[attempt.key.job, attempt.key.step] = error
            raise

    def _call(self, attempt: Attempt, wanted: FlowCall) -> FlowResult:
        attempt.control.check()
        file = wanted.flow.resolve()
        self._refuse_cycle(file)
        if attempt.side_by_side:
            return self._call_in_process(attempt, wanted, file)
        flow = self._prepare(wanted.flow, file)
        flow_started(self._state.unit, attempt.key, flow.flow_id, wanted.run_id, str(flow.state_path))
        outer = OuterRun(
            run=self._run,
            outermost=self._state.outermost.text,
            files=self._files,
            control=attempt.control,
            locks=self._locks,
            lock_env={**self._lock_env, **attempt.leases.environment},
            grace=self._grace,
            failures={},
        )
        return run_inside(self._inner, flow, wanted, (Relay(partial(attempt.relay, "stderr")),), outer)

    def _prepare(self, named: Path, file: Path) -> PreparedFlow:
        try:
            snapshot = snapshot_for(file.parent, self._flow.snapshot)
            catalog = self._flow.catalog if snapshot is self._flow.snapshot else None
            return self._inner.prepare(named, snapshot, catalog)
        except SpecError as error:
            validate = typed_anywhere("validate", str(named))
            raise StepError(str(error), fix=f"see all of it: {validate}") from error

    def _call_in_process(self, attempt: Attempt, wanted: FlowCall, file: Path) -> FlowResult:
        from aetherflow.core.runtime.child_run import ChildRun, ChildRunRequest, SnapshotSource
        from aetherflow.core.runtime.lent_locks import lend  # few steps run flows side by side

        with self._preparing:  # most items run one and the same flow
            if (flow := self._prepared.get(file)) is None:
                flow = self._prepared[file] = self._prepare(wanted.flow, file)
        around, processes = self._flow.snapshot, self._processes
        request = ChildRunRequest(
            around=SnapshotSource.of(around),
            flow_id=flow.flow_id,
            call=wanted,
            run=self._run,
            state=self._flow.state_path,
            generation=self._state.generation,
            outermost=self._state.outermost.text,
            files=self._files,
            lock_env={**self._lock_env, **attempt.leases.environment},
            locks=lend(self._locks),
            grace=self._grace,
        )
        ambient = os.environ if around.ambient is None else around.ambient
        env = {**ambient, **processes.of_step(attempt.idem_key)}

        def start() -> ChildProcess:
            flow_started(self._state.unit, attempt.key, flow.flow_id, wanted.run_id, str(flow.state_path))
            return processes.start(ChildRun.argv(wanted.run_id), cwd=Path.cwd(), env=env, stdin=subprocess.PIPE)

        # by the thread of the run: it alone writes to the state, and starts no process after a stop
        run = ChildRun(RunThreadCall(attempt.control, start).ask(), processes.end)
        with attempt.control.around(run):
            return run.result(request, partial(attempt.relay, "stderr"))

    def _refuse_cycle(self, file: Path) -> None:
        if file in self._files:
            chain = " -> ".join(each.name for each in (*self._files[self._files.index(file) :], file))
            raise StepError(f"the flow would run itself: {chain}", fix="name another flow")
        if len(self._files) > MAX_DEPTH:
            raise StepError(TOO_DEEP, fix=TOO_DEEP_FIX)


def run_inside(
    inner: InnerRuns, flow: PreparedFlow, wanted: FlowCall, observers: "tuple[Observer, ...]", outer: OuterRun
) -> FlowResult:
    """Run a prepared flow inside another run; StepError if it does not end well."""
    inputs = RunInputs(wanted.params, wanted.slot, wanted.data_date)
    try:
        inner.run(flow, wanted.run_id, inputs, observers, outer)
    except RunError as error:
        raise _failed(error, outer.failures) from error
    except AetherflowError as error:
        name = f"run {wanted.run_id} of flow {flow.flow_id}"
        raise StepError(f"{name}: {error.code} {error}", fix=error.fix) from error
    return FlowResult(flow.flow_id, wanted.run_id, _jobs(flow, wanted.run_id))


class Relay:
    """Tells the events of an inner run as lines, so that the output and the log of the step contain them."""

    any_thread = True

    def __init__(self, relay: Callable[[bytes], None]) -> None:
        self._relay = relay
        self._labels: dict[str, str] = {}

    def __call__(self, event: str, fields: dict[str, Any]) -> None:
        item = fields.get("item", "")
        if event == "step_start" and item:
            self._labels[item] = str(fields.get("label", item))
        named = f"[{self._labels.get(item, item)}]" if item else ""
        name = ".".join(str(fields[key]) for key in ("job_id", "step_id") if key in fields) + named
        if event == "output":
            self._tell(f"{name}: {fields.get('text', '')}")
        elif event == "step_end":
            detail = fields.get("error") or fields.get("reason")
            told = f": {str(detail).partition(chr(10))[0]}" if detail else ""
            self._tell(f"{name} {fields['status']}{told}")
        elif event == "log" and fields.get("level") != "DEBUG":
            self._tell(": ".join(filter(None, [name, f"{fields.get('level')} {fields.get('message')}"])))

    def _tell(self, line: str) -> None:
        self._relay(f"{line}\n".encode(errors="replace"))


def _failed(error: RunError, failures: Mapping[tuple[str, str], StepError]) -> StepError:
    """The error of the outer step for a failed inner run, or that of a run inside of it: the innermost says it all."""
    summary = error.summary
    job = next((job for job in summary.jobs if job.error is not None), None)
    if job is not None and job.error is not None and job.error.step is not None:
        inside = failures.get((job.job_id, job.error.step))
        if inside is not None and isinstance(inside.__cause__, RunError) and job.error.code == inside.code:
            return StepError(inside.message, fix=inside.fix)
    text = f"flow {summary.flow_id} ended {summary.status}"
    fixes, log = [], summary.log_path
    if job is not None and job.error is not None:
        failure = job.error
        where = f"{job.job_id}.{failure.step}" if failure.step else job.job_id
        text += f" in {where} at {failure.location}: {failure.code} {failure.message}"
        log = failure.log or log
        fixes = [failure.fix] if failure.fix and not isinstance(error, RunUnknownError) else []
        if isinstance(error, RunUnknownError):
            given = (f"{where}={answer}" for answer in ("done", "again"))
            done, again = (typed_anywhere("resume", summary.run_id, "--decide", each) for each in given)
            answers = f"if so: {done}; if not: {again}"
            fixes = [f"find out if it was done; {answers}; then resume this flow"]
    seen = [f"its log: {log}", f"all of it: {typed_anywhere('runs', 'show', summary.run_id)}"]
    return StepError(text, fix="; ".join([*fixes, *seen]))


def _jobs(flow: PreparedFlow, run_id: str) -> dict[str, dict[str, Any]]:
    """Status and outputs of each job, as stored; outputs that hold secrets are missing."""
    store = open_state(flow.state_path)
    try:
        state = RunState(store, flow.flow_id, run_id)
        state.load()
        return {
            job.id: {"status": str(state.jobs[job.id].status), "outputs": state.job_outputs(job.id)}
            for job in flow.spec.jobs
            if job.id in state.jobs
        }
    finally:
        store.close()
