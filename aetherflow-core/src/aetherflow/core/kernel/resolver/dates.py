"""The dates of a run: its slot, its date, and the date of its data.

`run.date` is the day of the slot (without one, of the start) in the flow's zone; `run.data_date` is that day moved by
`flow.data_date.shift`: days (`-1d`), business days (`-1bd`), months (`-1month`, clamped to the last day).
"""

import datetime as dt
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

SHIFT = r"([+-]?\d{1,4})(d|bd|months?)"
SATURDAY = 5


def parse_shift(text: str) -> tuple[int, str]:
    """Amount and unit (`d`, `bd`, `month`) of a shift; ValueError for anything else."""
    match = re.fullmatch(SHIFT, text)
    if match is None:
        raise ValueError("must be a number with d, bd or month, as in -1d, -1bd, -1month")
    return int(match[1]), match[2].removesuffix("s")


def parse_zone(name: str) -> "ZoneInfo":
    """A time zone by its IANA name; ValueError for an unknown one."""
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError  # only flows with a zone pay for it

    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"{name!r} is no time zone; use an IANA name such as Europe/Berlin or UTC") from None


def shift_date(day: dt.date, shift: str, holidays: Iterable[dt.date] = ()) -> dt.date:
    """`day` moved by `shift`; business days are Monday to Friday without the holidays. ValueError out of range."""
    amount, unit = parse_shift(shift)
    try:
        if unit == "d":
            return day + dt.timedelta(days=amount)
        if unit == "month":
            return _shift_months(day, amount)
        return _shift_business_days(day, amount, frozenset(holidays))
    except OverflowError:
        raise ValueError("the shifted date is out of range") from None


def date_map(day: dt.date) -> dict[str, str]:
    """The fields of a day that templates may read; all are text, numbers with leading zeros."""
    last = _days_in(day.year, day.month)
    return {
        "iso": day.isoformat(),
        "compact": day.strftime("%Y%m%d") if day.year >= 1000 else day.isoformat().replace("-", ""),
        "year": f"{day.year:04}",
        "month": f"{day.month:02}",
        "day": f"{day.day:02}",
        "month_start": day.replace(day=1).isoformat(),
        "month_end": day.replace(day=last).isoformat(),
    }


def parse_day(text: str) -> dt.date:
    """Parse a day in ISO 8601; ValueError for other text."""
    try:
        return dt.date.fromisoformat(text)
    except ValueError:
        raise ValueError("a day is a date like 2026-12-25") from None


def parse_slot(text: str) -> dt.datetime:
    """A slot as a UTC instant; ValueError without a zone or for other text."""
    try:
        slot = dt.datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("a slot is an instant like 2026-01-31T02:00:00+01:00") from None
    if slot.tzinfo is None:
        raise ValueError("a slot needs a zone, as in 2026-01-31T02:00:00+01:00 or …Z")
    try:
        return slot.astimezone(dt.UTC)
    except OverflowError:
        raise ValueError("the slot is out of range") from None


def slot_text(slot: dt.datetime) -> str:
    """A slot (UTC) in its stored and shown form: ISO 8601 to the second, with `Z`."""
    return slot.replace(tzinfo=None).isoformat(timespec="seconds") + "Z"


def run_dates(
    now: dt.datetime,
    zone: dt.tzinfo,
    *,
    slot: dt.datetime | None = None,
    data_date: dt.date | None = None,
    shift: str = "0d",
    holidays: Iterable[dt.date] = (),
) -> dict[str, Any]:
    """`slot`, `date` and `data_date` of the root `run`; an explicit `data_date` wins over the shift."""
    try:
        day = (slot or now).astimezone(zone).date()
    except OverflowError:
        raise ValueError("the slot is out of range in the flow's zone") from None
    data_day = data_date or shift_date(day, shift, holidays)
    return {
        "slot": slot_text(slot) if slot else None,
        "date": date_map(day),
        "data_date": date_map(data_day),
    }


def _days_in(year: int, month: int) -> int:
    # not calendar.monthrange: every run would import that module for it
    return 31 if month == dt.date.max.month else (dt.date(year, month + 1, 1) - dt.timedelta(days=1)).day


def _shift_months(day: dt.date, amount: int) -> dt.date:
    months = day.year * 12 + day.month - 1 + amount
    year, month = divmod(months, 12)
    if not dt.MINYEAR <= year <= dt.MAXYEAR:
        raise OverflowError
    return dt.date(year, month + 1, min(day.day, _days_in(year, month + 1)))


def _shift_business_days(day: dt.date, amount: int, holidays: frozenset[dt.date]) -> dt.date:
    step = dt.timedelta(days=1 if amount > 0 else -1)
    for _ in range(abs(amount)):
        day += step
        while day.weekday() >= SATURDAY or day in holidays:
            day += step
    return day
