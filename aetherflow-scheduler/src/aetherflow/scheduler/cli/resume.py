from typing import Annotated

import typer

from aetherflow.core.embedding import print_json
from aetherflow.scheduler.cli.arguments import ItemArgument, JsonOption, ScheduleArgument


def resume(
    file: ScheduleArgument,
    item: ItemArgument,
    reason: Annotated[str | None, typer.Option(metavar="TEXT", help="Why, for the journal.")] = None,
    as_json: JsonOption = False,
) -> None:
    """End the pause of an item; slots that were skipped meanwhile stay so, see `backfill --include missing`.

    Example: aetherflow-scheduler resume scheduler.yaml nightly
    """
    from aetherflow.scheduler.cli.app import SCHEMA
    from aetherflow.scheduler.cli.instants import ledger_of
    from aetherflow.scheduler.cli.loading import load
    from aetherflow.scheduler.ledger.epochs import Pauses

    schedule = load(file)
    schedule.item(item)
    with ledger_of(schedule, read_only=False) as ledger, ledger.transaction("resume"):
        ended = Pauses(ledger).end(item, ledger.clock.now_ms())
        if ended:
            ledger.journal("resume", item, reason=reason)
    if as_json:
        print_json({"schema": SCHEMA, "item": item, "paused": False, "was_paused": bool(ended)})
    else:
        typer.echo(f"{item} goes on" if ended else f"{item} was not paused")
