import datetime as dt
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aetherflow.core.embedding import print_json
from aetherflow.scheduler.cli.arguments import JsonOption, ScheduleArgument
from aetherflow.scheduler.cli.shown import SHOWN

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from aetherflow.scheduler.forecast.forecast import Expectation, Forecast, ForecastSlot

DAY_MS = 86_400_000


def forecast(
    file: ScheduleArgument,
    until: Annotated[
        str | None,
        typer.Option("--until", metavar="TIME", help="Slots before it: 06:00, 12h, 2026-11-24T06:00. Omitted: 24h."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Say how the night will go: when each slot starts and ends, which one holds up which, what will be late.

    How long runs take is known from the ledger: with trend, weekday and end of the month where they show, and without
    what went wrong once. The night is then played through with `after`, `overlap`, pools, `max_running` and locks. ENDS
    is passed in half of the nights, LATEST in one of ten. Of an item that never ran nothing is known: it counts as no
    time, and RUNS is 0.

    Ends with 1 if a slot will rather miss its `deadline` or `late_after_seconds` than not. Changes nothing.

    Example: aetherflow-scheduler forecast scheduler.yaml --until 06:00
    """
    from aetherflow.scheduler.cli.instants import ledger_of, until_ms, zone_of
    from aetherflow.scheduler.cli.loading import load
    from aetherflow.scheduler.forecast.estimating import Estimates
    from aetherflow.scheduler.forecast.forecast import forecast as forecast_of

    schedule = load(file)
    with ledger_of(schedule, read_only=True) as ledger:
        end = until_ms(schedule, until) or ledger.clock.now_ms() + DAY_MS
        found = forecast_of(schedule, ledger, end, Estimates(schedule, ledger))
    if as_json:
        print_json(_report(found))
    else:
        typer.echo(_text(found, zone_of(schedule)))
    if any(each.is_late for each in found.slots):
        raise typer.Exit(1)


def _report(found: "Forecast") -> dict[str, Any]:
    from aetherflow.core.embedding import iso
    from aetherflow.scheduler.cli.app import SCHEMA

    late = [each for each in found.slots if each.is_late]
    path = found.path_to(found.last) if found.last is not None else []
    return {
        "schema": SCHEMA,
        "ok": not late,
        "at": iso(found.at),
        "until": iso(found.until),
        "slots": [_described(found, each) for each in found.slots],
        "left_out": [{"item": each.item.id, "slot": iso(each.slot), "reason": each.why} for each in found.left_out],
        "critical_path": [_named(found.slots[number]) for number in path],
        "late": [_named(each) for each in late],
    }


def _named(each: "ForecastSlot") -> dict[str, str]:
    from aetherflow.core.embedding import iso

    return {"item": each.night_slot.item.id, "slot": iso(each.night_slot.slot)}


def _described(found: "Forecast", each: "ForecastSlot") -> dict[str, Any]:
    from aetherflow.core.embedding import iso

    def instants(at: "Expectation") -> dict[str, str]:
        return {"p50": iso(at.p50), "p90": iso(at.p90)}

    row, wait = each.night_slot.row, each.wait
    return {
        **_named(each),
        "status": row.status if row is not None else None,
        "start": instants(each.start),
        "end": instants(each.end),
        "runs": each.runs,
        "waits_for": {**_named(found.slots[wait.number]), "reason": wait.why} if wait is not None else None,
        "late_at": iso(each.late_at) if each.late_at is not None else None,
        "late_share": round(each.late, 2),
        "skipped_share": round(each.skipped, 2),
    }


def _text(found: "Forecast", zone: "ZoneInfo") -> str:
    from aetherflow.core.embedding import table
    from aetherflow.scheduler.cli.shown import local_text
    from aetherflow.scheduler.time.clock import from_ms

    until = local_text(from_ms(found.until).astimezone(zone))
    number, left = len(found.slots), len(found.left_out)
    head = f"{number} slot{'s' * (number != 1)} until {until}" + (f", {left} left out" if left else "")
    if found.last is None:
        return "\n".join([head, *_left_out(found)])
    last = found.slots[found.last].end
    times = NightTimes(found.at, zone)
    never = len({each.night_slot.item.id for each in found.slots if each.is_unknown})
    if never and not any(each.runs for each in found.slots):
        lines = [f"{head}; when all is done is not known: the ledger has no run of them, so none takes any time here"]
    else:
        but = f" or later: {never} item{'s' * (never != 1)} never ran" if never else ""
        lines = [f"{head}; all is done at {times.of(last.p50)}, in nine nights of ten by {times.of(last.p90)}{but}"]
    rows = [
        [
            each.night_slot.item.id,
            times.of(each.night_slot.slot),
            _start(each, times),
            times.of(each.end.p50),
            times.of(each.end.p90),
            str(each.runs),
            "; ".join(_notes(found, each, times)),
        ]
        for each in found.slots[:SHOWN]
    ]
    lines.append(table(["ITEM", "SLOT", "STARTS", "ENDS", "LATEST", "RUNS", "NOTE"], rows))
    if number > SHOWN:
        lines.append(f"… and {number - SHOWN} more; --json has all")
    lines += _left_out(found)
    path = found.path_to(found.last)
    lines.append(f"critical path: {' → '.join(_step(found.slots[each], times) for each in path)}")
    lines += [_late(found, each, times) for each in found.slots if each.is_late]
    return "\n".join(lines)


class NightTimes:
    """Times as a person reads them in the evening: `23:10`, and with the day if they are not of this night or day."""

    def __init__(self, now: int, zone: "ZoneInfo") -> None:
        self._now, self._zone = now, zone

    def of(self, at: int) -> str:
        """An instant, UTC epoch milliseconds, in the zone of the schedule."""
        from aetherflow.scheduler.time.clock import from_ms

        local: dt.datetime = from_ms(at).astimezone(self._zone)
        if abs(at - self._now) < 1.5 * DAY_MS:
            return f"{local:%H:%M}"
        day = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")[local.weekday()]
        return f"{day} {local:%m-%d %H:%M}"


def _start(each: "ForecastSlot", times: NightTimes) -> str:
    return f"{'since ' if each.night_slot.played.running_since is not None else ''}{times.of(each.start.p50)}"


def _step(each: "ForecastSlot", times: NightTimes) -> str:
    why = f" ({each.wait.why})" if each.wait is not None else ""
    return f"{each.night_slot.item.id} {times.of(each.start.p50)}-{times.of(each.end.p50)}{why}"


def _notes(found: "Forecast", each: "ForecastSlot", times: NightTimes) -> list[str]:
    notes = []
    if each.skipped > 0.05:
        notes.append(f"skipped in {_of_ten(each.skipped)}")
    if each.late_at is not None and each.late >= 0.05:
        notes.append(f"{'LATE: ' * each.is_late}after {times.of(each.late_at)} in {_of_ten(each.late)}")
    if each.wait is not None:
        notes.append(f"waits for {found.slots[each.wait.number].night_slot.item.id}: {each.wait.why}")
    return notes


def _of_ten(share: float) -> str:
    number = min(9, max(1, round(share * 10)))
    return "every night" if share > 0.99 else f"{number} night{'s' * (number != 1)} of ten"


def _late(found: "Forecast", each: "ForecastSlot", times: NightTimes) -> str:
    from aetherflow.scheduler.runs.forewarning import told_of

    return f"late: {each.night_slot.item.id} {told_of(found, each, times.of)}"


def _left_out(found: "Forecast") -> list[str]:
    from aetherflow.core.embedding import iso

    shown = found.left_out[:SHOWN]
    lines = [f"left out: {each.item.id} {iso(each.slot)}, {each.why}" for each in shown]
    if (more := len(found.left_out) - SHOWN) > 0:
        lines.append(f"… and {more} more; --json has all")
    return lines
