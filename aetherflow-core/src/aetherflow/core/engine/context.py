"""The run as one step attempt sees it: the contract `RunContext`, carried out."""

import logging
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

from aetherflow.core import durable
from aetherflow.core.contracts.context import HeldLock, Ledger, RunContext, StreamName
from aetherflow.core.contracts.step import StepResult
from aetherflow.core.engine.connections import RunConnectors
from aetherflow.core.engine.leases import AttemptLeases
from aetherflow.core.engine.output import OutputLog
from aetherflow.core.engine.stopping import Processes, Stop
from aetherflow.core.engine.workspace import Workspace
from aetherflow.core.errors import PathError, StepCancelledError
from aetherflow.core.locks.run_locks import RunLocks
from aetherflow.core.observe.events import Events
from aetherflow.core.observe.redact import Redactor
from aetherflow.core.plugins.catalog import Catalog
from aetherflow.core.resolve.deferred import complete_inputs
from aetherflow.core.resolve.sandbox import Sandbox
from aetherflow.core.state.records import Artifact, StepEffects
from aetherflow.core.state.run_state import RunState
from aetherflow.core.state.values import json_safe

PROGRESS_INTERVAL = 0.2
"""Seconds between two progress events of one attempt."""


@dataclass(slots=True)
class RunParts:
    """What all attempts of one run share."""

    flow_id: str
    run_id: str
    folder: Path
    env: Mapping[str, str]
    child_env: Mapping[str, str]
    sandbox: Sandbox
    catalog: Catalog
    constants: Mapping[str, Any]
    """Template roots that do not change in the run: env, params, run."""
    resources: Mapping[str, Mapping[str, Any]]
    workspace: Workspace
    state: RunState
    connectors: RunConnectors
    redactor: Redactor
    events: Events
    processes: Processes
    stop: Stop
    locks: RunLocks
    grace_seconds: float
    """Between SIGTERM and SIGKILL."""
    call_step: Callable[["StepContext", str, Mapping[str, Any], str], StepResult]


