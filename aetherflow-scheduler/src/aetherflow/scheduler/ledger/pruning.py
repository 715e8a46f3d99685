"""Deletes old slots. The ledger records up to which instant, so that an audit does not report them as gaps."""

import shlex
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aetherflow.core.embedding import iso
from aetherflow.scheduler.ledger.store import Ledger

BATCH = 5000
"""Slots per transaction; small, so that a running scheduler never waits long for the database."""
LEAST_MS = 86_400_000
"""Slots that ended less than this ago are kept: the process that ran them may still read them."""
SECOND_MS = 1000
"""Granularity of slots, so that the recorded instant has no fraction and can be given as `--from`."""
PRUNED_AHEAD = "slots up to there were pruned by a clock that was ahead, or the present one is behind"
_OLD = """item=:item AND slot<:before AND status NOT IN ('WAITING', 'RUNNING', 'INTERRUPTED') AND finished_at<:ended
AND slot NOT IN ({kept}) AND slot<>(SELECT max(slot) FROM slots WHERE item=:item)
AND slot<>coalesce((SELECT max(slot) FROM slots WHERE item=:item AND started_at IS NOT NULL), -1)"""


@dataclass(frozen=True, slots=True)
class Pruned:
    """How many slots of an item are deleted, or would be."""

    item: str
    slots: int
    oldest: int
    newest: int


def pruned_ahead_fix(document: Path) -> str:
    """What to do where the clock that pruned was ahead."""
    prune = shlex.join(["aetherflow-scheduler", "prune", str(document), "--before", "TIME"])
    return f"set the clock right; if it is, say up to which time slots may be forgotten: {prune}"


def pruned_until(ledger: Ledger) -> dict[str, int]:
    """Item id to the instant before which its slots were pruned; items that were never pruned are missing.

    The instant is in the future if the clock was ahead when pruning, or is behind now.
    """
    return dict(ledger.read("SELECT item, pruned FROM items WHERE pruned IS NOT NULL ORDER BY item"))


def find_old(ledger: Ledger, before: int, kept: Collection[tuple[str, int]] = ()) -> list[Pruned]:
    """Count the slots before an instant that `prune` would delete.

    What waits, runs or is to be resumed stays, what ended within the last day, of each item the latest slot and the
    one that ran last, and those that are `kept` (item and slot).
    """
    found = []
    # includes items that were only run by hand and have no expected slots yet
    for (item,) in ledger.read("SELECT DISTINCT item FROM slots ORDER BY item"):
        where, values = _old(ledger, item, before, kept)
        query = f"SELECT count(*), min(slot), max(slot) FROM slots WHERE {where}"  # noqa: S608 ours
        ((number, oldest, newest),) = ledger.db.execute(query, values).fetchall()
        if number:
            found.append(Pruned(item, number, oldest, newest))
    return found


def prune(ledger: Ledger, before: int, kept: Collection[tuple[str, int]] = ()) -> list[Pruned]:
    """Delete the slots that `find_old` counts, their attempts and acts; journal entries and ended pauses of that time.

    The recorded instant of each item follows from its deleted slots, and never from `before`: with a clock that is
    ahead, future slots must not count as pruned. A recorded instant that is wrong in this way is corrected.
    """
    ahead = {item: at for item, at in pruned_until(ledger).items() if at > ledger.clock.now_ms()}
    if ahead:
        with ledger.transaction("prune marks"):
            for item, at in ahead.items():
                ledger.db.execute("UPDATE items SET pruned=? WHERE item=?", (before, item))
                ledger.journal("prune mark", item, was=iso(at), now=iso(before))
    found = find_old(ledger, before, kept)
    if not found:
        return []
    with ledger.transaction("prune begins"):  # first: a kill leaves slots that could go, never one that is thought lost
        for each in found:
            mark = each.newest + SECOND_MS
            ledger.db.execute(
                "INSERT INTO items (item, cursor, pruned) VALUES (?, ?, ?) "
                "ON CONFLICT (item) DO UPDATE SET pruned="
                "CASE WHEN items.pruned > excluded.pruned THEN items.pruned ELSE excluded.pruned END",
                (each.item, mark - 1, mark),
            )
        ledger.journal("prune", before=iso(before), slots=sum(each.slots for each in found))
    for each in found:
        _delete(ledger, *_old(ledger, each.item, each.newest + 1, kept))
    with ledger.transaction("prune ends"):
        ledger.db.execute("DELETE FROM journal WHERE at<?", (before,))
        ledger.db.execute("DELETE FROM pauses WHERE until<?", (before,))
    return found


def _old(ledger: Ledger, item: str, before: int, kept: Collection[tuple[str, int]]) -> tuple[str, dict[str, Any]]:
    marks, slots = _marked([-1, *(slot for name, slot in kept if name == item)])  # no list is empty in SQL
    values = {"item": item, "before": before, "ended": ledger.clock.now_ms() - LEAST_MS}
    return _OLD.format(kept=marks), values | slots


def _marked(slots: Sequence[int]) -> tuple[str, dict[str, int]]:
    """A list of slots for a statement, and their values."""
    names = [f"slot{number}" for number in range(len(slots))]
    return ", ".join(f":{name}" for name in names), dict(zip(names, slots, strict=True))


def _delete(ledger: Ledger, old: str, values: dict[str, Any]) -> None:
    number = BATCH
    while number == BATCH:
        with ledger.transaction("prune"):
            rows = ledger.db.execute(f"SELECT slot FROM slots WHERE {old} LIMIT {BATCH}", values).fetchall()  # noqa: S608
            marks, slots = _marked([slot for (slot,) in rows])
            # at once: the outbox has no index by slot, so each statement goes through all that the item has there
            for table in ("attempts", "outbox", "acts", "slots"):
                if rows:
                    query = f"DELETE FROM {table} WHERE item=:item AND slot IN ({marks})"  # noqa: S608 names are ours
                    ledger.db.execute(query, {"item": values["item"], **slots})
        number = len(rows)
