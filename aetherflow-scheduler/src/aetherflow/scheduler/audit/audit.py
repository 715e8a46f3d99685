"""Whether every expected slot is accounted for."""

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from aetherflow.scheduler.ledger.epochs import Epochs
from aetherflow.scheduler.ledger.pruning import PRUNED_AHEAD, pruned_until
from aetherflow.scheduler.ledger.records import Epoch, SlotRow
from aetherflow.scheduler.ledger.slots import Slots
from aetherflow.scheduler.ledger.store import Ledger
from aetherflow.scheduler.schedule.slots import expected
from aetherflow.scheduler.time.clock import from_ms, iso, to_ms
from aetherflow.scheduler.time.cron import Cron

if TYPE_CHECKING:
    from aetherflow.scheduler.schedule.schedule import Schedule

GRACE_MS = 300_000
"""For items that the schedule has no more."""


@dataclass(frozen=True, slots=True)
class Gap:
    """An expected slot that nobody has accounted for, or any slot that a process has left behind."""

    item: str
    slot: int
    problem: str

    def as_json(self) -> dict[str, Any]:
        """The gap for machines."""
        return {"item": self.item, "slot": iso(self.slot), "problem": self.problem}


@dataclass(slots=True)
class Audit:
    """What an audit found."""

    expected: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    """Expected slots by status."""
    gaps: list[Gap] = field(default_factory=list)
    pending: int = 0
    """Expected slots whose time has just come: not entered yet, and not late either."""
    pruned: dict[str, int] = field(default_factory=dict)
    """Items of which slots were asked for that the ledger has forgotten, those before the instant."""
    never_seen: list[str] = field(default_factory=list)
    """Enabled items without `since` that nobody has seen yet: of these nothing can be expected."""


def expected_slots(epochs: list[Epoch], start: int, end: int) -> Iterator[int]:
    """The slots in [start, end) that the epochs of one item expect, in order, each once."""
    last = start - 1
    for epoch in epochs:
        first = max(start, epoch.since, last + 1)
        until = end if epoch.until is None else min(end, epoch.until)
        cron, zone = Cron.parse(epoch.definition["cron"]), ZoneInfo(epoch.definition["timezone"])
        for at in cron.between(from_ms(first), from_ms(max(first, until)), zone):
            last = to_ms(at)
            yield last


def audit(schedule: "Schedule", ledger: Ledger, start: dt.datetime | None, end: dt.datetime, *, led: bool) -> Audit:
    """Compare what was expected with the ledger; `start` None: since each item was first seen. Reads only.

    Of an item that was never seen the slots since its `since` are expected, if it has one.

    `led`: a scheduler runs, so that slots that wait for nobody in particular are its business.
    """
    found = Audit()
    now = ledger.clock.now_ms()
    epochs: dict[str, list[Epoch]] = {}
    for epoch in Epochs(ledger).all():
        epochs.setdefault(epoch.item, []).append(epoch)
    graces = {item.id: round(item.spec.misfire_grace_time * 1000) for item in schedule.items}
    slots, pruned = Slots(ledger), pruned_until(ledger)
    last = min(to_ms(end), now + 1)
    unseen = {item.id: item for item in schedule.items if item.spec.enabled and item.id not in epochs}
    found.never_seen = [name for name, item in unseen.items() if item.since is None]
    begins = {name: own[0].since for name, own in epochs.items()}
    begins |= {name: to_ms(item.since) for name, item in unseen.items() if item.since is not None}
    checked: set[tuple[str, int]] = set()
    for name, begin in sorted(begins.items()):
        first = begin if start is None else to_ms(start)
        if first < (forgotten := pruned.get(name, first)) <= now:  # if it lies ahead, by no means all is forgotten
            found.pruned[name], first = forgotten, forgotten
        rows = slots.between(name, first, last)
        if name in epochs:
            wanted = expected_slots(epochs[name], first, last)
        else:
            first = max(first, begin)
            wanted = (to_ms(slot.at) for slot in expected(unseen[name], from_ms(first), from_ms(max(first, last))))
        for slot in wanted:
            row, grace = rows.get(slot), graces.get(name, GRACE_MS)
            checked.add((name, slot))
            if row is None and now - slot <= grace:
                found.pending += 1
                continue
            found.expected += 1
            if (problem := _problem(ledger, row, now, grace, led=led, pruned=pruned.get(name, 0))) is not None:
                found.gaps.append(Gap(name, slot, problem))
            elif row is not None:
                found.counts[row.status] = found.counts.get(row.status, 0) + 1
    for row in slots.active():  # what nobody expected and somebody asked for, before the item was first seen, say
        if (row.item, row.slot) not in checked and (start is None or to_ms(start) <= row.slot) and row.slot < last:
            grace = graces.get(row.item, GRACE_MS)
            if (problem := _problem(ledger, row, now, grace, led=led)) is not None:
                found.gaps.append(Gap(row.item, row.slot, problem))
    found.gaps.sort(key=lambda gap: (gap.item, gap.slot))
    return found


def _problem(ledger: Ledger, row: SlotRow | None, now: int, grace: int, *, led: bool, pruned: int = 0) -> str | None:
    if row is None and pruned > now:
        return f"not in the ledger, and nothing starts until {iso(pruned)}: {PRUNED_AHEAD}"
    if row is None:
        return "not in the ledger: nobody started it, and nobody missed it"
    if not row.active or led or not ledger.is_gone(row.owner):
        return None
    if now - max(row.claimed_at, row.slot) <= grace and row.owner is None:
        return None  # it waits for the next pass
    return f"{row.status}, and the process that had it has ended" if row.owner else f"{row.status}, and nobody runs it"
