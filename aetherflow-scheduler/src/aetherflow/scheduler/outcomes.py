"""What an outcome of a run means for its slot."""

import signal
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aetherflow.scheduler.clock import iso
from aetherflow.scheduler.launchers.base import Outcome
from aetherflow.scheduler.orders import one_line, reason_of
from aetherflow.scheduler.policy import Status

if TYPE_CHECKING:
    from aetherflow.scheduler.spec import SchedulerItemSpec

_STOPPED = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM)
DRAINED = "stopped with the scheduler"
NOTHING_RUN = "nothing was run"
LEFT = "its scheduler ended without a word"
RESUMED = (DRAINED, LEFT)
"""Reasons of interrupted slots that go on as soon as somebody can see to it; others are the business of a person."""


@dataclass(frozen=True, slots=True)
class End:
    """How a start ended, for the ledger."""

    status: Status
    reason: str | None
    exit_code: int
    retry: bool
    """Whether another start may help."""


def settle_end(outcome: Outcome, stopped: str | None, *, drained: bool) -> End:
    """Judge an outcome. `stopped`: why this process ended the run, if it did; `drained`: because it ends itself."""
    code = outcome.exit_code
    shown = 128 - code if code < 0 else code
    if code == 0:
        return End(Status.SUCCESS, _found_ended(outcome.summary), 0, retry=False)
    if drained:
        return End(Status.INTERRUPTED, stopped, shown, retry=False)
    if stopped is not None:
        return End(Status.FAILED, stopped, shown, retry=stopped.startswith("timeout"))
    reason = reason_of(outcome.summary)
    number = shown - 128
    if number in _STOPPED:
        return End(Status.INTERRUPTED, f"stopped by {signal.Signals(number).name} from outside", shown, retry=False)
    if code < 0:
        return End(Status.FAILED, f"killed by {_name(-code)}", shown, retry=True)
    if outcome.summary is not None and outcome.summary.get("status") == Status.UNKNOWN:
        return End(Status.UNKNOWN, reason or "a step has to be decided", shown, retry=False)
    return End(Status.FAILED, reason or f"exit code {code}", shown, retry=code != 2)


def _found_ended(summary: Mapping[str, Any] | None) -> str | None:
    """The remark where a start did nothing, since its run is recorded as SUCCESS already; else None."""
    if summary is None or summary.get("nothing_to_do") is not True:
        return None
    at = summary.get("finished_at")
    when = f" at {iso(at)}" if isinstance(at, int) else ""
    return one_line(f"{NOTHING_RUN}: {summary.get('state_path')} has its run as SUCCESS{when}")


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def retries(spec: "SchedulerItemSpec", failures: int) -> float | None:
    """Seconds until the next start of a run that failed so often; None if there is none."""
    return None if spec.retry is None else spec.retry.wait_after(failures)
