import shlex
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aetherflow.core.embedding import print_json
from aetherflow.scheduler.cli.arguments import JsonOption, ScheduleArgument

if TYPE_CHECKING:
    from aetherflow.scheduler.ledger.store import Ledger
    from aetherflow.scheduler.schedule.schedule import Schedule


def prune(
    file: ScheduleArgument,
    before: Annotated[
        str | None, typer.Option("--before", metavar="TIME", help="Forget slots from before it; at least a day ago.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would go.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Delete old slots, so that the ledger does not grow without limit.

    Slots that wait, run, can be resumed or ended within the last day are kept, and each item's latest slot and run.
    The ledger records up to where it was pruned: `audit` begins there and says so, `backfill` goes back no
    further. A scheduler may run meanwhile. The file does not shrink; the space is reused.

    Without --before, the slots that `retention.slots` of the project file lets go; then what needs a person stays, too.

    Example: aetherflow-scheduler prune scheduler.yaml --before 2026-01-01 --dry-run
    """
    from aetherflow.core.embedding import iso, table
    from aetherflow.scheduler.cli.app import SCHEMA
    from aetherflow.scheduler.cli.instants import ledger_of
    from aetherflow.scheduler.cli.loading import load
    from aetherflow.scheduler.ledger.places import is_there
    from aetherflow.scheduler.ledger.pruning import find_old
    from aetherflow.scheduler.ledger.pruning import prune as forget

    schedule = load(file)
    is_new = not is_there(schedule.state)
    with ledger_of(schedule, read_only=dry_run or is_new) as ledger:
        if before is None:
            at, kept = _by_policy(schedule, ledger)
        else:
            at, kept = _limit(schedule, ledger, before), frozenset[tuple[str, int]]()
        found = find_old(ledger, at, kept) if dry_run else forget(ledger, at, kept)
    if is_new:
        typer.echo(f"note: there is no ledger yet: {schedule.state}", err=True)
    number = sum(each.slots for each in found)
    if as_json:
        items = [{"item": each.item, "slots": each.slots, "oldest": iso(each.oldest)} for each in found]
        report: dict[str, Any] = {
            "schema": SCHEMA,
            "before": iso(at),
            "dry_run": dry_run,
            "slots": number,
            "items": items,
        }
        report["kept"] = [
            {"item": item, "slot": iso(slot), "reason_code": "needs_person"} for item, slot in sorted(kept)
        ]
        print_json(report)
        return
    if found:
        typer.echo(
            table(["ITEM", "SLOTS", "OLDEST"], [[each.item, str(each.slots), iso(each.oldest)] for each in found])
        )
    typer.echo(f"{number} slots from before {iso(at)} {'would be' if dry_run else 'were'} forgotten")
    if kept:
        command = shlex.join(["aetherflow-scheduler", "status", str(schedule.path)])
        typer.echo(f"kept {len(kept)} slot{'s' * (len(kept) != 1)} for a person to look at: {command}")


def _limit(schedule: "Schedule", ledger: "Ledger", before: str) -> int:
    from aetherflow.core.api import UsageError
    from aetherflow.core.embedding import iso
    from aetherflow.scheduler.cli.instants import instant
    from aetherflow.scheduler.ledger.pruning import LEAST_MS
    from aetherflow.scheduler.time.clock import to_ms

    limit = instant(schedule, before, "--before")
    assert limit is not None  # noqa: S101 it was given
    at, latest = to_ms(limit), ledger.clock.now_ms() - LEAST_MS
    if at > latest:
        raise UsageError(f"--before {before} is later than a day ago", fix=f"name a time up to {iso(latest)}")
    return at


def _by_policy(schedule: "Schedule", ledger: "Ledger") -> tuple[int, frozenset[tuple[str, int]]]:
    """The instant of the project's retention, and the slots before it that need a person. UsageError without one."""
    from aetherflow.core.api import UsageError
    from aetherflow.core.embedding import build_snapshot, seconds_of
    from aetherflow.scheduler.audit.status import status_of

    spec = build_snapshot(schedule.path.parent, bare=True).project.spec.retention
    if spec is None or spec.slots is None:
        fix = "name a time, --before 2026-01-01; or write `retention: {slots: 400d}` into the project file"
        raise UsageError("nothing says which slots may be forgotten", fix=fix)
    at = ledger.clock.now_ms() - seconds_of(spec.slots) * 1000
    needs = status_of(schedule, ledger).needs
    return at, frozenset((row.item, row.slot) for need in needs for row in need.rows if row.slot < at)
