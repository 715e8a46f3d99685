"""Converts dates and times to serial numbers: days since the workbook's epoch, the time of day as a fraction."""

import datetime
import re

EPOCH_1900, EPOCH_1904 = datetime.date(1899, 12, 30), datetime.date(1904, 1, 1)
FIRST_1900 = datetime.date(1900, 3, 1)
"""First date with an unambiguous number: Excel counts a 29 February 1900, which did not exist (ECMA-376 18.17.4)."""

_MEMO = 200_000
_DAY_US = 86_400_000_000
_LATE_US = _DAY_US - 1_000
"""From here on a number of a far day may be that of the next day: Excel's last day has steps of 40 microseconds."""
_TWO = {f"{number:02}": number for number in range(60)}
_TIME = re.compile(r"[T ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d+))?)?", re.ASCII)
_TEXT = re.compile(
    r"(\d{4}-\d\d-\d\d)([T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?)?(?: ?(Z|[+-]\d\d(?::?\d\d)?))?", re.ASCII | re.IGNORECASE
)


class Irregular(Exception):  # noqa: N818 -- no error: it sends a column to the slow path
    """Raised for a value that the fast path cannot encode."""


class Days(dict[str, str]):
    """Memo from `2026-01-05` to its serial number as text; raises Irregular for other texts and uncountable dates."""

    def __init__(self, *, date1904: bool) -> None:
        super().__init__()
        self.epoch = EPOCH_1904 if date1904 else EPOCH_1900
        self.first = EPOCH_1904 if date1904 else FIRST_1900

    def of(self, day: datetime.date) -> str:
        """The serial number of a day; Irregular if it is before the first countable day."""
        if day < self.first:
            raise Irregular
        return str((day - self.epoch).days)

    def __missing__(self, text: str) -> str:
        if len(text) != 10 or text[4] != "-":  # other ISO 8601 forms (20260105, 2026-W05) count as text
            raise Irregular
        try:
            day = datetime.date.fromisoformat(text)
        except ValueError:
            raise Irregular from None
        if len(self) > _MEMO:
            self.clear()
        value = self[text] = self.of(day)
        return value


class Fractions(dict[str, str]):
    """Memo from `T10:00:00` or ` 10:00:00` to `.41666666667`; raises Irregular for other texts, also with a zone."""

    def __missing__(self, text: str) -> str:
        if len(self) > _MEMO:
            self.clear()
        value = self[text] = fraction(text)
        return value


def fraction(text: str) -> str:
    """The time of day in ` 10:00:00` as a decimal fraction of a day, from the point on; empty for midnight."""
    if not text:
        return ""
    if len(text) == 9 and text[0] in "T " and text[3] == text[6] == ":":
        hour, minute, second = _TWO.get(text[1:3], 99), _TWO.get(text[4:6], 99), _TWO.get(text[7:9], 99)
        if hour < 24 and minute < 60 and second < 60:
            return _digits((hour * 3600 + minute * 60 + second) * 1_000_000)
    found = _TIME.fullmatch(text)
    if found is None:
        raise Irregular
    hour, minute, second = int(found.group(1)), int(found.group(2)), int(found.group(3) or 0)
    if hour > 23 or minute > 59 or second > 59:
        raise Irregular
    micro = int(((found.group(4) or "") + "000000")[:6])
    micros = (hour * 3600 + minute * 60 + second) * 1_000_000 + micro
    if micros > _LATE_US:
        raise Irregular
    return _digits(micros)


def time_fraction(value: datetime.time) -> str:
    """A time of day as a decimal fraction of a day, from the point on; empty for midnight."""
    return _digits((value.hour * 3600 + value.minute * 60 + value.second) * 1_000_000 + value.microsecond)


def _digits(micros: int) -> str:
    return f"{micros / _DAY_US:.12f}"[1:] if micros else ""


def parse_moment(text: str) -> datetime.datetime | None:
    """Parse an ISO 8601 date, or date and time separated by a blank or T; None for other texts.

    Digits beyond microseconds are dropped.
    """
    found = _TEXT.fullmatch(text)
    if found is None:
        return None
    date, time, zone = found.groups()
    if zone and not time:
        return None
    time = (time or "").replace(",", ".")
    head, point, tail = time.partition(".")
    iso = date + head + (point + (tail + "000000")[:6] if point else "") + (zone or "").upper()
    try:
        return datetime.datetime.fromisoformat(iso)
    except ValueError:
        return None
