import json
from typing import Annotated

import typer

from aetherflow.scheduler.cli.arguments import JsonOption, ScheduleArgument


def prune(
    file: ScheduleArgument,
    before: Annotated[
        str, typer.Option("--before", metavar="TIME", help="Forget slots from before it; at least a day ago.")
    ],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would go.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Delete old slots, so that the ledger does not grow without limit.

    Slots that wait, run, can be resumed or ended within the last day are kept, and each item's latest slot and run.
    The ledger records up to where it was pruned: `audit` begins there and says so, `backfill` goes back no
    further. A scheduler may run meanwhile. The file does not shrink; the space is reused.

    Example: aetherflow-scheduler prune scheduler.yaml --before 2026-01-01 --dry-run
    """
    from aetherflow.core.api import UsageError
    from aetherflow.core.embedding import iso, table
    from aetherflow.scheduler.cli.app import SCHEMA
    from aetherflow.scheduler.cli.instants import instant, ledger_of
    from aetherflow.scheduler.cli.loading import load
    from aetherflow.scheduler.ledger.pruning import LEAST_MS, find_old
    from aetherflow.scheduler.ledger.pruning import prune as forget
    from aetherflow.scheduler.time.clock import to_ms

    schedule = load(file)
    limit = instant(schedule, before, "--before")
    assert limit is not None  # noqa: S101 it is required
    at = to_ms(limit)
    is_new = not schedule.state.exists()
    with ledger_of(schedule, read_only=dry_run or is_new) as ledger:
        latest = ledger.clock.now_ms() - LEAST_MS
        if at > latest:
            raise UsageError(f"--before {before} is later than a day ago", fix=f"name a time up to {iso(latest)}")
        found = find_old(ledger, at) if dry_run else forget(ledger, at)
    if is_new:
        typer.echo(f"note: there is no ledger yet: {schedule.state}", err=True)
    number = sum(each.slots for each in found)
    if as_json:
        items = [{"item": each.item, "slots": each.slots, "oldest": iso(each.oldest)} for each in found]
        report = {"schema": SCHEMA, "before": iso(at), "dry_run": dry_run, "slots": number, "items": items}
        typer.echo(json.dumps(report, ensure_ascii=False, indent=2))
        return
    if found:
        typer.echo(
            table(["ITEM", "SLOTS", "OLDEST"], [[each.item, str(each.slots), iso(each.oldest)] for each in found])
        )
    typer.echo(f"{number} slots from before {iso(at)} {'would be' if dry_run else 'were'} forgotten")
