"""Taking over what processes left that have died: their runs are started again under the same ids, and go on."""

from collections.abc import Callable

from aetherflow.scheduler.clock import iso
from aetherflow.scheduler.events import Events
from aetherflow.scheduler.ledger.epochs import Pauses
from aetherflow.scheduler.ledger.records import SlotRow
from aetherflow.scheduler.ledger.slots import Slots
from aetherflow.scheduler.ledger.store import Ledger
from aetherflow.scheduler.outcomes import LEFT, RESUMED
from aetherflow.scheduler.policy import Status


def adopt(ledger: Ledger, events: Events, *, leading: bool, item: str | None = None, slot: int | None = None) -> int:
    """Let RUNNING slots of dead processes wait for a new start, or those of an item; returns how many there were.

    `leading`: other schedulers that still live have been deposed, their slots are taken as well.
    """
    slots = Slots(ledger)
    kinds = {name: owner.kind for name, owner in ledger.owners().items()}

    def is_left(row: SlotRow) -> bool:
        if row.status != Status.RUNNING or row.owner == ledger.me or slot not in (None, row.slot):
            return False
        return ledger.is_gone(row.owner) or (leading and kinds.get(row.owner or "") == "scheduler")

    if leading:
        _take_waiting(ledger, [name for name, kind in kinds.items() if kind == "scheduler" and name != ledger.me])
    return _restart(ledger, events, lambda: [row for row in slots.active() if is_left(row)], LEFT, item)


def _take_waiting(ledger: Ledger, deposed: list[str]) -> None:
    """What earlier leaders kept for themselves, for its next attempt say, is for anybody now."""
    rows = [row for row in Slots(ledger).active() if row.status == Status.WAITING and row.owner in deposed]
    if rows:
        with ledger.transaction("take waiting"):
            for row in rows:
                Slots(ledger).update(row, owner=None)


def resume_interrupted(ledger: Ledger, events: Events, *, drained_only: bool, item: str | None = None) -> int:
    """Let INTERRUPTED slots wait for a new start, but for those of paused items; returns how many there were.

    `drained_only`: only those that were stopped with their scheduler, not those that somebody stopped by hand.
    """
    slots, pauses, now = Slots(ledger), Pauses(ledger), ledger.clock.now_ms()

    def wanted() -> list[SlotRow]:
        return [
            row
            for row in slots.interrupted()
            if (row.reason in RESUMED or not drained_only) and pauses.at(row.item, now) is None
        ]

    return _restart(ledger, events, wanted, "interrupted", item)


def _restart(ledger: Ledger, events: Events, find: Callable[[], list[SlotRow]], reason: str, item: str | None) -> int:
    slots = Slots(ledger)
    if not [row for row in find() if item in (None, row.item)]:
        return 0
    with ledger.transaction("adopt"):
        rows = [row for row in find() if item in (None, row.item)]
        for row in rows:
            slots.end_attempt(row, Status.INTERRUPTED, reason, None)
            slots.update(row, status=Status.WAITING, reason=f"resumes: {reason}", owner=None, finished_at=None)
            ledger.journal("adopted", row.item, row.slot, run_id=row.run_id, reason=reason)
    for row in rows:
        message = f"{row.item} {iso(row.slot)}: goes on as {row.run_id}; {reason}"
        events.warning("adopted", message, item=row.item, slot=iso(row.slot), run_id=row.run_id)
    return len(rows)
