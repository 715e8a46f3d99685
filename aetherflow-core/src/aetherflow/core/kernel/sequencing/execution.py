"""What is under way: a job, its steps, one attempt of one of them; and the ways in which it does not end well."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from aetherflow.core.base.errors import UndecidedStepError
from aetherflow.core.base.location import DocPath
from aetherflow.core.contracts.context import StreamName
from aetherflow.core.contracts.handles import StepResult
from aetherflow.core.contracts.running import AttemptLog
from aetherflow.core.contracts.step import Step
from aetherflow.core.kernel.sequencing.failure import message_of
from aetherflow.core.kernel.sequencing.leases import AttemptLeases
from aetherflow.core.kernel.sequencing.stopping import Control
from aetherflow.core.kernel.state.records import (
    Artifact,
    StepEffects,
    StepKey,
    StepRecord,
    StepStart,
    StoredArtifact,
)
from aetherflow.core.kernel.state.transitions import Status
from aetherflow.core.kernel.yaml.flow import JobSpec, StepSpec


class StepFailedError(Exception):
    """A step of the job did not end well, or (without a step) the job could not begin."""

    def __init__(
        self, cause: BaseException, step: StepSpec | None, path: DocPath, output: AttemptLog | None = None
    ) -> None:
        super().__init__(message_of(cause))
        self.cause = cause
        self.item = ""
        """Which item of a `for_each` it was, for people."""
        self.step = step
        self.path = path
        self.output = output

    def __str__(self) -> str:
        return f"{self.item}: {super().__str__()}" if self.item else super().__str__()


class StepUnknownError(StepFailedError):
    """A `once` step was interrupted, now or before: whether it had its effect is for a person to say."""


def undecided(key: StepKey, attempt: int, run_id: str) -> UndecidedStepError:
    """The question that an interrupted `once` step leaves."""
    name = f"{key.job}.{key.step.partition('.')[0]}"
    message = f"{name} was interrupted in attempt {attempt} and must not be repeated unasked"
    answer = f"aetherflow resume {run_id} --decide {name}=done (or =again)"
    return UndecidedStepError(message, fix=f"find out whether it was done, then: {answer}")


def idempotency_key(flow_id: str, run_id: str, key: StepKey) -> str:
    """Equal for every attempt of a step, or of an item, in one run."""
    names = (flow_id, run_id, key.job, key.step, *((key.item,) if key.item else ()))
    return hashlib.sha256("\0".join(names).encode()).hexdigest()[:32]


@dataclass(slots=True)
class StepTrace:
    """What this process did about a step: attempted it, took its result over, or left it out."""

    step: StepSpec
    record: StepRecord
    """The attempt in the state; says how it ended."""
    reused: bool = False
    recorded: bool = True
    """False as long as the record does not say how this attempt ended."""
    undecided: bool = False
    """True if it ended, now or before, with a question."""
    duration_ms: int | None = None
    """None for a result that was taken over."""
    items: int | None = None
    """Number of items of a `for_each`."""
    artifacts: Iterable[Artifact | StoredArtifact] = ()

    @property
    def status(self) -> Status:
        """What the summary says: UNKNOWN for a question, INTERRUPTED where no end is recorded."""
        if self.undecided:
            return Status.UNKNOWN
        return self.record.status if self.recorded else Status.INTERRUPTED


@dataclass(slots=True)
class JobRun:
    """A job under way: its outputs so far, and what becomes of its steps."""

    spec: JobSpec
    path: DocPath
    stored: dict[str, Any] = field(default_factory=dict)
    """Outputs that an earlier process promoted; those of reused steps are taken over."""
    steps: dict[str, Any] = field(default_factory=dict)
    outputs: dict[str, Any] = field(default_factory=dict)
    traces: list[StepTrace] = field(default_factory=list)
    failure: StepFailedError | None = None
    blocked_by: str | None = None


@dataclass(frozen=True, slots=True)
class Work:
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

    @property
    def is_whole(self) -> bool:
        """True for a step, False for an item of it or its `verify`: only a step gives its job outputs."""
        return self.key == (self.job.spec.id, self.step.id, "")

    def start(self) -> StepStart:
        """What the state is told when an attempt starts."""
        return StepStart(self.key, self.effect, self.idem_key, self.step.type, self.def_hash)


class Attempt:
    """One attempt of a step, or of a step inside it: who it is, what can end it, and what it leaves behind."""

    def __init__(
        self,
        key: StepKey,
        number: int,
        idem_key: str,
        steps: Mapping[str, Any],
        log: AttemptLog,
        control: Control,
        leases: AttemptLeases,
        call_inner: "Callable[[Attempt, str, Mapping[str, Any], str, Mapping[str, Any]], StepResult]",
    ) -> None:
        self.key = key
        self.number = number
        self.idem_key = idem_key
        self.steps = steps
        """Outputs of the earlier steps of the job."""
        self.log = log
        self.control = control
        self.leases = leases
        self.effects = StepEffects()
        """For the transaction that ends the attempt."""
        self._call_inner = call_inner
        self._inner: list[Attempt] = []
        self._inner_ids: Counter[str] = Counter()

    def relay(self, stream: StreamName, data: bytes) -> None:
        """Pass output on; nothing once the attempt is over."""
        if not self.control.closed:  # the log is, too
            self.log.feed(stream, data)

    def call_step(
        self, step_type: str, inputs: Mapping[str, Any], step_id: str, identity: Mapping[str, Any]
    ) -> StepResult:
        """Run a step inside this one; its result is returned, its failure raised.

        `identity` are its inputs as they count for the question whether it is the same step as before.
        """
        return self._call_inner(self, step_type, inputs, step_id, identity)

    def inner_key(self, step_id: str) -> StepKey:
        """Key of the next inner step of that id: `OUTER.ID`, from the second call in one attempt on with its number."""
        self._inner_ids[step_id] += 1
        number = self._inner_ids[step_id]
        item = self.key.item if number == 1 else f"{self.key.item}#{number}"
        return StepKey(self.key.job, f"{self.key.step}.{step_id}", item)

    def inside(self, key: StepKey, number: int, idem_key: str) -> "Attempt":
        """An attempt of an inner step: what ends the outer one ends it; it has effects of its own."""
        inner = Attempt(key, number, idem_key, self.steps, self.log, self.control, self.leases, self._call_inner)
        self._inner.append(inner)
        return inner

    def inner_keys(self) -> Iterator[StepKey]:
        """Keys of the inner steps that this attempt has called, at any depth."""
        for inner in self._inner:
            yield inner.key
            yield from inner.inner_keys()

    def artifacts(self) -> Iterator[Artifact]:
        """Artifacts of this attempt and of its inner steps."""
        yield from self.effects.artifacts.values()
        for inner in self._inner:
            yield from inner.artifacts()
