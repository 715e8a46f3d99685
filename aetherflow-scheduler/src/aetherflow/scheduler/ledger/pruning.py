"""Forgetting old slots. The ledger keeps in mind up to where, so that an audit tells what it can no longer know."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from aetherflow.scheduler.clock import iso
from aetherflow.scheduler.ledger.store import Ledger

BATCH = 5000
"""Slots per transaction: a scheduler that runs meanwhile waits for none for long."""
LEAST_MS = 86_400_000
"""What ended a shorter time ago may still be looked at by the process that ran it."""
_OLD = """item=:item AND slot<:before AND status NOT IN ('WAITING', 'RUNNING', 'INTERRUPTED') AND finished_at<:ended
AND slot<>(SELECT max(slot) FROM slots WHERE item=:item)
AND slot<>coalesce((SELECT max(slot) FROM slots WHERE item=:item AND started_at IS NOT NULL), -1)"""


@dataclass(frozen=True, slots=True)
class Pruned:
    """What is forgotten, or would be, of an item."""

    item: str
    slots: int
    oldest: int


def pruned_until(ledger: Ledger) -> dict[str, int]:
    """The instant of each item before which slots were forgotten; items without one are left out."""
    return dict(ledger.read("SELECT item, pruned FROM items WHERE pruned IS NOT NULL ORDER BY item"))


def find_old(ledger: Ledger, before: int) -> list[Pruned]:
    """Slots from before an instant that are over.

    What waits, runs or is to be resumed stays, what ended within the last day, and of each item the latest slot and the
    one that ran last.
    """
    found = []
    for (item,) in ledger.read("SELECT item FROM items ORDER BY item"):
        query = f"SELECT count(*), min(slot) FROM slots WHERE {_OLD}"  # noqa: S608 ours
        ((number, oldest),) = ledger.db.execute(query, _values(ledger, item, before)).fetchall()
        if number:
            found.append(Pruned(item, number, oldest))
    return found


def prune(ledger: Ledger, before: int) -> list[Pruned]:
    """Forget them, with their starts; and what the journal and ended pauses say of that time."""
    found = find_old(ledger, before)
    if not found:
        return []
    with ledger.transaction("prune begins"):  # first: a kill leaves slots that could go, never one that is thought lost
        for each in found:
            ledger.db.execute(
                "UPDATE items SET pruned=max(coalesce(pruned, ?), ?) WHERE item=?", (before, before, each.item)
            )
        ledger.journal("prune", before=iso(before), slots=sum(each.slots for each in found))
    for each in found:
        for _ in _delete(ledger, _values(ledger, each.item, before)):
            pass
    with ledger.transaction("prune ends"):
        ledger.db.execute("DELETE FROM journal WHERE at<?", (before,))
        ledger.db.execute("DELETE FROM pauses WHERE until<?", (before,))
    return found


def _values(ledger: Ledger, item: str, before: int) -> dict[str, Any]:
    return {"item": item, "before": before, "ended": ledger.clock.now_ms() - LEAST_MS}


def _delete(ledger: Ledger, values: dict[str, Any]) -> Iterator[int]:
    number = BATCH
    while number == BATCH:
        with ledger.transaction("prune"):
            rows = ledger.db.execute(f"SELECT item, slot FROM slots WHERE {_OLD} LIMIT {BATCH}", values).fetchall()  # noqa: S608
            ledger.db.executemany("DELETE FROM attempts WHERE item=? AND slot=?", rows)
            ledger.db.executemany("DELETE FROM slots WHERE item=? AND slot=?", rows)
        number = len(rows)
        yield number
