from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from aetherflow.core.embedding import print_json
from aetherflow.scheduler.cli.arguments import ItemArgument, JsonOption, ScheduleArgument

if TYPE_CHECKING:
    from aetherflow.scheduler.ledger.records import SlotRow
    from aetherflow.scheduler.loop.backfill import Include, Wanted


def backfill(
    file: ScheduleArgument,
    item: ItemArgument,
    start: Annotated[str, typer.Option("--from", metavar="TIME", help="First slot.")],
    end: Annotated[str, typer.Option("--to", metavar="TIME", help="End, left out.")],
    include: Annotated[
        str, typer.Option(metavar="missing|failed|all", help="Which slots.", show_default=True)
    ] = "missing",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would run.")] = False,
    reason: Annotated[str | None, typer.Option(metavar="TEXT", help="Why, for the journal.")] = None,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Only warnings and errors.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Run past slots in this process, one after the other, the oldest first.

    `missing`: slots that are not in the ledger, were missed or skipped, except those that a calendar or a blackout
    leaves out. `failed`: failed and interrupted slots, whose runs are resumed. `all`: every slot again, under a new
    run id; the slot and the names of loads stay the same, so that no row is duplicated. Ends with 1 if one of the
    slots has not ended in SUCCESS. Ctrl-C interrupts the running slot; the others stay unchanged.

    Example: aetherflow-scheduler backfill scheduler.yaml nightly --from 2026-11-01 --to 2026-11-15 --dry-run
    """
    from aetherflow.core.embedding import iso, unhindered
    from aetherflow.scheduler.cli.instants import check_span, instant, ledger_of
    from aetherflow.scheduler.cli.loading import load
    from aetherflow.scheduler.ledger.truth import truth_of
    from aetherflow.scheduler.loop.backfill import backfill as fill
    from aetherflow.scheduler.loop.backfill import choose
    from aetherflow.scheduler.loop.session import session
    from aetherflow.scheduler.reasons import SlotReason
    from aetherflow.scheduler.schedule.policy import Status
    from aetherflow.scheduler.time.clock import to_ms

    _check(include, reason, dry_run=dry_run)
    schedule = load(file)
    found = schedule.item(item)
    first, last = instant(schedule, start, "--from", found), instant(schedule, end, "--to", found)
    assert first is not None and last is not None  # noqa: PT018, S101 both are required
    check_span(first, last)
    chosen = cast("Include", include)
    if dry_run:
        with ledger_of(schedule, read_only=True) as ledger:
            wanted, busy = choose(schedule.path, found, ledger, truth_of(schedule), first, last, chosen)
        _show_plan(item, wanted, busy, as_json=as_json)
        return
    unhindered()
    with session(schedule, "backfill", only_mine=True, stopped=SlotReason.STOPPED, quiet=quiet) as here:
        begun = here.clock.now_ms()
        here.reread(item, to_ms(first), to_ms(last))
        wanted, busy = choose(schedule.path, found, here.ledger, truth_of(schedule), first, last, chosen)
        for row in busy:
            here.events.warning("busy", f"{item} {iso(row.slot)}: left out, it is {row.status}")
        done = fill(here, found, wanted, reason, lambda row: None if as_json or quiet else _show_row(row))
        stopped = here.stop.signal
        after = [(each.slot, here.slots.find(item, each.slot)) for each in wanted]
    undone = {slot: row.status if row else "-" for slot, row in after if row is None or row.status != Status.SUCCESS}
    if as_json:
        _print_report(item, done, len(wanted), undone)
    elif not quiet:
        _print_counts(done, len(wanted), undone)
    if stopped is not None and not all(_has_ended(row, begun) for _, row in after):
        raise typer.Exit(128 + stopped)
    if undone:
        raise typer.Exit(1)


def _check(include: str, reason: str | None, *, dry_run: bool) -> None:
    from aetherflow.core.api import UsageError

    if include not in ("missing", "failed", "all"):
        raise UsageError(f"--include {include!r} is not known", fix="write missing, failed or all")
    if include == "all" and not reason and not dry_run:
        raise UsageError("--include all runs slots that have succeeded once more", fix='say why: --reason "TEXT"')


def _has_ended(row: "SlotRow | None", begun: int) -> bool:
    """Whether a slot has come to its end since then; one that a stop has put back has not."""
    from aetherflow.scheduler.schedule.policy import Status

    if row is None or row.active or row.status == Status.INTERRUPTED:
        return False
    return row.finished_at is not None and row.finished_at >= begun


def _print_report(item: str, done: "list[SlotRow]", wanted: int, undone: dict[int, str]) -> None:
    from aetherflow.core.embedding import iso
    from aetherflow.scheduler.cli.app import SCHEMA

    report: dict[str, Any] = {"schema": SCHEMA, "item": item, "slots": [row.as_json() for row in done]}
    report |= {"left": wanted - len(done), "failed": _failed(done)}
    report["not_done"] = [{"slot": iso(slot), "status": status} for slot, status in undone.items()]
    print_json(report)


def _print_counts(done: "list[SlotRow]", wanted: int, undone: dict[int, str]) -> None:
    counts = ", ".join(f"{number} {status}" for status, number in sorted(Counter(undone.values()).items()))
    told = f"{len(done)} of {wanted} slots have run, {_failed(done)} of them failed"
    typer.echo(told + (f"; not done: {counts}" if counts else ""))


def _failed(done: "list[SlotRow]") -> int:
    from aetherflow.scheduler.schedule.policy import Status

    return sum(row.status in (Status.FAILED, Status.UNKNOWN) for row in done)


def _show_row(row: "SlotRow") -> None:
    from aetherflow.core.embedding import iso

    typer.echo(f"{iso(row.slot)}  {row.status}  {row.run_id}" + (f"  {row.reason}" if row.reason else ""))


def _show_plan(item: str, wanted: "list[Wanted]", busy: "list[SlotRow]", *, as_json: bool) -> None:
    from aetherflow.core.embedding import iso, table
    from aetherflow.scheduler.cli.app import SCHEMA
    from aetherflow.scheduler.reasons import code_of

    if as_json:
        slots = [
            {
                "slot": iso(each.slot),
                "run_id": each.run_id,
                "was": each.was,
                "reason": each.reason,
                "reason_code": code_of(each.reason),
            }
            for each in wanted
        ]
        left = [iso(row.slot) for row in busy]
        report = {"schema": SCHEMA, "item": item, "dry_run": True, "slots": slots, "busy": left}
        print_json(report)
        return
    if wanted:
        rows = [[iso(each.slot), each.was, each.run_id, each.reason or ""] for each in wanted]
        typer.echo(table(["SLOT", "NOW", "WOULD RUN AS", "REASON"], rows))
    for row in busy:
        typer.echo(f"{iso(row.slot)} is left out: {row.status}")
    typer.echo(f"{len(wanted)} slots of {item} would run")
