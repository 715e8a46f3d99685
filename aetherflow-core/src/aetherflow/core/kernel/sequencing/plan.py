"""The records of a plan: the caller's options, and a verdict on every job and step, which `verdicts` makes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple

from aetherflow.core.base.said import Reason, ReasonCode
from aetherflow.core.kernel.state.records import Intervention, StepKey


class PlanReason(ReasonCode):
    """Why a job or step gets its verdict."""

    ASKED_FROM = "asked_from", "--from-step {text}"
    FOLLOWS_FROM = "follows_from", "follows from --from-step {text}"
    CONDITION_READS = "condition_reads", "its condition reads {job}, which runs again"
    DEPENDS_ON = "depends_on", "it was skipped with {job}, which runs again"
    NEEDS_SECRET = "needs_secret", "{live} needs its output {names}, a secret that was not stored"
    NEEDS_FILE = "needs_file", "{live} needs {name}, which is gone"
    NOT_ASKED_FOR = "not_asked_for", "only {jobs} was asked for"
    ENDED = "ended", "{why}"
    """For a reused job: the reason of its skip, or its status."""
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
    """The options of a new or resumed run, beside its inputs, and the user who gave them."""

    jobs: tuple[str, ...] = ()
    """Ids of the only jobs that are to run; empty for all."""
    from_step: str | None = None
    """`JOB` or `JOB.STEP`: discard its result and every one that follows from it."""
    accept_changes: bool = False
    decisions: Mapping[str, str] = MappingProxyType({})
    """`JOB.STEP` to `done` or `again`."""
    actor: str = ""
    reason: str | None = None
    goes_on: bool = False
    """With the jobs that the run was asked for so far, in place of `jobs`."""

    def nothing(self) -> Intervention:
        """An intervention that changes nothing."""
        return Intervention(self.actor, self.reason)


class Effects(NamedTuple):
    """The result of a step's dry run (`Step.plan`)."""

    lines: tuple[str, ...]
    why: str = ""
    """Why there are no lines; empty if there are."""


@dataclass(slots=True, eq=False, repr=False)
class StepPlan:
    """The verdict on one step, with its reason for people."""

    key: StepKey
    verdict: Verdict
    reason: Reason
    effect: str = "repeatable"
    effects: Effects | None = None
    """Result of the dry run; None if none was asked for, or the step does not run."""


class JobPlan(NamedTuple):
    """Verdict for one job and its steps."""

    job_id: str
    verdict: Verdict
    reason: Reason | None
    steps: Sequence[StepPlan] = ()


class Change(NamedTuple):
    """A step or job whose definition differs from the recorded one."""

    key: StepKey
    finished: bool
    diff: str


class PluginChange(NamedTuple):
    """A changed plugin: a distribution and its versions before and now, or a step type and its two distributions."""

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
    """Distributions whose version differs from that in the run's latest process; for information only."""

    @property
    def idle(self) -> bool:
        """True if nothing is left to run."""
        return all(job.verdict in (Verdict.REUSE, Verdict.LEAVE) for job in self.jobs)
