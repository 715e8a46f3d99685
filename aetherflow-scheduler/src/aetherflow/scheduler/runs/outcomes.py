"""Maps the outcome of a run to the result of its slot."""

import signal
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aetherflow.scheduler.launchers.base import Outcome
from aetherflow.scheduler.reasons import Reason, SlotReason, said
from aetherflow.scheduler.runs.run_requests import one_line, reason_of
from aetherflow.scheduler.schedule.policy import Status
from aetherflow.scheduler.time.clock import iso

if TYPE_CHECKING:
    from aetherflow.scheduler.schedule.spec import SchedulerItemSpec

_STOPPED = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM)


@dataclass(frozen=True, slots=True)
class End:
    """How a start ended, as the ledger records it."""

    status: Status
    reason: Reason | None
    exit_code: int
    retry: bool
    """Whether the item's `retry` applies."""


def decide_end(outcome: Outcome, stopped: Reason | None, *, drained: bool) -> End:
    """Map an outcome. `stopped`: why this process stopped the run, if it did; `drained`: because it ends itself."""
    code = outcome.exit_code
    shown = 128 - code if code < 0 else code
    if code == 0:
        return End(Status.SUCCESS, _found_ended(outcome.summary), 0, retry=False)
    if drained:
        return End(Status.INTERRUPTED, stopped, shown, retry=False)
    if stopped is not None:
        return End(Status.FAILED, stopped, shown, retry=stopped.code == SlotReason.TIMEOUT)
    error = reason_of(outcome.summary)
    reason = said(SlotReason.RUN, error=error) if error is not None else None
    number = shown - 128
    if number in _STOPPED:
        why = said(SlotReason.STOPPED_OUTSIDE, signal=signal.Signals(number).name)
        return End(Status.INTERRUPTED, why, shown, retry=False)
    if code < 0:
        return End(Status.FAILED, said(SlotReason.KILLED, signal=_name(-code)), shown, retry=True)
    if outcome.summary is not None and outcome.summary.get("status") == Status.UNKNOWN:
        return End(Status.UNKNOWN, reason or said(SlotReason.UNDECIDED), shown, retry=False)
    return End(Status.FAILED, reason or said(SlotReason.EXIT_CODE, number=code), shown, retry=code != 2)


def _found_ended(summary: Mapping[str, Any] | None) -> Reason | None:
    """The reason of a start that did nothing because its run already is a SUCCESS; else None."""
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
