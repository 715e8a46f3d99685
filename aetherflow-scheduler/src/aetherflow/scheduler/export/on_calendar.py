"""Writes cron expressions as systemd calendar expressions: `Mon..Fri *-*-* 02:30:00 Europe/Berlin`."""

import datetime as dt
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from zoneinfo import ZoneInfo

from aetherflow.scheduler.export.numbers import written
from aetherflow.scheduler.export.times import ALL_WEEKDAYS, Times, changes_ahead, times_of, unusual
from aetherflow.scheduler.time.cron import Cron

_NAMES = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_DAY = dt.timedelta(days=1)
_SAMPLE = dt.timedelta(days=5 * 366)
_ENOUGH = 5_000


@dataclass(frozen=True, slots=True)
class OnCalendar:
    """The `OnCalendar=` lines of a timer."""

    usual: tuple[str, ...]
    """Lines in local time of the zone."""
    added: tuple[str, ...]
    """Lines in UTC, at clock changes: the slots that systemd would skip."""
    exact: bool = True
    """False if the lines fire more often than the item has slots."""

    @property
    def lines(self) -> tuple[str, ...]:
        return self.usual + self.added


def on_calendar(cron: Cron, zone: ZoneInfo, now: dt.datetime, years: int) -> OnCalendar:
    """The timer lines for an expression in a zone, correct for `years` years from `now`.

    After the clock goes forward, systemd 257 skips the rest of the day if the first time of that day does not exist,
    and fails if the change is not at a full hour (Pacific/Chatham).
    """
    if cron.chosen is not None:
        return replace(on_calendar(Cron.parse(cron.every_day), zone, now, years), exact=False)
    ahead = list(changes_ahead(zone, now, years))
    if any(change.skipped and change.first.minute for change in ahead):
        return OnCalendar(_superset(cron, zone, now), (), exact=False)
    added = {at for at, _ in unusual(cron, zone, now, years)}
    for change in ahead:
        if change.skipped and cron.first(change.first) < change.end:
            at = change.at.replace(tzinfo=dt.UTC)
            midnight = dt.datetime.combine(change.end.date() + _DAY, dt.time(), zone)
            added |= set(cron.between(at, midnight.astimezone(dt.UTC), zone))
    return OnCalendar(tuple(_by_clock(times_of(cron), zone.key)), tuple(_instants(added)))


def _by_clock(times: Times, zone: str) -> Iterator[str]:
    """The local-time lines; two sets of them if either the day of the month or the weekday must match."""
    hours, minutes = _two_digits(times.hours, 0, 23), _two_digits(times.minutes, 0, 59)
    months = _two_digits(times.months, 1, 12)
    for days, weekdays in times.day_lines:
        yield f"{_weekdays(weekdays)}*-{months}-{_two_digits(days, 1, 31)} {hours}:{minutes}:00 {zone}"


def _superset(cron: Cron, zone: ZoneInfo, now: dt.datetime) -> tuple[str, ...]:
    """Daily UTC times that include all slots, and more; for zones that systemd cannot handle."""
    hours: dict[int, set[int]] = defaultdict(set)
    for number, slot in enumerate(cron.between(now, now + _SAMPLE, zone)):
        hours[slot.hour].add(slot.minute)
        if number > _ENOUGH and len(hours) == 24:
            break
    return tuple(f"*-*-* {line} UTC" for line in _hours(hours))


def _instants(moments: Iterable[dt.datetime]) -> Iterator[str]:
    days: dict[dt.date, dict[int, set[int]]] = defaultdict(lambda: defaultdict(set))
    for moment in moments:
        days[moment.date()][moment.hour].add(moment.minute)
    for day in sorted(days):
        yield from (f"{day} {line} UTC" for line in _hours(days[day]))


def _hours(hours: dict[int, set[int]]) -> Iterator[str]:
    """Times of the day, with hours that share the same minutes combined."""
    alike: dict[frozenset[int], set[int]] = defaultdict(set)
    for hour in sorted(hours):
        alike[frozenset(hours[hour])].add(hour)
    for minutes, same in alike.items():
        yield f"{_two_digits(same, 0, 23)}:{_two_digits(minutes, 0, 59)}:00"


def _two_digits(values: Collection[int], low: int, high: int) -> str:
    return written(values, low, high, span="..", width=2)


def _weekdays(weekdays: Collection[int]) -> str:
    if set(weekdays) == ALL_WEEKDAYS:
        return ""
    ordered = sorted((day - 1) % 7 for day in weekdays)  # systemd's week begins on Monday
    return ",".join(_NAMES[day] for day in ordered) + " "
