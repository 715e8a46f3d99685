"""What `RunContext` returns: ledgers, locks, resumable files, and the results of steps and flows."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Protocol

STEP_SUCCESS = "SUCCESS"
STEP_SKIPPED = "SKIPPED"


@dataclass(frozen=True, slots=True)
class StepResult:
    """What a step returns: `SUCCESS` or `SKIPPED`, its outputs, the reason of a skip. A failure is an exception."""

    status: str = STEP_SUCCESS
    output: Mapping[str, Any] | None = None
    reason: str | None = None
    reason_code: str | None = None
    """What programs decide on where they know the step: recorded beside the reason."""

    def as_output(self) -> dict[str, Any]:
        """A copy of the outputs, with `reason` added if it is not there."""
        output = dict(self.output or {})
        if self.reason is not None:
            output.setdefault("reason", self.reason)
        return output


class Claim(NamedTuple):
    """A key of a ledger that a run has taken, for good once its outermost run ends with SUCCESS, whole."""

    key: str
    value: Any
    run_id: str
    """The run that holds it; of the same flow."""
    identity: str
    """Names what is claimed: 32 hex digits of flow, ledger, key and value, equal in every run that claims these."""
    artifact: str | None
    """Absolute path of the file in which that run has what it took; `Ledger.artifact_of` looks whether it is whole."""
    taken_from: str | None
    """The run that held the key before and did not end well."""
    alive: bool
    """Whether a process executes its run, or the run around that: then nobody else may claim the key."""


class Ledger(Protocol):
    """A small durable map of one flow, for watermarks, load ids and deliveries.

    Writes are staged and committed in the transaction that records the step's SUCCESS, facts in the one that records
    its end, whichever that is; reads see staged writes.
    Claims are for what is to be taken once, whichever run takes it: committed before the source is changed, final when
    the outermost run ends with SUCCESS and no job of it was left out. Until then the key is claimed by this run, and
    once the run has ended badly the next one that claims the key takes it over.
    Values are JSON-safe.
    """

    def get(self, key: str, default: Any = None) -> Any:
        """Value of `key`, or `default`: what this run has claimed in a step whose result stands, else what is final.

        What an earlier attempt of this step has claimed does not count: its result was not recorded.
        """

    def put(self, key: str, value: Any) -> None:
        """Set `key`; it is stored when the step ends with SUCCESS."""

    def put_fact(self, key: str, value: Any) -> None:
        """Set `key`; it is stored even if the step fails. For effects that last, such as a delivered file."""

    def put_if_absent(self, key: str, value: Any) -> bool:
        """Set `key` unless it exists; True if it was set."""

    def scan(self, prefix: str = "") -> Mapping[str, Any]:
        """All keys that start with `prefix`, sorted, with values as `get` gives them."""

    def claim(self, key: str, value: Any, *, artifact: str | Path | None = None) -> Claim:
        """Stage a claim of this run: committed by `commit_claims`, or else with the step's SUCCESS.

        One that this run holds already gets the new value. One of a run that has ended is taken over: `taken_from` of
        the result names that run, which cannot be resumed past the step that made it. `artifact` is a file of this
        attempt (as of `ctx.artifact`) for the run that may have to take over; it is kept until the claim is final.
        Raises ClaimBusyError, which names the run, if another run holds the key and lives; StepError if there is no
        such file.
        """

    def commit_claims(self) -> None:
        """Commit what this attempt has claimed in all ledgers: before the source is changed.

        Raises ClaimBusyError, and commits nothing, if another run was first with one of the keys: list again.
        """

    def settle(self, identity: str) -> bool:
        """Make a claim of this run, of any ledger, final with the step's SUCCESS, whatever becomes of the run.

        For what is dealt with for good though the run may fail. False if this run has no claim with that identity.
        """

    def open_claims(self, prefix: str = "") -> Mapping[str, Claim]:
        """Open claims of other runs on keys that start with `prefix`, by key, sorted; read again with each call.

        `alive` ones are to be left alone, the others may be claimed: their runs have ended and were not good.
        """

    def own_claims(self, prefix: str = "") -> Mapping[str, Claim]:
        """Open claims of this run, by key, sorted: staged, and committed by any step and attempt of it.

        Also those of a step that is done again, which `get` leaves out: where the source was changed since, what was
        taken is the artifact of the claim.
        """

    def artifact_of(self, claim: Claim) -> Path:
        """The file in which the run that holds the claim has what it took: whole, as its size and sha256 say.

        To be copied before the key is claimed. Raises ClaimedFileError, naming run and file, if it is gone or damaged.
        """


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
