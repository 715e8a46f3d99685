"""What a step may ask of the run that executes it. Built-in steps have nothing else."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, Protocol

if TYPE_CHECKING:
    import logging
    import subprocess

    from aetherflow.core.contracts.connector import Connectors
    from aetherflow.core.contracts.step import StepResult

StreamName = Literal["stdout", "stderr"]


class Ledger(Protocol):
    """A small durable map of one flow, for watermarks, load ids and deliveries.

    Writes are staged and committed in the transaction that records the step's SUCCESS; reads see staged writes.
    Values are JSON-safe.
    """

    def get(self, key: str, default: Any = None) -> Any:
        """Value of `key`, or `default`."""
        ...

    def put(self, key: str, value: Any) -> None:
        """Set `key`."""
        ...

    def put_if_absent(self, key: str, value: Any) -> bool:
        """Set `key` unless it exists; True if it was set."""
        ...

    def scan(self, prefix: str = "") -> Mapping[str, Any]:
        """All keys that start with `prefix`, sorted."""
        ...


class HeldLock(Protocol):
    """A lock that is held."""

    @property
    def key(self) -> str:
        """The name of the lock."""
        ...

    @property
    def token(self) -> int:
        """The fencing token: greater for every acquisition of the key."""
        ...

    @property
    def lost(self) -> bool:
        """True once another run may hold the lock."""
        ...

    def check(self) -> None:
        """Raise LeaseLostError if the lock was lost."""
        ...


class RunStateView(Protocol):
    """The state of the run as plugins of the documented API know it: reading, and locks.

    Status is recorded by the engine alone, which proves every change; the setters raise StepError.
    """

    def get_step_status(self, job: str, run: str, step: str) -> str | None:
        """Status of a step's latest attempt in this run; None if it has none. StepError for another run."""
        ...

    def acquire_lock(self, key: str, owner: str, ttl_seconds: float = 600) -> bool:
        """Take a lock for the run until `release_lock` or the end of the run; False if another run or owner has it."""
        ...

    def release_lock(self, key: str, owner: str) -> None:
        """Give back what the same owner took; nothing for another one."""
        ...

    def set_job_status(self, job: str, run: str, status: str) -> None:
        """Refused with StepError."""
        ...

    def set_step_status(self, job: str, run: str, step: str, status: str) -> None:
        """Refused with StepError."""
        ...


