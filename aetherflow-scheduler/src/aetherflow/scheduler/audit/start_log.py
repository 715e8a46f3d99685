"""Reads what cron or systemd has started: lines of syslog in both forms of time, and `journalctl -o json`."""

import datetime as dt
import gzip
import json
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, NamedTuple, cast
from zoneinfo import ZoneInfo

from aetherflow.core.api import UsageError

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_RFC3164 = re.compile(
    r"(?:<\d+>)?([A-Z][a-z]{2}) +([0-9]{1,2}) ([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.[0-9]+)? ", re.ASCII
)
_ISO = re.compile(
    r"(?:<\d+>1? ?)?(\d{4}-\d{2}-\d{2}[T ][0-9:]{8}(?:[.,]\d{1,6})?)\d* ?(Z|[+-]\d{2}:?\d{2})? ",
    re.ASCII,
)
_CRON = re.compile(
    r"(?:\S+ )?(?:/usr/sbin/)?crond?(?:\[[0-9]+\])?: (\([^()]+\) CMD \(.*\))\s*\Z", re.IGNORECASE | re.DOTALL
)
_COMMAND = re.compile(r"\([^()]+\) CMD \(.*\)\s*\Z", re.DOTALL)
_STARTS = frozenset({"7d4958e842da4a758f6c1cdc7b36dcc5"})
"""MESSAGE_ID of the journal for a unit that systemd begins to start."""
_HOUR = dt.timedelta(hours=1)
_BACK = dt.timedelta(minutes=10)
"""Lines of a log may be out of order by so much; more is a clock that was set back in autumn, or another year."""


class Start(NamedTuple):
    """One start that a log tells of."""

    at: dt.datetime
    """When it was logged, in UTC."""
    what: str
    """`(root) CMD (/usr/bin/backup)`, or the name of a unit."""


@dataclass(slots=True)
class StartLog:
    """The starts of one or several logs, and the span of time that their lines cover."""

    starts: list[Start] = field(default_factory=list)
    first: dt.datetime | None = None
    """The time of the earliest line, whatever it tells; None without any."""
    last: dt.datetime | None = None
    unread: int = 0
    """Lines without a time that can be read."""

    def saw(self, at: dt.datetime) -> None:
        """The log was written at this time."""
        self.first = at if self.first is None else min(self.first, at)
        self.last = at if self.last is None else max(self.last, at)


def read_logs(paths: Iterable[Path], zone: ZoneInfo, now: dt.datetime) -> StartLog:
    """Read logs; `-` is stdin, `.gz` is unpacked. Times without an offset are in `zone`, those without a year before
    `now`. Raises UsageError for a file that cannot be read, or that has no line with a time.
    """
    found = StartLog()
    for path in paths:
        before = found.unread
        try:
            with _opened(path) as file:
                _read(file, found, zone, now)
        except (OSError, EOFError) as error:
            why = getattr(error, "strerror", None) or error
            raise UsageError(f"{path} cannot be read: {why}", fix="name the log of cron, or `-`") from None
        if found.first is None and found.unread > before:
            raise UsageError(
                f"{path} has no line with a time", fix="give the lines of syslog, or `journalctl -t CRON -o json`"
            )
    found.starts.sort()
    return found


def _opened(path: Path) -> IO[bytes]:
    if str(path) == "-":
        return sys.stdin.buffer
    return cast(IO[bytes], gzip.open(path, "rb")) if path.suffix == ".gz" else path.open("rb")


def _read(file: IO[bytes], found: StartLog, zone: ZoneInfo, now: dt.datetime) -> None:
    clock = _Clock(zone, now)
    lines: list[tuple[dt.datetime | _NoYear, str | None]] = []
    for raw in file:
        text = raw.decode("utf-8", "replace").rstrip("\r\n")
        if not text.strip():
            continue
        told = _journal(text) if text.startswith("{") else _line(text, zone)
        if told is None:
            found.unread += 1
        else:
            lines.append(told)
    for at, what in clock.with_years(lines):
        found.saw(at)
        if what is not None:
            found.starts.append(Start(at, what))


