"""Finds the offset changes of time zones; results are cached per zone and year.

In this module instants are naive datetimes in UTC, and "walls" are naive local times of the zone: arithmetic with
aware datetimes is several times slower.
"""

import datetime as dt
from bisect import bisect_right
from functools import cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

_STEP = dt.timedelta(hours=6)
"""Search step; no zone changes its offset and changes it back within this time."""
_SECOND = dt.timedelta(seconds=1)


class Change(NamedTuple):
    """A change of a zone's offset from UTC."""

    at: dt.datetime
    """The first instant with the new offset, in naive UTC."""
    before: dt.timedelta
    after: dt.timedelta

    @property
    def skipped(self) -> bool:
        """True if local times are skipped, as in spring; False if they occur twice."""
        return self.after > self.before

    @property
    def first(self) -> dt.datetime:
        """The first local time that is skipped or occurs twice."""
        return self.at + min(self.before, self.after)

    @property
    def end(self) -> dt.datetime:
        """The first local time after the skipped or repeated ones."""
        return self.at + max(self.before, self.after)


def offset_at(zone: ZoneInfo, instant: dt.datetime) -> dt.timedelta:
    """The offset of a zone at a naive UTC instant."""
    aware = instant.replace(tzinfo=zone)
    return zone.fromutc(aware) - aware  # of one zone, the difference is that of the local times


@cache
def changes(zone: ZoneInfo, year: int) -> tuple[Change, ...]:
    """The offset changes of a zone in a UTC year, in order."""
    found: list[Change] = []
    # instants under the name of the zone, as `fromutc` wants them: a year has 1,460 steps
    at, end = dt.datetime(year, 1, 1, tzinfo=zone), _new_year(year).replace(tzinfo=zone)
    before = zone.fromutc(at) - at
    while at < end:
        later = min(at + _STEP, end)
        after = zone.fromutc(later) - later
        if after != before:
            low, high = at.replace(tzinfo=None), later.replace(tzinfo=None)
            found.append(Change(_first_with(zone, low, high, before), before, after))
        at, before = later, after
    return tuple(found)


def span(zone: ZoneInfo, instant: dt.datetime) -> tuple[dt.datetime, dt.timedelta]:
    """Until when the offset at an instant holds at least (next change or end of the year), and the offset."""
    found = changes(zone, instant.year)
    index = bisect_right(found, instant, key=_instant)
    end = found[index].at if index < len(found) else _new_year(instant.year)
    if index:
        return end, found[index - 1].after
    return end, found[0].before if found else offset_at(zone, instant)


def last_change(zone: ZoneInfo, instant: dt.datetime) -> Change | None:
    """The latest change at or before an instant, in its year or the one before; else None."""
    for year in (instant.year, instant.year - 1):
        found = changes(zone, year)
        if index := bisect_right(found, instant, key=_instant):
            return found[index - 1]
    return None


def _instant(change: Change) -> dt.datetime:
    return change.at


def _new_year(year: int) -> dt.datetime:
    return dt.datetime(year + 1, 1, 1) if year < dt.MAXYEAR else dt.datetime.max


def _first_with(zone: ZoneInfo, low: dt.datetime, high: dt.datetime, before: dt.timedelta) -> dt.datetime:
    # low has the old offset, high the new one
    while high - low > _SECOND:
        middle = low + (high - low) // 2
        middle = middle.replace(microsecond=0)
        if middle <= low:
            break
        if offset_at(zone, middle) == before:
            low = middle
        else:
            high = middle
    return high
