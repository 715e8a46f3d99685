from typing import TYPE_CHECKING, Annotated, cast

import typer

from aetherflow.scheduler.cli.arguments import JsonOption, ScheduleArgument

if TYPE_CHECKING:
    from aetherflow.scheduler.loop.backfill import Include, Span
    from aetherflow.scheduler.schedule.schedule import Item, Schedule


def backfill(
    file: ScheduleArgument,
    start: Annotated[str, typer.Option("--from", metavar="TIME", help="First slot.")],
    end: Annotated[str, typer.Option("--to", metavar="TIME", help="End, left out.")],
    items: Annotated[list[str] | None, typer.Argument(metavar="ITEM", help="Ids of items.", show_default=False)] = None,
    every: Annotated[bool, typer.Option("--all", help="All items that are enabled.")] = False,
    include: Annotated[
        str, typer.Option(metavar="missing|failed|all", help="Which slots.", show_default=True)
    ] = "missing",
    with_successors: Annotated[
        bool, typer.Option("--with-successors", help="Also the slots that follow them (`after`).")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would run.")] = False,
    reason: Annotated[str | None, typer.Option(metavar="TEXT", help="Why, for the journal.")] = None,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Only warnings and errors.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Run past slots in this process, one after the other, the oldest first.

    `missing`: slots that are not in the ledger, were missed or skipped, except those that a calendar or a blackout
    leaves out. `failed`: failed and interrupted slots, whose runs are resumed. `all`: every slot again, under a new
    run id; the slot and the names of loads stay the same, so that no row is duplicated. Of several items a slot runs
    after those that it follows, and is left out if one of these has not ended as it should. --with-successors adds the
    slots that follow, directly or over others: those that did not succeed, with `all` those that did, too.

    Ends with 1 if one of the slots has not ended in SUCCESS. Ctrl-C interrupts the running slot; the others stay
    unchanged. The same command then continues; slots that have succeeded are not run again, except by `all`.

    Example: aetherflow-scheduler backfill scheduler.yaml nightly --from 2026-11-01 --to 2026-11-15 --dry-run
    """
    from aetherflow.core.embedding import iso, unhindered
    from aetherflow.scheduler.cli.backfill_report import Told, end_with
    from aetherflow.scheduler.cli.instants import ledger_of
    from aetherflow.scheduler.cli.loading import load
    from aetherflow.scheduler.ledger.truth import truth_of
    from aetherflow.scheduler.loop.backfill import backfill as fill
    from aetherflow.scheduler.loop.backfill import choose_all
    from aetherflow.scheduler.loop.session import session
    from aetherflow.scheduler.reasons import SlotReason
    from aetherflow.scheduler.time.clock import to_ms

    _check(include, reason, dry_run=dry_run)
    schedule = load(file)
    spans = _spans(schedule, items or [], start, end, every=every)
    told = Told([item.id for item in spans], as_json=as_json, quiet=quiet)
    chosen, truth = cast("Include", include), truth_of(schedule)
    if dry_run:
        with ledger_of(schedule, read_only=True) as ledger:
            found = choose_all(schedule, spans, ledger, truth, chosen, successors=with_successors)
        told.plan(*found)
        return
    unhindered()
    with session(schedule, "backfill", only_mine=True, stopped=SlotReason.STOPPED, quiet=quiet) as here:
        begun = here.clock.now_ms()
        for item, (first, last) in spans.items():
            here.reread(item.id, to_ms(first), to_ms(last))
        wanted, busy = choose_all(schedule, spans, here.ledger, truth, chosen, successors=with_successors)
        for row in busy:
            here.events.warning("busy", f"{row.item} {iso(row.slot)}: left out, it is {row.status}")
        done = fill(here, wanted, reason, told.row)
        result = end_with(here, wanted, begun)
    told.report(done, wanted, result)
    result.leave()


def _spans(schedule: "Schedule", names: list[str], start: str, end: str, *, every: bool) -> "dict[Item, Span]":
    """The items that are meant, each with the span in its own zone."""
    from aetherflow.core.api import UsageError
    from aetherflow.scheduler.cli.instants import check_span, instant

    if every == bool(names):
        what = "--all and items exclude each other" if every else "no item is named"
        raise UsageError(what, fix="name items, or write --all for all that are enabled")
    items = [item for item in schedule.items if item.spec.enabled] if every else [*map(schedule.item, names)]
    found = {}
    for item in items:
        first, last = instant(schedule, start, "--from", item), instant(schedule, end, "--to", item)
        assert first is not None and last is not None  # noqa: PT018, S101 both are required
        check_span(first, last)
        found[item] = first, last
    return found


def _check(include: str, reason: str | None, *, dry_run: bool) -> None:
    from aetherflow.core.api import UsageError

    if include not in ("missing", "failed", "all"):
        raise UsageError(f"--include {include!r} is not known", fix="write missing, failed or all")
    if include == "all" and not reason and not dry_run:
        raise UsageError("--include all runs slots that have succeeded once more", fix='say why: --reason "TEXT"')
