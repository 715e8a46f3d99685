"""One run, carried out: its parts built, its jobs sequenced, its folders cleaned, its end recorded."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from aetherflow.core.base.errors import RunBusyError, RunFailedError, RunInterruptedError, RunUnknownError
from aetherflow.core.base.summary import RunSummary
from aetherflow.core.kernel.locks.run_locks import RunLocks
from aetherflow.core.kernel.sequencing.inner import InnerSteps
from aetherflow.core.kernel.sequencing.scope_locks import ScopeLocks
from aetherflow.core.kernel.sequencing.sequence import NOT_WELL
from aetherflow.core.kernel.sequencing.sequence import Sequence as JobSequence
from aetherflow.core.kernel.sequencing.steps import StepRunner
from aetherflow.core.kernel.sequencing.stopping import Processes, RunStoppedError, Stop
from aetherflow.core.kernel.state.heartbeat import Heartbeat
from aetherflow.core.kernel.state.records import RunFacts, now_ms
from aetherflow.core.kernel.state.registry import Registered, register
from aetherflow.core.kernel.state.store import StateStore
from aetherflow.core.kernel.state.transitions import Status
from aetherflow.core.runtime.connectors.connections import RunConnectors
from aetherflow.core.runtime.context.parts import RunParts
from aetherflow.core.runtime.context.step_state import StepState
from aetherflow.core.runtime.hooks.around import around, hooks_of_run
from aetherflow.core.runtime.hooks.hooks import HookObserver
from aetherflow.core.runtime.logs.events import Events, Observer, RunLog
from aetherflow.core.runtime.logs.logs import run_logging
from aetherflow.core.runtime.opening.circumstances import circumstances_of
from aetherflow.core.runtime.opening.opening import Opened
from aetherflow.core.runtime.opening.prepare import PreparedFlow
from aetherflow.core.runtime.subflow import FlowCalls, InnerRuns, Outer
from aetherflow.core.runtime.workspace.places import lock_store, state_root
from aetherflow.core.runtime.workspace.sandbox import Sandbox, child_env
from aetherflow.core.runtime.workspace.workspace import Workspace

if TYPE_CHECKING:
    from aetherflow.core.runtime.logs.event_file import EventFile

IfBusy = Literal["fail", "skip", "wait"]


class Run:
    """A run that this process owns."""

    def __init__(
        self,
        opened: Opened,
        store: StateStore,
        inner: InnerRuns,
        outer: Outer | None = None,
        lock_key: str | None = None,
    ) -> None:
        """`inner` runs the flows that steps ask for; `outer` is what this run is given of one that started it;
        `lock_key` names the lock of the run, if it is not the flow's own.
        """
        flow, run_id = opened.flow, opened.run_id
        self._opened = opened
        self._store = store
        self._events = Events(opened.redactor)
        self._hooks = hooks_of_run(flow.snapshot.hooks, flow.snapshot.settings)
        self._info = opened.info
        self._workspace = Workspace(opened.places.work_root, opened.places.layout, flow.flow_id, run_id, flow.folder)
        job_folders = tuple(self._workspace.job_path(job.id) for job in flow.spec.jobs)
        resources = opened.resources()
        settings = flow.snapshot.settings
        owner = (flow.flow_id, run_id, opened.generation)
        around_it = outer.locks if outer is not None else None
        locks = RunLocks(lock_store(settings, flow.env, resources), owner, self._events, around_it)
        self._parts = RunParts(
            flow_id=flow.flow_id,
            flow_sha256=flow.fingerprint,
            run_id=run_id,
            folder=flow.folder,
            env=flow.env,
            child_env=child_env(flow.env, flow.snapshot),
            sandbox=Sandbox.of(flow.snapshot, opened.places.work_root, flow.folder, job_folders),
            catalog=flow.catalog,
            constants=opened.constants,
            resources=resources,
            workspace=self._workspace,
            state=opened.state,
            connectors=RunConnectors(
                resources,
                self._workspace,
                flow.catalog,
                default=settings.connector_cache_default,
                disabled=settings.connector_cache_disabled,
            ),
            settings=settings,
            step_state=StepState(run_id, opened.state, locks),
            redactor=opened.redactor,
            events=self._events,
            processes=Processes(store.path),
            stop=Stop(),
            locks=locks,
            around=around(self._hooks, self._info),
        )
        self._locks = ScopeLocks(flow.spec.flow.locks, self._parts, lock_key)
        logs = store.side / "logs" / flow.flow_id / run_id
        grace = flow.snapshot.settings.stop_grace_seconds
        grace = grace if outer is None else outer.grace_inside(grace)
        runner = StepRunner(self._parts, self._locks, opened.definitions, logs, grace)
        self._parts.call_step = InnerSteps(runner).call
        self._parts.call_flow = FlowCalls(flow, self._parts, grace, outer, inner).call
        self._outer = outer
        if outer is not None:
            self._parts.lock_env = outer.lock_env
        self._sequence = JobSequence(flow, runner, self._locks, opened.plan)
        self._summary = summary_of(flow, store, run_id, opened.places.work_root)
        self._summary.jobs = self._sequence.summaries

    def execute(self, observers: Sequence[Observer], facts: RunFacts, if_busy: IfBusy) -> RunSummary:
        """Run to the end. Raises RunFailedError, RunUnknownError, RunInterruptedError with the summary; StateError.

        `if_busy` says what to do while another run holds the lock of the flow; RunBusyError for `fail`.
        """
        self._workspace.open()
        log = RunLog(Path(self._summary.log_path))
        files: list[RunLog | EventFile] = [log, *self._event_file()]
        for observer in (*files, *observers):
            self._events.add(observer)
        if self._hooks is not None:
            self._events.add(HookObserver(self._hooks, self._info, self._events))
        started = time.monotonic()
        try:
            with self._alive(), self._locks.run(wait=if_busy == "wait", check=self._parts.check_stop):
                self._begin_and_run(facts)
        except RunStoppedError:  # while it waited for the lock: nothing was begun
            self._summary.status = Status.INTERRUPTED
        except RunBusyError as error:
            if if_busy != "skip":
                raise
            self._summary.status, self._summary.note = Status.SKIPPED, f"nothing done: {error}"
            return self._summary
        finally:
            self._parts.close()
            self._parts.connectors.close()
            self._summary.duration_ms = int((time.monotonic() - started) * 1000)
            if self._parts.state.generation:
                self._events.emit("run_summary", **self._summary_event())
            for file in files:
                file.close()
        return self._result()

    def _event_file(self) -> "list[EventFile]":
        if not (name := self._opened.flow.snapshot.settings.events_file):
            return []
        from aetherflow.core.runtime.logs.event_file import EventFile  # most runs write none

        return [EventFile(Path(name).expanduser(), self._info.flow_id, self._info.run_id)]

    def _begin_and_run(self, facts: RunFacts) -> None:
        opened = self._opened
        warning = self._register(facts)
        opened.state.begin(
            facts, opened.frozen, opened.definitions.in_use(), opened.plan.intervention, circumstances_of(opened.flow)
        )
        with Heartbeat(self._store.path, opened.flow.flow_id, opened.run_id, opened.state.generation):
            self._announce()
            if warning is not None:
                self._events.emit("log", level="WARNING", logger="aetherflow", message=warning)
            for error, _ in opened.flow.catalog.notices:
                self._events.emit("log", level="WARNING", logger="aetherflow", message=f"{error.code} {error.message}")
            self._jobs()

    def _register(self, facts: RunFacts) -> str | None:
        """Before the first row is written: whatever is recorded can be found."""
        flow, found = self._opened.flow, self._opened.found
        started_at = found.started_at if found else now_ms()
        run = Registered(flow.flow_id, self._opened.run_id, str(flow.state_path), facts.flow_path, started_at)
        return register(state_root(flow.snapshot.settings, flow.env), run)

    @contextmanager
    def _alive(self) -> Iterator[None]:
        flow = self._opened.flow
        stopped_with = nullcontext() if self._outer is None else self._outer.control.around(self._parts.stop)
        with (
            self._parts.stop.handling_signals(),
            stopped_with,
            run_logging(flow.flow_id, flow.snapshot.settings.log_level, self._events),
        ):
            yield

    def _announce(self) -> None:
        opened = self._opened
        yaml = str(opened.flow.document.file)
        self._events.emit("run_start", flow_id=opened.flow.flow_id, run_id=opened.run_id, yaml=yaml)
        for plugin, before, now in opened.plan.plugins:
            self._events.emit("plugin_changed", plugin=plugin, before=before, now=now)
        for change in opened.plan.changes:
            kept = "its result is kept" if change.finished else "the new text counts"
            self._events.emit(
                "definition_changed",
                job_id=change.key.job,
                step_id=change.key.step or None,
                note=kept,
                diff=change.diff,
            )

    def _jobs(self) -> None:
        try:
            self._sequence.run()
        except RunStoppedError:
            status = Status.INTERRUPTED
        else:
            ended = {Status(job.status) for job in self._sequence.summaries}
            found = [bad for bad in (Status.FAILED, Status.UNKNOWN) if bad in ended]
            status = Status.UNKNOWN if Status.UNKNOWN in found else found[0] if found else Status.SUCCESS
            if self._sequence.complete:
                self._cleanup(failed=bool(ended & NOT_WELL))
        self._summary.status = status
        whole = status is not Status.SUCCESS or self._sequence.complete
        left = [job.job_id for job in self._opened.plan.jobs if job.verdict == "leave"]
        self._opened.state.finish(status, reason=None if whole else f"without {', '.join(left)}")

    def _cleanup(self, *, failed: bool) -> None:
        # before the run is recorded as finished: a crash in between leaves a run that is resumed and cleaned again
        policy = self._opened.flow.spec.flow.workspace.cleanup_policy
        if policy == "never" or (policy == "on_success" and failed):
            return
        jobs = [job.job_id for job in self._summary.jobs]
        folders = self._workspace.removable(jobs)
        artifacts = [item for job in self._summary.jobs for step in job.steps for item in step.artifacts]
        doomed = [item for item in artifacts if any(Path(item.path).is_relative_to(folder) for folder in folders)]
        if doomed:
            self._opened.state.mark_removed([item.path for item in doomed], f"cleanup {policy}")
        self._workspace.cleanup(jobs)
        for item in doomed:
            item.removed = policy

    def _result(self) -> RunSummary:
        summary, run_id = self._summary, self._opened.run_id
        if summary.status == Status.INTERRUPTED:
            summary.exit_code = 128 + (self._parts.stop.signal or 0)
            message = f"run {run_id} was stopped by signal {self._parts.stop.signal}"
            raise RunInterruptedError(message, summary, exit_code=summary.exit_code)
        if summary.status in NOT_WELL:
            summary.exit_code = 1
            names = [job.job_id for job in summary.jobs if job.status == summary.status]
            if summary.status == Status.UNKNOWN:
                raise RunUnknownError(f"run {run_id} cannot go on in {', '.join(names)} until it is decided", summary)
            raise RunFailedError(f"run {run_id} failed in {', '.join(names)}", summary)
        return summary

    def _summary_event(self) -> dict[str, Any]:
        fields = ("flow_id", "run_id", "status", "duration_ms", "status_counts", "jobs")
        data = self._summary.as_json()
        return {name: data[name] for name in fields}


def summary_of(flow: PreparedFlow, store: StateStore, run_id: str, work_root: Path | None = None) -> RunSummary:
    """The summary of a run as it starts."""
    return RunSummary(
        flow_id=flow.flow_id,
        run_id=run_id,
        status=Status.RUNNING,
        flow_yaml=flow.document.file,
        work_root=str(work_root or ""),
        state_path=str(store.path),
        log_path=str(store.side / "logs" / flow.flow_id / f"{run_id}.jsonl"),
    )
