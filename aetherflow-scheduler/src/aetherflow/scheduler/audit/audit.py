"""Compares the slots that a schedule expects with those that the ledger has recorded."""

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal
from zoneinfo import ZoneInfo

from aetherflow.core.embedding import iso
from aetherflow.scheduler.audit.needs import kind_of, released, settled_by
from aetherflow.scheduler.ledger.acts import Acts, SlotAct, SlotVerb, acknowledged_slots
from aetherflow.scheduler.ledger.epochs import Epochs
from aetherflow.scheduler.ledger.pruning import PRUNED_AHEAD, pruned_until
from aetherflow.scheduler.ledger.records import Epoch, SlotRow
from aetherflow.scheduler.ledger.slots import Slots
from aetherflow.scheduler.ledger.store import Ledger
from aetherflow.scheduler.ledger.truth import truth_of
from aetherflow.scheduler.schedule.calendars import cron_of
from aetherflow.scheduler.schedule.policy import Status
from aetherflow.scheduler.schedule.slots import expected
from aetherflow.scheduler.time.clock import from_ms, to_ms

if TYPE_CHECKING:
    from aetherflow.scheduler.schedule.schedule import Schedule

NEVER = 1 << 62
GRACE_MS = 300_000
"""Milliseconds after which an unrecorded slot is a gap, for items that are no longer in the schedule."""


@dataclass(frozen=True, slots=True)
class Gap:
    """An expected slot that the ledger lacks, or a WAITING or RUNNING slot whose owner process has ended."""

    item: str
    slot: int
    problem: str

    def as_json(self) -> dict[str, Any]:
        return {"item": self.item, "slot": iso(self.slot), "problem": self.problem}


@dataclass(frozen=True, slots=True)
class Finding:
    """A slot that is accounted for, and not as it should be."""

    kind: Literal["failed", "missed", "late"]
    row: SlotRow
    settled: str | None
    """How a person has settled it: `resolved`, `acknowledged`."""

    def as_json(self) -> dict[str, Any]:
        """For machines: why, and what became of it."""
        shown = {name: getattr(self.row, name) for name in ("item", "status", "reason", "reason_code", "told_by")}
        shown |= {"slot": iso(self.row.slot), "run_id": self.row.run_id if self.row.attempts else None}
        return {"kind": self.kind, **shown, "settled": self.settled}


@dataclass(slots=True)
class Audit:
    """The expected slots of a schedule, compared with the ledger."""

    expected: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    """Number of expected slots by status; slots with a gap are not counted."""
    gaps: list[Gap] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    waiting: list[SlotRow] = field(default_factory=list)
    """Expected slots that wait, with what they wait for in `reason`."""
    pending: int = 0
    """Expected slots that the ledger lacks, but whose grace time has not passed yet."""
    pruned: dict[str, int] = field(default_factory=dict)
    """Item id to the instant before which its slots were pruned, where the audited span begins earlier."""
    acts: list[SlotAct] = field(default_factory=list)
    """What persons did to the slots of the span, the first act first."""
    never_seen: list[str] = field(default_factory=list)
    """Enabled items without `since` that no scheduler has seen yet: they have no expected slots."""


def expected_slots(epochs: list[Epoch], start: int, end: int) -> Iterator[int]:
    """The slots in [start, end) that the epochs of one item expect, ascending and without duplicates."""
    last = start - 1
    for epoch in epochs:
        first = max(start, epoch.since, last + 1)
        until = end if epoch.until is None else min(end, epoch.until)
        cron, zone = cron_of(epoch.definition), ZoneInfo(epoch.definition["timezone"])
        for at in cron.between(from_ms(first), from_ms(max(first, until)), zone):
            last = to_ms(at)
            yield last


def audit(schedule: "Schedule", ledger: Ledger, start: dt.datetime | None, end: dt.datetime, *, led: bool) -> Audit:
    """Compare the expected slots in [start, end) with the ledger. Changes nothing.

    With `start` None the span begins where each item was first seen. An item that was never seen is expected to run

    from its `since` on, if it has one. `led`: a scheduler is running, so waiting slots without an owner are no gap.
    """
    comparison = _Comparison(schedule, ledger, None if start is None else to_ms(start), to_ms(end), led=led)
    for name, begin in sorted(comparison.begins().items()):
        comparison.compare(name, begin)
    comparison.add_left()
    comparison.judge()
    comparison.found.gaps.sort(key=lambda gap: (gap.item, gap.slot))
    return comparison.found


