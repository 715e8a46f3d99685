"""Calendars and blackouts: which slots are skipped, and why."""

import datetime as dt
from dataclasses import dataclass

from aetherflow.scheduler.reasons import Reason, SlotReason, said

SATURDAY = 5
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


@dataclass(frozen=True, slots=True)
class Days:
    """A calendar: the days on which slots run."""

    business_days: bool = False
    holidays: frozenset[dt.date] = frozenset()

    def excluded(self, day: dt.date) -> Reason | None:
        """The reason why slots of a day are skipped; None if they run."""
        if day in self.holidays:
            return said(SlotReason.CALENDAR, day=day, kind="holiday")
        if self.business_days and day.weekday() >= SATURDAY:
            return said(SlotReason.CALENDAR, day=day, kind="Saturday" if day.weekday() == SATURDAY else "Sunday")
        return None


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
