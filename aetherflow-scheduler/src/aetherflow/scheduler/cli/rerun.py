from typing import Annotated

import typer

from aetherflow.scheduler.cli.arguments import ItemArgument, JsonOption, ScheduleArgument


def rerun(
    file: ScheduleArgument,
    item: ItemArgument,
    slot: Annotated[str, typer.Argument(metavar="TIME", help="The slot.", show_default=False)],
    with_successors: Annotated[
        bool,
        typer.Option("--with-successors", help="Also all slots that follow it (`after`), directly or over others."),
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would run.")] = False,
    reason: Annotated[str | None, typer.Option(metavar="TEXT", help="Why, for the journal.")] = None,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Only warnings and errors.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Run a past slot again under a new run id, and the slots that follow it.

    Each slot runs after those that it follows, and is left out if one of these does not succeed. If the command is
    stopped, killed, or a slot fails, the same command continues: what has succeeded since it began is not run again.
    Once all have succeeded, it runs all again. Ends with 1 if one of the slots has not ended in SUCCESS. Ctrl-C
    interrupts the running slot; the others stay unchanged.

    Example: aetherflow-scheduler rerun scheduler.yaml load 2026-11-24T01:00Z --with-successors --reason "late prices"
    """
    from aetherflow.core.api import UsageError
    from aetherflow.core.embedding import iso, unhindered
    from aetherflow.scheduler.cli.backfill_report import Told, end_with
    from aetherflow.scheduler.cli.instants import instant, ledger_of
    from aetherflow.scheduler.cli.loading import load
    from aetherflow.scheduler.ledger.truth import truth_of
    from aetherflow.scheduler.loop.backfill import backfill
    from aetherflow.scheduler.loop.rerun import Rerun
    from aetherflow.scheduler.loop.session import session
    from aetherflow.scheduler.reasons import SlotReason

    if not reason and not dry_run:
        raise UsageError("rerun runs slots that have succeeded once more", fix='say why: --reason "TEXT"')
    schedule = load(file)
    found, truth = schedule.item(item), truth_of(schedule)
    at = instant(schedule, slot, "TIME", found)
    assert at is not None  # noqa: S101 it is required
    told = Told([item], as_json=as_json, quiet=quiet)
    if dry_run:
        with ledger_of(schedule, read_only=True) as ledger:
            told.plan(*Rerun(schedule, ledger, truth, found, at, successors=with_successors).chosen())
        return
    unhindered()
    with session(schedule, "backfill", only_mine=True, stopped=SlotReason.STOPPED, quiet=quiet) as here:
        begun = here.clock.now_ms()
        asked = Rerun(schedule, here.ledger, truth, found, at, successors=with_successors)
        here.reread(item, asked.slot, asked.slot)
        wanted, busy = asked.chosen()
        for row in busy:
            here.events.warning("busy", f"{row.item} {iso(row.slot)}: left out, it is {row.status}")
        asked.begin(wanted, reason)
        done = backfill(here, wanted, reason, told.row)
        end = end_with(here, wanted, begun)
        if not end.undone and not busy:
            asked.end()
    told.report(done, wanted, end)
    end.leave()
