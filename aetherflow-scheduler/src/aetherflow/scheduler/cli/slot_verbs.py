from pathlib import Path
from typing import Annotated

import typer

from aetherflow.core.embedding import print_json
from aetherflow.scheduler.cli.arguments import ItemArgument, JsonOption, ScheduleArgument

SlotOption = Annotated[str | None, typer.Option("--slot", metavar="TIME", help="The slot.")]
NextOption = Annotated[bool, typer.Option("--next", help="The next slot of the item that has not started.")]
ReasonOption = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; written down with your name.")]


def hold(
    file: ScheduleArgument,
    item: ItemArgument,
    reason: ReasonOption,
    slot: SlotOption = None,
    next_slot: NextOption = False,
    until: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Then it may start: 2h, 06:00, 2026-12-01 06:00. Omitted: `release`."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Do not start one slot of an item until `release`, or until a time; it waits, and so does what follows it.

    It may be given before the slot is due. A slot that was held starts afterwards, however late it is by then;
    calendar, blackouts, pauses, `after`, `overlap` and room decide as usual. Other slots of the item don't wait for it.
    A slot that has started cannot be held. For all slots of an item see `pause`.

    Example: aetherflow-scheduler hold scheduler.yaml nightly --next --reason "the bank is late" --until 06:00
    """
    _do("hold", file, item, slot, reason, until, next_slot=next_slot, as_json=as_json)


def skip(
    file: ScheduleArgument,
    item: ItemArgument,
    reason: ReasonOption,
    slot: SlotOption = None,
    next_slot: NextOption = False,
    until: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="If it has not come about by then, it is over: 2h, 06:00, a date."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Leave out one slot of an item: it ends SKIPPED, with the reason; what follows it is SKIPPED, too.

    One that waits is SKIPPED at once, any other one when its time comes; until then `release` takes it back. A slot
    that has started cannot be skipped. `backfill` leaves it out; `run-item --slot` still runs it.

    Example: aetherflow-scheduler skip scheduler.yaml nightly --slot "2026-12-24 02:00" --reason "no deliveries"
    """
    _do("skip", file, item, slot, reason, until, next_slot=next_slot, as_json=as_json)


def release(
    file: ScheduleArgument,
    item: ItemArgument,
    reason: ReasonOption,
    slot: SlotOption = None,
    next_slot: Annotated[
        bool, typer.Option("--next", help="The next slot of the item that is held or skipped.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Take back a `hold`, or a `skip` that has not come about yet. A slot that is due starts as soon as it may.

    Example: aetherflow-scheduler release scheduler.yaml nightly --next --reason "the file is there"
    """
    _do("release", file, item, slot, reason, None, next_slot=next_slot, as_json=as_json)


def _do(
    verb: str,
    file: Path,
    item: str,
    slot: str | None,
    reason: str,
    until: str | None,
    *,
    next_slot: bool,
    as_json: bool,
) -> None:
    from aetherflow.core.api import UsageError
    from aetherflow.core.embedding import iso
    from aetherflow.scheduler.cli.app import SCHEMA
    from aetherflow.scheduler.cli.instants import instant, ledger_of, until_ms
    from aetherflow.scheduler.cli.loading import load
    from aetherflow.scheduler.ledger.acts import SlotVerb
    from aetherflow.scheduler.runs.slot_acts import act_on, started_by
    from aetherflow.scheduler.time.clock import to_ms

    schedule = load(file)
    found = schedule.item(item)
    if (slot is None) != next_slot:
        raise UsageError("which slot is meant is not said", fix="give one of --slot TIME and --next")
    if not reason.strip():
        raise UsageError("--reason is empty", fix="say why, for those who read it later")
    named = instant(schedule, slot, "--slot", found)
    end = until_ms(schedule, until, found)
    with ledger_of(schedule, read_only=False) as ledger:
        wanted = to_ms(named) if named is not None else None
        act, status = act_on(ledger, schedule, found, SlotVerb(verb), wanted, reason, end)
        next_start = started_by(ledger, schedule, act) if verb == SlotVerb.RELEASE and status == "WAITING" else None
    if as_json:
        report = {"schema": SCHEMA, **act.as_json(), "status": status, "next": next_start}
        print_json(report)
        return
    what = {"hold": "is held", "skip": "is skipped" if status == "SKIPPED" else "will be skipped"}
    shown = f" until {iso(end)}" if end is not None else ""
    typer.echo(f"{item} {iso(act.slot)} {what.get(verb, 'is released')}{shown}: {act.reason}")
    if next_start is not None:
        typer.echo(f"no scheduler runs: `tick` or the next trigger starts it, or: {next_start}")
