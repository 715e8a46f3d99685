"""When cron fires, found by looking at every minute: slow, short, and made of nothing that the product is made of."""

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from zoneinfo import ZoneInfo

MINUTE = dt.timedelta(minutes=1)
BLOCK = 15
"""Clocks are set at full quarters of an hour."""


@dataclass(frozen=True)
class Times:
    """An expression and what it means."""

    text: str
    minutes: frozenset[int]
    hours: frozenset[int]
    weekdays: frozenset[int] = frozenset(range(7))
    """0 is Monday."""
    wildcard: bool = False

    def fit(self, wall: dt.datetime) -> bool:
        return wall.minute in self.minutes and wall.hour in self.hours and wall.weekday() in self.weekdays


def times(text: str, minutes: set[int], hours: set[int], weekdays: set[int] | None = None) -> Times:
    days = frozenset(range(7) if weekdays is None else weekdays)
    wildcard = any(field.startswith("*") for field in text.split()[:2])
    return Times(text, frozenset(minutes), frozenset(hours), days, wildcard)


def fires(expression: Times, zone: ZoneInfo, start: dt.datetime, end: dt.datetime) -> Iterator[dt.datetime]:
    """The instants in [start, end), both at full quarters of an hour in UTC."""
    at, before = start, _offset(zone, start - MINUTE)
    while at < end:
        offset = _offset(zone, at)
        if offset > before and not expression.wildcard and _named(expression, at, before, offset):
            yield at  # what the clock passed over runs now
        repeated = at.astimezone(zone).fold
        if expression.wildcard or not repeated:
            wall = (at + offset).replace(tzinfo=None)
            for minute in range(BLOCK):
                now = at + minute * MINUTE
                passed_over = minute == 0 and offset > before and not expression.wildcard
                if expression.fit(wall + minute * MINUTE) and not (
                    passed_over and _named(expression, at, before, offset)
                ):
                    yield now
        at, before = at + BLOCK * MINUTE, offset


def _offset(zone: ZoneInfo, at: dt.datetime) -> dt.timedelta:
    return at.astimezone(zone).utcoffset() or dt.timedelta()


def _named(expression: Times, at: dt.datetime, before: dt.timedelta, after: dt.timedelta) -> bool:
    """Whether it names a minute that the clock passed over."""
    wall, end = (at + before).replace(tzinfo=None), (at + after).replace(tzinfo=None)
    while wall < end:
        if expression.fit(wall):
            return True
        wall += MINUTE
    return False
