"""Decides by the ledger whether a waiting slot may start now."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from aetherflow.core.embedding import iso
from aetherflow.scheduler.ledger.acts import Acts
from aetherflow.scheduler.ledger.epochs import Epochs, Pauses
from aetherflow.scheduler.ledger.leader import current_leader
from aetherflow.scheduler.ledger.records import SlotRow
from aetherflow.scheduler.ledger.slots import Slots
from aetherflow.scheduler.ledger.store import Ledger
from aetherflow.scheduler.reasons import GOES_ON, Reason, SlotReason, said
from aetherflow.scheduler.schedule.policy import (
    BY_HAND,
    AfterDecision,
    Capacity,
    OtherSlot,
    Status,
    all_of,
    decide_after,
    decide_overlap,
    is_ready,
)
from aetherflow.scheduler.schedule.slots import last_slot
from aetherflow.scheduler.time.clock import from_ms, to_ms

if TYPE_CHECKING:
    from aetherflow.scheduler.schedule.schedule import Item, Schedule

_NO_SLOT = "no slot of it yet"


@dataclass(frozen=True, slots=True)
class StartDecision:
    """What to do with a waiting slot now, and why."""

    action: Literal["start", "wait", "skip", "replace", "drop"]
    reason: Reason | None = None
    again: int | None = None
    """For `wait`: the instant (epoch ms) of the next check, if it is known."""


@dataclass(frozen=True, slots=True)
class _Followed:
    """What one of the items that an item follows lets its slot do."""

    other: str
    action: AfterDecision
    status: str
    again: int | None = None


class StartDecisions:
    """Judges waiting slots. Only reads the ledger; judge again inside the transaction that acts on the result.

    `only_mine`: this process only starts slots that it has reserved.
    """

    def __init__(self, ledger: Ledger, schedule: "Schedule", *, only_mine: bool = False) -> None:
        self._ledger = ledger
        self._only_mine = only_mine
        self._schedule = schedule
        self._slots, self._epochs, self._pauses = Slots(ledger), Epochs(ledger), Pauses(ledger)
        self._acts = Acts(ledger)
        self._items: dict[str, Item] = {item.id: item for item in schedule.items}

    def item(self, name: str) -> "Item | None":
        """The item of an id; None if the schedule no longer has it."""
        return self._items.get(name)

    def room(self) -> Capacity:
        """The limits of the schedule and the number of running slots."""
        return self._slots.room(self._schedule.spec.max_running, self._schedule.spec.pools)

    def judge(self, row: SlotRow, others: Sequence[SlotRow], room: Capacity) -> StartDecision:
        """Decide whether a slot may start; `others` are the active slots of its item."""
        item = self.item(row.item)
        by_hand = row.trigger in BY_HAND
        if item is None or not (item.spec.enabled or by_hand):
            return StartDecision("drop", said(SlotReason.REMOVED))
        now = self._ledger.clock.now_ms()
        if not by_hand and (pause := self._pauses.at(row.item, now)) is not None:
            return StartDecision("wait", pause.why, pause.until) if row.begun else StartDecision("skip", pause.why)
        holds = self._acts.holds(row.item)
        if not row.begun and (hold := holds.get(row.slot)) is not None:
            return StartDecision("wait", hold.why, hold.until)
        if not is_ready(now, row.not_before, row.waits_since):
            return StartDecision("wait", None if row.reason_code == SlotReason.HELD else row.why, row.not_before)
        if item.after and not row.begun and not by_hand:
            decision = self.follows(item, row.slot)
            if decision.action != "start":
                return decision
        decision = self._overlap(item, row, [other for other in others if not _is_held(other, holds)])
        if decision.action != "start":
            return decision
        if (full := room.full(row.pool)) is not None:
            return StartDecision("wait", said(SlotReason.FULL, what=full))
        return decision

    def _overlap(self, item: "Item", row: SlotRow, others: Sequence[SlotRow]) -> StartDecision:
        open_ones = [
            OtherSlot(other.slot, other.run_id, other.status == Status.RUNNING, other.begun)
            for other in others
            if other.slot != row.slot and not self._is_left(other)
        ]
        decision = decide_overlap(row.slot, open_ones, item.spec.overlap, begun=row.begun, queued=row.queued)
        if decision in ("start", "replace"):
            return StartDecision(decision)
        first = next((other for other in open_ones if other.running), open_ones[0])
        doing = "still runs" if first.running else "still waits"
        return StartDecision(decision, said(SlotReason.OVERLAP, slot=iso(first.slot), doing=doing))

    def held(self, item: str, rows: Sequence[SlotRow]) -> set[int]:
        """The waiting slots of an item that a person holds: no other one waits for them, is skipped for them or takes
        their place.
        """
        holds = self._acts.holds(item)
        return {row.slot for row in rows if _is_held(row, holds)}

    def _is_left(self, row: SlotRow) -> bool:
        """Whether a waiting slot may never be started: this process does not start it, and no scheduler runs."""
        if not self._only_mine or row.status != Status.WAITING or row.owner == self._ledger.me:
            return False
        return self._ledger.is_gone(row.owner) and current_leader(self._ledger) is None

    def follows(self, item: "Item", slot: int) -> StartDecision:
        """What the slots that one of an item follows let it do, by `after`."""
        each = [self._follow(item, other, slot) for other in item.after]
        action = all_of([one.action for one in each])
        if action == "start":
            return StartDecision("start")
        told = ", ".join(f"{one.other}: {one.status}" for one in each if one.action != "start")
        instants = [one.again for one in each if one.again is not None]
        return StartDecision(action, said(SlotReason.AFTER, what=told), min(instants, default=None))

    def _follow(self, item: "Item", other: str, begin: int) -> "_Followed":
        now, grace = self._ledger.clock.now_ms(), round(item.spec.misfire_grace_time * 1000)
        wanted = item.spec.after_status
        followed = self._items.get(other)
        slot = last_slot(followed, from_ms(begin)) if followed is not None else None
        if slot is None:
            return _Followed(other, decide_after(None, wanted), _NO_SLOT)
        at = to_ms(slot.at)
        found = self._slots.find(other, at)
        if found is None:
            epoch = self._epochs.present().get(other)
            # triggers come in any order: on the first day of a crontab the other item may not have been seen yet
            enabled = followed is not None and followed.spec.enabled
            expected = enabled if epoch is None else epoch.since <= at
            if expected and now <= begin + grace:
                return _Followed(other, "wait", f"its slot {iso(at)} is not entered yet", begin + grace + 1)
            found = self._slots.latest(other, at)
        if found is None:
            return _Followed(other, decide_after(None, wanted), _NO_SLOT)
        stopped = found.status == Status.INTERRUPTED and found.reason_code not in GOES_ON
        status = f"{found.status}, {found.reason}" if stopped else str(found.status)
        return _Followed(other, decide_after(found.status, wanted, goes_on=not stopped), status)


def _is_held(row: SlotRow, holds: Collection[int]) -> bool:
    return row.status == Status.WAITING and not row.begun and row.slot in holds


def by_item(rows: Sequence[SlotRow]) -> dict[str, list[SlotRow]]:
    found: dict[str, list[SlotRow]] = {}
    for row in rows:
        found.setdefault(row.item, []).append(row)
    return found


def catching_up(slots: Slots, acts: Acts, item: str) -> int:
    """Count the slots of an item that were late, or that wait for such slots, and that have not ended."""
    holds = acts.holds(item)
    rows = slots.active_of(item)
    return sum(row.queued and row.trigger not in BY_HAND and row.slot not in holds for row in rows)
