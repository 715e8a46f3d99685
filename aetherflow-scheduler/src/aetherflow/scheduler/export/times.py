"""The times of a cron expression as sets of numbers, from which targets other than cron are written."""

import datetime as dt
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from aetherflow.scheduler.time.cron import Cron
from aetherflow.scheduler.time.cron_syntax import read
from aetherflow.scheduler.time.zones import Change, changes

ALL_DAYS = frozenset(range(1, 32))
ALL_WEEKDAYS = frozenset(range(7))
_AROUND = dt.timedelta(hours=4)
"""The largest clock change, except for the day that Samoa skipped in 2011."""


@dataclass(frozen=True, slots=True)
class Times:
    """The sets of numbers that a cron expression matches; Sunday is 0."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    either: bool
    """Whether matching the day of the month or the weekday is enough; if False, both must match."""

    @property
    def day_lines(self) -> list[tuple[Collection[int], Collection[int]]]:
        """Pairs of days of the month and weekdays that must both match; two pairs if either one is enough."""
        if not self.either:
            return [(self.days, self.weekdays)]
        if self.days == ALL_DAYS or self.weekdays == ALL_WEEKDAYS:
            return [(ALL_DAYS, ALL_WEEKDAYS)]
        return [(self.days, ALL_WEEKDAYS), (ALL_DAYS, self.weekdays)]


def times_of(cron: Cron) -> Times:
    """The sets of numbers that an expression matches."""
    found = read(cron.text)
    minutes, hours, days, months, weekdays = map(frozenset, found.values)
    return Times(minutes, hours, days, months, weekdays, either=not (found.stars[2] or found.stars[4]))


def unusual(cron: Cron, zone: ZoneInfo, start: dt.datetime, years: int) -> Iterator[tuple[dt.datetime, bool]]:
    """Slots that do not follow from matching local times alone, with True if their local time was skipped.

    These are the slots that cron makes up for after the skipped hour in spring, and the second pass of the repeated
    hour in autumn.
    """
    for change in changes_ahead(zone, start, years):
        at = change.at.replace(tzinfo=dt.UTC)
        for slot in cron.between(at, at + _AROUND, zone):
            local = slot.astimezone(zone)
            wall = local.replace(tzinfo=None, fold=0)
            passed_over = cron.first(wall) != wall
            if passed_over or local.fold:
                yield slot, passed_over


def changes_ahead(zone: ZoneInfo, start: dt.datetime, years: int) -> Iterator[Change]:
    """The offset changes of a zone in the given number of years after an instant."""
    first = start.astimezone(dt.UTC).replace(tzinfo=None)
    for year in range(first.year, first.year + years + 1):
        yield from (change for change in changes(zone, year) if change.at > first)
