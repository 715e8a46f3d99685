from typing import Annotated

import typer

from aetherflow.core.embedding import print_json
from aetherflow.scheduler.cli.arguments import ItemArgument, JsonOption, ScheduleArgument


def pause(
    file: ScheduleArgument,
    item: ItemArgument,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why; it stands with every slot that is skipped.")],
    until: Annotated[
        str | None, typer.Option(metavar="TIME", help="End of the pause: 2h, 06:00, a date. Omitted: `resume`.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Start no slots of an item until `resume`, or until a time; its due slots are SKIPPED, with the reason.

    Runs that have started go on. A running scheduler notices the pause at the next slot.

    Example: aetherflow-scheduler pause scheduler.yaml nightly --reason "migration" --until "2026-12-01 06:00"
    """
    from aetherflow.core.embedding import actor, iso
    from aetherflow.scheduler.cli.app import SCHEMA
    from aetherflow.scheduler.cli.instants import ledger_of, until_ms
    from aetherflow.scheduler.cli.loading import load
    from aetherflow.scheduler.ledger.epochs import Pauses

    schedule = load(file)
    end = until_ms(schedule, until, schedule.item(item))
    with ledger_of(schedule, read_only=False) as ledger:
        now = ledger.clock.now_ms()
        with ledger.transaction("pause"):
            Pauses(ledger).begin(item, now, end, reason, actor())
            ledger.journal("pause", item, reason=reason, until=iso(end) if end is not None else None)
    if as_json:
        report = {"schema": SCHEMA, "item": item, "paused": True, "reason": reason}
        print_json({**report, "until": iso(end) if end is not None else None})
    else:
        typer.echo(f"{item} is paused" + (f" until {iso(end)}" if end is not None else "") + f": {reason}")
