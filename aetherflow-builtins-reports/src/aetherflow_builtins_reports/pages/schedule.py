"""The page of a schedule: what needs a person, the night over time, every item, and a year of days."""

import calendar
import datetime as dt
from collections.abc import Mapping
from functools import partial
from typing import Any

from aetherflow_builtins_reports.pages import texts
from aetherflow_builtins_reports.pages.night import night_chart
from aetherflow_builtins_reports.pages.rendering import Budget, bounded, render

MOST_BYTES = 160_000
MOST_ITEMS = 120
MOST_CALENDARS = 3
MOST_EXPECTED = 50
"""Slots of one item whose forecast the chart has."""
_ROW = 320


def schedule_page(document: Mapping[str, Any]) -> bytes:
    """The page; in the night, items of which something went wrong come first."""
    return bounded(partial(_page, document), MOST_BYTES)


def _page(document: Mapping[str, Any], budget: Budget) -> bytes:
    needs, needs_left = budget.rows(document["needs_person"], 60, _ROW, _need)
    items, items_left = budget.rows(document["items"], MOST_ITEMS, _ROW, _item)
    charted = _charted(document["night"]["items"], budget.most // 180)
    forecast, known = _forecast(document["forecast"], {item["id"] for item in charted})
    told = [row | {"expected": known.get((row["item"], row["at"]))} for item in charted for row in _told(item)]
    told.sort(key=lambda row: (row["status"] in ("SUCCESS", None), row["at"]))
    slots, slots_left = budget.rows(told, 150, _ROW)
    late, late_left = budget.rows(
        document["forecast"]["late"], 20, 60, lambda each: each | {"told": texts.cut(each["told"], 400)}
    )
    return render(
        "schedule.html",
        document,
        needs=needs,
        needs_left=needs_left,
        items=items,
        items_left=items_left,
        chart=night_chart(document["night"], charted, document["now"], forecast),
        late=late,
        late_left=late_left,
        items_not_charted=len(document["night"]["items"]) - len(charted),
        slots=sorted(slots, key=lambda row: row["at"]),
        slots_left=slots_left,
        months=[_months(document, each) for each in document["year"]["calendars"][:MOST_CALENDARS]],
        calendars_left=max(0, len(document["year"]["calendars"]) - MOST_CALENDARS),
        plain=_months(document, None) if not document["year"]["calendars"] else None,
        open_needs=sum(max(1, len(need["slots"])) for need in document["needs_person"] if not need["in_hand"]),
    )


def _need(need: Mapping[str, Any]) -> dict[str, Any]:
    commands = [texts.cut(each, 1000) for each in need["commands"]][:2]
    words = ["if it was done", "if it was not"] if len(commands) == 2 else [""] * len(commands)
    if need["leave"]:
        commands.append(texts.cut(need["leave"], 1000))
        words.append("or leave it")
    kept = {key: need[key] for key in ("status", "item", "run_id", "since", "owner", "runbook_url", "in_hand")}
    slots = need["slots"][:3] + ([f"and {len(need['slots']) - 3} more"] if len(need["slots"]) > 3 else [])
    more = {"cause": texts.cut(need["cause"], 600), "holds_up": list(need["holds_up"])[:10], "slots": slots}
    return {**kept, **more, "commands": list(zip(words, commands, strict=True))}


def _item(item: Mapping[str, Any]) -> dict[str, Any]:
    last, pause = item["last_run"], item["paused"]
    notes = ["late"] if item["late"] else []
    if pause is not None:
        notes.append(f"paused by {pause['actor']}" + (f" until {pause['until']}" if pause["until"] else ""))
    notes += [
        f"{row['slot']} {row['status']}" + (f": {row['reason']}" if row["reason"] else "") for row in item["active"][:3]
    ]
    notes += [] if item["seen"] else ["not seen by a scheduler yet"]
    return {
        "id": item["id"],
        "state": item["state"],
        "next": item["next"],
        "last_slot": last["slot"] if last else None,
        "last_status": last["status"] if last else None,
        "note": texts.cut("; ".join(notes), 400),
    }


def _charted(items: list[dict[str, Any]], most: int) -> list[dict[str, Any]]:
    """The items of which the night has a slot, as many as a page bears; those of which something went wrong first."""
    bad = ("FAILED", "MISSED", "UNKNOWN", "INTERRUPTED", "WAITING")
    ordered = sorted(
        (item for item in items if item["slots"]),
        key=lambda item: not any(slot["status"] in bad or slot["late"] for slot in item["slots"]),
    )
    kept: list[dict[str, Any]] = []
    marks = 0
    for item in ordered:
        marks += len(item["slots"])
        if kept and (marks > most or len(kept) == MOST_ITEMS):
            break
        kept.append(item)
    return kept


def _told(item: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The slots of an item in words."""
    rows = []
    for slot in item["slots"]:
        attempts = slot["attempts"]
        last = attempts[-1]["finished_at"] if attempts else None
        status = slot["status"] or ("SKIPPED" if slot["excluded"] else None)
        notes = [slot["reason"], slot["excluded"] if not slot["reason"] else None, slot["remark"]]
        notes += [f"in {len(attempts)} starts"] if len(attempts) > 1 else []
        notes += ["ended late"] if slot["late"] and last else ["late"] if slot["late"] else []
        rows.append(
            {
                "item": item["id"],
                "at": slot["at"],
                "status": status,
                "started": attempts[0]["started_at"] if attempts else None,
                "took": last - attempts[0]["started_at"] if attempts and last else None,
                "late_at": slot["late_at"],
                "note": texts.cut("; ".join(filter(None, notes)), 300),
            }
        )
    return rows


def _forecast(
    forecast: Mapping[str, Any], items: set[str]
) -> tuple[dict[str, list[dict[str, Any]]], dict[tuple[str, int], dict[str, Any]]]:
    """What is expected of these items: the slots of each for the chart, and each that is known by item and slot."""
    by_item: dict[str, list[dict[str, Any]]] = {}
    for each in forecast["slots"]:
        if each["item"] in items and len(by_item.setdefault(each["item"], [])) < MOST_EXPECTED:
            by_item[each["item"]].append(each)
    return by_item, {(each["item"], each["slot"]): each for found in by_item.values() for each in found if each["runs"]}


def _months(document: Mapping[str, Any], days: Mapping[str, Any] | None) -> dict[str, Any]:
    """A calendar of the year: weeks of days, each with its class and what it is."""
    year = document["year"]["year"]
    today = dt.datetime.fromtimestamp(document["now"] / 1000 + document["offset_s"], dt.UTC).date()
    changes = {change["day"] for change in document["year"]["clock"]}
    holidays = set(days["holidays"]) if days else set()
    months = []
    for month in range(1, 13):
        every = calendar.Calendar().monthdatescalendar(year, month)
        weeks = [[_day(day, month, holidays, changes, days) for day in week] for week in every]
        months.append({"name": f"{dt.date(year, month, 1):%B}", "weeks": weeks})
    shown = sorted(holidays)
    return {"items": days["items"] if days else [], "months": months, "today": today, "holidays": shown, "year": year}


def _day(
    day: dt.date, month: int, holidays: set[str], changes: set[str], days: Mapping[str, Any] | None
) -> dict[str, Any] | None:
    if day.month != month:
        return None
    name, word = "", ""
    if day.isoformat() in changes:
        name, word = "dst", "clock changes"
    if days and days["business_days"] and day.weekday() >= calendar.SATURDAY:
        name, word = (name, word) if name else ("off", "no slots")
    if day.isoformat() in holidays:
        name, word = "hol", "holiday"
    mark = {"dst": "↔", "hol": "✖"}.get(name, "")
    return {"date": day, "number": day.day, "class": name, "word": word, "mark": mark}
