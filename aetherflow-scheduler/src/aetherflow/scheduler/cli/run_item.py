from typing import Annotated

import typer

from aetherflow.core.embedding import print_json
from aetherflow.scheduler.cli.arguments import ItemArgument, JsonOption, ScheduleArgument

TRIGGERS = ("manual", "cron", "systemd", "kubernetes")


def run_item(
    file: ScheduleArgument,
    item: ItemArgument,
    slot: Annotated[
        str | None, typer.Option(metavar="TIME", help="The slot; omitted: the one whose time came last.")
    ] = None,
    trigger: Annotated[
        str, typer.Option(metavar="manual|cron|systemd|kubernetes", help="What asks for it.", show_default=False)
    ] = "manual",
    reason: Annotated[str | None, typer.Option(metavar="TEXT", help="Why, for the journal.")] = None,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Only warnings and errors.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Run one slot of an item here and now, and end with the exit code of its run.

    The slot is claimed in the ledger first. A slot that has ended is not run again if it is triggered a second time;
    if it is named by --slot and did not end in SUCCESS, its run is resumed. With a --trigger other than manual the
    item's policies apply as in the scheduler: grace, calendar, pause, overlap; slots that no trigger came for are
    entered as missed. Exported crontabs, timers and CronJobs call this command.

    Example: aetherflow-scheduler run-item scheduler.yaml nightly --slot 2026-11-24T01:00Z
    """
    from aetherflow.core.api import UsageError
    from aetherflow.core.embedding import iso, unhindered
    from aetherflow.scheduler.cli.app import SCHEMA
    from aetherflow.scheduler.cli.instants import instant
    from aetherflow.scheduler.cli.loading import load
    from aetherflow.scheduler.loop.single import run_item as run_one
    from aetherflow.scheduler.time.clock import to_ms

    unhindered()
    if trigger not in TRIGGERS:
        raise UsageError(f"--trigger {trigger!r} is not known", fix=f"write one of: {', '.join(TRIGGERS)}")
    schedule = load(file)
    at = instant(schedule, slot, "--slot", schedule.item(item))
    done = run_one(schedule, item, slot=at, trigger=trigger, reason=reason, quiet=quiet)
    row = done.row
    if row is None:
        since = schedule.item(item).since
        assert since is not None  # noqa: S101 that is why there is no slot
        why = f"nothing to do, slots are expected since {iso(to_ms(since))}"
        if as_json:
            report = {"schema": SCHEMA, "ran": False, "item": item, "slot": None, "reason": why, "exit_code": 0}
            print_json(report)
        elif not quiet:
            typer.echo(f"{item}: {why}")
        return
    if as_json:
        report = {"schema": SCHEMA, "ran": done.ran, **row.as_json(), "exit_code": done.exit_code}
        print_json(report)
    elif not quiet:
        what = "ended before with" if not done.ran else "ended with"
        typer.echo(f"{item} {iso(row.slot)}: {what} {row.status}" + (f", {row.reason}" if row.reason else ""))
    if done.exit_code:
        raise typer.Exit(done.exit_code)