class RunContext(ABC):
    """The run as one step attempt sees it."""

    flow_id: str
    run_id: str
    job_id: str
    step_id: str
    attempt: int
    """1 for the first attempt of this step in this run."""
    work_root: Path
    layout: Mapping[str, str]
    env: Mapping[str, str]
    """The run's environment; the process's own is never changed."""
    child_env: Mapping[str, str]
    """What a child process inherits: `env`, in enterprise mode the part of it that the policy allows."""
    resources: Mapping[str, Mapping[str, Any]]
    """Resources as rendered: `{kind, driver, config, options}`."""
    connectors: "Connectors"
    log: "logging.Logger"
    settings: Any
    """The run's settings, an `aetherflow.core.api.Settings` that cannot be changed."""
    state: "RunStateView"
    """What may be asked of the state of the run."""
    idempotency_key: str
    """Equal for every attempt of this step in this run; hand it to peers that can drop repeats."""
    work_id: str
    """Names what this step stands for, `flow/job/step@slot`: equal for every run of one slot, so that a repetition can
    replace what came before. A run without a slot stands for itself: `flow/job/step#run`."""

    # Folders and paths

    @abstractmethod
    def job_dir(self, job_id: str) -> Path:
        """Folder of a job of this run, created on access; so are the three below."""

    @abstractmethod
    def artifacts_dir(self, job_id: str) -> Path:
        """Where a job's results stand."""

    @abstractmethod
    def scratch_dir(self, job_id: str) -> Path:
        """Where a job may keep temporary files."""

    @abstractmethod
    def manifests_dir(self, job_id: str) -> Path:
        """Where a job keeps side files about its results."""

    @abstractmethod
    def read_path(self, path: str) -> Path:
        """Absolute path of data to read; a relative one is under the job's artifacts. PathError outside the roots."""

    @abstractmethod
    def write_path(self, path: str) -> Path:
        """Absolute path of data to write; a relative one is under the job's artifacts. PathError outside the roots."""

    @abstractmethod
    def asset_path(self, path: str) -> Path:
        """Absolute path of a file that ships with the flow; a relative one stands beside the flow file."""

    # Durable effects

    @abstractmethod
    def write_file(self, path: str | Path) -> AbstractContextManager[BinaryIO]:
        """Write a file as a whole: under a temporary name, then fsync, rename and fsync of the folder.

        The finished file is recorded as an artifact with its size and sha256. An exception leaves the old file.
        """

    @abstractmethod
    def swap_dir(self, staged: Path, final: str | Path) -> Path:
        """Put the folder `staged` in the place of `final`; the old one stays until the new one stands."""

    @abstractmethod
    def empty_dir(self, path: str | Path) -> Path:
        """A folder without content: created, or all that is in it deleted."""

    @abstractmethod
    def artifact(self, path: str | Path) -> Path:
        """Record a finished file that the step wrote by other means as an artifact: made durable, sized, hashed."""

    @abstractmethod
    def consume(self, path: str | Path) -> None:
        """Say that this step moved or deleted a file, so that its absence is no reason to make it again."""

    @abstractmethod
    def spawn(
        self,
        argv: Sequence[str],
        *,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
    ) -> "subprocess.Popen[bytes]":
        """Start a child in a process group of its own, stdin empty, stdout and stderr as pipes.

        The run ends the child and all its descendants when the attempt ends, however it ends.
        """

    @abstractmethod
    def end_process(self, process: "subprocess.Popen[bytes]", grace_seconds: float) -> None:
        """End a child and all its descendants: SIGTERM, `grace_seconds` to react, SIGKILL."""

    @abstractmethod
    def relay(self, stream: StreamName, data: bytes) -> None:
        """Show a child's output live on the run's stderr and keep it in the log of this attempt, secrets masked."""

    # Locks

    @abstractmethod
    def lease(self, key: str, *, ttl_seconds: float = 600, wait_seconds: float = 0) -> AbstractContextManager[HeldLock]:
        """Hold a lock while the block runs; renewed by itself, shared with nobody but this run.

        `ttl_seconds`: how long a holder that no longer renews is respected, unless its death is known. `wait_seconds`:
        0 fails at once with LockBusyError, else first come, first served. Children started in the block see the token
        as AETHERFLOW_LOCK_TOKEN. If the lock is lost, `cancelled` becomes True, the step's children are ended and the
        block ends with LeaseLostError.
        """

    @abstractmethod
    def acquire_lock(self, key: str, ttl_seconds: float = 600) -> bool:
        """Take a lock until `release_lock(key)` or the end of the run; False if another run has it.

        Nobody is told if it is lost: prefer `lease`.
        """

    @abstractmethod
    def release_lock(self, key: str) -> None:
        """Give back what `acquire_lock(key)` took."""

    # The rest of the run

    @abstractmethod
    def call_step(
        self,
        step_type: str,
        inputs: Mapping[str, Any],
        *,
        step_id: str | None = None,
        roots: Mapping[str, Any] | None = None,
    ) -> "StepResult":
        """Run another step inside this one; its result is returned, its failure raised.

        `roots` are the values of the template roots that its inputs wait for, see `Step.inner_steps`.
        """

    @abstractmethod
    def ledger(self, name: str) -> Ledger:
        """The flow's durable map of that name."""

    @abstractmethod
    def progress(self, done: float, total: float | None = None, unit: str = "") -> None:
        """Report how far the work is; shown on a terminal, cheap enough to call for every chunk."""

    @property
    @abstractmethod
    def cancelled(self) -> bool:
        """True once the step is to end: the run is being stopped, or a time limit or a lost lock ends this attempt."""

    @abstractmethod
    def check_cancelled(self) -> None:
        """Raise StepCancelledError if the step is to end; for loops."""

    @abstractmethod
    def redact(self, text: str) -> str:
        """The text with every known secret replaced by `***`."""
