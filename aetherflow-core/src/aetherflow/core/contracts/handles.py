"""What `RunContext` returns: ledgers, locks, resumable files, and the results of steps and flows."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO, Protocol

STEP_SUCCESS = "SUCCESS"
STEP_SKIPPED = "SKIPPED"


@dataclass(frozen=True, slots=True)
class StepResult:
    """What a step returns: `SUCCESS` or `SKIPPED`, its outputs, the reason of a skip. A failure is an exception."""

    status: str = STEP_SUCCESS
    output: Mapping[str, Any] | None = None
    reason: str | None = None

    def as_output(self) -> dict[str, Any]:
        """A copy of the outputs, with `reason` added if it is not there."""
        output = dict(self.output or {})
        if self.reason is not None:
            output.setdefault("reason", self.reason)
        return output


class Ledger(Protocol):
    """A small durable map of one flow, for watermarks, load ids and deliveries.

    Writes are staged and committed in the transaction that records the step's SUCCESS; facts are committed with the
    end of the step, even a failure. Reads see staged writes. Values are JSON-safe.
    """

    def get(self, key: str, default: Any = None) -> Any:
        """Value of `key`, or `default`."""

    def put(self, key: str, value: Any) -> None:
        """Set `key`; it is stored when the step ends with SUCCESS."""

    def put_fact(self, key: str, value: Any) -> None:
        """Set `key`; it is stored even if the step fails. For effects that last, such as a delivered file."""

    def put_if_absent(self, key: str, value: Any) -> bool:
        """Set `key` unless it exists; True if it was set."""

    def scan(self, prefix: str = "") -> Mapping[str, Any]:
        """All keys that start with `prefix`, sorted."""


@dataclass(frozen=True, slots=True)
class FlowResult:
    """The result of `ctx.call_flow`: a run that has ended with SUCCESS."""

    flow_id: str
    run_id: str
    jobs: Mapping[str, Mapping[str, Any]]
    """Job to `{status, outputs}`."""


class HeldLock(Protocol):
    """A lock that is held."""

    @property
    def key(self) -> str:
        """The name of the lock."""

    @property
    def token(self) -> int:
        """The fencing token: greater for every acquisition of the key."""

    @property
    def lost(self) -> bool:
        """True once another run may hold the lock."""

    def check(self) -> None:
        """Raise LeaseLostError if the lock was lost."""


class RunStateView(Protocol):
    """The state of the run as the documented plugin API shows it: statuses to read, and locks.

    Only the engine records a status: the setters raise StepError.
    """

    def get_step_status(self, job: str, run: str, step: str) -> str | None:
        """Status of a step's latest attempt in this run; None if it has none. StepError for another run."""

    def acquire_lock(self, key: str, owner: str, ttl_seconds: float = 600) -> bool:
        """Take a lock for the run until `release_lock` or the end of the run; False if another run or owner has it."""

    def release_lock(self, key: str, owner: str) -> None:
        """Release a lock that the same owner took; for another owner nothing happens."""

    def set_job_status(self, job: str, run: str, status: str) -> None:
        """Refused with StepError."""

    def set_step_status(self, job: str, run: str, step: str, status: str) -> None:
        """Refused with StepError."""


class ResumableWriter(Protocol):
    """A file that is written over several attempts."""

    @property
    def size(self) -> int:
        """Bytes in the file, those of earlier attempts included."""

    @property
    def sha256(self) -> str:
        """Hexadecimal sha256 of all that is in the file."""

    @property
    def note(self) -> Mapping[str, Any]:
        """The note of the last checkpoint, also of an earlier attempt; empty if there is none."""

    def write(self, data: bytes) -> int:
        """Append bytes."""

    def checkpoint(self, note: Mapping[str, Any]) -> None:
        """Make everything written so far available to the next attempt, with `note`, a map of JSON values."""

    def restart(self) -> None:
        """Discard everything that was written, by this and earlier attempts, and start with an empty file."""

    def reader(self) -> BinaryIO:
        """A reader of the whole file from its start; the caller closes it."""

    def discard(self) -> None:
        """Remove all that was written; there will be no file."""