class StepContext(RunContext):
    """Context of one attempt; collects its effects for the transaction that ends it."""

    def __init__(
        self, parts: RunParts, job_id: str, step_id: str, attempt: int, idempotency_key: str, output: OutputLog
    ) -> None:
        self._parts = parts
        self._output = output
        self._next_progress = 0.0
        self.effects = StepEffects()
        self.leases = AttemptLeases(parts.locks, self.end_children, parts.grace_seconds)
        self.flow_id = parts.flow_id
        self.run_id = parts.run_id
        self.job_id = job_id
        self.step_id = step_id
        self.attempt = attempt
        self.idempotency_key = idempotency_key
        self.work_root = parts.workspace.root
        self.layout = parts.workspace.layout
        self.env = parts.env
        self.child_env = parts.child_env
        self.resources = parts.resources
        self.connectors = parts.connectors
        self.catalog = parts.catalog
        self.log = logging.getLogger(f"aetherflow.flow.{parts.flow_id}.job.{job_id}")

    def job_dir(self, job_id: str) -> Path:
        return self._parts.workspace.job_dir(job_id)

    def artifacts_dir(self, job_id: str) -> Path:
        return self._parts.workspace.folder(job_id, "artifacts")

    def scratch_dir(self, job_id: str) -> Path:
        return self._parts.workspace.folder(job_id, "scratch")

    def manifests_dir(self, job_id: str) -> Path:
        return self._parts.workspace.folder(job_id, "manifests")

    def read_path(self, path: str) -> Path:
        return self._parts.sandbox.to_read(path, self.artifacts_dir(self.job_id))

    def write_path(self, path: str) -> Path:
        return self._parts.sandbox.to_write(path, self.artifacts_dir(self.job_id), self.job_dir(self.job_id))

    def asset_path(self, path: str) -> Path:
        return self._parts.sandbox.to_read(path, self._parts.folder)

    @contextmanager
    def write_file(self, path: str | Path) -> Iterator[BinaryIO]:
        final = self.write_path(str(path))
        with durable.AtomicFile(final) as file:
            yield cast(BinaryIO, file)
        self._record(final, file.size, file.sha256)

    def swap_dir(self, staged: Path, final: str | Path) -> Path:
        target = self.write_path(str(final))
        durable.swap_dir(self.write_path(str(staged)), target)
        return target

    def artifact(self, path: str | Path) -> Path:
        found = self.write_path(str(path))
        if not found.is_file():
            raise PathError(f"not a file, so not an artifact: {found}")
        durable.sync_file(found)
        durable.sync_dir(found.parent)
        self._record(found, *durable.file_facts(found))
        return found

    def consume(self, path: str | Path) -> None:
        self.effects.consumed.add(str(self.write_path(str(path))))

    def spawn(
        self, argv: Sequence[str], *, cwd: Path | None = None, env: Mapping[str, str] | None = None
    ) -> "subprocess.Popen[bytes]":
        self.check_cancelled()
        given = {**(self.child_env if env is None else env), **self.leases.environment}
        process = durable.spawn(argv, cwd=cwd or self.artifacts_dir(self.job_id), env=given)
        self._parts.processes.add(process)
        return process

    def end_process(self, process: "subprocess.Popen[bytes]", grace_seconds: float) -> None:
        if process.poll() is None:
            self._parts.processes.end(process, grace_seconds)
        else:
            self._parts.processes.forget(process)

    def relay(self, stream: StreamName, data: bytes) -> None:
        self._output.feed(stream, data)

    def lease(self, key: str, *, ttl_seconds: float = 600, wait_seconds: float = 0) -> AbstractContextManager[HeldLock]:
        return self.leases.hold(key, ttl_seconds, wait_seconds, self.check_cancelled)

    def acquire_lock(self, key: str, ttl_seconds: float = 600) -> bool:
        return self._parts.locks.acquire(key, ttl_seconds)

    def release_lock(self, key: str) -> None:
        self._parts.locks.release(key)

    def end_children(self, kill: bool) -> None:
        """End what the step has started, since a lock was lost: a request first, then by force."""
        self._parts.processes.signal_all(signal.SIGKILL if kill else signal.SIGTERM)
        self._parts.connectors.interrupt()

    def call_step(
        self,
        step_type: str,
        inputs: Mapping[str, Any],
        *,
        step_id: str | None = None,
        roots: Mapping[str, Any] | None = None,
    ) -> StepResult:
        given = complete_inputs(inputs, roots or {}, self.catalog.step(step_type).inner_steps)
        return self._parts.call_step(self, step_type, given, step_id or f"{self.step_id}_inner")

    def ledger(self, name: str) -> Ledger:
        return _StagedLedger(name, self._parts.state, self.effects)

    def progress(self, done: float, total: float | None = None, unit: str = "") -> None:
        now = time.monotonic()
        if now >= self._next_progress:
            self._next_progress = now + PROGRESS_INTERVAL
            self._parts.events.emit(
                "progress", job_id=self.job_id, step_id=self.step_id, done=done, total=total, unit=unit or None
            )

    @property
    def cancelled(self) -> bool:
        return self._parts.stop.requested or self.leases.lost is not None

    def check_cancelled(self) -> None:
        self.leases.check()
        if self.cancelled:
            raise StepCancelledError("the run is being stopped")

    def redact(self, text: str) -> str:
        return self._parts.redactor.mask(text)

    def _record(self, path: Path, size: int, sha256: str) -> None:
        self.effects.artifacts[str(path)] = Artifact(str(path), size, sha256)


class _StagedLedger:
    def __init__(self, name: str, state: RunState, effects: StepEffects) -> None:
        self._name = name
        self._state = state
        self._staged = effects.ledger

    def get(self, key: str, default: Any = None) -> Any:
        if (self._name, key) in self._staged:
            return self._staged[self._name, key]
        return self._state.ledger_scan(self._name, key).get(key, default)

    def put(self, key: str, value: Any) -> None:
        self._staged[self._name, key] = json_safe(value, f"ledger {self._name}.{key}")

    def put_if_absent(self, key: str, value: Any) -> bool:
        missing = object()
        if self.get(key, missing) is not missing:
            return False
        self.put(key, value)
        return True

    def scan(self, prefix: str = "") -> Mapping[str, Any]:
        found = self._state.ledger_scan(self._name, prefix)
        found.update(
            {key: value for (name, key), value in self._staged.items() if name == self._name and key.startswith(prefix)}
        )
        return dict(sorted(found.items()))
