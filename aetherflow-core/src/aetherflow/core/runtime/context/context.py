"""The run as one attempt of a step sees it: the implementation of `RunContext`."""

import logging
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

from aetherflow.core.contracts.context import RunContext, StreamName
from aetherflow.core.contracts.handles import FlowResult, HeldLock, Ledger, ResumableWriter, StepResult
from aetherflow.core.kernel.resolver.when import evaluate_when
from aetherflow.core.kernel.sequencing.attempt import Attempt
from aetherflow.core.kernel.state.records import StepKey
from aetherflow.core.runtime.context.calls import AttemptCalls
from aetherflow.core.runtime.context.files_read import FilesRead
from aetherflow.core.runtime.context.ledgers import StagedLedger
from aetherflow.core.runtime.context.locks import AttemptLocks
from aetherflow.core.runtime.context.processes import AttemptProcesses
from aetherflow.core.runtime.context.services import ContextServices
from aetherflow.core.runtime.context.step_state import StepState
from aetherflow.core.runtime.context.synced_files import AttemptFiles

PROGRESS_INTERVAL = 0.2
"""Seconds between two progress events of one attempt."""


def work_id(flow_id: str, run_id: str, slot: str | None, key: StepKey) -> str:
    """`RunContext.work_id` of a step or item: equal for every run of a slot; without a slot, unique to the run."""
    item = f"[{key.item}]" if key.item else ""
    return f"{flow_id}/{key.job}/{key.step}{item}" + (f"@{slot}" if slot else f"#{run_id}")


