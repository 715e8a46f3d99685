"""The rules for due and waiting slots, as pure functions without clock, ledger or processes."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, NamedTuple

from aetherflow.scheduler.reasons import Reason, SlotReason, said

Overlap = Literal["skip", "queue", "allow", "kill_old"]
Misfire = Literal["skip", "last", "all"]
AfterStatus = Literal["success", "any"]


class Status(StrEnum):
    WAITING = "WAITING"
    """Due, and waiting for an overlapping run, for the slot that it follows, for room, or for its next attempt."""
    RUNNING = "RUNNING"
    SUCCESS = "SUCCESS"
    FAILED = "FAILED"
    UNKNOWN = "UNKNOWN"
    """A step that must not be repeated automatically was interrupted; a user has to decide."""
    INTERRUPTED = "INTERRUPTED"
    """Stopped before its end; the run can be resumed."""
    SKIPPED = "SKIPPED"
    """Not run on purpose: because of a calendar, a blackout, a pause, the overlap policy, or the item it follows."""
    MISSED = "MISSED"
    """Not started in time, for example because no scheduler was running."""


ACTIVE = (Status.WAITING, Status.RUNNING)
BY_HAND = ("manual", "backfill")
"""Triggers by users; pauses and `after` do not apply to them."""


class DueSlot(NamedTuple):
    """A due slot; `excluded` is the reason why it is skipped: calendar, blackout, pause, or a person's wish."""

    slot: int
    excluded: Reason | None = None
    held: Reason | None = None
    """A person holds it: it waits, however late it is, and stands for no other slot."""
    held_until: int | None = None
    """End of a hold that is over; how late it is counts from there."""


class Verdict(NamedTuple):
    """The decision about a due slot: WAITING, SKIPPED or MISSED, with the reason."""

    slot: int
    status: Status
    reason: Reason | None = None
    delay_ms: int = 0
    """Least time for which a WAITING slot waits."""
    catch_up: bool = False
    """Whether it waits for the slots of its item before it, whatever `overlap` says."""


def decide_due(
    due: Sequence[DueSlot],
    now: int,
    *,
    misfire: Misfire,
    grace_ms: int,
    max_catch_up: int,
    spacing_ms: int,
    ahead: int = 0,
) -> list[Verdict]:
    """Decide about the slots of one item that are due at `now`, ordered by time; returns one verdict for each.

    Slots later than `grace_ms` are misfires. `skip` makes them MISSED; `last` runs only the latest of all slots; `all`
    runs the newest `max_catch_up` slots in order, `spacing_ms` apart, and misses the older ones. Of several slots
    within the grace, `skip` and `last` run only the latest. A slot that is held waits beside them.

    `ahead`: number of earlier slots of the item that still catch up. With `all`, a new slot waits for up to
    `max_catch_up` of them, since it's they that delay it; behind more of them `overlap` decides.
    """
    fates: dict[int, Verdict] = {}
    wanted: list[int] = []
    for each in due:
        if each.excluded is not None:
            fates[each.slot] = Verdict(each.slot, Status.SKIPPED, each.excluded)
        elif each.held is not None:
            fates[each.slot] = Verdict(each.slot, Status.WAITING, each.held, catch_up=True)
        elif misfire == "skip" and (late := now - max(each.slot, each.held_until or 0)) > grace_ms:
            fates[each.slot] = Verdict(each.slot, Status.MISSED, said(SlotReason.MISFIRE, late=_late(late)))
        else:
            wanted.append(each.slot)
    kept = wanted[-max_catch_up:] if misfire == "all" else wanted[-1:]
    left = said(SlotReason.MAX_CATCH_UP if misfire == "all" else SlotReason.COALESCED)
    for slot in wanted[: len(wanted) - len(kept)]:
        fates[slot] = Verdict(slot, Status.MISSED, left)
    waits = len(kept) > 1 or (misfire == "all" and 0 < ahead <= max_catch_up)
    for index, slot in enumerate(kept):
        late = misfire == "all" and now - slot > grace_ms
        fates[slot] = Verdict(slot, Status.WAITING, None, index * spacing_ms, catch_up=waits or late)
    return [fates[each.slot] for each in due]


def _late(span_ms: int) -> str:
    seconds = span_ms // 1000
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


@dataclass(frozen=True, slots=True)
class OtherSlot:
    """Another active slot of the same item."""

    slot: int
    run_id: str
    running: bool
    begun: bool
    """Whether its run was started before."""


OverlapDecision = Literal["start", "wait", "skip", "replace"]


def decide_overlap(
    slot: int, others: Collection[OtherSlot], overlap: Overlap, *, begun: bool, queued: bool
) -> OverlapDecision:
    """Decide whether a waiting slot may start while other slots of its item are active.

    `begun`: its run was started before, it is only resumed or tried again. `queued`: it waits for those before it
    whatever the policy says, as catch-up runs and backfills do. `replace`: those before it are to be ended first.
    """
    if overlap == "allow":
        return "start"
    if begun:
        return "wait" if any(other.running or (other.begun and other.slot < slot) for other in others) else "start"
    ahead = [other for other in others if other.slot < slot or other.running or other.begun]
    if not ahead:
        return "start"
    if queued or overlap == "queue":
        return "wait"
    return "replace" if overlap == "kill_old" else "skip"


@dataclass(frozen=True, slots=True)
class Capacity:
    """The limits for concurrent runs, and the number of running ones."""

    max_running: int
    pools: Mapping[str, int]
    running: int
    in_pool: Mapping[str, int]

    def full(self, pool: str | None) -> str | None:
        """The name of the limit that does not allow one more run in a pool; None if there is room."""
        if self.running >= self.max_running:
            return "max_running"
        if pool is not None and self.in_pool.get(pool, 0) >= self.pools.get(pool, self.max_running):
            return f"pool {pool}"
        return None


AfterDecision = Literal["start", "wait", "skip"]


def decide_after(status: Status | None, wanted: AfterStatus = "success", *, goes_on: bool = True) -> AfterDecision:
    """Decide whether a slot may start, by the status of a slot that it follows; None if there is no such slot.

    `goes_on`: one that was interrupted goes on by itself.
    """
    if status in (Status.WAITING, Status.RUNNING) or (status == Status.INTERRUPTED and goes_on):
        return "wait"
    return "start" if status == Status.SUCCESS or wanted == "any" else "skip"


def all_of(decisions: Collection[AfterDecision]) -> AfterDecision:
    """Decide for a slot that follows several: it waits until all have ended, and is skipped if one is not as wanted."""
    return "wait" if "wait" in decisions else "skip" if "skip" in decisions else "start"


def is_ready(now: int, not_before: int | None, waits_since: int | None) -> bool:
    """Whether a wait is over.

    A clock that went back to before the wait began also ends it, or it would last too long.
    """
    return not_before is None or now >= not_before or (waits_since is not None and now < waits_since)


def current_slot(now: int, before: int | None, following: int | None, tolerance_ms: int) -> int | None:
    """The slot that a trigger means: the latest one before it, or the next one if the trigger fired a little early.

    Clocks of hosts differ, so triggers may fire early; but pods may also start late. Early therefore means by at most
    `tolerance_ms`, and by at most a tenth of the time between the two slots.
    """
    if following is None or following - now > tolerance_ms:
        return before
    if before is not None and (following - now) * 10 > following - before:
        return before
    return following
