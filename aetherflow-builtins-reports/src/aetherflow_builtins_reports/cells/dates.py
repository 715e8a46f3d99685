"""Dates and times as the numbers that a workbook counts them by: days since its epoch, the time as a fraction."""

import datetime
import re

EPOCH_1900, EPOCH_1904 = datetime.date(1899, 12, 30), datetime.date(1904, 1, 1)
FIRST_1900 = datetime.date(1900, 3, 1)
"""Excel counts a 29 February 1900 that never was; before it, its days of the week and LibreOffice's dates differ."""

_MEMO = 200_000
_DAY_US = 86_400_000_000
_TWO = {f"{number:02}": number for number in range(60)}
_TIME = re.compile(r"[T ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d+))?)?", re.ASCII)
_TEXT = re.compile(
    r"(\d{4}-\d\d-\d\d)([T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?)?(?: ?(Z|[+-]\d\d(?::?\d\d)?))?", re.ASCII | re.IGNORECASE
)


class Irregular(Exception):  # noqa: N818 -- no error: it sends a column to the slow path
    """A value that the quick way cannot take."""


class Days(dict[str, str]):
    """`2026-01-05` to its number as text; Irregular for what is no date or one that cannot be counted."""

    def __init__(self, *, date1904: bool) -> None:
        super().__init__()
        self.epoch = EPOCH_1904 if date1904 else EPOCH_1900
        self.first = EPOCH_1904 if date1904 else FIRST_1900

    def of(self, day: datetime.date) -> str:
        """Number of a day; Irregular before the first that can be counted."""
        if day < self.first:
            raise Irregular
        return str((day - self.epoch).days)

    def __missing__(self, text: str) -> str:
        if len(text) != 10 or text[4] != "-":  # other ISO forms, 20260105 and 2026-W05, are no dates here
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
    """`T10:00:00` or ` 10:00:00` to `.41666666667`; Irregular for what is no time, or has a zone."""

    def __missing__(self, text: str) -> str:
        if len(self) > _MEMO:
            self.clear()
        value = self[text] = fraction(text)
        return value


def fraction(text: str) -> str:
    """The part of a day as digits behind the point; empty for midnight."""
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
    return _digits((hour * 3600 + minute * 60 + second) * 1_000_000 + micro)


def time_fraction(value: datetime.time) -> str:
    """The same of a time."""
    return _digits((value.hour * 3600 + value.minute * 60 + value.second) * 1_000_000 + value.microsecond)


def _digits(micros: int) -> str:
    return f"{micros / _DAY_US:.11f}"[1:] if micros else ""


def parse_moment(text: str) -> datetime.datetime | None:
    """ISO date, or date and time with a blank or T between; fractions beyond microseconds are cut. None: neither."""
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
