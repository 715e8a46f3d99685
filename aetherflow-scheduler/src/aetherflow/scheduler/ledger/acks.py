"""Missed slots that need nobody any more, since a person has said so: rows of `acts`. Runs have acts of their own."""

from collections.abc import Iterable

from aetherflow.scheduler.ledger.records import SlotRow, insert
from aetherflow.scheduler.ledger.store import Ledger, actor

ACK = "ack"


def acknowledge(ledger: Ledger, rows: Iterable[SlotRow], reason: str) -> None:
    """Write it down for slots; in a transaction of the caller."""
    head = {"verb": ACK, "actor": actor(), "host": ledger.host, "reason": reason, "at": ledger.clock.now_ms()}
    for row in rows:
        insert(ledger.db, "acts", {"item": row.item, "slot": row.slot, **head})
        ledger.journal(ACK, row.item, row.slot, reason=reason)


def acknowledged_slots(ledger: Ledger) -> frozenset[tuple[str, int]]:
    """Item and slot of all."""
    return frozenset(ledger.read("SELECT item, slot FROM acts WHERE verb=? AND ended_at IS NULL", (ACK,)))
