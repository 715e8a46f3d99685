"""Compares what cron or systemd has started with the slots of a schedule: lost, doubled, late, and unknown starts."""

import datetime as dt
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, get_args

from aetherflow.core.embedding import iso
from aetherflow.scheduler.audit.start_log import Start, StartLog
from aetherflow.scheduler.schedule.slots import excluded, expected
from aetherflow.scheduler.time.clock import to_ms

if TYPE_CHECKING:
    from aetherflow.scheduler.schedule.schedule import Item, Schedule

StartFault = Literal["lost", "doubled", "late", "unknown"]
IN_TIME = dt.timedelta(seconds=60)
"""A start within its minute is in time: cron looks once a minute."""

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
EARLY = dt.timedelta(seconds=2)
"""A clock that is being set right may write a start so much before its slot."""


@dataclass(frozen=True, slots=True)
class StartFinding:
    """One start, or one slot without a start, that is not as it should be."""

    kind: StartFault
    item: str | None
    """None for a start that belongs to no item."""
    slot: dt.datetime | None
    at: dt.datetime | None
    """When it was started; None for a slot that was lost."""
    what: str
    """The start as the log has it; of a lost slot, what the log would have."""

    def as_json(self) -> dict[str, Any]:
        """The finding as reports for machines have it."""
        slot, at = (None if each is None else iso(to_ms(each)) for each in (self.slot, self.at))
        return {"kind": self.kind, "item": self.item, "slot": slot, "started_at": at, "start": self.what}


@dataclass(slots=True)
class Comparison:
    """What a log has of the slots of a schedule."""

    start: dt.datetime
    end: dt.datetime
    expected: int = 0
    """Number of slots in [start, end)."""
    in_time: int = 0
    findings: list[StartFinding] = field(default_factory=list)
    not_compared: list[str] = field(default_factory=list)
    """Enabled items without `replaces`, which no log tells of."""

    @property
    def counts(self) -> dict[str, int]:
        """Kind of finding to the number of these."""
        return {kind: sum(each.kind == kind for each in self.findings) for kind in get_args(StartFault)}


@dataclass(slots=True)
class _Place:
    """A slot of one of the items that share a line of the log, and the start that it got."""

    at: dt.datetime
    item: "Item"
    start: dt.datetime | None = None


def compare(schedule: "Schedule", log: StartLog, start: dt.datetime, end: dt.datetime) -> Comparison:
    """Compare the slots in [start, end) with the starts of a log. Each start stands for one slot at most."""
    found = Comparison(start, end)
    items = [item for item in schedule.items if item.spec.enabled]
    found.not_compared = [item.id for item in items if item.spec.replaces is None]
    groups: dict[str, list[Item]] = {}
    for item in items:
        if item.spec.replaces is not None:
            groups.setdefault(item.spec.replaces, []).append(item)
    starts: dict[str | None, list[Start]] = {}
    for each in log.starts:
        starts.setdefault(_group_of(each, groups), []).append(each)
    for what, group in groups.items():
        _Group(what, group, starts.pop(what, []), found).compare()
    unknown = [each for each in starts.get(None, []) if start <= each.at < end]
    found.findings += [StartFinding("unknown", None, None, each.at, each.what) for each in unknown]
    found.findings.sort(key=lambda each: (each.slot or each.at or start, each.item or "", each.kind))
    return found


def _group_of(start: Start, groups: Iterable[str]) -> str | None:
    """The line of the log that items replace; one without an account is that of any account."""
    if start.what in groups:
        return start.what
    rest = start.what.partition(") ")[2]
    return rest if rest in groups else None


class _Group:
    """The items that replace one line of the log: which start belongs to which of their slots."""

    def __init__(self, what: str, items: list["Item"], starts: list[Start], found: Comparison) -> None:
        self._what, self._items, self._found = what, items, found
        self._starts = sorted(each.at for each in starts)
        self._grace = max(dt.timedelta(seconds=item.spec.misfire_grace_time) for item in items)
        begin, end = found.start - self._grace, found.end + self._grace
        slots = [slot for item in items for slot in expected(item, begin, end) if excluded(slot) is None]
        self._places = [_Place(slot.at, slot.item) for slot in sorted(slots, key=lambda slot: slot.at)]
        self._times = [place.at for place in self._places]

    def compare(self) -> None:
        """Add what is not as it should be to the comparison."""
        late = [at for at in self._starts if not self._take(at, IN_TIME)]
        for at in late:
            if not self._take(at, self._grace):
                self._surplus(at)
        for place in self._places:
            self._judge(place)

    def _take(self, at: dt.datetime, most: dt.timedelta) -> bool:
        """Let a start stand for the latest slot before it that has none, if that is not too long ago.

        Behind a slot of the span it is of the span, too: of those before, the log does not tell whether they have one.
        """
        before = self._before(at)
        inside = bool(before) and self._is_inside(before[-1].at)
        for place in reversed(before):
            if at - place.at >= most or (inside and not self._is_inside(place.at)):
                return False
            if place.start is None:
                place.start = at
                return True
        return False

    def _before(self, at: dt.datetime) -> list[_Place]:
        last = bisect_right(self._times, at + EARLY)
        first = bisect_right(self._times, at - self._grace)
        return self._places[first:last]

    def _surplus(self, at: dt.datetime) -> None:
        if not self._is_inside(at):
            return
        before = self._before(at)
        if before:
            place = before[-1]
            self._found.findings.append(StartFinding("doubled", place.item.id, place.at, at, self._what))
        else:
            self._found.findings.append(StartFinding("unknown", self._items[0].id, None, at, self._what))

    def _judge(self, place: _Place) -> None:
        if not self._is_inside(place.at):
            return
        self._found.expected += 1
        if place.start is None:
            self._found.findings.append(StartFinding("lost", place.item.id, place.at, None, self._what))
        elif place.start - place.at >= IN_TIME:
            self._found.findings.append(StartFinding("late", place.item.id, place.at, place.start, self._what))
        else:
            self._found.in_time += 1

    def _is_inside(self, at: dt.datetime) -> bool:
        return self._found.start <= at < self._found.end


def span_of(
    log: StartLog, start: dt.datetime | None, end: dt.datetime | None
) -> tuple[dt.datetime, dt.datetime] | None:
    """The span of time of which a log can tell; None if there is none.

    It begins with the first whole minute, and ends a minute before the last line: what belongs to the minutes around it
    may stand in another log, or nowhere yet.
    """
    if log.first is None or log.last is None:
        return None
    first = -(-(log.first - _EPOCH) // IN_TIME) * IN_TIME + _EPOCH
    begin = first if start is None else max(start, first)
    finish = log.last - IN_TIME + dt.timedelta(microseconds=1)
    finish = finish if end is None else min(end, finish)
    return (begin, finish) if begin < finish else None
