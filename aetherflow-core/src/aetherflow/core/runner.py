"""Running a flow, from a program or from the command line."""

import datetime as dt
import getpass
import os
import shlex
import socket
import sqlite3
import sys
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from aetherflow.core.engine.connections import RunConnectors, secret_settings
from aetherflow.core.engine.context import RunParts
from aetherflow.core.engine.prepare import Places, PreparedFlow, prepare, render_places
from aetherflow.core.engine.sequence import RunStoppedError, call_inner_step
from aetherflow.core.engine.sequence import Sequence as JobSequence
from aetherflow.core.engine.settle import Given, run_root, settle
from aetherflow.core.engine.stopping import Processes, Stop
from aetherflow.core.engine.workspace import Workspace
from aetherflow.core.errors import RunFailedError, RunInterruptedError, StateError, UsageError
from aetherflow.core.locks.run_locks import RunLocks
from aetherflow.core.observe.events import Events, Observer, RunLog
from aetherflow.core.observe.logs import run_logging
from aetherflow.core.observe.redact import Redactor
from aetherflow.core.resolve.places import lock_store
from aetherflow.core.resolve.resources import merge_resources, resolve_resources
from aetherflow.core.resolve.sandbox import Sandbox, child_env
from aetherflow.core.resolve.snapshot import Snapshot, build_snapshot
from aetherflow.core.run_id import RUN_ID, new_run_id
from aetherflow.core.state.records import Frozen, RunFacts, RunRecord
from aetherflow.core.state.run_state import RunState
from aetherflow.core.state.store import StateStore
from aetherflow.core.state.transitions import Status
from aetherflow.core.summary import RunSummary


def run_flow(
    flow_yaml: str | Path,
    *,
    run_id: str | None = None,
    params: Mapping[str, Any] | None = None,
    slot: str | None = None,
    data_date: str | None = None,
    observers: Sequence[Observer] = (),
    trigger: str = "api",
    env: Mapping[str, str] | None = None,
    snapshot: Snapshot | None = None,
) -> RunSummary:
    """Run a flow file; with the id of an unfinished run, go on where it stopped.

    `params` are the flow's parameters, as text or typed; `slot` is the instant that the run stands for, `data_date`
    the date of its data (both ISO 8601). `observers` see every event; `trigger` says who asked; `env` replaces the
    process's environment, `snapshot` a whole environment built before. Signals HUP, INT, QUIT and TERM stop the run
    when this is called from the main thread.

    Raises SpecError (nothing was run), UsageError, RunBusyError, StateError, RunFailedError and RunInterruptedError;
    the last two carry the summary that is returned otherwise.
    """
    run_id = new_run_id() if run_id is None else run_id
    if not RUN_ID.match(run_id):
        raise UsageError(
            f"{run_id!r} is not a run id", fix="use letters, digits, '.', '_' and '-', at most 128 of them"
        )
    if snapshot is None:
        snapshot = build_snapshot(Path(flow_yaml).absolute().parent, ambient=env, run_hooks=True)
    flow = prepare(flow_yaml, snapshot)
    store = StateStore(flow.state_path)
    lock = store.run_lock(flow.flow_id, run_id)
    try:
        lock.acquire(run_id)
        found = store.find_run(flow.flow_id, run_id)
        frozen = settle(flow, Given(params or {}, slot, data_date), found, dt.datetime.now(dt.UTC))
        attempt = found.generation + 1 if found else 1
        constants = {"env": flow.env, "params": frozen.params, "run": run_root(run_id, attempt, frozen)}
        places = render_places(flow, constants)
        if found is not None and found.status is Status.SUCCESS:
            return _nothing_to_do(flow, places, store, found)
        redactor = snapshot.redactor()
        resources = resolve_resources(
            merge_resources(flow.document, flow.spec, flow.profiles), constants, snapshot.hook, redactor
        )
        redactor.add(secret_settings(resources, flow.catalog))
        run = _Run(flow, places, constants, resources, redactor, store, run_id)
        return run.execute(observers, _facts(flow, trigger, redactor), frozen)
    except sqlite3.Error as error:  # transitions report their own; this is a read of a damaged file
        raise StateError(f"state file {store.path}: {error}", fix="restore it, or name another one") from error
    finally:
        lock.release()
        store.close()


