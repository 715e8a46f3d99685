"""The context of a dry run: `RunContext` without effects."""

# ruff: noqa: ARG002 the signatures are those of the contract

import logging
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, NoReturn

from aetherflow.core.base import durable
from aetherflow.core.base.errors import StepError
from aetherflow.core.contracts.context import RunContext, StreamName
from aetherflow.core.kernel.sequencing.execution import idempotency_key
from aetherflow.core.kernel.state.records import StepKey
from aetherflow.core.runtime.connectors.connections import RunConnectors
from aetherflow.core.runtime.context.context import work_id
from aetherflow.core.runtime.context.ledgers import ReadLedger
from aetherflow.core.runtime.context.synced_files import memory_path, read_memory
from aetherflow.core.runtime.opening.opening import Opened
from aetherflow.core.runtime.workspace.sandbox import Sandbox, child_env
from aetherflow.core.runtime.workspace.workspace import Workspace


class ReadingContext(RunContext):
    """Reads are answered; every call that would change something raises StepError. No folder is created."""

    def __init__(self, opened: Opened, workspace: Workspace, connectors: RunConnectors, key: StepKey) -> None:
        flow = opened.flow
        self._key = key
        self._workspace = workspace
        self._state = opened.state
        self._redactor = opened.redactor
        self._assets = flow.assets
        jobs = tuple(workspace.job_path(job.id) for job in flow.spec.jobs)
        self._sandbox = Sandbox.of(flow.snapshot, workspace.root, flow.folder, jobs)
        latest = opened.state.steps.latest.get(key)
        self.flow_id, self.run_id, self.job_id, self.step_id = flow.flow_id, opened.run_id, key.job, key.step
        self.flow_sha256 = flow.fingerprint
        self.attempt = latest.attempt + 1 if latest else 1
        self.idempotency_key = idempotency_key(flow.flow_id, opened.run_id, key)
        self.work_id = work_id(flow.flow_id, opened.run_id, opened.constants["run"]["slot"], key)
        self.work_root, self.layout = workspace.root, workspace.layout
        self.env = flow.env
        self.child_env = child_env(flow.env, flow.snapshot)
        self.resources = connectors.resources
        self.connectors = connectors
        self.settings = flow.snapshot.settings.rooted(workspace.root)
        self.log = logging.getLogger("aetherflow.plan")

    # What can be read

    def job_dir(self, job_id: str) -> Path:
        return self._workspace.job_path(job_id)

    def artifacts_dir(self, job_id: str) -> Path:
        return self._of_job(job_id, "artifacts")

    def scratch_dir(self, job_id: str) -> Path:
        return self._of_job(job_id, "scratch")

    def manifests_dir(self, job_id: str) -> Path:
        return self._of_job(job_id, "manifests")

    def _of_job(self, job_id: str, name: str) -> Path:
        return self._workspace.job_path(job_id) / self.layout[name]

    def read_path(self, path: str) -> Path:
        return self._sandbox.to_read(path, self.artifacts_dir(self.job_id))

    def write_path(self, path: str) -> Path:
        return self._sandbox.to_write(path, self.artifacts_dir(self.job_id), self.job_dir(self.job_id))

    def asset_path(self, path: str) -> Path:
        return self._assets.find(path, self._sandbox)

    def ledger(self, name: str) -> "_AskedLedger":
        return _AskedLedger(name, self._state)

    def remembered(self) -> Any:
        manifests = self.manifests_dir(self.job_id)
        return read_memory(memory_path(manifests, self._key, self.idempotency_key, self._state))

    def progress(self, done: float, total: float | None = None, unit: str = "") -> None:
        pass

    def steady_file(self, path: Path) -> AbstractContextManager[Path]:
        from aetherflow.core.runtime.context.steady import steady_file  # few steps need it

        return steady_file(path, None, self.check_cancelled)

    @contextmanager
    def stream_limited(self, function: str, arguments: Mapping[str, Any], **limits: Any) -> Iterator[Iterator[Any]]:
        from aetherflow.core.runtime.processes.limited import LimitedCall  # few steps need it

        call = LimitedCall(function, arguments, **limits)
        child = durable.spawn(call.argv, cwd=Path("/"), env=call.environment, stdin=subprocess.PIPE)
        with call.asked(child, self.check_cancelled) as values:
            try:
                yield values
            finally:
                child.kill()
                child.wait()

    @property
    def cancelled(self) -> bool:
        return False

    def check_cancelled(self) -> None:
        pass

    def redact(self, text: str) -> str:
        return self._redactor.mask(text)

    def add_secret(self, text: str) -> None:
        self._redactor.add([text])

    # What would change something

    def write_file(self, path: str | Path) -> NoReturn:
        _refuse(f"write {path}")

    def append_file(self, path: str | Path) -> NoReturn:
        _refuse(f"write {path}")

    def remove_scratch(self, path: Path) -> NoReturn:
        _refuse(f"delete {path}")

    def restore_dir(self, final: str | Path) -> NoReturn:
        _refuse(f"restore {final}")

    def resume_file(self, path: str | Path) -> NoReturn:
        _refuse(f"write {path}")

    def publish_file(self, staged: Path, final: str | Path) -> NoReturn:
        _refuse(f"put {staged.name} in the place of {final}")

    def swap_dir(self, staged: Path, final: str | Path) -> NoReturn:
        _refuse(f"replace {final}")

    def empty_dir(self, path: str | Path) -> NoReturn:
        _refuse(f"empty {path}")

    def artifact(self, path: str | Path, *, sha256: str | None = None) -> NoReturn:
        _refuse(f"record {path}")

    def consume(self, path: str | Path) -> NoReturn:
        _refuse(f"record that {path} is gone")

    def move_file(self, source: str | Path, target: str | Path, **_: Any) -> NoReturn:
        _refuse(f"move {source}")

    def remove(self, path: str | Path) -> NoReturn:
        _refuse(f"delete {path}")

    def remember(self, value: Any) -> NoReturn:
        _refuse("remember something")

    def holds(self, condition: str) -> NoReturn:
        _refuse("ask for results that are not there yet")

    def call_flow(self, flow: Path, **_: Any) -> NoReturn:
        _refuse(f"run {flow}")

    def spawn(self, argv: Sequence[str], *, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> NoReturn:
        _refuse(f"start {argv[0] if argv else 'a program'}")

    def end_process(self, process: Any, grace_seconds: float) -> NoReturn:
        _refuse("end a program")

    def relay(self, stream: StreamName, data: bytes) -> NoReturn:
        _refuse("write to the log")

    def lease(self, key: str, *, ttl_seconds: float = 600, wait_seconds: float = 0) -> NoReturn:
        _refuse(f"take the lock {key}")

    def acquire_lock(self, key: str, ttl_seconds: float = 600) -> NoReturn:
        _refuse(f"take the lock {key}")

    def release_lock(self, key: str) -> NoReturn:
        _refuse(f"release the lock {key}")

    def call_step(self, step_type: str, inputs: Mapping[str, Any], **_: Any) -> NoReturn:
        _refuse(f"run {step_type}")


class _AskedLedger(ReadLedger):
    def put(self, key: str, value: Any) -> NoReturn:
        _refuse(f"write {self._name}.{key} into the ledger")

    put_fact = put

    def put_if_absent(self, key: str, value: Any) -> NoReturn:
        _refuse(f"write {self._name}.{key} into the ledger")

    def claim(self, key: str, value: Any, *, artifact: str | Path | None = None) -> NoReturn:
        _refuse(f"claim {self._name}.{key}")

    def commit_claims(self) -> NoReturn:
        _refuse("commit claims")

    def settle(self, identity: str) -> NoReturn:
        _refuse(f"settle the claim {identity}")


def _refuse(what: str) -> NoReturn:
    raise StepError(f"plan() tried to {what}; it may only read", fix="the plugin's authors move it into run()")
