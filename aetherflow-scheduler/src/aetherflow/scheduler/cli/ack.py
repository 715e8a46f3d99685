import shlex
from typing import TYPE_CHECKING, Annotated

import typer

from aetherflow.core.embedding import print_json
from aetherflow.scheduler.cli.arguments import ItemArgument, JsonOption, ScheduleArgument

if TYPE_CHECKING:
    from aetherflow.scheduler.ledger.records import SlotRow


def ack(
    file: ScheduleArgument,
    item: ItemArgument,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why; written down with your name.")],
    slot: Annotated[str | None, typer.Option("--slot", metavar="TIME", help="The slot.")] = None,
    before: Annotated[str | None, typer.Option("--before", metavar="TIME", help="All before a time.")] = None,
    until: Annotated[
        str | None, typer.Option(metavar="TIME", help="Then they need a person again: 2h, 08:00, a date.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Say that missed slots of an item need nobody: they stay MISSED, and neither `status` nor `audit` counts them.

    For slots that nobody will make up for; or, with --until, that somebody has in hand. A run that failed is
    acknowledged by `aetherflow runs ack`.

    Example: aetherflow-scheduler ack scheduler.yaml prices --before 2026-11-24 --reason "too late"
    """
    from aetherflow.core.api import UsageError
    from aetherflow.core.embedding import iso
    from aetherflow.scheduler.audit.needs import kind_of
    from aetherflow.scheduler.cli.app import SCHEMA
    from aetherflow.scheduler.cli.instants import instant, ledger_of, until_ms
    from aetherflow.scheduler.cli.loading import load
    from aetherflow.scheduler.ledger.acts import acknowledge, acknowledged_slots
    from aetherflow.scheduler.ledger.slots import Slots
    from aetherflow.scheduler.time.clock import to_ms

    schedule = load(file)
    found = schedule.item(item)
    if (slot is None) == (before is None):
        raise UsageError("which slots are meant is not said", fix="give one of --slot TIME and --before TIME")
    one, end = instant(schedule, slot, "--slot", found), instant(schedule, before, "--before", found)
    over = until_ms(schedule, until, found)
    with ledger_of(schedule, read_only=False) as ledger, ledger.transaction("ack"):
        first, last = (to_ms(one), to_ms(one)) if one is not None else (0, to_ms(end) - 1 if end is not None else 0)
        known = acknowledged_slots(ledger)
        rows = [
            row
            for row in Slots(ledger).between(item, first, last).values()
            if (kind_of(row) == "missed" or (one is not None and _was_held(row))) and (item, row.slot) not in known
        ]
        if not rows and one is not None and (item, first) not in known:
            failed = "aetherflow runs ack RUN_ID --reason TEXT"
            named = shlex.join(["aetherflow-scheduler", "status", str(schedule.path)])
            fix = f"of a run that failed, say so by: {failed}; what both are called: {named}"
            row = Slots(ledger).find(item, first)
            why = "; a row LATE goes with its next heartbeat, or with its end" if row is not None and row.active else ""
            raise UsageError(f"{iso(first)} of {item} isn't a missed slot{why}", fix=fix)
        acknowledge(ledger, rows, reason, over)
    if as_json:
        report = {"schema": SCHEMA, "item": item, "slots": [iso(row.slot) for row in rows], "reason": reason}
        report["until"] = iso(over) if over is not None else None
        print_json(report)
    else:
        shown = f" until {iso(over)}" if over is not None else ""
        typer.echo(f"{len(rows)} missed slots of {item} need nobody{shown}: {reason}")


def _was_held(row: "SlotRow") -> bool:
    """Whether it was skipped for the slot that it follows: one that a person has settled as done may be named here."""
    from aetherflow.scheduler.reasons import SlotReason
    from aetherflow.scheduler.schedule.policy import Status

    return row.status == Status.SKIPPED and row.reason_code == SlotReason.AFTER
