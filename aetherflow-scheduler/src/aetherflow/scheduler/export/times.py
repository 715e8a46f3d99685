"""The times of an item as sets of numbers, the form that targets other than cron are written from."""

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
"""No clock is set by more than that, other than by the days that Samoa left out in 2011."""


@dataclass(frozen=True, slots=True)
class Times:
    """What a cron expression means, without its spelling; Sunday is 0."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    either: bool
    """A day counts if it fits the day of the month or the weekday; else it must fit both."""

    @property
    def day_lines(self) -> list[tuple[Collection[int], Collection[int]]]:
        """Days of the month and weekdays that must both fit; where cron takes either, two such pairs."""
        if not self.either:
            return [(self.days, self.weekdays)]
        if self.days == ALL_DAYS or self.weekdays == ALL_WEEKDAYS:
            return [(ALL_DAYS, ALL_WEEKDAYS)]
        return [(self.days, ALL_WEEKDAYS), (ALL_DAYS, self.weekdays)]


def times_of(cron: Cron) -> Times:
    """The times of an expression."""
    found = read(cron.text)
    minutes, hours, days, months, weekdays = map(frozenset, found.values)
    return Times(minutes, hours, days, months, weekdays, either=not (found.stars[2] or found.stars[4]))


def unusual(cron: Cron, zone: ZoneInfo, start: dt.datetime, years: int) -> Iterator[tuple[dt.datetime, bool]]:
    """Slots that a plain reading of the wall clock does not give, with True where the clock had passed them over.

    Those are the ones that cron makes up for at the end of the hour that is left out in spring, and the second pass of
    an hour that comes twice in autumn.
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
    """The changes of a zone's clock after an instant."""
    first = start.astimezone(dt.UTC).replace(tzinfo=None)
    for year in range(first.year, first.year + years + 1):
        yield from (change for change in changes(zone, year) if change.at > first)
