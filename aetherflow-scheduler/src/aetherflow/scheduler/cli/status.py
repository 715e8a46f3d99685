from typing import TYPE_CHECKING, Annotated, Any

import typer

from aetherflow.core.embedding import print_json
from aetherflow.scheduler.cli.arguments import HtmlOption, JsonOption, ScheduleArgument

if TYPE_CHECKING:
    from aetherflow.scheduler.audit.late import Late
    from aetherflow.scheduler.audit.needs import Need
    from aetherflow.scheduler.audit.status import ItemStatus, ScheduleStatus
    from aetherflow.scheduler.schedule.schedule import Schedule


def status(
    file: ScheduleArgument,
    check: Annotated[
        bool, typer.Option("--check", help="Only say whether the scheduler works; ends with 1 if it does not.")
    ] = False,
    as_json: JsonOption = False,
    html: HtmlOption = None,
) -> None:
    """Show the state of a schedule: the leader, and each item's last run, next slot, waiting, held and late slots.

    Then what needs a person: a scheduler, worker or broker without a heartbeat; slots that failed, were stopped or
    missed, and that nothing has healed, settled or acknowledged since, each with the command that goes on. Ends with 1
    if there is one. Changes nothing.

    With --check, for probes: a scheduler leads, no slot is due for two minutes that the ledger does not have, and the
    workers and brokers that it watches write heartbeats.
    Runs that fail are no reason to restart a scheduler, so they do not count.

    With --html it is a page that also shows the last night over time, and a year of days on which slots do not run; it
    ends with 0, as the page says what is wrong.

    Example: aetherflow-scheduler status scheduler.yaml
    """
    from aetherflow.scheduler.audit.status import status_of
    from aetherflow.scheduler.cli.instants import ledger_of
    from aetherflow.scheduler.cli.loading import load
    from aetherflow.scheduler.ledger.pruning import PRUNED_AHEAD, pruned_ahead_fix

    if html is not None:
        from aetherflow.core.embedding import require_pages

        require_pages("schedule", html, json=as_json or check)
    schedule = load(file)
    if check:
        from aetherflow.scheduler.cli.health import show_health

        raise typer.Exit(show_health(schedule, as_json=as_json))
    with ledger_of(schedule, read_only=True) as ledger:
        found = status_of(schedule, ledger)
        if html is not None:
            from aetherflow.scheduler.cli.status_page import write_status_page

            typer.echo(write_status_page(html, _report(schedule, found), schedule, ledger))
            return
    open_needs = [need for need in found.needs if need.acknowledged is None]
    if as_json:
        print_json(_report(schedule, found))
    else:
        typer.echo(_text(found))
    if any(each.held_until is not None for each in found.items):
        fix = pruned_ahead_fix(schedule.path)
        typer.echo(f"warning: items start nothing that should, as {PRUNED_AHEAD}\n  fix: {fix}", err=True)
    if open_needs or found.late:
        raise typer.Exit(1)


def _report(schedule: "Schedule", found: "ScheduleStatus") -> dict[str, Any]:
    from aetherflow.scheduler.cli.app import SCHEMA

    leader = found.leader
    return {
        "schema": SCHEMA,
        "path": str(schedule.path),
        "state": str(schedule.state),
        "leader": {"host": leader.host, "pid": leader.pid} if leader is not None else None,
        "running": found.running,
        "waiting": found.waiting,
        "interrupted": [row.as_json() for row in found.interrupted],
        "ok": not found.late and all(need.acknowledged is not None for need in found.needs),
        "needs_person": [*map(_late, found.late), *map(_need, found.needs)],
        "items": [_described(each) for each in found.items],
    }


def _late(late: "Late") -> dict[str, Any]:
    """A heartbeat that is late, in the form of a slot that needs a person; one of a scheduler belongs to no item."""
    from aetherflow.core.embedding import iso

    item, slots, run_id = (late.row.item, [iso(late.row.slot)], late.row.run_id) if late.row else (None, [], None)
    found: dict[str, Any] = {"status": "LATE", "item": item, "slots": slots, "run_id": run_id}
    found["since"] = iso(late.since)
    found |= {"cause": str(late.reason), "reason_code": late.reason.code, "told_by": None, "holds_up": []}
    return found | {"owner": None, "runbook_url": None, "in_hand": False, "commands": late.commands, "leave": None}


def _need(need: "Need") -> dict[str, Any]:
    from aetherflow.core.embedding import iso

    run = need.trouble.run if need.trouble is not None else None
    return {
        "status": need.status,
        "item": need.row.item,
        "slots": [iso(row.slot) for row in need.rows],
        "run_id": need.row.run_id if need.row.attempts else None,
        "since": iso(need.since),
        "cause": need.cause,
        "reason_code": need.row.reason_code,
        "told_by": need.row.told_by,
        "holds_up": need.holds_up,
        "owner": run.owner if run is not None else None,
        "runbook_url": run.runbook if run is not None else None,
        "in_hand": need.acknowledged is not None,
        "commands": need.commands,
        "leave": need.leave,
    }


