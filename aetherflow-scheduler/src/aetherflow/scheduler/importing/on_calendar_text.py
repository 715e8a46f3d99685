"""Reads calendar expressions of systemd: `Mon..Fri *-*-* 02:30:00 Europe/Berlin`."""

import datetime as dt
import re
from dataclasses import dataclass

from aetherflow.scheduler.export.numbers import written
from aetherflow.scheduler.export.target_zone import is_zone
from aetherflow.scheduler.export.times import ALL_DAYS, ALL_WEEKDAYS, Times

_SHORT = {
    "minutely": "*-*-* *:*:00",
    "hourly": "*-*-* *:00:00",
    "daily": "*-*-* 00:00:00",
    "weekly": "Mon *-*-* 00:00:00",
    "monthly": "*-*-01 00:00:00",
    "quarterly": "*-01,04,07,10-01 00:00:00",
    "semiannually": "*-01,07-01 00:00:00",
    "semi-annually": "*-01,07-01 00:00:00",
    "yearly": "*-01-01 00:00:00",
    "annually": "*-01-01 00:00:00",
    "bi-annually": "*-01,07-01 00:00:00",
    "biannually": "*-01,07-01 00:00:00",
}
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_WEEKDAY = re.compile(r"(?:sun|mon|tue|wed|thu|fri|sat)[a-z]*", re.IGNORECASE)
_ALL_MONTHS = frozenset(range(1, 13))


class NoCronError(ValueError):
    """A calendar expression that no cron expression can say; the text is why."""


@dataclass(frozen=True, slots=True)
class Calendar:
    """What a line `OnCalendar=` says."""

    times: Times | None
    """None for a line that names a year."""
    at: tuple[dt.datetime, ...]
    """The instants, without a zone, of a line that names a year; else none."""
    zone: str | None
    """The zone that it names; None: that of the machine."""


def read_calendar(text: str) -> Calendar:
    """Read an expression. Raises NoCronError for one that cron has no words for, or that cannot be read."""
    words = text.split()
    zone = None
    if not words:
        raise NoCronError("it is empty")
    if len(words) > 1 and not words[-1][0].isdigit() and words[-1][0] != "*" and is_zone(words[-1]):
        zone = words.pop()
    words = _SHORT.get(" ".join(words).lower(), " ".join(words)).split()
    weekdays = ALL_WEEKDAYS
    if words and _WEEKDAY.match(words[0]):
        weekdays = _weekdays(words.pop(0))
    date = words.pop(0) if words and ":" not in words[0] else "*-*-*"
    time = words.pop(0) if words else "00:00:00"
    if words:
        raise NoCronError(f"{words[0]!r} is not known here")
    minutes, hours = _time(time)
    if "~" in date:
        raise NoCronError("it counts from the end of the month; `calendar: {nth: last}` does that")
    parts = date.split("-")
    if not 2 <= len(parts) <= 3:
        raise NoCronError(f"{date!r} is no date")
    months, days = _numbers(parts[-2], 1, 12), _numbers(parts[-1], 1, 31)
    if len(parts) == 3 and parts[0] != "*":
        return Calendar(None, _instants(parts[0], (months, days, hours, minutes)), zone)
    return Calendar(Times(minutes, hours, days, months, weekdays, either=False), (), zone)


def _instants(year: str, parts: tuple[frozenset[int], ...]) -> tuple[dt.datetime, ...]:
    months, days, hours, minutes = parts
    if not year.isdigit() or len(months) != 1 or len(days) != 1:
        raise NoCronError("it names years")
    try:
        day = dt.datetime(int(year), next(iter(months)), next(iter(days)))  # noqa: DTZ001 its zone is separate
    except ValueError:
        raise NoCronError("there is no such day") from None
    return tuple(day.replace(hour=hour, minute=minute) for hour in sorted(hours) for minute in sorted(minutes))


def _time(text: str) -> tuple[frozenset[int], frozenset[int]]:
    parts = text.split(":")
    if not 2 <= len(parts) <= 3:
        raise NoCronError(f"{text!r} is no time")
    if len(parts) == 3 and (not re.fullmatch(r"0+(\.0+)?", parts[2])):
        raise NoCronError("it names seconds")
    return _numbers(parts[1], 0, 59), _numbers(parts[0], 0, 23)


