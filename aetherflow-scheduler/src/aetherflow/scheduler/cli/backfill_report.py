"""What `backfill` and `rerun` print, and how they end."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import typer

from aetherflow.core.embedding import iso, print_json, table
from aetherflow.scheduler.cli.app import SCHEMA
from aetherflow.scheduler.reasons import code_of
from aetherflow.scheduler.schedule.policy import Status

if TYPE_CHECKING:
    from aetherflow.scheduler.ledger.records import SlotRow
    from aetherflow.scheduler.loop.backfill import Wanted
    from aetherflow.scheduler.loop.session import Session

SHOWN = 3
"""Items that a line names; more are counted."""


@dataclass(frozen=True, slots=True)
class BackfillEnd:
    """How the slots that were wanted stand in the end."""

    undone: "list[tuple[Wanted, str]]"
    """Those that are not SUCCESS, with their status."""
    signal: int | None
    """The signal that left some of them as they were."""

    def leave(self) -> None:
        """End the command with its exit code."""
        if self.signal is not None:
            raise typer.Exit(128 + self.signal)
        if self.undone:
            raise typer.Exit(1)


def end_with(here: "Session", wanted: "Sequence[Wanted]", begun: int) -> BackfillEnd:
    """How the slots stand, of a command that began at that time."""
    after = [(want, here.slots.find(want.item.id, want.slot)) for want in wanted]
    undone = [(want, row.status if row else "-") for want, row in after if row is None or row.status != Status.SUCCESS]
    stopped = here.stop.signal is not None and not all(_has_ended(row, begun) for _, row in after)
    return BackfillEnd(undone, here.stop.signal if stopped else None)


def _has_ended(row: "SlotRow | None", begun: int) -> bool:
    """Whether a slot has come to its end since then; one that a stop has put back has not."""
    if row is None or row.active or row.status == Status.INTERRUPTED:
        return False
    return row.finished_at is not None and row.finished_at >= begun


@dataclass(frozen=True, slots=True)
class Told:
    """Prints what is done with slots of some items."""

    items: list[str]
    as_json: bool
    quiet: bool

    def row(self, row: "SlotRow") -> None:
        """Print a slot that has run."""
        if not self.as_json and not self.quiet:
            typer.echo(f"{iso(row.slot)}  {row.status}  {row.run_id}" + (f"  {row.reason}" if row.reason else ""))

    def report(self, done: "list[SlotRow]", wanted: "Sequence[Wanted]", end: BackfillEnd) -> None:
        """Print how many have run, and which are not done."""
        failed = sum(row.status in (Status.FAILED, Status.UNKNOWN) for row in done)
        if self.as_json:
            report = self._head() | {"slots": [row.as_json() for row in done], "left": len(wanted) - len(done)}
            report |= {"failed": failed}
            report["not_done"] = [
                {"item": want.item.id, "slot": iso(want.slot), "status": status} for want, status in end.undone
            ]
            print_json(report)
        elif not self.quiet:
            statuses = Counter(status for _, status in end.undone)
            counts = ", ".join(f"{number} {status}" for status, number in sorted(statuses.items()))
            told = f"{len(done)} of {len(wanted)} slots have run, {failed} of them failed"
            typer.echo(told + (f"; not done: {counts}" if counts else ""))

    def plan(self, wanted: "Sequence[Wanted]", busy: "Sequence[SlotRow]") -> None:
        """Print what would run, and what would be left out."""
        if self.as_json:
            slots = [
                {
                    "item": each.item.id,
                    "slot": iso(each.slot),
                    "run_id": each.run_id,
                    "was": each.was,
                    "reason": each.reason,
                    "reason_code": code_of(each.reason),
                }
                for each in wanted
            ]
            left = [iso(row.slot) for row in busy]
            print_json(self._head() | {"dry_run": True, "slots": slots, "busy": left})
            return
        if wanted:
            rows = [[iso(each.slot), each.was, each.run_id, each.reason or ""] for each in wanted]
            typer.echo(table(["SLOT", "NOW", "WOULD RUN AS", "REASON"], rows))
        for row in busy:
            typer.echo(f"{iso(row.slot)} {row.item} is left out: {row.status}")
        items = list(dict.fromkeys(self.items + [each.item.id for each in wanted]))
        named = ", ".join(items) if len(items) <= SHOWN else f"{len(items)} items"
        typer.echo(f"{len(wanted)} slots of {named} would run")

    def _head(self) -> dict[str, Any]:
        """`item` is null where several were named."""
        item = self.items[0] if len(self.items) == 1 else None
        return {"schema": SCHEMA, "item": item, "items": self.items}