class _Comparison:
    """Collects an `Audit` for the slots in [start, end), at most up to now."""

    def __init__(self, schedule: "Schedule", ledger: Ledger, start: int | None, end: int, *, led: bool) -> None:
        self._ledger, self._led, self._start, self._truth = ledger, led, start, truth_of(schedule)
        self._now = ledger.clock.now_ms()
        self._end = min(end, self._now + 1)
        self._slots, self._pruned = Slots(ledger), pruned_until(ledger)
        self._graces = {item.id: round(item.spec.misfire_grace_time * 1000) for item in schedule.items}
        self._epochs: dict[str, list[Epoch]] = {}
        for epoch in Epochs(ledger).all():
            self._epochs.setdefault(epoch.item, []).append(epoch)
        self._unseen = {item.id: item for item in schedule.items if item.spec.enabled and item.id not in self._epochs}
        self._compared: set[tuple[str, int]] = set()
        self._unwell: list[SlotRow] = []
        self.found = Audit(never_seen=[name for name, item in self._unseen.items() if item.since is None])
        self.found.acts = Acts(ledger).all(start or 0, self._end - 1)
        holds = {(act.item, act.slot): act for act in self.found.acts if act.verb == SlotVerb.HOLD}
        self._held = {key: NEVER if act.end is None else act.end for key, act in holds.items()}
        """Item and slot to the end of its hold: until then nobody has to start it."""

    def begins(self) -> dict[str, int]:
        """Item id to the instant (epoch ms) from which its slots are expected."""
        seen = {name: own[0].since for name, own in self._epochs.items()}
        return seen | {name: to_ms(item.since) for name, item in self._unseen.items() if item.since is not None}

    def compare(self, name: str, begin: int) -> None:
        """Add the expected slots of an item, from `begin` on, to the result."""
        first = begin if self._start is None else self._start
        forgotten = self._pruned.get(name, first)
        if first < forgotten <= self._now:  # an instant in the future comes from a wrong clock and proves nothing
            self.found.pruned[name] = first = forgotten
        rows = {row.slot: row for row in self._truth.told(list(self._slots.between(name, first, self._end).values()))}
        for slot in self._expected(name, first, begin):
            self._compared.add((name, slot))
            self._add(name, slot, rows.get(slot))

    def add_left(self) -> None:
        """Add gaps for other slots whose process died, such as manual runs from before the item was first seen."""
        for row in self._slots.active():
            inside = (self._start is None or self._start <= row.slot) and row.slot < self._end
            if not inside or (row.item, row.slot) in self._compared:
                continue
            if (problem := self._problem(row, self._grace(row.item))) is not None:
                self.found.gaps.append(Gap(row.item, row.slot, problem))

    def judge(self) -> None:
        """Say what is wrong with slots that are accounted for, and what a person has done about it."""
        begun = [row for row in self._unwell if row.attempts]
        acts = self._truth.acts(begun) if begun else {}
        acked = acknowledged_slots(self._ledger)
        freed, elsewhere = released(self._ledger, self._truth), self._truth.settled(self._unwell)
        for row in self._unwell + [row for row in freed if (row.item, row.slot) in self._compared]:
            kind = kind_of(row)
            if kind is not None and (row.item, row.slot) not in elsewhere:
                if kind == "missed":
                    settled = "acknowledged" if (row.item, row.slot) in acked else None
                else:
                    settled = (settled_by(acts.get(row.run_id, ())) or (None,))[0]
                self.found.findings.append(Finding(kind, row, settled))
            if row.late:
                self.found.findings.append(Finding("late", row, None))

    def _grace(self, name: str) -> int:
        return self._graces.get(name, GRACE_MS)

    def _expected(self, name: str, first: int, begin: int) -> Iterator[int]:
        if name in self._epochs:
            return expected_slots(self._epochs[name], first, self._end)
        first = max(first, begin)
        slots = expected(self._unseen[name], from_ms(first), from_ms(max(first, self._end)))
        return (to_ms(slot.at) for slot in slots)

    def _add(self, name: str, slot: int, row: SlotRow | None) -> None:
        grace = self._grace(name)
        if row is None and self._now - slot <= grace:
            self.found.pending += 1
            return
        self.found.expected += 1
        pruned = self._pruned.get(name, 0)
        if row is None and pruned > self._now:
            problem: str | None = f"not in the ledger, and nothing starts until {iso(pruned)}: {PRUNED_AHEAD}"
        elif row is None:
            problem = "not in the ledger: nobody started it, and nobody missed it"
        else:
            problem = self._problem(row, grace)
        if problem is not None:
            self.found.gaps.append(Gap(name, slot, problem))
        elif row is not None:
            self.found.counts[row.status] = self.found.counts.get(row.status, 0) + 1
            if row.status == Status.WAITING and row.reason is not None:
                self.found.waiting.append(row)
            if row.late or kind_of(row):
                self._unwell.append(row)

    def _problem(self, row: SlotRow, grace: int) -> str | None:
        """What is wrong with a slot that nobody sees to; None if somebody does, or it has ended."""
        if not row.active or self._led or not self._ledger.is_gone(row.owner):
            return None
        since = max(row.claimed_at, row.slot, self._held.get((row.item, row.slot), 0))
        if self._now - since <= grace and row.owner is None:
            return None  # the next `tick` starts it
        return (
            f"{row.status}, and the process that had it has ended" if row.owner else f"{row.status}, and nobody runs it"
        )
