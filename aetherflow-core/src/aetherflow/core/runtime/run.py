"""One run on this machine: builds the kernel's services, runs the flow, cleans up folders, makes the summary."""

import dataclasses
import json
import os
import shlex
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from aetherflow.core.base.actor import actor, hostname
from aetherflow.core.base.errors import RunBusyError
from aetherflow.core.base.location import absolute
from aetherflow.core.host.distributions import version_of
from aetherflow.core.host.first_party import CORE
from aetherflow.core.host.step_classes import CatalogClasses
from aetherflow.core.kernel.locks.run_locks import RunLocks
from aetherflow.core.kernel.sequencing.results import RunSummary
from aetherflow.core.kernel.sequencing.run import FlowToRun, KernelRun
from aetherflow.core.kernel.sequencing.run_errors import RunFailedError, RunInterruptedError, RunUnknownError
from aetherflow.core.kernel.sequencing.sequence import NOT_WELL
from aetherflow.core.kernel.sequencing.services import RunServices
from aetherflow.core.kernel.sequencing.stopping import Stop
from aetherflow.core.kernel.sequencing.worker import Worker
from aetherflow.core.kernel.state.ownership import RunLock
from aetherflow.core.kernel.state.records import RunFacts, StepKey, now_ms
from aetherflow.core.kernel.state.store import StateStore
from aetherflow.core.kernel.state.transitions import Status
from aetherflow.core.runtime.connectors.connections import RunConnectors
from aetherflow.core.runtime.connectors.context import ConnectorsRun
from aetherflow.core.runtime.context.context import StepContext
from aetherflow.core.runtime.context.services import ContextServices
from aetherflow.core.runtime.context.step_state import StepState
from aetherflow.core.runtime.hooks.run_hooks import StepWrapping, hooks_of_run
from aetherflow.core.runtime.logs.events import Events, Observer
from aetherflow.core.runtime.logs.latest_progress import LatestProgress
from aetherflow.core.runtime.logs.logs import run_logging
from aetherflow.core.runtime.logs.run_log import RunLog
from aetherflow.core.runtime.logs.step_warnings import StepWarnings
from aetherflow.core.runtime.opening.circumstances import circumstances_of
from aetherflow.core.runtime.opening.opening import Opened
from aetherflow.core.runtime.opening.prepare import PreparedFlow
from aetherflow.core.runtime.phases import Phases
from aetherflow.core.runtime.processes.output import OutputLog
from aetherflow.core.runtime.processes.processes import Processes
from aetherflow.core.runtime.processes.signals import stopped_by_signals
from aetherflow.core.runtime.subflow import FlowCalls, InnerRuns, OuterRun
from aetherflow.core.runtime.workspace.sandbox import Sandbox, child_env
from aetherflow.core.runtime.workspace.store_places import lock_store
from aetherflow.core.runtime.workspace.workspace import Workspace

if TYPE_CHECKING:
    from aetherflow.core.runtime.logs.event_file import EventFile

IfBusy = Literal["fail", "skip", "wait"]


