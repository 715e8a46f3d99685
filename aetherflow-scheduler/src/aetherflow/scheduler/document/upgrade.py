"""What a scheduler document meant in version 0.9, whose weekdays began with Monday as 0."""

import re
from collections.abc import Iterator
from typing import Any

from aetherflow.core.api import Difference
from aetherflow.scheduler.errors import CronError
from aetherflow.scheduler.time.cron_syntax import Expression, read

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_ELEMENT = re.compile(r"(\*|[0-6]|[a-z]{3})(?:-([0-6]|[a-z]{3}))?(?:/([1-9]))?\Z", re.ASCII)


def differences_of(data: Any) -> Iterator[Difference]:
    """Every difference of a document, which may be invalid."""
    if not isinstance(data, dict) or not isinstance(items := data.get("items"), list):
        return
    if "timezone" not in data and any(isinstance(item, dict) and "timezone" not in item for item in items):
        yield Difference(("items",), "the zone was Europe/Berlin", "it is UTC", "timezone: Europe/Berlin")
    for index, item in enumerate(items):
        cron = item.get("cron") if isinstance(item, dict) else None
        if isinstance(cron, str) and not cron.lstrip().startswith("@"):
            yield from _of_cron(("items", index, "cron"), cron)


def _of_cron(at: tuple[str | int, ...], cron: str) -> Iterator[Difference]:
    try:
        found = read(cron)
    except CronError:
        return  # `validate` reports it
    fields = cron.split()
    before = _days_before(fields[4].lower())
    if before is None:
        return
    now = frozenset((day - 1) % 7 for day in found.values[4])
    if before != now:
        write = f'cron: "{" ".join([*fields[:4], _text(before)])}" for the old days'
        yield Difference(at, f"it ran on {_text(before)}", f"it runs on {_text(now)}", write)
    if _is_either(found):
        yield Difference(
            at,
            f"it ran on days {fields[2]} of the month that were {_text(before)}",
            f"it runs on days {fields[2]} of the month, and on every {_text(now)}",
            "`* *` in place of one of the two, and let the flow decide on the other",
        )


def _is_either(found: Expression) -> bool:
    # cron joins the two days by `or` only where neither field begins with a star
    return not found.stars[2] and not found.stars[4]


def _days_before(field: str) -> frozenset[int] | None:
    """The weekdays that 0.9 read, Monday is 0; None where it refused the field."""
    days: set[int] = set()
    for part in field.split(","):
        match = _ELEMENT.match(part)
        if match is None:
            return None
        first, last, step = match.groups()
        low = 0 if first == "*" else _number(first)
        high = _number(last) if last is not None else 6 if first == "*" else low
        if low is None or high is None or low > high:
            return None
        days.update(range(low, high + 1, int(step or 1)))
    return frozenset(days)


def _number(text: str) -> int | None:
    return int(text) if text.isdigit() else _DAYS.index(text) if text in _DAYS else None


def _text(days: frozenset[int]) -> str:
    """The days as a field of cron: `tue-sat`, `mon,thu`."""
    runs: list[list[int]] = []
    for day in sorted(days):
        if runs and runs[-1][-1] == day - 1:
            runs[-1].append(day)
        else:
            runs.append([day])
    return ",".join(
        f"{_DAYS[run[0]]}-{_DAYS[run[-1]]}" if len(run) > 2 else ",".join(_DAYS[day] for day in run) for run in runs
    )
