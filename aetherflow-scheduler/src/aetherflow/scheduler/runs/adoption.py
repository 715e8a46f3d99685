"""Takes over the slots of dead processes: their runs are started again under the same ids, and resume."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from aetherflow.core.embedding import iso
from aetherflow.scheduler.launchers.orphans import birth_of, is_written
from aetherflow.scheduler.ledger.epochs import Pauses
from aetherflow.scheduler.ledger.leader import current_leader
from aetherflow.scheduler.ledger.records import SlotRow
from aetherflow.scheduler.ledger.slots import Slots
from aetherflow.scheduler.ledger.store import Ledger
from aetherflow.scheduler.ledger.truth import Truth
from aetherflow.scheduler.reasons import GOES_ON, Reason, SlotReason, columns, said
from aetherflow.scheduler.runs.events import Events
from aetherflow.scheduler.schedule.policy import Status


def adopt(ledger: Ledger, events: Events, *, leading: bool, item: str | None = None, slot: int | None = None) -> int:
    """Make RUNNING slots of dead processes WAITING, of all items or of one; returns their number.

    `leading`: other schedulers that still live have been deposed, their slots are taken as well.
    """
    slots = Slots(ledger)
    kinds = {name: owner.kind for name, owner in ledger.owners().items()}

    def is_left(row: SlotRow) -> bool:
        if row.status != Status.RUNNING or row.owner == ledger.me or slot not in (None, row.slot):
            return False
        return ledger.is_gone(row.owner) or (leading and kinds.get(row.owner or "") == "scheduler")

    if leading and (deposed := [name for name, kind in kinds.items() if kind == "scheduler" and name != ledger.me]):
        _take_waiting(ledger, deposed)
    return _restart(
        ledger, events, lambda: [row for row in slots.active() if is_left(row)], said(SlotReason.LEFT), item
    )


def _take_waiting(ledger: Ledger, deposed: list[str]) -> None:
    """Release waiting slots that deposed leaders had reserved, for example for their next attempt."""
    rows = [row for row in Slots(ledger).active() if row.status == Status.WAITING and row.owner in deposed]
    if rows:
        with ledger.transaction("take waiting"):
            for row in rows:
                Slots(ledger).update(row, owner=None)


def resume_interrupted(ledger: Ledger, events: Events, *, drained_only: bool, item: str | None = None) -> int:
    """Make INTERRUPTED slots WAITING, except those of paused items; returns their number.

    `drained_only`: only those that were stopped with their scheduler, not those that somebody stopped by hand.
    """
    slots, pauses, now = Slots(ledger), Pauses(ledger), ledger.clock.now_ms()

    def wanted() -> list[SlotRow]:
        return [
            row
            for row in slots.interrupted()
            if (row.reason_code in GOES_ON or not drained_only) and pauses.at(row.item, now) is None
        ]

    return _restart(ledger, events, wanted, said(SlotReason.INTERRUPTED), item)


def _restart(
    ledger: Ledger, events: Events, find: Callable[[], list[SlotRow]], reason: Reason, item: str | None
) -> int:
    def wanted() -> list[SlotRow]:
        return [row for row in find() if item in (None, row.item)]

    resumes = columns(said(SlotReason.RESUMES, why=reason))
    into = {"status": Status.WAITING, **resumes, "owner": None, "finished_at": None}
    rows = _take(ledger, wanted, "adopted", reason, into)
    for row in rows:
        message = f"{row.item} {iso(row.slot)}: goes on as {row.run_id}; {reason}"
        events.warning("adopted", message, item=row.item, slot=iso(row.slot), run_id=row.run_id)
    return len(rows)


def release(ledger: Ledger, events: Events, truth: Truth) -> int:
    """Make RUNNING slots of dead processes INTERRUPTED if no scheduler can adopt them; returns their number.

    For processes that see to some slots only: what nobody sees to would hold up theirs, and take up room, without end.
    A run that goes on without its process is waited for. The next scheduler, or pass, resumes them.
    """
    slots = Slots(ledger)

    def left() -> list[SlotRow]:
        return [row for row in slots.active() if row.status == Status.RUNNING and is_over(ledger, row, truth)]

    if not left() or current_leader(ledger) is not None:
        return 0
    why = said(SlotReason.LEFT)
    into = {"status": Status.INTERRUPTED, **columns(why), "owner": None, "finished_at": ledger.clock.now_ms()}
    rows = _take(ledger, left, "released", why, into | {"pid": None, "birth": None})
    for row in rows:
        message = f"{row.item} {iso(row.slot)}: INTERRUPTED, {why}; `run`, `tick` or `run-item --slot` resumes it"
        events.warning("released", message, item=row.item, slot=iso(row.slot), run_id=row.run_id)
    return len(rows)


def is_over(ledger: Ledger, row: SlotRow, truth: Truth) -> bool:
    """Whether both the owner process of a slot and the run that it started have ended.

    A run of another host, or of a worker, goes on as long as its state says so.
    """
    if row.owner == ledger.me or not ledger.is_gone(row.owner):
        return False
    if row.host == ledger.host:
        if row.pid is not None and row.birth is not None:
            return birth_of(row.pid) != row.birth
        if row.log is not None and is_written(Path(row.log)):  # its owner ended before it could write down the process
            return False
    found = truth.run(row)
    return found is None or found.run.status != Status.RUNNING


def _take(
    ledger: Ledger, find: Callable[[], list[SlotRow]], event: str, reason: Reason, into: dict[str, Any]
) -> list[SlotRow]:
    """Set columns of the slots that `find` returns inside a transaction, and end their last attempts."""
    if not find():
        return []
    with ledger.transaction("adopt"):
        rows = find()
        for row in rows:
            Slots(ledger).end_attempt(row, Status.INTERRUPTED, reason, None)
            Slots(ledger).update(row, **into)
            ledger.journal(event, row.item, row.slot, run_id=row.run_id, reason=reason)
    return rows
