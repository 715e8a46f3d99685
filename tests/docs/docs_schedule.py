"""What the page about scheduler.yaml takes from the program: its keys, and what changes of the clock do to slots."""

import datetime as dt
import re
from collections.abc import Iterator
from pathlib import Path
from zoneinfo import ZoneInfo

from pydantic import BaseModel

from aetherflow.core.console.plugin_pages import table_row
from aetherflow.core.host.describe import fields_of
from aetherflow.scheduler.schedule.spec import (
    BlackoutSpec,
    CalendarSpec,
    ItemOptions,
    RetrySpec,
    SchedulerFileSpec,
    SchedulerItemSpec,
)
from aetherflow.scheduler.time.cron import Cron
from aetherflow.scheduler.time.zones import Change, changes

SCHEDULE_PAGE = Path(__file__).parents[2] / "docs/reference/scheduler.md"
EXPRESSIONS = (
    "30 2 * * *",
    "0 3 * * *",
    "0 0 * * *",
    "30 0 * * *",
    "15,45 1-2 * * *",
    "*/20 2 * * *",
    "15 2 * * 0",
    "0 * * * *",
    "0 */2 * * *",
    "30 0-3 * * *",
    "*/30 * * * *",
    "10 1 * * *",
)
ZONES = {
    "Europe/Berlin": "an hour, at night",
    "America/New_York": "an hour, at night",
    "Europe/Dublin": "an hour, where winter is the deviation",
    "Australia/Lord_Howe": "half an hour",
    "Africa/Cairo": "an hour, at midnight",
}
YEAR = 2026
BEFORE, AFTER = dt.timedelta(hours=1), dt.timedelta(hours=3)


def schedule_parts() -> dict[str, str]:
    """The generated parts of the page, by name."""
    inner = ("retry.", "calendar.", "blackouts.", "defaults.", "items.")
    return {
        "keys of the file": _keys(SchedulerFileSpec, inner),
        "keys of an item": _keys(SchedulerItemSpec, inner, own=ItemOptions),
        "keys of defaults": _keys(ItemOptions, inner),
        "retry": _keys(RetrySpec),
        "calendar": _keys(CalendarSpec),
        "blackouts": _keys(BlackoutSpec),
        "changes of the clock": "\n".join(_clock_tables()).rstrip("\n"),
    }


def _keys(model: type[BaseModel], left_out: tuple[str, ...] = (), own: type[BaseModel] | None = None) -> str:
    skipped = own.model_fields if own is not None else {}
    rows = [["key", "type", "default", "meaning"], ["---"] * 4]
    for each in fields_of(model):
        if not each.name.startswith(left_out or ("\0",)) and each.name not in skipped:
            row = table_row(each)
            name = next(iter(each.aliases), each.name) if each.name.endswith("_") else None
            rows.append([f"`{name}`", *row[1:]] if name else row)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in rows)


def two_changes(zone: ZoneInfo) -> tuple[Change, Change]:
    """The change of a year that leaves walls out, and the one that repeats them."""
    found = changes(zone, YEAR)
    return next(each for each in found if each.skipped), next(each for each in found if not each.skipped)


def span_of(change: Change) -> tuple[dt.datetime, dt.datetime]:
    """The hours around a change that the page shows."""
    at = change.at.replace(tzinfo=dt.UTC)
    return at - BEFORE, at + AFTER


def _clock_tables() -> Iterator[str]:
    for name, what in ZONES.items():
        zone = ZoneInfo(name)
        forward, back = two_changes(zone)
        yield f"### {name}: {what}\n"
        yield f"| cron | {_title(forward)} | {_title(back)} |"
        yield "|---|---|---|"
        for text in EXPRESSIONS:
            cells = [" ".join(_walls(Cron.parse(text), zone, change)) or "none" for change in (forward, back)]
            yield f"| `{text}` | {cells[0]} | {cells[1]} |"
        yield ""


def _title(change: Change) -> str:
    from_, to = change.at + change.before, change.at + change.after
    return f"{from_:%Y-%m-%d}, {from_:%H:%M} becomes {to:%H:%M}"


def _walls(cron: Cron, zone: ZoneInfo, change: Change) -> Iterator[str]:
    for at in cron.between(*span_of(change), zone):
        local = at.astimezone(zone)
        yield f"{local:%H:%M}{'²' if local.fold else ''}"


def write_parts(page: str) -> str:
    """The page with its generated parts, each between `<!-- begin: NAME -->` and `<!-- end -->`."""
    parts = schedule_parts()

    def written(found: re.Match[str]) -> str:
        return f"<!-- begin: {found[1]} -->\n\n{parts.pop(found[1])}\n\n<!-- end -->"

    text = re.sub(r"<!-- begin: ([\w ]+) -->\n.*?<!-- end -->", written, page, flags=re.DOTALL)
    if parts:
        raise ValueError(f"{SCHEDULE_PAGE.name} lacks a place for: {', '.join(parts)}")
    return text
