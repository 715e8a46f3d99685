"""Reading slots again: what a person did to their runs, with `aetherflow resume` say, counts for them as well."""

from collections.abc import Sequence

from aetherflow.core.embedding import iso
from aetherflow.scheduler.ledger.records import SlotRow
from aetherflow.scheduler.ledger.slots import Slots
from aetherflow.scheduler.ledger.store import Ledger
from aetherflow.scheduler.ledger.truth import Truth
from aetherflow.scheduler.runs.dependants import Dependants
from aetherflow.scheduler.runs.events import Events
from aetherflow.scheduler.schedule.policy import Status

MOST = 5000
"""Slots that one look asks about, the latest ones: those of a host that was down for weeks are thousands."""


def reread(
    ledger: Ledger,
    truth: Truth,
    dependants: Dependants,
    events: Events,
    rows: Sequence[SlotRow] | None = None,
    *,
    quick: bool = False,
) -> int:
    """Let slots be what their runs have become since they ended; returns how many have changed.

    Omitted, `rows` are those that run, and the latest that did not end in SUCCESS although they should have. One that
    runs is that of its process, unless it died. `quick`: the registry says which states are worth to be asked, and
    nothing is asked twice of files that nobody has written to.
    """
    slots, seen, unwell = Slots(ledger), ledger.seen(), list[SlotRow]()
    if rows is None:
        unwell = [] if quick and truth.is_as_before(seen) else slots.unwell(MOST)
        rows = slots.active() + unwell
        if unwell:
            truth.begin()
    rows = [row for row in rows if row.status != Status.RUNNING or _is_left(ledger, row)]
    changes = truth.changes(rows, quick=quick)
    if not changes:
        if unwell:
            truth.note(seen)
        return 0
    done = []
    with ledger.transaction("reread"):
        for row, fate in changes:
            if not slots.settle(row, fate):
                continue
            ledger.journal("reread", row.item, row.slot, run_id=row.run_id, was=row.status, now=fate.status)
            if fate.status == Status.SUCCESS:
                dependants.note_success(row)
            done.append((row, fate))
    for row, fate in done:
        message = f"{row.item} {iso(row.slot)}: {fate.status}" + (f", {fate.reason}" if fate.reason else "")
        fields = {"item": row.item, "slot": iso(row.slot), "run_id": row.run_id, "status": fate.status}
        level = "INFO" if fate.status == Status.SUCCESS else "ERROR"
        events.tell(level, "reread", message, **fields, was=row.status, reason=fate.reason)
    return len(done)


def _is_left(ledger: Ledger, row: SlotRow) -> bool:
    return row.owner != ledger.me and ledger.is_gone(row.owner)
