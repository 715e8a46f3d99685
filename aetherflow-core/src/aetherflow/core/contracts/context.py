"""What a step may ask of the run that executes it. Built-in steps have nothing else."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

from aetherflow.core.contracts.handles import (
    FlowResult,
    HeldLock,
    Ledger,
    ResumableWriter,
    RunStateView,
    StepResult,
)

if TYPE_CHECKING:
    import logging
    import subprocess

    from aetherflow.core.contracts.connector import Connectors

StreamName = Literal["stdout", "stderr"]


class RunContext(ABC):
    """The run as one step attempt sees it."""

    flow_id: str
    flow_sha256: str
    """Of the text of the flow document, in hexadecimal."""
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
    def publish_file(self, staged: Path, final: str | Path) -> Path:
        """Put the finished file `staged` in the place of `final`: fsync, rename, fsync of the folder.

        The file is recorded as an artifact with its size and sha256. Between file systems it is copied, as a whole.
        """

    @abstractmethod
    def append_file(self, path: str | Path) -> AbstractContextManager[BinaryIO]:
        """Write at the end of a file that others may read meanwhile: a log. It is no artifact; fsync at the end."""

    @abstractmethod
    def remove_scratch(self, path: Path) -> None:
        """Delete a file below the job's scratch folder, if it is there."""

    @abstractmethod
    def resume_file(self, path: str | Path) -> AbstractContextManager[ResumableWriter]:
        """Write a file over several attempts of this step: as `write_file`, but an exception keeps what was written.

        The next attempt finds it again, up to the last `checkpoint`. The finished file appears under its name, as an
        artifact, only when the block ends without an exception.
        """

    @abstractmethod
    def swap_dir(self, staged: Path, final: str | Path) -> Path:
        """Put the folder `staged` in the place of `final`, also from another file system.

        At every moment the old or the new folder stands there, whole. Call `restore_dir(final)` before the work
        begins: where the system cannot swap two names in one step, a dead process may have left the old one aside.
        """

    @abstractmethod
    def restore_dir(self, final: str | Path) -> None:
        """Put back the old folder that a `swap_dir` of a process that died then has set aside; else nothing."""

    @abstractmethod
    def empty_dir(self, path: str | Path) -> Path:
        """A folder without content: created, or all that is in it deleted."""

    @abstractmethod
    def move_file(self, source: str | Path, target: str | Path) -> Path:
        """Give a file another place: by a rename, across file systems by a copy that is whole before the old one goes.

        The new file is an artifact, the old one consumed. A file at `target` is replaced: look before you call.
        """

    @abstractmethod
    def remove(self, path: str | Path) -> bool:
        """Delete a file, or a folder with all in it; consumed. False if there is nothing of that name."""

    @abstractmethod
    def remember(self, value: Any) -> None:
        """Write down at once, for later attempts of this step in this run, what this one is about to do; JSON-safe.

        A step that moves or deletes what it has found finds less the second time: it goes on with what it remembers.
        """

    @abstractmethod
    def remembered(self) -> Any:
        """What an earlier attempt remembered last; None if nothing, or if that result was set aside (`--from`)."""

    @abstractmethod
    def artifact(self, path: str | Path, *, sha256: str | None = None) -> Path:
        """Record a finished file that the step wrote by other means as an artifact: made durable, sized, hashed.

        `sha256`, in hex, is that of a file which the step has hashed while it wrote it: it is not read again.
        """

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
    ) -> StepResult:
        """Run another step inside this one; its result is returned, its failure raised.

        `roots` are the values of the template roots that its inputs wait for, see `Step.inner_steps`.
        """

    @abstractmethod
    def call_flow(
        self,
        flow: Path,
        *,
        params: Mapping[str, Any] | None = None,
        slot: str | None = None,
        data_date: str | None = None,
    ) -> FlowResult:
        """Run another flow to its end, as a run of its own whose parent is this one; every later attempt resumes it.

        One run for each flow that a step calls: a second call with the same flow is answered with the same run.

        `slot` and `data_date` as in `run_flow`; `slot` is that of this run unless given. What stops this attempt stops
        that run. StepError if it does not end well, or if the flow is one of those that are under way around it.
        """

    @abstractmethod
    def holds(self, condition: str) -> bool:
        """Whether an expression in the grammar of `when` is true now; it may also read `steps`. WhenError.

        A step names the inputs that hold one in `Step.conditions`.
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

    @abstractmethod
    def add_secret(self, text: str) -> None:
        """Mask this text from now on: a token that a peer has just given out, say. Empty text is ignored."""
