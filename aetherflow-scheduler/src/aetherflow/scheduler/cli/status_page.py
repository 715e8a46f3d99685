"""What the page of a schedule shows besides the document of `status --json`: the night, and a year of days."""

import datetime as dt
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aetherflow.core.embedding import iso, made_here, write_page
from aetherflow.scheduler.cli.forecast import NightTimes
from aetherflow.scheduler.cli.instants import zone_of
from aetherflow.scheduler.forecast.estimating import Estimates
from aetherflow.scheduler.forecast.forecast import forecast
from aetherflow.scheduler.ledger.epochs import Epochs
from aetherflow.scheduler.ledger.slots import Slots
from aetherflow.scheduler.ledger.truth import truth_of
from aetherflow.scheduler.runs.forewarning import told_of
from aetherflow.scheduler.schedule.calendars import WEEKDAYS
from aetherflow.scheduler.schedule.slots import excluded, expected, late_at
from aetherflow.scheduler.time.clock import from_ms, to_ms
from aetherflow.scheduler.time.zones import changes

if TYPE_CHECKING:
    from aetherflow.scheduler.ledger.records import SlotRow
    from aetherflow.scheduler.ledger.store import Ledger
    from aetherflow.scheduler.schedule.schedule import Item, Schedule
    from aetherflow.scheduler.schedule.slots import Slot

BEFORE_MS, AFTER_MS = 86_400_000, 43_200_000
MOST_SLOTS = 100
"""Slots of one item that the night shows; an item that starts every minute has more."""
_HOUR_MS = 3_600_000
_AROUND = dt.timedelta(hours=4)


def write_status_page(html: Path, report: dict[str, Any], schedule: "Schedule", ledger: "Ledger") -> str:
    """Write the page; returns the line that says so. Raises what `write_page` raises, and StateError."""
    now = ledger.clock.now_ms()
    start, end = now - BEFORE_MS, now + AFTER_MS
    document = report | made_here() | {"now": now, "night": {"start": start, "end": end}}
    known: dict[str, int] = {}
    for epoch in Epochs(ledger).all():
        known[epoch.item] = min(epoch.since, known.get(epoch.item, epoch.since))
    document["night"] |= _hours(schedule, start, end)
    document["night"]["items"] = [
        _night(item, schedule, ledger, max(start, known.get(item.id, now)), end) for item in schedule.items
    ]
    document["forecast"] = _forecast(schedule, ledger, end)
    document["year"] = _year(schedule, from_ms(now).year)
    return write_page(html, "schedule", document, None)