class _NoYear(NamedTuple):
    """A time as RFC 3164 has it."""

    month: int
    day: int
    time: dt.time


class _Clock:
    """Gives times of RFC 3164 their year and their offset, by the order of the lines."""

    def __init__(self, zone: ZoneInfo, now: dt.datetime) -> None:
        self._zone = zone
        self._now = now.astimezone(zone).replace(tzinfo=None)

    def with_years(
        self, lines: list[tuple["dt.datetime | _NoYear", str | None]]
    ) -> Iterator[tuple[dt.datetime, str | None]]:
        """The lines with their instants in UTC: none is in the future, and none far behind the one before."""
        years: list[int] = []
        later: dt.datetime = self._now + dt.timedelta(days=1)
        for at, _ in reversed(lines):
            if isinstance(at, dt.datetime):
                years.append(0)
                continue
            year = later.year
            while (placed := _placed(at, year)) is None or placed > later + _HOUR + _BACK:
                year -= 1
            years.append(year)
            later = min(later, placed)
        before: dt.datetime | None = None
        for (at, what), year in zip(lines, reversed(years), strict=True):
            if not isinstance(at, dt.datetime):
                local = _placed(at, year)
                assert local is not None  # noqa: S101 placed above
                at = local.replace(tzinfo=self._zone).astimezone(dt.UTC)
                if before is not None and at < before - _BACK:
                    at = local.replace(tzinfo=self._zone, fold=1).astimezone(dt.UTC)
            before = at
            yield at, what


def _placed(at: _NoYear, year: int) -> dt.datetime | None:
    try:
        return dt.datetime.combine(dt.date(year, at.month, at.day), at.time)
    except ValueError:  # 29 February
        return None


def _line(text: str, zone: ZoneInfo) -> tuple["dt.datetime | _NoYear", str | None] | None:
    """The time of a line of syslog and what it says was started; None if it has no time."""
    at: dt.datetime | _NoYear
    if (match := _ISO.match(text)) is not None:
        try:
            local = dt.datetime.fromisoformat(match[1].replace(",", ".") + (match[2] or ""))
        except ValueError:
            return None
        at = (local if local.tzinfo else local.replace(tzinfo=zone)).astimezone(dt.UTC)
    elif (match := _RFC3164.match(text)) is not None and match[1] in _MONTHS:
        month, day, hour, minute, second = match.groups()
        try:
            at = _NoYear(_MONTHS.index(month) + 1, int(day), dt.time(int(hour), int(minute), int(second)))
        except ValueError:
            return None
        if not 1 <= at.day <= 31:
            return None
    else:
        return None
    told = _CRON.match(text, match.end())
    return at, told[1].strip() if told is not None else None


def _journal(text: str) -> tuple[dt.datetime, str | None] | None:
    """The time of an entry of the journal and what it says was started."""
    try:
        entry: Any = json.loads(text)
        stamp = int(entry.get("_SOURCE_REALTIME_TIMESTAMP") or entry["__REALTIME_TIMESTAMP"])
        at = dt.datetime.fromtimestamp(stamp / 1_000_000, dt.UTC)
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, OSError, RecursionError):
        return None
    told = entry.get("MESSAGE")
    if isinstance(told, list):  # bytes that are not text
        told = bytes(each for each in told if isinstance(each, int) and 0 <= each < 256).decode("utf-8", "replace")
    if entry.get("MESSAGE_ID") in _STARTS:
        unit = entry.get("UNIT") or entry.get("USER_UNIT")
        return at, unit if isinstance(unit, str) else None
    name = str(entry.get("SYSLOG_IDENTIFIER") or entry.get("_COMM") or "").rpartition("/")[2].lower()
    is_cron = name in ("cron", "crond") and isinstance(told, str) and _COMMAND.match(told) is not None
    return at, told.strip() if is_cron and isinstance(told, str) else None
