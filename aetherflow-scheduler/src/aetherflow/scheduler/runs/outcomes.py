"""Maps the outcome of a run to the result of its slot."""

import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from aetherflow.core.embedding import iso
from aetherflow.scheduler.launchers.base import Outcome
from aetherflow.scheduler.ledger.truth import error_of
from aetherflow.scheduler.reasons import Reason, SlotReason, code_of, one_line, said
from aetherflow.scheduler.runs.run_requests import reason_of, was_refused
from aetherflow.scheduler.schedule.policy import Status

if TYPE_CHECKING:
    from aetherflow.core.embedding import Trouble
    from aetherflow.scheduler.schedule.spec import SchedulerItemSpec

EXIT_CODE = "exit_code"
_STOPPED = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM)


@dataclass(frozen=True, slots=True)
class End:
    """How a start ended, as the ledger records it."""

    status: Status
    reason: Reason | None
    exit_code: int
    retry: bool
    """Whether another start may help."""
    told_by: str | None = None
    """`exit_code` where nothing else tells: neither the run itself nor its state."""
    place: tuple[str, str] | None = None
    """Where the run is recorded: flow id and state file."""


def decide_end(
    outcome: Outcome, stopped: Reason | None, *, drained: bool, recorded: "Callable[[], Trouble | None]"
) -> End:
    """Judge an outcome: by what the run tells of itself, else by what is `recorded` of it, else by its exit code.

    `stopped`: why this process ended the run, if it did; `drained`: because it ends itself.
    """
    end, summary = _by_exit_code(outcome, stopped, drained=drained), outcome.summary
    if summary is not None and "status" in summary:
        flow_id, state_path = summary.get("flow_id"), summary.get("state_path")
        if isinstance(flow_id, str) and isinstance(state_path, str):
            end = replace(end, place=(flow_id, state_path))
        return _succeeded(end) if summary["status"] == Status.SUCCESS else end
    found = recorded()
    if found is None:
        return replace(end, told_by=EXIT_CODE)
    end = replace(end, place=(found.run.flow_id, found.run.state_path))
    if found.run.status == Status.SUCCESS:
        return _succeeded(end)
    if found.run.status == Status.UNKNOWN:
        return replace(end, status=Status.UNKNOWN, reason=said(SlotReason.UNDECIDED), retry=False)
    unsaid = end.status == Status.SUCCESS or code_of(end.reason) == SlotReason.EXIT_CODE
    if found.run.status == Status.FAILED and unsaid:
        return replace(end, status=Status.FAILED, reason=error_of(found), retry=end.exit_code != 2)
    return end


def _succeeded(end: End) -> End:
    """The run is recorded as SUCCESS, whatever became of its process afterwards: a full disk, a kill."""
    if end.status == Status.SUCCESS:
        return end
    return replace(end, status=Status.SUCCESS, reason=said(SlotReason.RECORDED, number=end.exit_code), retry=False)


def _by_exit_code(outcome: Outcome, stopped: Reason | None, *, drained: bool) -> End:
    code = outcome.exit_code
    shown = 128 - code if code < 0 else code
    if code == 0:
        return End(Status.SUCCESS, _found_ended(outcome.summary), 0, retry=False)
    if drained:
        return End(Status.INTERRUPTED, stopped, shown, retry=False)
    if stopped is not None:
        return End(Status.FAILED, stopped, shown, retry=stopped.code == SlotReason.TIMEOUT)
    error = reason_of(outcome.summary)
    why = SlotReason.REFUSED if was_refused(outcome.summary) else SlotReason.RUN
    reason = said(why, error=error) if error is not None else None
    number = shown - 128
    if number in _STOPPED:
        why_stopped = said(SlotReason.STOPPED_OUTSIDE, signal=signal.Signals(number).name)
        return End(Status.INTERRUPTED, why_stopped, shown, retry=False)
    if code < 0:
        return End(Status.FAILED, said(SlotReason.KILLED, signal=_name(-code)), shown, retry=True)
    if outcome.summary is not None and outcome.summary.get("status") == Status.UNKNOWN:
        return End(Status.UNKNOWN, reason or said(SlotReason.UNDECIDED), shown, retry=False)
    return End(Status.FAILED, reason or said(SlotReason.EXIT_CODE, number=code), shown, retry=code != 2)


def _found_ended(summary: Mapping[str, Any] | None) -> Reason | None:
    """The reason of a start that did nothing: its run already is a SUCCESS, or it was to do nothing; else None."""
    if summary is not None and summary.get("observed") is True:
        return said(SlotReason.OBSERVED)
    if summary is None or summary.get("nothing_to_do") is not True:
        return None
    at = summary.get("finished_at")
    when = f" at {iso(at)}" if isinstance(at, int) else ""
    return said(SlotReason.NOTHING_RUN, state=one_line(str(summary.get("state_path"))), when=when)


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def retries(spec: "SchedulerItemSpec", failures: int) -> float | None:
    """Seconds until the next start after this many failures; None if there is no further start."""
    return None if spec.retry is None else spec.retry.wait_after(failures)
