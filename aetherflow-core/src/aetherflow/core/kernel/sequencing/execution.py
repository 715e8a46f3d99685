"""Records of a running job and its steps, and the exceptions of a step that does not end well."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from aetherflow.core.base.errors import UndecidedStepError
from aetherflow.core.base.location import DocPath
from aetherflow.core.base.typed import typed_anywhere
from aetherflow.core.contracts.running import AttemptLog
from aetherflow.core.contracts.step import Step
from aetherflow.core.kernel.sequencing.failure import message_of
from aetherflow.core.kernel.state.records import (
    Artifact,
    StepKey,
    StepRecord,
    StepStart,
    StoredArtifact,
)
from aetherflow.core.kernel.state.transitions import Status
from aetherflow.core.kernel.yaml.flow import JobSpec, StepSpec

if TYPE_CHECKING:
    from aetherflow.core.kernel.locks.lease import Lease


class StepFailedError(Exception):
    """A step of the job did not end well, or (without a step) the job could not begin."""

    def __init__(
        self, cause: BaseException, step: StepSpec | None, path: DocPath, output: AttemptLog | None = None
    ) -> None:
        super().__init__(message_of(cause))
        self.cause = cause
        self.item = ""
        """Description of the failed item of a `for_each`, for messages; empty if there is none."""
        self.note = ""
        """The text after the message."""
        self.items: tuple[str, ...] = ()
        """Names of the failed items of a `for_each`."""
        self.step = step
        self.path = path
        self.output = output

    def __str__(self) -> str:
        return self.told(super().__str__())

    def told(self, message: str) -> str:
        """The message with the item that it is about, and the note."""
        return (f"{self.item}: {message}" if self.item else message) + self.note


class StepUnknownError(StepFailedError):
    """A `once` step was interrupted, now or before: a person must find out whether it had its effect."""


def undecided(key: StepKey, attempt: int, run_id: str) -> UndecidedStepError:
    """The error for an interrupted `once` step, with the command that decides about it."""
    name = f"{key.job}.{key.step.partition('.')[0]}"
    message = f"{name} was interrupted in attempt {attempt} and must not be repeated unasked"
    done, again = (typed_anywhere("resume", run_id, "--decide", f"{name}={answer}") for answer in ("done", "again"))
    return UndecidedStepError(message, fix=f"find out if it was done; if so: {done}; if not: {again}")


def idempotency_key(flow_id: str, run_id: str, key: StepKey) -> str:
    """A key that is the same for every attempt of a step, or of an item, in one run."""
    names = (flow_id, run_id, key.job, key.step, *((key.item,) if key.item else ()))
    return hashlib.sha256("\0".join(names).encode()).hexdigest()[:32]


@dataclass(slots=True, eq=False, repr=False)
class StepTrace:
    """What this process did with a step: attempted it, reused its result, or left it out."""

    step: StepSpec
    record: StepRecord
    """The attempt in the state; says how it ended."""
    reused: bool = False
    recorded: bool = True
    """False as long as the record does not say how this attempt ended."""
    undecided: bool = False
    """True if a person must decide whether the step was done."""
    duration_ms: int | None = None
    """None for a reused result."""
    items: int | None = None
    """Number of items of a `for_each`."""
    items_failed: int = 0
    artifacts: Iterable[Artifact | StoredArtifact] = ()

    @property
    def status(self) -> Status:
        """Status for the summary: UNKNOWN if undecided, INTERRUPTED if no end is recorded."""
        if self.undecided:
            return Status.UNKNOWN
        return self.record.status if self.recorded else Status.INTERRUPTED


class JobRun:
    """A running job: its outputs so far, and what was done with its steps."""

    def __init__(self, spec: JobSpec, path: DocPath) -> None:
        self.spec = spec
        self.path = path
        self.stored: dict[str, Any] = {}
        """Job outputs that earlier processes stored; those of reused steps are copied from here."""
        self.steps: dict[str, Any] = {}
        self.outputs: dict[str, Any] = {}
        self.traces: list[StepTrace] = []
        self.failure: StepFailedError | None = None
        self.blocked_by: str | None = None
        self.lock: Lease | None = None
        """The lock of `jobs[].lock`, while the job runs."""


class Work(NamedTuple):
    """One thing to execute: a step, one item of its `for_each`, or its `verify`."""

    job: JobRun
    step: StepSpec
    path: DocPath
    key: StepKey
    cls: type[Step[Any]]
    inputs: Any
    inputs_path: DocPath
    effect: str
    def_hash: str
    idem_key: str
    item: dict[str, Any]
    """`{"item": …}` in a `for_each`, else empty."""
    label: str | None = None
    """Name of the item for people; None if it has none."""

    @property
    def is_whole(self) -> bool:
        """True for a whole step, False for an item or a `verify`: only a whole step gives outputs to its job."""
        return self.key == (self.job.spec.id, self.step.id, "")

    def start(self) -> StepStart:
        """The record of an attempt's start, for the state."""
        return StepStart(self.key, self.effect, self.idem_key, self.step.type, self.def_hash, label=self.label)
