"""The schedule of a CronJob: what Kubernetes reads out of five fields is not all that cron reads out of them."""

import datetime as dt
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from aetherflow.scheduler.export.numbers import written
from aetherflow.scheduler.export.times import ALL_DAYS, ALL_WEEKDAYS, Times, times_of, unusual
from aetherflow.scheduler.time.cron import Cron


@dataclass(frozen=True, slots=True)
class CronJobTimes:
    """When the CronJobs of an item start."""

    schedule: str
    exact: bool
    """False if it has more instants than the item has slots."""
    clock: str | None
    """In UTC: instants around changes of the clock, some of which are slots that the schedule leaves out."""


def cronjob_times(cron: Cron, zone: ZoneInfo, now: dt.datetime, years: int) -> CronJobTimes:
    """The schedules for an expression in a zone.

    Kubernetes takes a day if either field fits it, unless one is exactly `*`; cron, unless one begins with `*`. And it
    leaves out times that the clock passes over, which cron makes up for. (It starts a time that comes twice, twice; the
    ledger runs it once.)
    """
    times = times_of(cron)
    exact = times.either or times.days == ALL_DAYS or times.weekdays == ALL_WEEKDAYS
    passed_over = [at for at, over in unusual(cron, zone, now, years) if over]
    return CronJobTimes(_schedule(times), exact, _covering(passed_over))


def _schedule(times: Times) -> str:
    days, weekdays = times.days, times.weekdays
    if times.either and (days == ALL_DAYS or weekdays == ALL_WEEKDAYS):
        days, weekdays = ALL_DAYS, ALL_WEEKDAYS
    if not times.either and days != ALL_DAYS and weekdays != ALL_WEEKDAYS:
        weekdays = ALL_WEEKDAYS  # more days than meant
    return _fields(times.minutes, times.hours, days, times.months, weekdays)


def _covering(instants: list[dt.datetime]) -> str | None:
    """The least schedule in UTC that has all of these instants."""
    if not instants:
        return None
    parts = zip(*((at.minute, at.hour, at.day, at.month) for at in instants), strict=True)
    minutes, hours, days, months = map(frozenset, parts)
    return _fields(minutes, hours, days, months, ALL_WEEKDAYS)


def _fields(
    minutes: frozenset[int],
    hours: frozenset[int],
    days: frozenset[int],
    months: frozenset[int],
    weekdays: frozenset[int],
) -> str:
    limits = ((minutes, 0, 59), (hours, 0, 23), (days, 1, 31), (months, 1, 12), (weekdays, 0, 6))
    return " ".join(written(values, low, high) for values, low, high in limits)