class Run:
    """A run that this process owns. `execute` may be called once."""

    def __init__(
        self,
        opened: Opened,
        store: StateStore,
        inner: InnerRuns,
        lock: RunLock,
        outer: OuterRun | None = None,
        lock_key: str | None = None,
    ) -> None:
        """`inner` prepares and runs the flows that steps call. `outer` is given by a run whose step started this one.

        `lock_key` names the lock of the whole run; None: that of the flow.
        """
        flow = opened.flow
        self._opened = opened
        self._store = store
        self._lock = lock
        self._outer = outer
        self._info = opened.info
        self._events = Events(opened.redactor)
        self._warnings = StepWarnings()
        self._events.add(self._warnings)
        self._hooks = hooks_of_run(flow.snapshot)
        self._workspace = Workspace(opened.places.work_root, opened.places.layout, flow.flow_id, opened.run_id)
        folders = [*map(self._workspace.job_path, (job.id for job in flow.spec.jobs)), flow.folder, store.path]
        opened.redactor.keep([flow.flow_id, opened.run_id, *map(str, folders)])
        self._logs = store.side / "logs" / flow.flow_id / opened.run_id
        self._services = self._build(inner)
        plan = FlowToRun(flow.spec, flow.document.source, opened.definitions, opened.plan)
        self._run = KernelRun(plan, self._services, lock_key)

    def _build(self, inner: InnerRuns) -> RunServices:
        """Build the services of the kernel: the implementations of the Protocols in `contracts.running`."""
        opened, outer = self._opened, self._outer
        flow, run_id, settings = opened.flow, opened.run_id, opened.flow.snapshot.settings
        resources = opened.resources()
        owner = (flow.flow_id, run_id, opened.generation)
        locks_around = outer.locks if outer is not None else None
        locks = RunLocks(lock_store(flow.snapshot, resources), owner, self._events, locks_around)
        grace = settings.stop_grace_seconds
        grace = grace if outer is None else outer.grace_inside(grace)
        rooted = settings.rooted(self._workspace.root)
        job_folders = tuple(self._workspace.job_path(job.id) for job in flow.spec.jobs)
        sandbox = Sandbox.of(flow.snapshot, opened.places.work_root, flow.folder, job_folders)
        connectors = RunConnectors(
            resources,
            ConnectorsRun(
                self._workspace.databases(flow.assets, sandbox.engine), rooted, opened.redactor, flow.flow_id, run_id
            ),
            flow.catalog,
            default=settings.connector_cache_default,
            disabled=settings.connector_cache_disabled,
        )
        processes = Processes(self._store.path)
        jobs: dict[str, Any] = {}
        seen_by_steps = ContextServices(
            flow=flow,
            run_id=run_id,
            settings=rooted,
            constants=opened.constants,
            jobs=jobs,
            state=opened.state,
            locks=locks,
            redactor=opened.redactor,
            events=self._events,
            workspace=self._workspace,
            sandbox=sandbox,
            connectors=connectors,
            processes=processes,
            child_env=child_env(flow.env, flow.snapshot),
            lock_env=outer.lock_env if outer is not None else {},
            copies=opened.copies,
            flows=FlowCalls(flow, run_id, opened.state, locks, grace, outer, inner, processes),
        )
        step_state = StepState(run_id, opened.state, locks)
        return RunServices(
            flow_id=flow.flow_id,
            run_id=run_id,
            constants=opened.constants,
            state=opened.state,
            locks=locks,
            stop=Stop(),
            redactor=opened.redactor,
            events=self._events,
            classes=CatalogClasses(flow.catalog),
            wrapper=StepWrapping(self._hooks, self._info, flow.catalog, connectors),
            processes=processes,
            connectors=connectors,
            folders=self._workspace,
            open_log=self._open_log,
            open_context=lambda attempt: StepContext(seen_by_steps, step_state, attempt),
            grace=grace,
            jobs=jobs,
            worker=Worker(),
            warned=self._warnings.text,
        )

    def _open_log(self, key: StepKey, number: int) -> OutputLog:
        limit = self._opened.flow.snapshot.settings.step_log_bytes
        return OutputLog(self._logs, key, number, limit, self._opened.redactor, self._events)

    def execute(
        self, observers: Sequence[Observer], trigger: str, if_busy: IfBusy, order: str | None = None
    ) -> RunSummary:
        """Run to the end; returns the summary. Raises RunFailedError, RunUnknownError, RunInterruptedError, StateError.

        `trigger` and `order` are recorded. `if_busy` applies while another run holds the flow's lock; `fail` raises
        RunBusyError.
        """
        self._workspace.open()
        opened = self._opened
        summary = summary_of(opened.flow, self._store, opened.run_id, opened.places.work_root)
        files: list[RunLog | EventFile] = [RunLog(Path(summary.log_path)), *self._event_file()]
        for observer in (*files, *observers):
            self._events.add(observer)
        if self._hooks is not None:
            from aetherflow.core.runtime.hooks.hooks import HookObserver  # few runs have any

            self._events.add(HookObserver(self._hooks, self._info, self._events))
        started, status, note, since = time.monotonic(), Status.RUNNING, None, now_ms()
        facts, circumstances = _facts(opened, trigger, self._outer), circumstances_of(opened.flow)
        if opened.redactor.mask(root := str(opened.places.work_root)) == root:
            circumstances["work_root"] = root
        if order is not None:
            circumstances["order"] = order
        latest = LatestProgress()
        self._events.add(latest)
        built = self._workspace, self._events, self._run, latest, self._services
        phases = Phases(opened, self._store, facts, *built, self._lock)
        try:
            with self._alive():
                status = self._run.execute(facts, opened.frozen, circumstances, phases, wait=if_busy == "wait")
                if opened.state.generation:
                    phases.ended(status)
        except RunBusyError as error:
            if if_busy != "skip":
                raise
            status, note = Status.SKIPPED, f"nothing done: {error}"
        finally:
            self._services.close()
            if opened.copies is not None:
                opened.copies.close()
            summary = dataclasses.replace(
                summary,
                status=status,
                note=note,
                part=opened.part,
                jobs=self._run.jobs,
                duration_ms=int((time.monotonic() - started) * 1000),
            )
            if opened.state.generation:
                self._events.emit("run_summary", **_summary_event(summary))
            for file in files:
                file.close()
            if opened.flow.snapshot.project.spec.notify and self._outer is None:
                from aetherflow.core.runtime.notify.start import start_for  # most projects have no rules

                start_for(opened.flow.snapshot, since)
        return self._result(summary)

    def _event_file(self) -> "list[EventFile]":
        if not (name := self._opened.flow.snapshot.settings.events_file):
            return []
        from aetherflow.core.runtime.logs.event_file import EventFile  # most runs have none

        return [EventFile(Path(name).expanduser(), self._info.flow_id, self._info.run_id)]

    @contextmanager
    def _alive(self) -> Iterator[None]:
        settings, stop = self._opened.flow.snapshot.settings, self._services.stop
        as_json = settings.log_format == "json"
        stopped_with = nullcontext() if self._outer is None else self._outer.control.around(stop)
        with (
            stopped_by_signals(stop),
            stopped_with,
            run_logging(self._info.flow_id, settings.log_level, self._events, as_json=as_json),
        ):
            yield

    def _result(self, summary: RunSummary) -> RunSummary:
        run_id, number = self._opened.run_id, self._services.stop.signal
        if summary.status == Status.INTERRUPTED:
            summary.exit_code = 128 + (number or 0)
            message = f"run {run_id} was stopped by signal {number}"
            raise RunInterruptedError(message, summary, exit_code=summary.exit_code)
        if summary.status in NOT_WELL:
            summary.exit_code = 1
            names = [job.job_id for job in summary.jobs if job.status == summary.status]
            if summary.status == Status.UNKNOWN:
                raise RunUnknownError(f"run {run_id} cannot go on in {', '.join(names)} until it is decided", summary)
            raise RunFailedError(f"run {run_id} failed in {', '.join(names)}", summary)
        return summary


