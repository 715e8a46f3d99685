"""The run as one step attempt sees it: the contract `RunContext`, carried out."""

import logging
import subprocess
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, cast

from aetherflow.core.base import durable
from aetherflow.core.contracts.context import StreamName
from aetherflow.core.contracts.handles import FlowResult, HeldLock, Ledger, StepResult
from aetherflow.core.kernel.resolver.deferred import complete_inputs
from aetherflow.core.kernel.resolver.when import evaluate_when
from aetherflow.core.kernel.sequencing.attempt import SpawnRequest
from aetherflow.core.kernel.sequencing.leases import AttemptLeases
from aetherflow.core.kernel.sequencing.stopping import Control
from aetherflow.core.kernel.state.records import Artifact, StepEffects, StepKey
from aetherflow.core.kernel.state.run_state import RunState
from aetherflow.core.kernel.state.values import json_safe
from aetherflow.core.runtime.context.file_effects import FileContext
from aetherflow.core.runtime.context.parts import FlowCall, RunParts
from aetherflow.core.runtime.processes.output import OutputLog

PROGRESS_INTERVAL = 0.2
"""Seconds between two progress events of one attempt."""


def work_id(flow_id: str, run_id: str, slot: str | None, key: StepKey) -> str:
    """What a step, or an item, stands for: equal for every run of a slot; without a slot, for one run."""
    item = f"[{key.item}]" if key.item else ""
    return f"{flow_id}/{key.job}/{key.step}{item}" + (f"@{slot}" if slot else f"#{run_id}")


class StepContext(FileContext):
    """Context of one attempt; collects its effects for the transaction that ends it."""

    def __init__(
        self,
        parts: RunParts,
        key: StepKey,
        attempt: int,
        idempotency_key: str,
        output: OutputLog,
        steps: Mapping[str, Any],
    ) -> None:
        self._parts = parts
        self.steps = steps
        """Outputs of the earlier steps of the job."""
        self._key = key
        self._output = output
        self._next_progress = 0.0
        self._inner: list[StepContext] = []
        self._inner_ids: Counter[str] = Counter()
        self.control = Control(parts.stop)
        """What can end this attempt."""
        self.effects = StepEffects()
        self._leftovers = durable.Leftovers()
        self.leases = AttemptLeases(parts.locks, self.control.cancel)
        self.flow_id = parts.flow_id
        self.flow_sha256 = parts.flow_sha256
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

    def spawn(
        self, argv: Sequence[str], *, cwd: Path | None = None, env: Mapping[str, str] | None = None
    ) -> "subprocess.Popen[bytes]":
        base = {**(self.child_env if env is None else env), **self._parts.lock_env}
        given = {**base, **self._parts.processes.of_step(self.idempotency_key), **self.leases.environment}
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

    @property
    def key(self) -> StepKey:
        """Which step, and which item of it, this is."""
        return self._key

    def inner_key(self, step_id: str) -> StepKey:
        """Key of the next inner step of that id: `OUTER.ID`, from the second call in one attempt on with its number."""
        self._inner_ids[step_id] += 1
        number = self._inner_ids[step_id]
        item = self._key.item if number == 1 else f"{self._key.item}#{number}"
        return StepKey(self._key.job, f"{self._key.step}.{step_id}", item)

    def for_inner(self, key: StepKey, attempt: int, idempotency_key: str) -> "StepContext":
        """Context of an inner step: the same run and output, effects of its own."""
        inner = StepContext(self._parts, key, attempt, idempotency_key, self._output, self.steps)
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

    def call_flow(
        self,
        flow: Path,
        *,
        params: Mapping[str, Any] | None = None,
        slot: str | None = None,
        data_date: str | None = None,
    ) -> FlowResult:
        run_id = f"{self.run_id}.{self.job_id}.{self.step_id}"[:100] + f".{self.idempotency_key[:12]}"
        if times := self._parts.state.steps.times_set_aside(self._key):
            run_id += f"-{times + 1}"  # what was set aside is to be done again, from its beginning
        wanted = FlowCall(flow, run_id, dict(params or {}), slot or self._parts.constants["run"]["slot"], data_date)
        return self._parts.call_flow(self, wanted)

    def holds(self, condition: str) -> bool:
        scope = {name: self._parts.constants[name] for name in ("params", "run")}
        return evaluate_when(condition, {**scope, "jobs": self._parts.jobs, "steps": self.steps})

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

    def add_secret(self, text: str) -> None:
        self._parts.redactor.add([text])


class _StagedLedger:
    def __init__(self, name: str, state: RunState, effects: StepEffects, control: Control) -> None:
        self._control = control
        self._name = name
        self._state = state
        self._staged = effects.ledger
        self._facts = effects.facts

    def get(self, key: str, default: Any = None) -> Any:
        if (self._name, key) in self._staged:
            return self._staged[self._name, key]
        return self._state.steps.ledger(self._name, key).get(key, default)

    def put(self, key: str, value: Any) -> None:
        self._control.check_open()
        self._staged[self._name, key] = json_safe(value, f"ledger {self._name}.{key}")

    def put_fact(self, key: str, value: Any) -> None:
        self.put(key, value)
        self._facts[self._name, key] = self._staged[self._name, key]

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
