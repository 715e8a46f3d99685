import json
from typing import TYPE_CHECKING, Any

import typer

from aetherflow.scheduler.cli.arguments import JsonOption, ScheduleArgument

if TYPE_CHECKING:
    from aetherflow.scheduler.audit.status import ItemStatus, ScheduleStatus


def status(file: ScheduleArgument, as_json: JsonOption = False) -> None:
    """Show the state of a schedule: the leader, and each item's last run, next slot, and waiting and late slots.

    Changes nothing, and may be called at any time.

    Example: aetherflow-scheduler status scheduler.yaml
    """
    from aetherflow.scheduler.audit.status import status_of
    from aetherflow.scheduler.cli.app import SCHEMA
    from aetherflow.scheduler.cli.instants import ledger_of
    from aetherflow.scheduler.cli.loading import load
    from aetherflow.scheduler.ledger.pruning import PRUNED_AHEAD, PRUNED_AHEAD_FIX

    schedule = load(file)
    with ledger_of(schedule, read_only=True) as ledger:
        found = status_of(schedule, ledger)
    if as_json:
        leader = found.leader
        report = {
            "schema": SCHEMA,
            "path": str(schedule.path),
            "state": str(schedule.state),
            "leader": {"host": leader.host, "pid": leader.pid} if leader is not None else None,
            "running": found.running,
            "waiting": found.waiting,
            "interrupted": [row.as_json() for row in found.interrupted],
            "items": [_described(each) for each in found.items],
        }
        typer.echo(json.dumps(report, ensure_ascii=False, indent=2))
    else:
        typer.echo(_text(found))
    if any(each.held_until is not None for each in found.items):
        typer.echo(f"warning: items start nothing that should, as {PRUNED_AHEAD}\n  fix: {PRUNED_AHEAD_FIX}", err=True)


def _described(each: "ItemStatus") -> dict[str, Any]:
    from aetherflow.scheduler.time.clock import iso

    pause = None
    if each.pause is not None:
        until = iso(each.pause.until) if each.pause.until is not None else None
        pause = {"since": iso(each.pause.since), "until": until, "reason": each.pause.reason, "actor": each.pause.actor}
    return {
        "id": each.item.id,
        "state": each.state,
        "seen": each.seen,
        "next": iso(each.next) if each.next is not None else None,
        "late": each.late,
        "held_until": iso(each.held_until) if each.held_until is not None else None,
        "paused": pause,
        "last_run": each.last.as_json() if each.last is not None else None,
        "last_slot": each.latest.as_json() if each.latest is not None else None,
        "active": [row.as_json() for row in each.active],
    }


def _text(found: "ScheduleStatus") -> str:
    from aetherflow.core.embedding import table

    leader = found.leader
    head = f"leader: pid {leader.pid} on {leader.host}" if leader is not None else "leader: none"
    lines = [f"{head}; {found.running} running, {found.waiting} waiting"]
    rows = [_row(each) for each in found.items]
    if rows:
        lines.append(table(["ITEM", "STATE", "LAST RUN", "STATUS", "NEXT", "NOTE"], rows))
    from aetherflow.scheduler.time.clock import iso

    lines += [f"{row.item} {iso(row.slot)} is INTERRUPTED: {row.reason}" for row in found.interrupted]
    return "\n".join(lines)


def _row(each: "ItemStatus") -> list[str]:
    from aetherflow.scheduler.cli.shown import local_text
    from aetherflow.scheduler.time.clock import from_ms, iso

    notes = []
    if each.late:
        notes.append("LATE")
    if any(row.overdue for row in each.active):
        notes.append("OVERDUE")
    if each.pause is not None:
        until = f" until {iso(each.pause.until)}" if each.pause.until is not None else ""
        notes.append(f"{each.pause.why}{until}")
    notes += [f"{iso(row.slot)} {row.status}" + (f": {row.reason}" if row.reason else "") for row in each.active[:3]]
    if len(each.active) > 3:
        notes.append(f"and {len(each.active) - 3} more")
    if each.latest is not None and not each.active and each.latest.attempts == 0:
        notes.append(f"{iso(each.latest.slot)} {each.latest.status}: {each.latest.reason}")
    if each.held_until is not None:
        notes.append(f"starts nothing until {iso(each.held_until)}: pruned by a clock that was ahead")
    if not each.seen:
        notes.append("not seen yet")
    zone = each.item.zone
    return [
        each.item.id,
        each.state,
        iso(each.last.slot) if each.last is not None else "-",
        each.last.status if each.last is not None else "-",
        local_text(from_ms(each.next).astimezone(zone)) if each.next is not None else "-",
        "; ".join(notes),
    ]
