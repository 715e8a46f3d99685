"""Debian's cron, minute by minute: its main loop, its virtual clock, its parser of fields, written down once more.

After `cron.c` and `entry.c` of Debian's cron 3.0pl1. Nothing here is shared with the scheduler, and nothing is clever:
a clock that ticks, and the three ways in which cron answers a clock that has jumped.
"""

import datetime as dt
import random
from dataclasses import dataclass
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
THREE_HOURS = 180
NAMES = {
    name: number
    for names, first in (("jan feb mar apr may jun jul aug sep oct nov dec", 1), ("sun mon tue wed thu fri sat", 0))
    for number, name in enumerate(names.split(), first)
}
RANGES = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))


@dataclass(frozen=True)
class Entry:
    """A line of a crontab."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    day_star: bool
    wild: bool

    def on(self, day: dt.date) -> bool:
        """Whether the line names a day."""
        if day.month not in self.months:
            return False
        by_day, by_weekday = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        return (by_day and by_weekday) if self.day_star else (by_day or by_weekday)


def entry(text: str) -> Entry:
    """Read five fields."""
    fields = text.split()
    minutes, hours, days, months, weekdays = (
        _bits(field, low, high) for field, (low, high) in zip(fields, RANGES, strict=True)
    )
    return Entry(
        minutes=minutes,
        hours=hours,
        days=days,
        months=months,
        weekdays=frozenset(day % 7 for day in weekdays),
        day_star=fields[2][0] == "*" or fields[4][0] == "*",
        wild=fields[0][0] == "*" or fields[1][0] == "*",
    )


def _bits(field: str, low: int, high: int) -> frozenset[int]:
    found: set[int] = set()
    for part in field.split(","):
        span, _, step = part.partition("/")
        first, dash, last = span.partition("-")
        if first == "*":
            begin, end = low, high
        else:
            begin = _number(first)
            end = _number(last) if dash else (high if step else begin)
        end = 7 if high == 7 and dash and end == 0 and begin > 0 else end  # fri-sun
        found.update(range(begin, end + 1, int(step or 1)))
    return frozenset(found)


def _number(text: str) -> int:
    return NAMES[text.lower()] if text.lower() in NAMES else int(text)


def fires(text: str, zone: ZoneInfo, start: dt.datetime, end: dt.datetime) -> list[dt.datetime]:
    """When Debian's cron starts a line, from `start` to before `end`; a start that it repeats at once counts once."""
    line = entry(text)
    first = int((start - EPOCH).total_seconds()) // 60 - 2 * THREE_HOURS  # it runs for a while already
    last = int((end - EPOCH).total_seconds()) // 60
    found: list[int] = []
    named: dict[int, bool] = {}

    def find(virtual: int, *, wild: bool, fixed: bool) -> None:
        if not (wild if line.wild else fixed):
            return
        day, minute = divmod(virtual, 1440)
        if minute % 60 not in line.minutes or minute // 60 not in line.hours:
            return
        if day not in named:
            named[day] = line.on((EPOCH + dt.timedelta(days=day)).date())
        if named[day] and (not found or found[-1] != tick):
            found.append(tick)

    virtual = _clock(first - 1, zone)
    for tick in range(first, last):
        running = _clock(tick, zone)
        jump = running - virtual
        if jump == 1:
            virtual = running
            find(virtual, wild=True, fixed=True)
        elif 5 < jump <= THREE_HOURS:  # spring: the wild ones of this minute, then the fixed ones of each one missed
            find(running, wild=True, fixed=False)
            while virtual < running:
                virtual += 1
                find(virtual, wild=False, fixed=True)
        elif -THREE_HOURS < jump <= 0:  # autumn: the fixed ones ran already; the virtual clock waits
            find(running, wild=True, fixed=False)
        else:
            raise AssertionError(f"{zone.key} jumps by {jump} minutes; zones of today do not")
    return [at for each in found if (at := EPOCH + dt.timedelta(minutes=each)) >= start]


@cache
def _offset(quarter: int, zone: ZoneInfo) -> int:
    at = dt.datetime.fromtimestamp(quarter * 900, zone)
    return int((at.utcoffset() or dt.timedelta()).total_seconds()) // 60


def _clock(tick: int, zone: ZoneInfo) -> int:
    """Minutes of the wall since the epoch's. Clocks of today are changed at full quarters of an hour."""
    return tick + _offset(tick // 15, zone)


@cache
def changes_of(zone: ZoneInfo, year: int) -> list[dt.datetime]:
    """The instants of a year at which a zone's offset changes, found hour by hour, then minute by minute."""
    found = []
    at = dt.datetime(year, 1, 1, tzinfo=dt.UTC)
    before = at.astimezone(zone).utcoffset()
    while at.year == year:
        later = at + dt.timedelta(hours=1)
        after = later.astimezone(zone).utcoffset()
        if after != before:
            minute = at
            while minute.astimezone(zone).utcoffset() == before:
                minute += dt.timedelta(minutes=1)
            found.append(minute)
        at, before = later, after
    return found


def zones() -> list[str]:
    """The zones that have a name of a place, and UTC."""
    return ["UTC", *sorted(name for name in available_timezones() if "/" in name and not name.startswith("Etc/"))]


def summer_zones() -> list[str]:
    """Those whose clocks are changed."""
    winter, summer = (dt.datetime(2026, month, 1, tzinfo=dt.UTC) for month in (1, 7))
    return [
        name
        for name in zones()
        if winter.astimezone(ZoneInfo(name)).utcoffset() != summer.astimezone(ZoneInfo(name)).utcoffset()
    ]


def expression(rng: random.Random) -> str:
    """A random expression, more often than not with hours at which clocks change."""
    while True:
        fields = [
            _field(rng, 0, 59, rng.choice((0.2, 0.5))),
            _field(rng, 0, 23, rng.choice((0.3, 0.6))) if rng.random() < 0.5 else _night(rng),
            _field(rng, 1, 31, 0.8),
            _named(rng, 1, 12, 0.85, list(NAMES)[:12]),
            _named(rng, 0, 7, 0.7, list(NAMES)[12:]),
        ]
        text = " ".join(fields)
        days = entry(text)
        if any(days.on(dt.date(2023, 1, 1) + dt.timedelta(days=n)) for n in range(2 * 366)):
            return text


def _night(rng: random.Random) -> str:
    return rng.choice(("2", "1", "0", "3", "1-3", "0-2", "2,3", "1,2", "*", "*/2", "0-4/2", "1-3/2", "23", "0,23"))


def _field(rng: random.Random, low: int, high: int, star: float) -> str:
    if rng.random() < star:
        return "*" if rng.random() < 0.6 else f"*/{rng.randint(1, min(high, 30))}"
    return ",".join(_element(rng, low, high) for _ in range(rng.choice((1, 1, 1, 2, 3))))


def _element(rng: random.Random, low: int, high: int) -> str:
    first, last = sorted((rng.randint(low, high), rng.randint(low, high)))
    step = rng.randint(1, max(1, high - low - (high == 7)))
    return rng.choice((str(first), str(first), f"{first}-{last}", f"{first}-{last}/{step}"))


def _named(rng: random.Random, low: int, high: int, star: float, names: list[str]) -> str:
    text = _field(rng, low, high, star)
    if text.isdigit() and rng.random() < 0.5:
        name = names[(int(text) - low) % len(names)]
        return rng.choice((name, name.upper(), name.title()))
    return text
