"""Calendars and blackouts: which slots are skipped and why, and which days a calendar chooses for an expression."""

import datetime as dt
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from aetherflow.scheduler.reasons import Reason, SlotReason, said
from aetherflow.scheduler.time.cron import Cron, month_length

SATURDAY = 5
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
Roll = Literal["before", "after", "nearest"]
LAST = -1
"""In `Days.nth`: the last day of the month on which slots run."""
_ALWAYS_THERE = 20
"""Each month has that many days from Monday to Friday."""
_EACH_KIND_OF_MONTH = range(3001, 3029)
"""Years, far from any holiday, in which each month begins on each weekday, leap years among them."""
_DAY = dt.timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Days:
    """A calendar: the days on which slots run."""

    business_days: bool = False
    holidays: frozenset[dt.date] = frozenset()
    roll: Roll | None = None
    """Where slots of other days go; None: they are skipped."""
    nth: tuple[int, ...] = ()
    """The days of each month that are chosen: 1 is the first one that is not excluded."""

    def excluded(self, day: dt.date) -> Reason | None:
        """The reason why slots of a day are skipped; None if they run."""
        if self.runs(day):
            return None
        weekend = "Saturday" if day.weekday() == SATURDAY else "Sunday"
        return said(SlotReason.CALENDAR, day=day, kind="holiday" if day in self.holidays else weekend)

    def runs(self, day: dt.date) -> bool:
        """Whether slots of a day run."""
        return day not in self.holidays and not (self.business_days and day.weekday() >= SATURDAY)

    def applied(self, cron: Cron) -> Cron:
        """An expression with the days that this calendar chooses: `roll`, `nth`; without both, the same."""
        if self.nth:
            return cron.on(_Nth(cron, self))
        return cron if self.roll is None else cron.on(_Rolled(cron, self))

    def rolled_onto(self, day: dt.date) -> Iterator[dt.date]:
        """The excluded days whose slots run on a day that is not excluded."""
        if self.roll in ("before", "nearest"):
            gap = list(self._gap(day, _DAY))
            yield from gap if self.roll == "before" else gap[: len(gap) // 2]
        if self.roll in ("after", "nearest"):
            gap = list(self._gap(day, -_DAY))
            yield from gap if self.roll == "after" else gap[: len(gap) - len(gap) // 2]

    def _gap(self, day: dt.date, step: dt.timedelta) -> Iterator[dt.date]:
        """The excluded days between a day and the next one that is not, in one direction, the nearest first."""
        try:
            while not self.runs(day := day + step):
                yield day
        except OverflowError:  # the calendar of Python ends there
            return


class _Chosen:
    """The days that a calendar chooses, by the expression whose times they get."""

    def __init__(self, cron: Cron, days: Days) -> None:
        self.cron, self.days = cron, days
        self.definition: dict[str, Any] = {
            "business_days": days.business_days,
            "holidays": sorted(day.isoformat() for day in days.holidays),
            "roll": days.roll,
            "nth": list(days.nth),
        }

    def _running(self, year: int, month: int) -> list[dt.date]:
        every = range(1, month_length(year, month) + 1)
        return [day for number in every if self.days.runs(day := dt.date(year, month, number))]


class _Rolled(_Chosen):
    def in_month(self, year: int, month: int) -> tuple[int, ...]:
        cron, onto = self.cron, self.days.rolled_onto
        return tuple(
            day.day
            for day in self._running(year, month)
            if cron.has_day(day) or any(cron.has_day(other) for other in onto(day))
        )


class _Nth(_Chosen):
    def in_month(self, year: int, month: int) -> tuple[int, ...]:
        if not self.cron.in_month(year, month):
            return ()  # not one of its months
        days = [day.day for day in self._running(year, month)]
        at = (number if number < 0 else number - 1 for number in self.days.nth)
        return tuple(sorted({days[index] for index in at if -len(days) <= index < len(days)}))

    def ever(self) -> bool:
        """Whether there is a month that has one of the days."""
        months = ((year, month) for year in _EACH_KIND_OF_MONTH for month in range(1, 13))
        return min(self.days.nth) <= _ALWAYS_THERE or any(self.in_month(*month) for month in months)


def rolled_from(cron: Cron, day: dt.date) -> list[dt.date]:
    """The days of an expression whose slots run on a day in their place; none if it is a day of the expression."""
    if not isinstance(cron.chosen, _Rolled) or cron.chosen.cron.has_day(day):
        return []
    return sorted(filter(cron.chosen.cron.has_day, cron.chosen.days.rolled_onto(day)))


def never(cron: Cron) -> bool:
    """Whether no month has one of the days that `nth` of a calendar chooses."""
    return isinstance(cron.chosen, _Nth) and not cron.chosen.ever()


def cron_of(definition: Mapping[str, Any]) -> Cron:
    """The expression of a definition that the ledger has. Raises ValueError, LookupError, TypeError for a wrong one."""
    chosen = definition.get("calendar")
    return _cron_of(definition["cron"], None if chosen is None else json.dumps(chosen, sort_keys=True))


@lru_cache(maxsize=4096)
def _cron_of(text: str, chosen: str | None) -> Cron:
    cron = Cron.parse(text)
    if chosen is None:
        return cron
    found = json.loads(chosen)
    holidays = frozenset(map(dt.date.fromisoformat, found["holidays"]))
    return Days(bool(found["business_days"]), holidays, found["roll"], tuple(map(int, found["nth"]))).applied(cron)


@dataclass(frozen=True, slots=True)
class Window:
    """A blackout: either one span (`start`, `end`) or a daily span of local time (`daily`, `days`)."""

    reason: str
    """Recorded with each slot that it skips."""
    start: dt.datetime | None = None
    end: dt.datetime | None = None
    daily: tuple[int, int] | None = None
    """Begin and end in minutes of the day; the end is greater than 1440 if it is on the next day."""
    days: frozenset[int] = frozenset(range(7))
    """Weekdays on which `daily` begins; Monday is 0."""

    def covers(self, at: dt.datetime, local: dt.datetime) -> bool:
        """Whether an instant lies in the blackout; `local` is the same instant in the item's zone."""
        if self.start is not None and self.end is not None:
            return self.start <= at < self.end
        if self.daily is None:
            return False
        begin, end = self.daily
        minute = local.hour * 60 + local.minute
        today = local.weekday()
        since_yesterday = minute + 1440 < end and (today - 1) % 7 in self.days
        return since_yesterday or (begin <= minute < end and today in self.days)