def _hours(schedule: "Schedule", start: int, end: int) -> dict[str, Any]:
    """Every third hour by the clock of the document, which may change in the night."""
    zone = zone_of(schedule)
    hours = []
    for at in range(-(-start // _HOUR_MS) * _HOUR_MS, end + 1, _HOUR_MS):
        local = from_ms(at).astimezone(zone)
        if local.hour % 3 == 0:
            label = f"{local:%H:%M}" if local.hour else f"{WEEKDAYS[local.weekday()].capitalize()} {local:%d.%m.}"
            hours.append({"at": at, "label": label})
    return {"zone": zone.key, "hours": hours}


def _night(item: "Item", schedule: "Schedule", ledger: "Ledger", start: int, end: int) -> dict[str, Any]:
    """The slots of an item in the time that is shown, as they should have been and as they were."""
    first = max(from_ms(start), item.since or from_ms(start))
    due = list(islice(expected(item, first, from_ms(end)), MOST_SLOTS + 1)) if item.spec.enabled else []
    slots = Slots(ledger)
    rows = {row.slot: row for row in truth_of(schedule).told(list(slots.between(item.id, start, end).values()))}
    shown = {to_ms(slot.at): _slot(slot, rows.get(to_ms(slot.at)), slots) for slot in due[:MOST_SLOTS]}
    for at, row in rows.items():  # of a definition that has changed since
        if at not in shown and len(shown) < 2 * MOST_SLOTS:
            shown[at] = _of_row(row, slots) | {"expected": False, "remark": None, "late_at": None, "excluded": None}
    return {
        "id": item.id,
        "zone": item.zone.key,
        "enabled": item.spec.enabled,
        "after": list(item.after),
        "deadline": item.spec.deadline,
        "slots": [shown[at] for at in sorted(shown)],
        "left_out": len(due) > MOST_SLOTS,
    }


def _slot(slot: "Slot", row: "SlotRow | None", slots: Slots) -> dict[str, Any]:
    at = to_ms(slot.at)
    late, why = late_at(slot.item, at), excluded(slot)
    found: dict[str, Any] = {"at": at, "status": None, "reason": None, "late": False, "attempts": []}
    found |= _of_row(row, slots) if row is not None else {}
    return found | {
        "expected": why is None,
        "excluded": None if why is None else str(why),
        "remark": slot.remark,
        "late_at": None if late is None or why is not None else late[0],
    }


def _of_row(row: "SlotRow", slots: Slots) -> dict[str, Any]:
    return {
        "at": row.slot,
        "status": str(row.status),
        "reason": row.reason,
        "late": row.late,
        "run_id": row.run_id,
        "attempts": [
            {"started_at": each.started_at, "finished_at": each.finished_at, "status": each.status}
            for each in (slots.attempts(row.item, row.slot) if row.attempts else [])
        ],
    }


def _forecast(schedule: "Schedule", ledger: "Ledger", until: int) -> dict[str, Any]:
    """How the coming hours are expected to go: each slot, which will be late, and when all is done."""
    found = forecast(schedule, ledger, until, Estimates(schedule, ledger))
    times = NightTimes(found.at, zone_of(schedule))
    last = found.slots[found.last].end if found.last is not None else None
    return {
        "slots": [
            {
                "item": each.night_slot.item.id,
                "slot": each.night_slot.slot,
                "start": each.start._asdict(),
                "end": each.end._asdict(),
                "runs": each.runs,
                "is_late": each.is_late,
            }
            for each in found.slots
        ],
        "late": [
            {"item": each.night_slot.item.id, "told": told_of(found, each, times.of)}
            for each in found.slots
            if each.is_late
        ],
        "done": {"p50": times.of(last.p50), "p90": times.of(last.p90)} if last is not None else None,
    }


def _year(schedule: "Schedule", year: int) -> dict[str, Any]:
    """The days on which slots do not run, for each calendar, and the changes of the clock in each zone."""
    groups: dict[Any, list[Item]] = {}
    for item in schedule.items:
        if item.spec.enabled and (item.days.business_days or item.days.holidays):
            groups.setdefault(item.days, []).append(item)
    zones = {item.zone.key: item.zone for item in schedule.items if item.spec.enabled}
    clock = []
    for name, zone in sorted(zones.items()):
        for change in changes(zone, year):
            at = change.at.replace(tzinfo=dt.UTC)
            items = [item for item in schedule.items if item.spec.enabled and item.zone.key == name]
            clock.append(
                {
                    "zone": name,
                    "day": change.first.date().isoformat(),
                    "at": iso(to_ms(at)),
                    "from": f"{change.first:%H:%M}",
                    "to": f"{change.end:%H:%M}",
                    "skipped": change.skipped,
                    "slots": [each for item in items for each in _touched(item, at)],
                }
            )
    calendars = [
        {
            "items": [item.id for item in items],
            "business_days": days.business_days,
            "holidays": sorted(day.isoformat() for day in days.holidays if day.year == year),
            "roll": days.roll,
        }
        for days, items in groups.items()
    ]
    return {"year": year, "calendars": calendars, "clock": clock}


def _touched(item: "Item", at: dt.datetime) -> list[dict[str, str]]:
    """The slots of an item around a change of the clock that it moves, repeats or leaves out."""
    near = islice(expected(item, at - _AROUND, at + _AROUND), MOST_SLOTS)
    found = ((slot, slot.remark) for slot in near)
    return [
        {"item": item.id, "slot": iso(to_ms(slot.at)), "remark": remark} for slot, remark in found if remark is not None
    ]