def _described(each: "ItemStatus") -> dict[str, Any]:
    from aetherflow.core.embedding import iso

    pause = None
    if each.pause is not None:
        until = iso(each.pause.until) if each.pause.until is not None else None
        pause = {"since": iso(each.pause.since), "until": until, "reason": each.pause.reason, "actor": each.pause.actor}
    return {
        "id": each.item.id,
        "state": each.state,
        "seen": each.seen,
        "next": iso(each.next) if each.next is not None else None,
        "due": iso(each.due) if each.due is not None else None,
        "late": each.late,
        "held_until": iso(each.held_until) if each.held_until is not None else None,
        "paused": pause,
        "last_run": each.last.as_json() if each.last is not None else None,
        "last_slot": each.latest.as_json() if each.latest is not None else None,
        "active": [row.as_json() for row in each.active],
        "acts": [act.as_json() for act in each.acts],
        "usual": each.usual.as_json() if each.usual is not None else None,
    }


def _text(found: "ScheduleStatus") -> str:
    from aetherflow.core.embedding import table

    leader = found.leader
    head = f"leader: pid {leader.pid} on {leader.host}" if leader is not None else "leader: none"
    lines = [f"{head}; {found.running} running, {found.waiting} waiting"]
    rows = [_row(each) for each in found.items]
    if rows:
        lines.append(table(["ITEM", "STATE", "LAST RUN", "STATUS", "NEXT", "NOTE"], rows))
    from aetherflow.core.embedding import iso

    told = {(row.item, row.slot) for need in found.needs for row in need.rows}
    waiting = [row for row in found.interrupted if (row.item, row.slot) not in told]
    lines += [f"{row.item} {iso(row.slot)} is INTERRUPTED: {row.reason}" for row in waiting]
    if found.needs or found.late:
        open_needs = len(found.late) + sum(len(need.rows) for need in found.needs if need.acknowledged is None)
        lines += ["", f"{open_needs} need{'s' * (open_needs == 1)} a person"]
        for late in found.late:
            what = f"LATE {late.row.item} {iso(late.row.slot)}" if late.row is not None else "LATE"
            lines += [f"{what}: {late.reason}", *(f"  next: {command}" for command in late.commands)]
        lines += [line for need in found.needs for line in _need_lines(need)]
    return "\n".join(lines)


def _need_lines(need: "Need") -> list[str]:
    from aetherflow.core.embedding import iso

    facts = [need.cause]
    if need.holds_up:
        facts.append(f"holds up {', '.join(need.holds_up)}")
    if need.trouble is not None:
        run = need.trouble.run
        facts += [run.owner] if run.owner else []
        facts += [f"runbook: {run.runbook}"] if run.runbook else []
    if (act := need.acknowledged) is not None:
        facts.append(f"in hand: {act.actor}, {act.reason}")
    words = ("next, if it was done:", "next, if it was not: ") if need.asks else ("next:",)
    following = [f"  {word} {command}" for word, command in zip(words, need.commands, strict=True)]
    following += [f"  or leave it: {need.leave}"] if need.leave is not None else []
    return [f"{need.status} {need.row.item} {iso(need.row.slot)}: {'; '.join(facts)}", *following]


def _row(each: "ItemStatus") -> list[str]:
    from aetherflow.core.embedding import iso
    from aetherflow.scheduler.cli.shown import local_text
    from aetherflow.scheduler.time.clock import from_ms

    notes = []
    if each.late:
        notes.append("LATE")
    if any(row.overdue for row in each.active):
        notes.append("OVERDUE")
    if each.pause is not None:
        until = f" until {iso(each.pause.until)}" if each.pause.until is not None else ""
        notes.append(f"{each.pause.why}{until}")
    if each.usual is not None:
        notes.append(str(each.usual))
    notes += [f"{iso(act.slot)} {act.why}" for act in each.acts[:3]]
    if len(each.acts) > 3:
        notes.append(f"and {len(each.acts) - 3} more holds and skips")
    acted = {act.slot for act in each.acts}
    shown = [row for row in each.active if row.slot not in acted]
    notes += [f"{iso(row.slot)} {row.status}" + (f": {row.reason}" if row.reason else "") for row in shown[:3]]
    if len(shown) > 3:
        notes.append(f"and {len(shown) - 3} more")
    if each.latest is not None and not each.active and each.latest.attempts == 0:
        notes.append(f"{iso(each.latest.slot)} {each.latest.status}: {each.latest.reason}")
    if each.held_until is not None:
        notes.append(f"starts nothing until {iso(each.held_until)}: pruned by a clock that was ahead")
    if each.due is not None:
        notes.append(f"{iso(each.due)} is due, and not in the ledger")
    if not each.seen:
        notes.append("not seen yet")
    zone = each.item.zone
    return [
        each.item.id,
        each.state,
        local_text(from_ms(each.last.slot).astimezone(zone)) if each.last is not None else "-",
        each.last.status if each.last is not None else "-",
        local_text(from_ms(each.next).astimezone(zone)) if each.next is not None else "-",
        "; ".join(notes),
    ]
