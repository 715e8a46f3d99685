"""A run whose claims were taken over, or given back: where it must not go on."""

from aetherflow.core.base.claim_errors import ClaimsLostError
from aetherflow.core.base.typed import typed_anywhere
from aetherflow.core.kernel.sequencing.plan import Plan
from aetherflow.core.kernel.state.records import StepKey
from aetherflow.core.kernel.state.run_state import RunState
from aetherflow.core.kernel.state.transitions import Status
from aetherflow.core.records.run_claims import lost_claims_of


def refuse_lost_claims(state: RunState, plan: Plan, run_id: str) -> None:
    """Raise ClaimsLostError if the run would use what a step had claimed, and another run has now.

    Not for steps whose results are set aside, now (`--from-step`) or before.
    """
    again = {(key.job, _outer(key)) for key in plan.intervention.discard_steps}
    latest = state.steps.latest
    found = [
        lost
        for lost in lost_claims_of(state.unit)
        if (lost.step.job, _outer(lost.step)) not in again
        and (record := latest.get(lost.step)) is not None
        and record.status is not Status.DISCARDED
    ]
    if not found:
        return
    order = {job.job_id: place for place, job in enumerate(plan.jobs)}
    first = min(found, key=lambda lost: order.get(lost.step.job, 0))  # what comes after it is done again with it
    step = f"{first.step.job}.{_outer(first.step)}"
    more = f" and {len(found) - 1} more" if len(found) > 1 else ""
    what = f"{first.key!r} of ledger {first.namespace}{more}"
    how = f"run {first.taken_by} took over" if first.taken_by else "a person gave back"
    again_from = typed_anywhere("resume", run_id, "--from-step", first.step.job)
    leave = typed_anywhere("runs", "resolve", run_id, "--as", "abandoned", "--reason", "TEXT")
    raise ClaimsLostError(
        f"run {run_id} cannot go on: {how} what it had claimed in {step}: {what}",
        fix=f"do it again with what is new now: {again_from}; or close it: {leave}",
    )


def _outer(key: StepKey) -> str:
    return key.step.partition(".")[0]
