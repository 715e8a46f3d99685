"""Why runs, jobs and steps are as they are."""

from typing import TYPE_CHECKING

from aetherflow.core.base.said import Reason, ReasonCode, code_of

if TYPE_CHECKING:
    from aetherflow.core.base.redact import Redactor
    from aetherflow.core.contracts.handles import StepResult


class StateReason(ReasonCode):
    """Codes of `reason_code` in a state file."""

    PARTIAL = "partial", "without {jobs}"
    """A run that ended well without some of its jobs: `--flow-job`."""
    GONE = "gone", "its process is gone"
    """RUNNING in its row, and no process executes it; never stored."""
    CONDITION = "condition", "condition=false"
    """A job whose `when` was false."""
    STEP = "step", "{text}"
    """What a step says of its own end, also for a job that it ended early."""
    NO_DATA = "no_data", "{text}"
    """A step that was never executed: one before it ended its job early, for the reason that it gives."""
    SKIP_JOB = "skip_job", "step requested skip_job"
    """The same, where that step gave none."""
    ITEMS_SKIPPED = "items_skipped", "all {count} items were skipped"
    VERIFIED = "verified", "verified"
    """An interrupted `once` step that was done, as its `verify` found out."""
    DECIDED = "decided", "decided by {actor}"
    """The same, as a person said."""
    PROCESS_ENDED = "process_ended", "the process that ran it ended"
    """An attempt that was found RUNNING."""
    STOPPED = "stopped", "signal {number}"
    """An attempt that ended because the run was stopped."""
    NOT_BEGUN = "not_begun", "stopped before it began"
    """The same, where its class was not yet called."""


def reason_columns(reason: Reason | None) -> dict[str, str | None]:
    """The two columns of a reason."""
    return {"reason": reason, "reason_code": code_of(reason)}


def step_reason(result: "StepResult", redactor: "Redactor") -> Reason | None:
    """What a step says of its end, without secrets; with its own code if it gives one."""
    if result.reason is None:
        return None
    return Reason(result.reason_code or StateReason.STEP.value, redactor.mask(result.reason))