def _summary_event(summary: RunSummary) -> dict[str, Any]:
    fields = ("flow_id", "run_id", "status", "duration_ms", "status_counts", "jobs")
    data = summary.as_json()
    return {name: data[name] for name in fields}


def summary_of(flow: PreparedFlow, store: StateStore, run_id: str, work_root: Path | None = None) -> RunSummary:
    """The summary of a run at its start: status RUNNING, no jobs."""
    return RunSummary(
        flow_id=flow.flow_id,
        run_id=run_id,
        status=Status.RUNNING,
        flow_yaml=flow.document.file,
        work_root=str(work_root or ""),
        state_path=str(store.path),
        log_path=str(store.side / "logs" / flow.flow_id / f"{run_id}.jsonl"),
    )


def _facts(opened: Opened, trigger: str, outer: OuterRun | None) -> RunFacts:
    flow, redactor, places = opened.flow, opened.redactor, opened.places
    ambient = [flow.env.get(name) for name in ("AETHERFLOW_FLOW_ID", "AETHERFLOW_RUN_ID")]
    parent = "/".join(name for name in ambient if name) if all(ambient) else None
    return RunFacts(
        engine_version=version_of(CORE),
        flow_path=str(absolute(Path(flow.document.file))),
        fingerprint=flow.fingerprint,
        actor=actor(),
        host=hostname(),
        pid=os.getpid(),
        trigger=trigger,
        command=redactor.mask(shlex.join(sys.argv)).encode(errors="backslashreplace").decode(),
        parent=outer.run if outer is not None else parent,
        owner=redactor.mask(places.owner) if places.owner else None,
        runbook=redactor.mask(places.runbook_url) if places.runbook_url else None,
        outermost=outer.outermost if outer is not None else None,
        part=json.dumps(opened.part) if opened.part else None,
        **_origin(flow),
    )


def _origin(flow: PreparedFlow) -> dict[str, str | None]:
    """Project file, manifest and working directory of this start; `resume` reads them from the state."""
    project, bundle = flow.snapshot.project.document, flow.snapshot.bundle
    return {
        "config": _absolute(Path(project.file)) if project is not None else None,
        "manifest": _absolute(bundle.manifest) if bundle is not None else None,
        "working_dir": _absolute(Path()),
    }


def _absolute(path: Path) -> str | None:
    try:
        return str(absolute(path)).encode(errors="backslashreplace").decode()
    except FileNotFoundError:  # the working directory was removed
        return None
