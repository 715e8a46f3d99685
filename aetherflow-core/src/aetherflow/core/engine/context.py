"""The run as one step attempt sees it: the contract `RunContext`, carried out."""

import logging
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, cast

from aetherflow.core import durable
from aetherflow.core.contracts.context import HeldLock, Ledger, RunContext, StreamName
from aetherflow.core.contracts.step import StepResult
from aetherflow.core.engine.around import Around
from aetherflow.core.engine.attempt import SpawnRequest, Worker
from aetherflow.core.engine.connections import RunConnectors
from aetherflow.core.engine.leases import AttemptLeases
from aetherflow.core.engine.output import OutputLog
from aetherflow.core.engine.step_state import StepState
from aetherflow.core.engine.stopping import Control, Processes, RunStoppedError, Stop
from aetherflow.core.engine.workspace import Workspace
from aetherflow.core.errors import PathError
from aetherflow.core.locks.run_locks import RunLocks
from aetherflow.core.observe.events import Events
from aetherflow.core.observe.redact import Redactor
from aetherflow.core.plugins.catalog import Catalog
from aetherflow.core.resolve.deferred import complete_inputs
from aetherflow.core.resolve.sandbox import Sandbox
from aetherflow.core.resolve.settings import Settings
from aetherflow.core.state.records import Artifact, StepEffects, StepKey
from aetherflow.core.state.run_state import RunState
from aetherflow.core.state.values import json_safe

PROGRESS_INTERVAL = 0.2
"""Seconds between two progress events of one attempt."""


def _no_inner_steps(*_: Any) -> StepResult:
    raise RuntimeError("no step runs yet")


def work_id(flow_id: str, run_id: str, slot: str | None, key: StepKey) -> str:
    """What a step, or an item, stands for: equal for every run of a slot; without a slot, for one run."""
    item = f"[{key.item}]" if key.item else ""
    return f"{flow_id}/{key.job}/{key.step}{item}" + (f"@{slot}" if slot else f"#{run_id}")


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
    settings: Settings
    step_state: StepState
    jobs: dict[str, Any] = field(default_factory=dict)
    """What templates and `when` see as `jobs`."""
    call_step: Callable[["StepContext", str, Mapping[str, Any], str, Mapping[str, Any]], StepResult] = _no_inner_steps
    around: Around | None = None
    """The hooks that stand around every attempt."""
    worker: Worker = field(default_factory=Worker)
    current: Control | None = None
    """What can end the attempt under way."""

    def check_stop(self) -> None:
        """Raise RunStoppedError if the run is being stopped."""
        if self.stop.requested:
            raise RunStoppedError

    def close(self) -> None:
        """At the end of the run: end the worker thread, what is left of the children, and the guard."""
        self.worker.close()
        self.processes.close()
        self.locks.close()


