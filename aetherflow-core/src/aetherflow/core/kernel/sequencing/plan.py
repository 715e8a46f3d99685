"""What a plan consists of: what the caller asks for, a verdict for every job and step. `verdicts` decides on them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple

from aetherflow.core.base.said import Reason, ReasonCode
from aetherflow.core.kernel.state.records import Intervention, StepKey


class PlanReason(ReasonCode):
    """Why a job or step gets its verdict."""

    ASKED_FROM = "asked_from", "--from {text}"
    FOLLOWS_FROM = "follows_from", "follows from --from {text}"
    CONDITION_READS = "condition_reads", "its condition reads {job}, which runs again"
    NEEDS_SECRET = "needs_secret", "{live} needs its output {names}, a secret that was not stored"
    NEEDS_FILE = "needs_file", "{live} needs {name}, which is gone"
    NOT_ASKED_FOR = "not_asked_for", "only {job} was asked for"
    ENDED = "ended", "{why}"
    """A job that is reused: as it says why it was skipped, or by its status."""
    WAS = "was", "was {status}"
    ASKS = "asks", "a step that must not be repeated unasked was interrupted"
    JOB_ENDED = "job_ended", "its job ended {status}"
    NOT_RUN = "not_run", "not run yet"
    DECIDED_BY = "decided_by", "decided by {actor}"
    DECIDED = "decided", "decided: {answer}"
    REUSED = "reused", "{status} in attempt {attempt}"
    MAYBE_DONE = "maybe_done", "attempt {attempt} was interrupted and may have had its effect: {how}"
    FAILED = "failed", "attempt {attempt} was {status}{why}"


class Verdict(StrEnum):
    """What happens to a step or a job."""

    REUSE = "reuse"
    RUN = "run"
    RUN_AGAIN = "run again"
    ASK = "ask"
    LEAVE = "leave"


class RunOptions(NamedTuple):
    """What the caller asks of a run, new or known, beside its inputs; and who asks."""

    flow_job: str | None = None
    """Id of the only job that is to run; None for all."""
    from_step: str | None = None
    """`JOB` or `JOB.STEP`: discard its result and every one that follows from it."""
    accept_changes: bool = False
    decisions: Mapping[str, str] = MappingProxyType({})
    """`JOB.STEP` to `done` or `again`."""
    actor: str = ""
    reason: str | None = None

    def nothing(self) -> Intervention:
        """An intervention in which nothing is changed."""
        return Intervention(self.actor, self.reason)


class Effects(NamedTuple):
    """What a step says that it would do."""

    lines: tuple[str, ...]
    why: str = ""
    """Why there are no lines; empty if there are."""


@dataclass(slots=True)
class StepPlan:
    """The verdict on one step, with its reason for people."""

    key: StepKey
    verdict: Verdict
    reason: Reason
    effect: str = "repeatable"
    effects: Effects | None = None
    """What it would do; None unless that was asked for, and for what does not run."""


class JobPlan(NamedTuple):
    """Verdict for one job and its steps."""

    job_id: str
    verdict: Verdict
    reason: Reason | None
    steps: Sequence[StepPlan] = ()


class Change(NamedTuple):
    """A step or job whose definition is not the one of its record."""

    key: StepKey
    finished: bool
    diff: str


class PluginChange(NamedTuple):
    """A distribution and its versions before and now; where others provide the same, the name of the step type."""

    name: str
    before: str
    now: str

    def __str__(self) -> str:
        return f"{self.name} {self.before} -> {self.now}"


class Plan(NamedTuple):
    """Verdicts in the order of the flow."""

    jobs: list[JobPlan]
    changes: list[Change]
    intervention: Intervention
    plugins: Sequence[PluginChange] = ()
    """Installed distributions of another version than in the run's latest process: information, no change."""

    @property
    def idle(self) -> bool:
        """True if nothing is left to run."""
        return all(job.verdict in (Verdict.REUSE, Verdict.LEAVE) for job in self.jobs)