def _numbers(text: str, low: int, high: int) -> frozenset[int]:
    found: set[int] = set()
    for part in text.split(","):
        match = re.fullmatch(r"(\*|[0-9]+)(?:\.\.([0-9]+))?(?:/([0-9]+))?", part, re.ASCII)
        if match is None:
            raise NoCronError(f"{part!r} cannot be read")
        first = low if match[1] == "*" else int(match[1])
        last = int(match[2]) if match[2] else high if match[1] == "*" or match[3] else first
        step = int(match[3] or 1)
        if not low <= first <= last <= high or step == 0:
            raise NoCronError(f"{part!r} is out of range")
        found.update(range(first, last + 1, step))
    return frozenset(found)


def _weekdays(text: str) -> frozenset[int]:
    found: set[int] = set()
    for part in text.rstrip(",").split(","):
        first, mark, last = part.replace("..", "-").partition("-")
        ends = [each.lower()[:3] for each in ((first, last) if mark else (first,))]
        if any(each not in _DAYS for each in ends):
            raise NoCronError(f"{part!r} is no day of the week")
        start, end = _DAYS.index(ends[0]), _DAYS.index(ends[-1])
        found.update(day % 7 for day in range(start, (end if end >= start else end + 7) + 1))
    return frozenset(found)


def merged(times: list[Times]) -> list[Times]:
    """The same times in as few sets as their shape allows."""
    found = list(dict.fromkeys(times))
    for one in found:
        for other in found:
            if one is not other and (both := _joined(one, other)) is not None:
                return merged([both, *(each for each in found if each not in (one, other))])
    return found


def _joined(one: Times, other: Times) -> Times | None:
    """One set for two; None if there is none."""
    names = ("minutes", "hours", "days", "months", "weekdays")
    unlike = [name for name in names if getattr(one, name) != getattr(other, name)]
    if one.either != other.either or one.either:
        return None
    if len(unlike) == 1:
        union = {name: getattr(one, name) | (getattr(other, name) if name in unlike else frozenset()) for name in names}
        return Times(**union, either=False)
    if unlike == ["days", "weekdays"]:
        for left, right in ((one, other), (other, one)):
            if left.weekdays == ALL_WEEKDAYS and right.days == ALL_DAYS:
                return Times(one.minutes, one.hours, left.days, one.months, right.weekdays, either=True)
    return None


def cron_text(times: Times, *, elapsed: bool = False) -> str:
    """The cron expression of a set of times. Raises NoCronError where both days are chosen and cron cannot say that.

    `elapsed`: with `*/20` in place of `0,20,40`, if it can be said: it goes by elapsed time when the clock changes.
    """
    write = _steps if elapsed else written
    minute, hour = write(times.minutes, 0, 59), write(times.hours, 0, 23)
    month, day = written(times.months, 1, 12), written(times.days, 1, 31)
    weekday = "*" if times.weekdays == ALL_WEEKDAYS else written(times.weekdays, 0, 6)
    if not times.either and "*" not in (day, weekday):
        # cron asks for both where one begins with `*`; `*/31` is the 1st, `*/7` is Sunday
        if 1 in times.days:
            day = ",".join(["*/31", *([rest] if (rest := written(times.days - {1}, 1, 31)) else [])])
        elif 0 in times.weekdays:
            weekday = ",".join(["*/7", *([rest] if (rest := written(times.weekdays - {0}, 0, 6)) else [])])
        else:
            raise NoCronError("it names days of the month and days of the week, and wants both")
    return f"{minute} {hour} {day} {month} {weekday}"


def _steps(values: frozenset[int], low: int, high: int) -> str:
    """Numbers as a list, or as a step: `*/15`."""
    step = next((each for each in range(2, high + 1) if values == frozenset(range(low, high + 1, each))), None)
    return f"*/{step}" if step is not None and len(values) > 2 else written(values, low, high)