class _Run:
    def __init__(
        self,
        flow: PreparedFlow,
        places: Places,
        constants: Mapping[str, Any],
        resources: Mapping[str, Any],
        redactor: Redactor,
        store: StateStore,
        run_id: str,
    ) -> None:
        self.flow = flow
        self.run_id = run_id
        self.logs = store.side / "logs" / flow.flow_id
        self.events = Events(redactor)
        self.workspace = Workspace(places.work_root, places.layout, flow.flow_id, run_id)
        job_folders = tuple(self.workspace.job_path(job.id) for job in flow.spec.jobs)
        locks = lock_store(flow.snapshot.settings, flow.env, resources)
        state = RunState(store, flow.flow_id, run_id)
        self.parts = RunParts(
            flow_id=flow.flow_id,
            run_id=run_id,
            folder=flow.folder,
            env=flow.env,
            child_env=child_env(flow.env, flow.snapshot),
            sandbox=Sandbox.of(flow.snapshot, places.work_root, flow.folder, job_folders),
            catalog=flow.catalog,
            constants=constants,
            resources=resources,
            workspace=self.workspace,
            state=state,
            connectors=RunConnectors(resources, self.workspace, flow.catalog),
            redactor=redactor,
            events=self.events,
            processes=Processes(),
            stop=Stop(),
            locks=RunLocks(locks, lambda: (flow.flow_id, run_id, state.generation)),
            grace_seconds=flow.snapshot.settings.stop_grace_seconds,
            call_step=call_inner_step,
        )
        self.summary = _summary(flow, places, store, run_id)

    def execute(self, observers: Sequence[Observer], facts: RunFacts, frozen: Frozen) -> RunSummary:
        self.workspace.open()
        log = RunLog(Path(self.summary.log_path))
        self.events.add(log)
        for observer in observers:
            self.events.add(observer)
        started = time.monotonic()
        sequence = JobSequence(self.flow, self.parts, self.logs / self.run_id)
        self.summary.jobs = sequence.summaries
        try:
            with (
                self.parts.stop.handling_signals(),
                run_logging(self.flow.flow_id, self.flow.snapshot.settings.log_level, self.events),
            ):
                self.parts.state.begin(facts, frozen)
                self.events.emit(
                    "run_start", flow_id=self.flow.flow_id, run_id=self.run_id, yaml=str(self.flow.document.file)
                )
                self._jobs(sequence)
        finally:
            self.parts.connectors.close()
            self.parts.locks.close()
            self.summary.duration_ms = int((time.monotonic() - started) * 1000)
            self.events.emit("run_summary", **self._summary_event())
            log.close()
        return self._result()

    def _jobs(self, sequence: JobSequence) -> None:
        try:
            sequence.run()
            failed = any(job.status == Status.FAILED for job in sequence.summaries)
            status = Status.FAILED if failed else Status.SUCCESS
            self._cleanup(failed)
        except RunStoppedError:
            status = Status.INTERRUPTED
        self.summary.status = status
        self.parts.state.finish(status)

    def _cleanup(self, failed: bool) -> None:
        # before the run is recorded as finished: a crash in between leaves a run that is resumed and cleaned again
        policy = self.flow.spec.flow.workspace.cleanup_policy
        if policy == "never" or (policy == "on_success" and failed):
            return
        removed = self.workspace.cleanup([job.job_id for job in self.summary.jobs])
        for job in self.summary.jobs:
            for artifact in (artifact for step in job.steps for artifact in step.artifacts):
                if any(Path(artifact.path).is_relative_to(folder) for folder in removed):
                    artifact.removed = policy

    def _result(self) -> RunSummary:
        if self.summary.status == Status.FAILED:
            self.summary.exit_code = 1
            failed = [job.job_id for job in self.summary.jobs if job.status == Status.FAILED]
            raise RunFailedError(f"run {self.run_id} failed in {', '.join(failed)}", self.summary)
        if self.summary.status == Status.INTERRUPTED:
            self.summary.exit_code = 128 + (self.parts.stop.signal or 0)
            message = f"run {self.run_id} was stopped by signal {self.parts.stop.signal}"
            raise RunInterruptedError(message, self.summary, exit_code=self.summary.exit_code)
        return self.summary

    def _summary_event(self) -> dict[str, Any]:
        fields = ("flow_id", "run_id", "status", "duration_ms", "status_counts", "jobs")
        data = self.summary.as_json()
        return {name: data[name] for name in fields}


def _nothing_to_do(flow: PreparedFlow, places: Places, store: StateStore, found: RunRecord) -> RunSummary:
    summary = _summary(flow, places, store, found.run_id)
    summary.status, summary.nothing_to_do, summary.finished_at = found.status, True, found.finished_at
    return summary


def _summary(flow: PreparedFlow, places: Places, store: StateStore, run_id: str) -> RunSummary:
    return RunSummary(
        flow_id=flow.flow_id,
        run_id=run_id,
        status=Status.RUNNING,
        flow_yaml=flow.document.file,
        work_root=str(places.work_root),
        state_path=str(flow.state_path),
        log_path=str(store.side / "logs" / flow.flow_id / f"{run_id}.jsonl"),
    )


def _facts(flow: PreparedFlow, trigger: str, redactor: Redactor) -> RunFacts:
    try:
        actor = getpass.getuser()
    except (KeyError, OSError):  # an account without a name, as in many containers
        actor = str(os.getuid())
    return RunFacts(
        engine_version=version("aetherflow-core"),
        flow_path=str(Path(flow.document.file).absolute()),
        fingerprint=flow.fingerprint,
        actor=actor,
        host=socket.gethostname(),
        pid=os.getpid(),
        trigger=trigger,
        command=redactor.mask(shlex.join(sys.argv)),
    )
