"""The reasons for the status of slots, with their codes and texts."""

from aetherflow.core.embedding import Reason, ReasonCode, code_of, read_reason, said

__all__ = ["GOES_ON", "LEFT_OUT", "Reason", "SlotReason", "code_of", "columns", "read_reason", "said"]


class SlotReason(ReasonCode):
    """Codes of `reason_code` in the tables `slots` and `attempts`."""

    # Left out, or not started in time

    CALENDAR = "calendar", "calendar: {day} is a {kind}"
    BLACKOUT = "blackout", "blackout: {why}"
    PAUSED = "paused", "paused{why}"
    MISFIRE = "misfire", "misfire: {late} late"
    COALESCED = "coalesced", "coalesced"
    MAX_CATCH_UP = "max_catch_up", "max_catch_up"
    SINCE = "since", "since was set to an earlier time"
    REDEFINED = "redefined", "the schedule of the item was changed"
    REMOVED = "removed", "the item was disabled or removed"

    # Waiting

    OVERLAP = "overlap", "overlap: the slot {slot} {doing}"
    AFTER = "after", "after {other}: {status}"
    FULL = "full", "{what} is full"
    RETRY = "retry", "retry after: {why}"
    RESUMES = "resumes", "resumes: {why}"

    # Ended from outside

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
    KILLED = "killed", "killed by {signal}"
    EXIT_CODE = "exit_code", "exit code {number}"
    UNDECIDED = "undecided", "a step has to be decided"
    NOTHING_RUN = "nothing_run", "nothing was run: {state} has its run as SUCCESS{when}"
    """The state file already has the run as SUCCESS."""
    LAUNCHER = "launcher", "{error}"
    """The launcher raised an error; no run is known."""
    CANNOT_START = "cannot_start", "cannot be started: {error}"


GOES_ON = frozenset({SlotReason.DRAINED, SlotReason.LEFT})
"""Reasons of INTERRUPTED slots that are resumed automatically; others wait for a user."""
LEFT_OUT = frozenset({SlotReason.CALENDAR, SlotReason.BLACKOUT})
"""Reasons of SKIPPED slots that were skipped by their configuration, so a backfill leaves them out."""


def columns(reason: Reason | None) -> dict[str, str | None]:
    """The values of the columns `reason` and `reason_code`; both None without a reason."""
    return {"reason": reason, "reason_code": code_of(reason)}
