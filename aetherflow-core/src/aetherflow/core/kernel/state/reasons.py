"""The reason codes of runs, jobs and steps."""

from typing import TYPE_CHECKING

from aetherflow.core.base.said import Reason, ReasonCode, code_of, said

if TYPE_CHECKING:
    from aetherflow.core.base.redact import Redactor
    from aetherflow.core.contracts.handles import StepResult


class StateReason(ReasonCode):
    """Codes of `reason_code` in a state file."""

    PARTIAL = "partial", "without {jobs}"
    """A run that ended with SUCCESS without some of its jobs: `--flow-job`."""
    GONE = "gone", "its process is gone"
    """A RUNNING run that no process executes; never stored."""
    CONDITION = "condition", "condition=false"
    """A job whose `when` was false."""
    DEPENDENCY = "dependency_skipped", "{job} was skipped"
    """A job with `on_dependency_skipped: skip`."""
    STEP = "step", "{text}"
    """The reason that a step gives for its end, also for a job that it ended early."""
    WARNED = "warned", "warning: {text}"
    """A step that ended well, and gave no reason, but has written warnings to the log."""
    NO_DATA = "no_data", "{text}"
    """A step that was not executed, since an earlier step ended the job early with a reason."""
    SKIP_JOB = "skip_job", "step requested skip_job"
    """As NO_DATA, if the earlier step gave no reason."""
    ITEMS_SKIPPED = "items_skipped", "all {count} items were skipped"
    ITEMS_TOLD = "items_told", "{count} of {total} items: {name}: {why}"
    """A repeated step whose items warned and are SUCCESS; the first warning is quoted."""
    QUARANTINED = "items_quarantined", "warning: {count} of {total} items in quarantine: {names}"
    """A repeated step that is SUCCESS but for items that were set aside."""
    VERIFIED = "verified", "verified"
    """An interrupted `once` step that was done according to its `verify`."""
    DECIDED = "decided", "decided by {actor}"
    """An interrupted `once` step that was done according to a person."""
    PROCESS_ENDED = "process_ended", "the process that ran it ended"
    """An attempt that a dead process left RUNNING."""
    STOPPED = "stopped", "signal {number}"
    """An attempt that ended because the run was stopped."""
    NOT_BEGUN = "not_begun", "stopped before it began"
    """As STOPPED, before the step's class was called."""


def reason_columns(reason: Reason | None) -> dict[str, str | None]:
    """The columns `reason` and `reason_code` for a reason."""
    return {"reason": reason, "reason_code": code_of(reason)}


def step_reason(result: "StepResult", redactor: "Redactor", warned: str | None = None) -> Reason | None:
    """The reason that a step gives for its end, with secrets masked, else what it has warned of; None without both."""
    if result.reason is None:
        return None if warned is None else said(StateReason.WARNED, text=warned)
    reason = said(StateReason.STEP, text=redactor.mask(result.reason))
    return reason if result.reason_code is None else Reason(result.reason_code, reason)
