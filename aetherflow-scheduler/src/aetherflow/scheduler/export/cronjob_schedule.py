"""Schedules of CronJobs: Kubernetes interprets the five cron fields differently from Debian's cron."""

import datetime as dt
from dataclasses import dataclass, replace
from zoneinfo import ZoneInfo

from aetherflow.scheduler.export.numbers import written
from aetherflow.scheduler.export.times import ALL_DAYS, ALL_WEEKDAYS, Times, times_of, unusual
from aetherflow.scheduler.time.cron import Cron


@dataclass(frozen=True, slots=True)
class CronJobTimes:
    """The cron schedules of the CronJobs of one item."""

    schedule: str
    exact: bool
    """False if the schedules fire more often than the item has slots."""
    clock: str | None
    """A schedule in UTC that covers the slots at clock changes that the other one misses; None if not needed."""


def cronjob_times(cron: Cron, zone: ZoneInfo, now: dt.datetime, years: int) -> CronJobTimes:
    """The CronJob schedules for an expression in a zone, correct for `years` years from `now`.

    Kubernetes fires if either day field matches, unless one is exactly `*`; cron, unless one begins with `*`.
    Kubernetes also skips local times that do not exist in spring, which cron makes up for. (It fires twice at local
    times that occur twice in autumn; the ledger runs the slot once.)
    """
    if cron.chosen is not None:
        return replace(cronjob_times(Cron.parse(cron.every_day), zone, now, years), exact=False)
    times = times_of(cron)
    exact = times.either or times.days == ALL_DAYS or times.weekdays == ALL_WEEKDAYS
    passed_over = [at for at, over in unusual(cron, zone, now, years) if over]
    return CronJobTimes(_schedule(times), exact, _covering(passed_over))


def _schedule(times: Times) -> str:
    days, weekdays = times.days, times.weekdays
    if times.either and (days == ALL_DAYS or weekdays == ALL_WEEKDAYS):
        days, weekdays = ALL_DAYS, ALL_WEEKDAYS
    if not times.either and days != ALL_DAYS and weekdays != ALL_WEEKDAYS:
        weekdays = ALL_WEEKDAYS  # fires on too many days; the ledger decides
    return _fields(times.minutes, times.hours, days, times.months, weekdays)


def _covering(instants: list[dt.datetime]) -> str | None:
    """The narrowest UTC schedule that matches all given instants; None without instants."""
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