class StepContext(RunContext):
    """The context of one attempt, composed of `files`, `processes`, `locks`, `calls` and ledgers.

    The methods of the contract delegate to them.
    """

    def __init__(self, services: ContextServices, state: StepState, attempt: Attempt) -> None:
        flow, key = services.flow, attempt.key
        self._services = services
        self._attempt = attempt
        self._next_progress = 0.0
        self.files = AttemptFiles(services, attempt)
        self.flow_id = flow.flow_id
        self.flow_sha256 = flow.fingerprint
        self.run_id = services.run_id
        self.job_id = key.job
        self.step_id = key.step
        self.attempt = attempt.number
        self.idempotency_key = attempt.idem_key
        self.work_root = services.workspace.root
        self.layout = services.workspace.layout
        self.env = flow.env
        self.child_env = services.child_env
        self.resources = services.connectors.resources
        self.connectors = services.connectors
        self.settings = services.settings
        self.state = state

    # Made when a step asks for them: most ask for none

    @cached_property
    def work_id(self) -> str:  # type: ignore[override]
        return work_id(self.flow_id, self.run_id, self._services.constants["run"]["slot"], self._attempt.key)

    @cached_property
    def log(self) -> logging.Logger:  # type: ignore[override]
        return logging.getLogger(f"aetherflow.flow.{self.flow_id}.job.{self.job_id}")

    @cached_property
    def read(self) -> FilesRead:
        """What the attempt reads and starts, for a later comparison of runs."""
        control, effects = self._attempt.control, self._attempt.effects
        found = FilesRead(lambda: control.error is not None or control.stop.requested)
        effects.read = found.facts
        return found

    @cached_property
    def processes(self) -> AttemptProcesses:
        """The child processes of the attempt."""
        return AttemptProcesses(self._services, self._attempt)

    @cached_property
    def locks(self) -> AttemptLocks:
        """The locks of the attempt."""
        return AttemptLocks(self._services.locks, self._attempt)

    @cached_property
    def calls(self) -> AttemptCalls:
        """The inner steps and flows of the attempt."""
        return AttemptCalls(self._services, self._attempt)

    # Files

    def job_dir(self, job_id: str) -> Path:
        return self.files.job_dir(job_id)

    def artifacts_dir(self, job_id: str) -> Path:
        return self.files.folder(job_id, "artifacts")

    def scratch_dir(self, job_id: str) -> Path:
        return self.files.folder(job_id, "scratch")

    def manifests_dir(self, job_id: str) -> Path:
        return self.files.folder(job_id, "manifests")

    def read_path(self, path: str) -> Path:
        return self._noted(self.files.read_path(path))

    def _noted(self, path: Path) -> Path:
        self.read.note(path)
        return path

    def write_path(self, path: str) -> Path:
        return self.files.write_path(path)

    def asset_path(self, path: str) -> Path:
        found = self.files.asset_path(path)
        if (assets := self._services.flow.assets).is_from_top(found, path):
            fix = "write the path relative to the flow file"
            self.log.warning("%s is found in %s only, not beside the flow file; %s", path, assets.top, fix)
        return self._noted(found)

    def write_file(self, path: str | Path) -> AbstractContextManager[BinaryIO]:
        return self.files.write_file(path)

    def publish_file(self, staged: Path, final: str | Path) -> Path:
        return self.files.publish_file(staged, final)

    def append_file(self, path: str | Path) -> AbstractContextManager[BinaryIO]:
        return self.files.append_file(path)

    def resume_file(self, path: str | Path) -> AbstractContextManager[ResumableWriter]:
        return self.files.resume_file(path)

    def remove_scratch(self, path: Path) -> None:
        self.files.remove_scratch(path)

    def swap_dir(self, staged: Path, final: str | Path) -> Path:
        return self.files.swap_dir(staged, final)

    def restore_dir(self, final: str | Path) -> None:
        self.files.restore_dir(final)

    def empty_dir(self, path: str | Path) -> Path:
        return self.files.empty_dir(path)

    def move_file(
        self, source: str | Path, target: str | Path, *, before: Callable[[Path], None] | None = None
    ) -> Path:
        return self.files.move_file(source, target, before)

    def remove(self, path: str | Path) -> bool:
        return self.files.remove(path)

    def artifact(self, path: str | Path, *, sha256: str | None = None) -> Path:
        return self.files.artifact(path, sha256=sha256)

    def consume(self, path: str | Path) -> None:
        self.files.consume(path)

    def remember(self, value: Any) -> None:
        self.files.remember(value)

    def remembered(self) -> Any:
        return self.files.remembered()

    # Programs, locks, steps and flows

    def spawn(
        self, argv: Sequence[str], *, cwd: Path | None = None, env: Mapping[str, str] | None = None
    ) -> "subprocess.Popen[bytes]":
        from aetherflow.core.runtime.context.programs import programs_of  # many flows start none

        folder = cwd or self.artifacts_dir(self.job_id)
        for word, path in programs_of(argv, folder, self.child_env if env is None else env):
            self.read.note_program(word, path)
        return self.processes.start(argv, folder, env)

    def end_process(self, process: "subprocess.Popen[bytes]", grace_seconds: float) -> None:
        self.processes.end(process, grace_seconds)

    def steady_file(self, path: Path) -> AbstractContextManager[Path]:
        from aetherflow.core.runtime.context.steady import steady_file  # few steps need it

        return steady_file(path, self.scratch_dir(self.job_id), self.check_cancelled)

    def stream_limited(
        self, function: str, arguments: Mapping[str, Any], **limits: Any
    ) -> AbstractContextManager[Iterator[Any]]:
        from aetherflow.core.runtime.processes.limited import LimitedCall  # few steps need it

        return self.processes.limited(LimitedCall(function, arguments, **limits), self.artifacts_dir(self.job_id))

    def lease(self, key: str, *, ttl_seconds: float = 600, wait_seconds: float = 0) -> AbstractContextManager[HeldLock]:
        return self.locks.lease(key, ttl_seconds, wait_seconds)

    def acquire_lock(self, key: str, ttl_seconds: float = 600) -> bool:
        return self.locks.acquire(key, ttl_seconds)

    def release_lock(self, key: str) -> None:
        self.locks.release(key)

    def call_step(
        self,
        step_type: str,
        inputs: Mapping[str, Any],
        *,
        step_id: str | None = None,
        roots: Mapping[str, Any] | None = None,
    ) -> StepResult:
        return self.calls.step(step_type, inputs, step_id, roots)

    def call_flow(
        self,
        flow: Path,
        *,
        params: Mapping[str, Any] | None = None,
        slot: str | None = None,
        data_date: str | None = None,
    ) -> FlowResult:
        return self.calls.flow(flow, params, slot, data_date)

    # Ledger, conditions, output, progress, cancellation, secrets

    def ledger(self, name: str) -> Ledger:
        services = self._services
        return StagedLedger(name, self.run_id, services.state, self._attempt, services.events)

    def holds(self, condition: str) -> bool:
        services = self._services
        scope = {name: services.constants[name] for name in ("params", "run")}
        return evaluate_when(condition, {**scope, "jobs": services.jobs, "steps": self._attempt.steps})

    def relay(self, stream: StreamName, data: bytes) -> None:
        self._attempt.relay(stream, data)

    def progress(self, done: float, total: float | None = None, unit: str = "") -> None:
        now = time.monotonic()
        if now >= self._next_progress:
            self._next_progress = now + PROGRESS_INTERVAL
            self._services.events.emit(
                "progress", job_id=self.job_id, step_id=self.step_id, done=done, total=total, unit=unit or None
            )

    @property
    def cancelled(self) -> bool:
        return self._attempt.control.cancelled

    def check_cancelled(self) -> None:
        self._attempt.control.check()

    def redact(self, text: str) -> str:
        return self._services.redactor.mask(text)

    def add_secret(self, text: str) -> None:
        self._services.redactor.add([text])
