"""What is under way: a job, and one attempt of one of its steps; and the ways in which it does not end well."""

from dataclasses import dataclass, field
from typing import Any

from aetherflow.core.base.errors import UndecidedStepError
from aetherflow.core.base.location import DocPath
from aetherflow.core.base.summary import JobSummary
from aetherflow.core.contracts.step import Step
from aetherflow.core.kernel.sequencing.failure import message_of
from aetherflow.core.kernel.state.records import StepKey
from aetherflow.core.kernel.yaml.flow import JobSpec, StepSpec
from aetherflow.core.runtime.processes.output import OutputLog


class StepFailedError(Exception):
    """A step of the job did not end well; carries what the state and the summary say about it."""

    def __init__(self, cause: BaseException, step: StepSpec, path: DocPath, output: OutputLog | None) -> None:
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


@dataclass(slots=True)
class JobRun:
    """A job under way."""

    spec: JobSpec
    path: DocPath
    summary: JobSummary
    stored: dict[str, Any] = field(default_factory=dict)
    """Outputs that an earlier process promoted; those of reused steps are taken over."""
    steps: dict[str, Any] = field(default_factory=dict)
    outputs: dict[str, Any] = field(default_factory=dict)


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
    item: dict[str, Any]
    """`{"item": …}` in a `for_each`, else empty."""

    @property
    def prefix(self) -> str:
        """Start of the name of its log."""
        return self.key.step + (f"[{self.key.item}]" if self.key.item else "")