class StepContext(RunContext):
    """Context of one attempt; collects its effects for the transaction that ends it."""

    def __init__(self, parts: RunParts, key: StepKey, attempt: int, idempotency_key: str, output: OutputLog) -> None:
        self._parts = parts
        self._key = key
        self._output = output
        self._next_progress = 0.0
        self._inner: list[StepContext] = []
        self._inner_ids: Counter[str] = Counter()
        self.control = Control(parts.stop)
        """What can end this attempt."""
        self.effects = StepEffects()
        self.leases = AttemptLeases(parts.locks, self.control.cancel)
        self.flow_id = parts.flow_id
        self.run_id = parts.run_id
        self.job_id = key.job
        self.step_id = key.step
        self.attempt = attempt
        self.idempotency_key = idempotency_key
        self.work_id = work_id(parts.flow_id, parts.run_id, parts.constants["run"]["slot"], key)
        self.work_root = parts.workspace.root
        self.layout = parts.workspace.layout
        self.env = parts.env
        self.child_env = parts.child_env
        self.resources = parts.resources
        self.connectors = parts.connectors
        self.catalog = parts.catalog
        self.settings = parts.settings
        self.state = parts.step_state
        self.log = logging.getLogger(f"aetherflow.flow.{parts.flow_id}.job.{key.job}")

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
        self.control.check_open()
        final = self.write_path(str(path))
        with durable.AtomicFile(final) as file:
            yield cast(BinaryIO, file)
            self.control.check_open()  # else the file is not published
        self._record(final, file.size, file.sha256)

    def swap_dir(self, staged: Path, final: str | Path) -> Path:
        self.control.check_open()
        target = self.write_path(str(final))
        durable.swap_dir(self.write_path(str(staged)), target)
        return target

    def empty_dir(self, path: str | Path) -> Path:
        self.control.check_open()
        found = self.write_path(str(path))
        if found.is_dir() and any(found.iterdir()):
            durable.remove_tree(found)
        durable.make_dir(found)
        return found

    def artifact(self, path: str | Path) -> Path:
        self.control.check_open()
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
        given = {**(self.child_env if env is None else env), **self.leases.environment}
        folder = cwd or self.artifacts_dir(self.job_id)
        request = SpawnRequest(self.control, lambda: self._parts.processes.start(argv, cwd=folder, env=given))
        return cast("subprocess.Popen[bytes]", request.ask())

    def end_process(self, process: "subprocess.Popen[bytes]", grace_seconds: float) -> None:
        self._parts.processes.end(process, grace_seconds)

    def relay(self, stream: StreamName, data: bytes) -> None:
        if not self.control.closed:  # the log is, too
            self._output.feed(stream, data)

    def lease(self, key: str, *, ttl_seconds: float = 600, wait_seconds: float = 0) -> AbstractContextManager[HeldLock]:
        return self.leases.hold(key, ttl_seconds, wait_seconds, self.check_cancelled)

    def acquire_lock(self, key: str, ttl_seconds: float = 600) -> bool:
        return self._parts.locks.acquire(key, ttl_seconds)

    def release_lock(self, key: str) -> None:
        self._parts.locks.release(key)

    def call_step(
        self,
        step_type: str,
        inputs: Mapping[str, Any],
        *,
        step_id: str | None = None,
        roots: Mapping[str, Any] | None = None,
    ) -> StepResult:
        given = complete_inputs(inputs, roots or {}, self.catalog.step(step_type).inner_steps)
        # its identity are the inputs as they were before the roots were known: a new token is no other step
        return self._parts.call_step(self, step_type, given, step_id or f"{self.step_id}_inner", inputs)

    def inner_key(self, step_id: str) -> StepKey:
        """Key of the next inner step of that id: `OUTER.ID`, from the second call in one attempt on with its number."""
        self._inner_ids[step_id] += 1
        number = self._inner_ids[step_id]
        item = self._key.item if number == 1 else f"{self._key.item}#{number}"
        return StepKey(self._key.job, f"{self._key.step}.{step_id}", item)

    def for_inner(self, key: StepKey, attempt: int, idempotency_key: str) -> "StepContext":
        """Context of an inner step: the same run and output, effects of its own."""
        inner = StepContext(self._parts, key, attempt, idempotency_key, self._output)
        inner.control, inner.leases = self.control, self.leases  # what ends the outer step ends the inner one
        self._inner.append(inner)
        return inner

    def inner_keys(self) -> Iterator[StepKey]:
        """Keys of the inner steps that this attempt has called, at any depth."""
        for inner in self._inner:
            yield inner._key
            yield from inner.inner_keys()

    def all_artifacts(self) -> Iterator[Artifact]:
        """Artifacts of this attempt and of its inner steps."""
        yield from self.effects.artifacts.values()
        for inner in self._inner:
            yield from inner.all_artifacts()

    def ledger(self, name: str) -> Ledger:
        return _StagedLedger(name, self._parts.state, self.effects, self.control)

    def progress(self, done: float, total: float | None = None, unit: str = "") -> None:
        now = time.monotonic()
        if now >= self._next_progress:
            self._next_progress = now + PROGRESS_INTERVAL
            self._parts.events.emit(
                "progress", job_id=self.job_id, step_id=self.step_id, done=done, total=total, unit=unit or None
            )

    @property
    def cancelled(self) -> bool:
        return self.control.cancelled

    def check_cancelled(self) -> None:
        self.control.check()

    def redact(self, text: str) -> str:
        return self._parts.redactor.mask(text)

    def _record(self, path: Path, size: int, sha256: str) -> None:
        self.effects.artifacts[str(path)] = Artifact(str(path), size, sha256)


class _StagedLedger:
    def __init__(self, name: str, state: RunState, effects: StepEffects, control: Control) -> None:
        self._control = control
        self._name = name
        self._state = state
        self._staged = effects.ledger

    def get(self, key: str, default: Any = None) -> Any:
        if (self._name, key) in self._staged:
            return self._staged[self._name, key]
        return self._state.steps.ledger(self._name, key).get(key, default)

    def put(self, key: str, value: Any) -> None:
        self._control.check_open()
        self._staged[self._name, key] = json_safe(value, f"ledger {self._name}.{key}")

    def put_if_absent(self, key: str, value: Any) -> bool:
        missing = object()
        if self.get(key, missing) is not missing:
            return False
        self.put(key, value)
        return True

    def scan(self, prefix: str = "") -> Mapping[str, Any]:
        found = self._state.steps.ledger(self._name, prefix)
        found.update(
            {key: value for (name, key), value in self._staged.items() if name == self._name and key.startswith(prefix)}
        )
        return dict(sorted(found.items()))
