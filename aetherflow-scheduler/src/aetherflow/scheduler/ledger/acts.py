"""What persons did to slots: rows of `acts`, each with its entry in the journal. Runs have acts of their own.

An act stands until `until`, or until it is ended: by a later one on the same slot, or by a release. Methods that write
must be called inside a transaction.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from aetherflow.core.embedding import actor, iso
from aetherflow.scheduler.ledger.records import LATEST, SlotRow, insert
from aetherflow.scheduler.ledger.store import Ledger
from aetherflow.scheduler.reasons import Reason, SlotReason, one_line, said
from aetherflow.scheduler.schedule.policy import DueSlot


class SlotVerb(StrEnum):
    """What a person may do to one slot."""

    HOLD = "hold"
    """It is not started."""
    SKIP = "skip"
    """It is left out when its time comes."""
    RELEASE = "release"
    """A hold or a skip is taken back."""
    ACK = "ack"
    """It was missed, and needs nobody."""


_KEPT = (SlotVerb.HOLD, SlotVerb.SKIP)
"""Of these, a slot has one at most that stands."""


@dataclass(frozen=True, slots=True)
class SlotAct:
    """A row of `acts`; times are UTC epoch milliseconds."""

    item: str
    slot: int
    verb: str
    actor: str
    host: str
    reason: str
    until: int | None
    at: int
    ended_at: int | None
    ended_by: str | None

    def stands(self, now: int) -> bool:
        """Whether it counts at that time."""
        return self.ended_at is None and (self.until is None or self.until > now)

    @property
    def end(self) -> int | None:
        """When it ended, or will end; None: when it is released."""
        return min((each for each in (self.until, self.ended_at) if each is not None), default=None)

    @property
    def why(self) -> Reason:
        """The reason for a slot that it holds or leaves out."""
        if self.verb == SlotVerb.SKIP:
            return said(SlotReason.SKIPPED, actor=self.actor, why=one_line(self.reason))
        until = f" until {iso(self.until)}" if self.until is not None else ""
        return said(SlotReason.HELD, until=until, actor=self.actor, why=one_line(self.reason))

    @property
    def told(self) -> tuple[str, str, str, str]:
        """For people: what, by whom, when and why, with its end."""
        end = f"ended {iso(self.ended_at)}" if self.ended_at is not None else None
        end = f"until {iso(self.until)}" if end is None and self.until is not None else end
        return self.verb, f"{self.actor} on {self.host}", iso(self.at), self.reason + (f" ({end})" if end else "")

    def as_json(self) -> dict[str, Any]:
        """For machines; instants are ISO 8601 text."""
        times = {name: getattr(self, name) for name in ("slot", "until", "at", "ended_at")}
        shown = {name: iso(value) if value is not None else None for name, value in times.items()}
        given = {name: getattr(self, name) for name in ("verb", "actor", "host", "reason", "ended_by")}
        return {"item": self.item, **given, **shown}


_COLUMNS = ", ".join(SlotAct.__slots__)
_KEPT_VERBS = f"verb IN ({', '.join(repr(str(each)) for each in _KEPT)})"


class Acts:
    """Access to the table `acts`."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger

    def of(self, item: str, slot: int) -> SlotAct | None:
        """The hold or the skip of a slot that stands; None if there is none."""
        found = self._select(f"item=? AND slot=? AND ended_at IS NULL AND {_KEPT_VERBS}", item, slot)
        return next((act for act in reversed(found) if act.stands(self.ledger.clock.now_ms())), None)

    def holds(self, item: str) -> dict[int, SlotAct]:
        """Slot to the hold that stands, of an item."""
        now = self.ledger.clock.now_ms()
        found = self._select(f"item=? AND ended_at IS NULL AND {_KEPT_VERBS}", item)
        latest = {act.slot: act for act in found if act.stands(now)}
        return {slot: act for slot, act in latest.items() if act.verb == SlotVerb.HOLD}

    def between(self, item: str, first: int, last: int) -> dict[int, SlotAct]:
        """Slot to its latest hold or skip, standing or ended, of the slots of an item in [first, last]."""
        found = self._select(f"item=? AND slot BETWEEN ? AND ? AND {_KEPT_VERBS}", item, first, last)
        return {act.slot: act for act in found}

    def all(self, first: int = 0, last: int = 1 << 62) -> list[SlotAct]:
        """All acts on slots in [first, last], the first one first."""
        return self._select("slot BETWEEN ? AND ?", first, last)

    def of_run(self, run_id: str) -> list[SlotAct]:
        """All acts on the slot whose run that is, the first one first."""
        run = "(SELECT run_id FROM slots WHERE slots.item=acts.item AND slots.slot=acts.slot)"
        return self._select(f"{run}=?", run_id)

    def open(self) -> list[SlotAct]:
        """The holds and skips that stand and that something may come of, ordered by slot.

        Left out are those of slots that have ended, or that are accounted for without having been entered.
        """
        place = "WHERE slots.item=acts.item AND slots.slot=acts.slot"
        ahead = "slot > coalesce((SELECT cursor FROM items WHERE items.item=acts.item), -1)"
        query = (
            f"(EXISTS (SELECT 1 FROM slots {place} AND status='WAITING') "  # noqa: S608 names are ours
            f"OR {ahead} AND NOT EXISTS (SELECT 1 FROM slots {place}))"
        )
        now = self.ledger.clock.now_ms()
        found = self._select(f"ended_at IS NULL AND coalesce(until, {LATEST})>? AND {_KEPT_VERBS} AND {query}", now)
        return sorted(found, key=lambda act: (act.slot, act.item))

    def _select(self, where: str, *values: Any) -> list[SlotAct]:
        query = f"SELECT {_COLUMNS} FROM acts WHERE {where} ORDER BY id"  # noqa: S608 names are ours
        return [SlotAct(*row) for row in self.ledger.read(query, values)]

    # Writing

    def write(self, verb: SlotVerb, item: str, slot: int, reason: str, until: int | None = None) -> SlotAct:
        """Write down an act on a slot. A hold, a skip or a release ends the hold or the skip before it."""
        me, now = actor(), self.ledger.clock.now_ms()
        if verb != SlotVerb.ACK:
            query = (
                f"UPDATE acts SET ended_at=?, ended_by=? WHERE item=? AND slot=? AND ended_at IS NULL AND {_KEPT_VERBS}"  # noqa: S608
            )
            self.ledger.db.execute(query, (now, me, item, slot))
        text = reason.encode(errors="backslashreplace").decode()
        act = SlotAct(item, slot, verb, me, self.ledger.host, text, until, now, None, None)
        insert(self.ledger.db, "acts", {name: getattr(act, name) for name in SlotAct.__slots__})
        end = iso(until) if until is not None else None
        self.ledger.journal(verb, item, slot, reason=text, until=end, host=self.ledger.host)
        return act


def with_act(due_slot: DueSlot, act: SlotAct | None, now: int) -> DueSlot:
    """A due slot as a person has left it: held, left out, or held up to now."""
    if act is None:
        return due_slot
    if act.verb == SlotVerb.SKIP:
        return due_slot._replace(excluded=act.why) if act.stands(now) else due_slot
    return due_slot._replace(held=act.why) if act.stands(now) else due_slot._replace(held_until=act.end)


def acknowledge(ledger: Ledger, rows: Iterable[SlotRow], reason: str, until: int | None = None) -> None:
    """Write down that missed slots need nobody; in a transaction of the caller."""
    for row in rows:
        Acts(ledger).write(SlotVerb.ACK, row.item, row.slot, reason, until)


def acknowledged_slots(ledger: Ledger) -> frozenset[tuple[str, int]]:
    """Item and slot of all that were missed and need nobody, for now."""
    query = f"SELECT item, slot FROM acts WHERE verb=? AND ended_at IS NULL AND coalesce(until, {LATEST})>?"  # noqa: S608
    return frozenset(ledger.read(query, (SlotVerb.ACK, ledger.clock.now_ms())))
