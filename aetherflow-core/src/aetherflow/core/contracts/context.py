"""The interface of a run for its steps. Built-in steps use nothing else."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
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
    """Sha256 of the text of the flow document, in hexadecimal."""
    run_id: str
    job_id: str
    step_id: str
    attempt: int
    """1 for the first attempt of this step in this run."""
    work_root: Path
    layout: Mapping[str, str]
    env: Mapping[str, str]
    """The environment of the run; `os.environ` is never changed."""
    child_env: Mapping[str, str]
    """The environment of child processes: `env`; in enterprise mode only the variables that the policy allows."""
    resources: Mapping[str, Mapping[str, Any]]
    """Resources as rendered: `{kind, driver, config, options}`."""
    connectors: "Connectors"
    log: "logging.Logger"
    settings: Any
    """The run's settings, an `aetherflow.core.api.Settings` that cannot be changed."""
    state: "RunStateView"
    """Read access to the state of the run, and locks."""
    idempotency_key: str
    """The same for every attempt of this step in this run. Pass it to peers that deduplicate requests."""
    work_id: str
    """Identity of the step's work, `flow/job/step@slot`: the same for every run of one slot, so that a repetition can
    replace what an earlier run loaded. Without a slot it is `flow/job/step#run`."""

    # Folders and paths

    @abstractmethod
    def job_dir(self, job_id: str) -> Path:
        """Folder of a job of this run. It is created on access, as are the three below."""

    @abstractmethod
    def artifacts_dir(self, job_id: str) -> Path:
        """Folder of a job's results."""

    @abstractmethod
    def scratch_dir(self, job_id: str) -> Path:
        """Folder of a job's temporary files."""

    @abstractmethod
    def manifests_dir(self, job_id: str) -> Path:
        """Folder of a job's side files about its results."""

    @abstractmethod
    def read_path(self, path: str) -> Path:
        """Absolute path of data to read; a relative one is under the job's artifacts. PathError outside the roots."""

    @abstractmethod
    def write_path(self, path: str) -> Path:
        """Absolute path of data to write; a relative one is under the job's artifacts. PathError outside the roots."""

    @abstractmethod
    def asset_path(self, path: str) -> Path:
        """Absolute path of a file that belongs to the flow; a relative one is relative to the flow file. PathError."""

    # Durable effects

    @abstractmethod
    def write_file(self, path: str | Path) -> AbstractContextManager[BinaryIO]:
        """Write a file as a whole: under a temporary name, then fsync, rename and fsync of the folder.

        The finished file is recorded as an artifact with its size and sha256. An exception leaves the old file.
        """

    @abstractmethod
    def publish_file(self, staged: Path, final: str | Path) -> Path:
        """Move the finished file `staged` to `final`, replacing a file there: fsync, rename, fsync of the folder.

        The file is recorded as an artifact with its size and sha256. Across file systems it is copied under a
        temporary name first: `final` never shows a part of it.
        """

    @abstractmethod
    def append_file(self, path: str | Path) -> AbstractContextManager[BinaryIO]:
        """Append to a file that others may read meanwhile, such as a log. It is no artifact; fsync at the end."""

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
        """Replace the folder `final` by the folder `staged`, also from another file system.

        Where the system can exchange two names atomically, `final` is at any moment the complete old or the complete
        new folder. Elsewhere a process that dies in between leaves the old one under another name: call
        `restore_dir(final)` before the work begins.
        """

    @abstractmethod
    def restore_dir(self, final: str | Path) -> None:
        """Put back the old folder if a process died inside `swap_dir` and left it under another name."""

    @abstractmethod
    def empty_dir(self, path: str | Path) -> Path:
        """Create a folder, or delete everything in an existing one; returns its absolute path."""

    @abstractmethod
    def move_file(
        self, source: str | Path, target: str | Path, *, before: Callable[[Path], None] | None = None
    ) -> Path:
        """Move a file: by a rename, or across file systems by a copy that is complete before the source is deleted.

        The target is recorded as an artifact, the source as consumed. An existing file at `target` is replaced.
        `before` is called with the target just before the file is moved: for a claim whose artifact it will be.
        """

    @abstractmethod
    def remove(self, path: str | Path) -> bool:
        """Delete a file, or a folder with its content, and record it as consumed. False if the path does not exist."""

    @abstractmethod
    def remember(self, value: Any) -> None:
        """Store a JSON-safe value at once, for later attempts of this step in this run.

        A step that moves or deletes the files that it finds would find fewer in its next attempt: it remembers the
        list before it begins, and continues from that.
        """

    @abstractmethod
    def remembered(self) -> Any:
        """The last value that an earlier attempt stored; None if there is none, or if `--from-step` discarded it."""

    @abstractmethod
    def artifact(self, path: str | Path, *, sha256: str | None = None) -> Path:
        """Record a finished file that the step wrote by other means as an artifact: synced, measured, hashed.

        `sha256`, in hex, is given by a step that has hashed the file while writing: the file is not read again.
        """

    @abstractmethod
    def consume(self, path: str | Path) -> None:
        """Record that this step moved or deleted a file, so that the file's absence makes no step run again."""

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
    def steady_file(self, path: Path) -> AbstractContextManager[Path]:
        """The file as nobody else can change it in the block, for what reads it twice: itself, or a copy of it.

        It is copied into the job's scratch folder if another user could write it, or exchange it by its folders.
        """

    def call_limited(self, function: str, arguments: Mapping[str, Any], **limits: Any) -> Any:
        """Call `package.module:function` as `stream_limited` does, and return its result."""
        with self.stream_limited(function, arguments, **limits) as values:
            *_, result = values
        return result

    @abstractmethod
    def stream_limited(
        self,
        function: str,
        arguments: Mapping[str, Any],
        *,
        subject: str,
        memory_bytes: int,
        cpu_seconds: int,
        fix: str,
    ) -> AbstractContextManager[Iterator[Any]]:
        """Call `package.module:function` with these keyword arguments in a child process with limits.

        For decoders of third-party files whose library allocates what the file says. The iterator gives each value of a
        generator while the child goes on, or the one result. Arguments and values are JSON; a file that the function
        writes is published with `publish_file`. Errors of the function that derive from AetherflowError, and OSError,
        are raised by the iterator. LimitExceededError if it takes more than `memory_bytes` or `cpu_seconds`,
        ProcessError if it fails otherwise; their messages begin with `subject`, the file, and have this `fix`. The
        child gets no variables of the run, and ends with the block. `plan` may use it to read.
        """

    @abstractmethod
    def relay(self, stream: StreamName, data: bytes) -> None:
        """Show a child's output live on the run's stderr and keep it in the log of this attempt, secrets masked."""

    # Locks

    @abstractmethod
    def lease(self, key: str, *, ttl_seconds: float = 600, wait_seconds: float = 0) -> AbstractContextManager[HeldLock]:
        """Hold a lock while the block runs; it is renewed in the background and shared only within this run.

        `ttl_seconds`: how long other runs respect the lock after its last renewal, unless this process is known to be
        dead. `wait_seconds`: 0 fails at once with LockBusyError; otherwise waiters are served in order of arrival.
        Children started in the block see the token as AETHERFLOW_LOCK_TOKEN. If the lock is lost, `cancelled` becomes
        True, the step's children are ended and the block ends with LeaseLostError.
        """

    @abstractmethod
    def acquire_lock(self, key: str, ttl_seconds: float = 600) -> bool:
        """Take a lock until `release_lock(key)` or the end of the run; False if another run has it.

        Its loss is not reported to the step: prefer `lease`.
        """

    @abstractmethod
    def release_lock(self, key: str) -> None:
        """Release a lock taken with `acquire_lock(key)`."""

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

        `roots` are the values of the template roots that only its inputs may read, see `Step.inner_steps`.
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

        A step has one run for each flow that it calls: a second call with the same flow returns the same run.

        `slot` and `data_date` are as in `run_flow`; `slot` defaults to that of this run. Stopping this attempt stops
        that run. Raises StepError if that run does not end with SUCCESS, or if the flow is already running around this
        step.
        """

    @abstractmethod
    def holds(self, condition: str) -> bool:
        """Evaluate a condition in the grammar of `when`, which may also read `steps`. Raises WhenError.

        A step names the inputs that hold conditions in `Step.conditions`.
        """

    @abstractmethod
    def ledger(self, name: str) -> Ledger:
        """The flow's durable map of that name."""

    @abstractmethod
    def progress(self, done: float, total: float | None = None, unit: str = "") -> None:
        """Report progress, which is shown on a terminal; cheap enough to call for every chunk."""

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
        """Mask this text from now on, for example a token that a peer has just issued. Empty text is ignored."""
