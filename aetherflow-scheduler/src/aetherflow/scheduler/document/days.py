"""Parses the calendars and blackouts of items."""

import datetime as dt
from zoneinfo import ZoneInfo

from aetherflow.core.api import SpecError
from aetherflow.core.embedding import FIX, DocPath, format_path, read_calendar
from aetherflow.scheduler.document.findings import Findings
from aetherflow.scheduler.document.paths import Paths
from aetherflow.scheduler.schedule.calendars import LAST, WEEKDAYS, Days, Window
from aetherflow.scheduler.schedule.spec import BlackoutSpec, CalendarSpec
from aetherflow.scheduler.time.parsing import read_daily, read_instant


def read_days(spec: CalendarSpec | None, path: DocPath, paths: Paths, found: Findings) -> Days:
    """Parse a calendar; mistakes are added to `found`."""
    if spec is None:
        return Days()
    if not spec.business_days and spec.holidays is None:
        fix = "add `business_days: true`, `holidays: holidays.yaml`, or both"
        found.add("AF8010", f"{format_path(path)} leaves out no day", path, "calendar", fix)
    holidays: list[dt.date] = []
    at: DocPath = (*path, "holidays")
    if isinstance(spec.holidays, str):
        file = paths.file(spec.holidays, at)
        paths.read.add(file)
        try:
            where = found.document.source.value(at)
            holidays = read_calendar(file.name, file.parent, where, format_path(at))
        except SpecError as error:
            found.problems.extend(error.problems)
    else:
        holidays = _listed(spec.holidays or [], at, found)
    nth = tuple(LAST if each == "last" else each for each in spec.nth)
    if spec.roll is not None and nth:
        message = f"{format_path(path)}: `nth` chooses days that are not left out, so `roll` has no slot to move"
        found.add("AF8010", message, (*path, "roll"), "calendar", "keep one of the two")
    return Days(spec.business_days, frozenset(holidays), spec.roll, nth)


def _listed(texts: list[str], path: DocPath, found: Findings) -> list[dt.date]:
    days = []
    for index, text in enumerate(texts):
        try:
            days.append(dt.date.fromisoformat(text))
        except ValueError:
            found.add("AF1804", f"{format_path((*path, index))}: {text!r} is no date", (*path, index), "date", FIX)
    return days


def read_blackout(spec: BlackoutSpec, path: DocPath, zone: ZoneInfo, found: Findings) -> Window | None:
    """Parse a blackout; None, with a finding in `found`, if it is invalid."""
    if (spec.daily is not None) == (spec.from_ is not None or spec.until is not None):
        message = f"{format_path(path)} is neither one span nor a daily one"
        found.add("AF8010", message, path, "blackout", 'write `from:` and `until:`, or `daily: "22:00-23:30"`')
        return None
    if spec.daily is not None:
        try:
            daily = read_daily(spec.daily)
        except ValueError as error:
            found.refused("AF8010", error, (*path, "daily"), "blackout")
            return None
        days = frozenset(WEEKDAYS.index(day) for day in spec.days) or frozenset(range(7))
        return Window(spec.reason or spec.daily, daily=daily, days=days)
    if spec.from_ is None or spec.until is None:
        lacking = "from" if spec.from_ is None else "until"
        found.add("AF1102", f"{format_path(path)} lacks the key {lacking!r}", path, "missing", f"add `{lacking}:`")
        return None
    if spec.days:
        found.add("AF8010", f"{format_path(path)}: `days` belongs to `daily`", (*path, "days"), "blackout", "remove it")
    read = []
    for key, text in (("from", spec.from_), ("until", spec.until)):
        try:
            read.append(read_instant(text, zone, last=key == "until"))
        except ValueError as error:
            found.refused("AF8010", error, (*path, key), "blackout")
    if len(read) < 2:
        return None
    if read[0] >= read[1]:
        found.add("AF8010", f"{format_path(path)} ends before it begins", (*path, "until"), "blackout", "swap the two")
        return None
    return Window(spec.reason or f"{spec.from_} to {spec.until}", start=read[0], end=read[1])
