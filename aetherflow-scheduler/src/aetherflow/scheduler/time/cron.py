"""When a cron expression fires in a zone; at DST changes it follows the rules of Debian's cron.

An expression whose minute or hour field begins with `*` goes by elapsed time: it fires at every matching local time,
in both passes of a repeated hour, and not for skipped local times. Any other expression names fixed times: skipped
ones fire once, right after the clock change; repeated ones fire in the first pass. A "wall" is a local time.
"""

import datetime as dt
from array import array
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, Protocol
from zoneinfo import ZoneInfo

from aetherflow.scheduler.errors import NeverError
from aetherflow.scheduler.time.cron_syntax import read
from aetherflow.scheduler.time.zones import last_change, offset_at, span

_MINUTE = dt.timedelta(minutes=1)
_FORTY_YEARS = dt.timedelta(days=40 * 366)
"""Longest possible gap between two slots: 29 February on a given weekday, around the year 2100."""
EITHER_DAY = "fires on the days of month and on the days of week, not only where both match"
_MONTH_LENGTHS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


class ChosenDays(Protocol):
    """Days that a calendar chooses in place of the day fields of an expression."""

    definition: dict[str, Any]
    """What determines them, as JSON has it."""

    def in_month(self, year: int, month: int) -> tuple[int, ...]:
        """The days of a month, ascending; none if there are none."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Cron:
    """A parsed cron expression; create it with `Cron.parse`."""

    text: str
    """The expression as written in the document."""
    normal: str
    """The expression as five numeric fields that all cron implementations read alike, for exports."""
    remarks: tuple[str, ...]
    """Notes for users on how the expression is interpreted."""
    wildcard: bool
    """Whether it goes by elapsed time when the clock changes: minute or hour begins with `*`."""
    _times: "array[int]"
    """Minutes of the day, ascending."""
    _months: tuple[int, ...]
    _days: frozenset[int]
    _weekdays: frozenset[int]
    """Days of the week, 0 to 6; 0 is Sunday."""
    _both: bool
    """Whether day of month and day of week must both match: one of them begins with `*`."""
    _tables: dict[tuple[int, int], tuple[int, ...]] = field(default_factory=dict)
    """Cache: weekday of the first of a month and its length to the matching days; of chosen days year and month."""
    chosen: ChosenDays | None = None
    """What chooses the days in place of the day fields; None if nothing does."""

    @staticmethod
    def parse(text: str) -> "Cron":
        """Parse an expression. Raises CronError with a fix; NeverError for an expression that never fires."""
        return _parse(text.strip())

    def on(self, days: ChosenDays) -> "Cron":
        """The same times of the day, on days that a calendar chooses."""
        return replace(self, chosen=days, _tables={})

    @property
    def every_day(self) -> str:
        """The expression for the same times of each day."""
        return f"{' '.join(self.normal.split()[:2])} * * *"

    def has_day(self, day: dt.date) -> bool:
        """Whether it fires on a day, clock changes aside."""
        return day.day in self.in_month(day.year, day.month)

    def after(self, instant: dt.datetime, zone: ZoneInfo) -> dt.datetime | None:
        """The first time the expression fires after an instant, in UTC; None if that is after the year 9999."""
        start = instant.astimezone(dt.UTC).replace(tzinfo=None)
        try:
            found = next(self._wildcard(start, zone) if self.wildcard else self._fixed(start, zone))
        except OverflowError:
            return None
        return found.replace(tzinfo=dt.UTC)

    def between(self, start: dt.datetime, end: dt.datetime, zone: ZoneInfo) -> Iterator[dt.datetime]:
        """All times in [start, end) at which the expression fires, in UTC."""
        before = (start - dt.timedelta(microseconds=1)).astimezone(dt.UTC).replace(tzinfo=None)
        try:
            for found in self._wildcard(before, zone) if self.wildcard else self._fixed(before, zone):
                if (at := found.replace(tzinfo=dt.UTC)) >= end:
                    return
                yield at
        except OverflowError:
            return

    def before(self, instant: dt.datetime, zone: ZoneInfo) -> dt.datetime | None:
        """The last time the expression fires at or before an instant, in UTC; None if not within forty years."""
        back = _MINUTE
        if instant.year <= dt.MINYEAR + 100:
            return None  # the search below would go before the first year of datetime
        while (found := self.after(instant - back, zone)) is None or found > instant:
            if back > _FORTY_YEARS:
                return None
            back *= 2
        high = instant  # it does not fire in (high, instant]
        while (later := self.after(found, zone)) is not None and later <= instant:  # seldom: most were the last already
            found = later
            middle = found + (high - found) / 2
            if (later := self.after(middle, zone)) is not None and later <= instant:
                found = later
            else:
                high = middle
        return found

    def _wildcard(self, start: dt.datetime, zone: ZoneInfo) -> Iterator[dt.datetime]:
        """The times after an instant, all in UTC and without a zone."""
        end, offset = span(zone, start)
        wall = _next_minute(start + offset)
        while True:
            for each in self._walls(wall):
                if (found := each - offset) >= end:
                    break
                yield found
            end, offset = span(zone, start := end)
            wall = _this_minute(start + offset)

    def _fixed(self, start: dt.datetime, zone: ZoneInfo) -> Iterator[dt.datetime]:
        """The same where a time that a clock change skips is not left out, and one that comes twice is taken once."""
        for wall in self._walls(_next_minute(start + span(zone, start)[1])):
            offset = wall.replace(tzinfo=zone).utcoffset() or dt.timedelta()
            found = wall - offset
            if offset_at(zone, found) != offset and (change := last_change(zone, found)) is not None:
                found = change.at  # the local time does not exist
            if found > start:
                yield (start := found)

    def first(self, wall: dt.datetime) -> dt.datetime:
        """The first matching local time at or after `wall`. Raises OverflowError after the year 9999."""
        return next(self._walls(wall))

    def _walls(self, wall: dt.datetime) -> Iterator[dt.datetime]:
        """All matching local times from `wall` on. Raises OverflowError after the year 9999."""
        year, month, first = wall.year, wall.month, wall.day
        from_minute = bisect_left(self._times, wall.hour * 60 + wall.minute)
        while year <= dt.MAXYEAR:
            days = self.in_month(year, month)
            for day in days[bisect_left(days, first) :]:
                for minute in self._times[from_minute:] if day == first else self._times:
                    yield dt.datetime(year, month, day, *divmod(minute, 60))
            year, month, first, from_minute = (year, month + 1, 1, 0) if month < 12 else (year + 1, 1, 1, 0)
        raise OverflowError

    def in_month(self, year: int, month: int) -> tuple[int, ...]:
        """The days of a month on which it fires, ascending."""
        if self.chosen is not None:
            if (found := self._tables.get((year, month))) is None:
                found = self._tables[year, month] = self.chosen.in_month(year, month)
            return found
        if month not in self._months:
            return ()
        first = dt.date(year, month, 1).isoweekday() % 7
        length = month_length(year, month)
        if (found := self._tables.get((first, length))) is None:
            found = self._tables[first, length] = tuple(self._matching(first, length))
        return found

    def _matching(self, first: int, length: int) -> Iterator[int]:
        for day in range(1, length + 1):
            by_day, by_weekday = day in self._days, (first + day - 1) % 7 in self._weekdays
            if (by_day and by_weekday) if self._both else (by_day or by_weekday):
                yield day

    def _ever(self) -> bool:
        lengths = {length for month in self._months for length in (_MONTH_LENGTHS[month - 1], 29 if month == 2 else 0)}
        return any(True for length in lengths for first in range(7) for _ in self._matching(first, length))


@lru_cache(maxsize=4096)
def _parse(text: str) -> Cron:
    normal, (minutes, hours, days, months, weekdays), stars, remarks = read(text)
    if not stars[2] and not stars[4]:
        remarks = (*remarks, EITHER_DAY)
    times = array("H", sorted(hour * 60 + minute for hour in hours for minute in minutes))
    found = Cron(
        text=text,
        normal=normal,
        remarks=remarks,
        wildcard=stars[0] or stars[1],
        _times=times,
        _months=months,
        _days=frozenset(days),
        _weekdays=frozenset(weekdays),
        _both=stars[2] or stars[4],
    )
    if not found._ever():
        message = f"{text!r} never fires: none of its months has such a day"
        raise NeverError(message, fix="correct the day of month or the month")
    return found


def month_length(year: int, month: int) -> int:
    """The number of days of a month."""
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    return 29 if leap and month == 2 else _MONTH_LENGTHS[month - 1]


def _this_minute(wall: dt.datetime) -> dt.datetime:
    whole = wall.replace(second=0, microsecond=0)
    return whole if whole == wall else whole + _MINUTE


def _next_minute(wall: dt.datetime) -> dt.datetime:
    return wall.replace(second=0, microsecond=0) + _MINUTE
