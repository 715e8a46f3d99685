"""The reasons for the status of slots, with their codes and texts."""

from aetherflow.core.embedding import Reason, ReasonCode, code_of, read_reason, said

__all__ = [
    "GOES_ON",
    "LEFT_OUT",
    "MEANT",
    "Reason",
    "SlotReason",
    "code_of",
    "columns",
    "one_line",
    "read_reason",
    "said",
]


class SlotReason(ReasonCode):
    """Codes of `reason_code` in the tables `slots` and `attempts`."""

    # Left out, or not started in time

    CALENDAR = "calendar", "calendar: {day} is a {kind}"
    BLACKOUT = "blackout", "blackout: {why}"
    PAUSED = "paused", "paused{why}"
    SKIPPED = "skipped", "skipped by {actor}: {why}"
    MISFIRE = "misfire", "not started in time: {late} late (misfire: skip)"
    COALESCED = "coalesced", "coalesced"
    MAX_CATCH_UP = "max_catch_up", "max_catch_up"
    SINCE = "since", "since was set to an earlier time"
    REDEFINED = "redefined", "the schedule of the item was changed"
    REMOVED = "removed", "the item was disabled or removed"

    # Waiting

    HELD = "held", "held{until} by {actor}: {why}"
    OVERLAP = "overlap", "overlap: the slot {slot} {doing}"
    AFTER = "after", "after {what}"
    FULL = "full", "{what} is full"
    RETRY = "retry", "retry after: {why}"
    RESUMES = "resumes", "resumes: {why}"

    # Ended from outside

    AFTER_HEALED = "after_healed", "after {other}, which has succeeded since"
    """SKIPPED for a slot that is healed now: it may run."""
    AFTER_SETTLED = "after_settled", "after {other}, which a person has settled as done"
    """Likewise, as `status` tells it; the ledger keeps `after`, since the other slot has not succeeded."""
    REPLACED = "replaced", "replaced by the slot {slot}"
    """Ended for a later slot of the same item, by `overlap: kill_old`."""
    TIMEOUT = "timeout", "timeout: it ran for more than {seconds:g} s"
    DRAINED = "drained", "stopped with the scheduler"
    LEFT = "left", "its scheduler ended without a word"
    INTERRUPTED = "interrupted", "interrupted"
    PROCESS_ENDED = "process_ended", "its process has ended"
    """RUNNING in the ledger, but its process has ended; used in listings and never stored."""
    STOPPED = "stopped", "stopped by a signal"
    """Stopped by a signal to the command that a user ran."""
    STOPPED_OUTSIDE = "stopped_outside", "stopped by {signal} from outside"
    NOT_STARTED = "not_started", "it was not started"

    # How a start ended

    RUN = "run", "{error}"
    """The error of the run."""
    REFUSED = "refused", "{error}"
    """The run was refused before its state was opened."""
    RECORDED = "recorded", "exit code {number}, but its run is recorded as SUCCESS"
    HEALED = "healed", "it was {was}; its run has succeeded since"
    """By a start that was not the scheduler's: a person has resumed it."""
    HEALED_BY = "healed_by", "it was {was}; {run} of the same slot has succeeded since"
    """Its own run has not, but another one of the same flow with the same slot and parameters."""
    KILLED = "killed", "killed by {signal}"
    EXIT_CODE = "exit_code", "exit code {number}"
    UNDECIDED = "undecided", "a step has to be decided"
    NOTHING_RUN = "nothing_run", "nothing was run: {state} has its run as SUCCESS{when}"
    """The state file already has the run as SUCCESS."""
    OBSERVED = "observed", "observed: nothing was started"
    """The item has `launcher: observe`: something else starts it."""
    LAUNCHER = "launcher", "{error}"
    """The launcher raised an error; no run is known."""
    CANNOT_START = "cannot_start", "cannot be started: {error}"


GOES_ON = frozenset({SlotReason.DRAINED, SlotReason.LEFT})
"""Of interrupted slots that go on as soon as somebody can see to it; others are the business of a person."""
MEANT = frozenset({SlotReason.COALESCED, SlotReason.REMOVED, SlotReason.REDEFINED})
"""Of missed slots that the document has given up: a later slot stands for them, or nothing is expected any more."""
LEFT_OUT = frozenset({SlotReason.CALENDAR, SlotReason.BLACKOUT, SlotReason.SKIPPED})
"""Reasons of SKIPPED slots that nobody wants to run, by the document or one by one, so a backfill leaves them out."""


def one_line(text: str) -> str:
    """The first line of a text, as a ledger can hold it: not endless, and of characters that UTF-8 has."""
    return text.strip().partition("\n")[0][:500].encode(errors="replace").decode()


def columns(reason: Reason | None) -> dict[str, str | None]:
    """The values of the columns `reason` and `reason_code`; both None without a reason."""
    return {"reason": reason, "reason_code": code_of(reason)}
