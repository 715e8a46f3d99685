from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aetherflow.core.embedding import print_json
from aetherflow.scheduler.cli.arguments import JsonOption

if TYPE_CHECKING:
    from aetherflow.core.embedding import Reason
    from aetherflow.scheduler.schedule.differences import ItemChanges, SlotChange
    from aetherflow.scheduler.schedule.slots import Slot

SHOWN = 10
"""Changes of an item that are listed."""


def diff(
    old: Annotated[Path, typer.Argument(metavar="OLD", readable=False, help="The document as it was.")],
    new: Annotated[Path, typer.Argument(metavar="NEW", readable=False, help="The document as it is to be.")],
    start: Annotated[str, typer.Option("--from", metavar="TIME", help="First instant; a day, or a time.")],
    until: Annotated[str, typer.Option("--until", metavar="TIME", help="End, left out.")],
    as_json: JsonOption = False,
) -> None:
    """Show which slots appear, vanish or move if a document is changed, by item; for a pull request.

    Compared are the slots that run: none of a disabled item, or that a calendar or a blackout leaves out. A slot that
    vanishes has moved to one that appears if both are of the same day, or each is the nearest of the other, within a
    week. Times without an offset are in the zone of the new document. Ends with 1 if a slot changes, with 0 if none
    does. Neither a ledger nor a flow is read.

    Example: git show main:scheduler.yaml > main.scheduler.yaml && aetherflow-scheduler diff main.scheduler.yaml
    scheduler.yaml --from 2027-01-01 --until 2028-01-01
    """
    from aetherflow.scheduler.cli.app import SCHEMA
    from aetherflow.scheduler.cli.instants import check_span, instant
    from aetherflow.scheduler.cli.loading import load
    from aetherflow.scheduler.schedule.differences import differences

    before, after = load(old), load(new)
    first, end = instant(after, start, "--from"), instant(after, until, "--until")
    assert first is not None and end is not None  # noqa: PT018, S101 both are required
    check_span(first, end, "--until")
    found = differences(before, after, first, end)
    if as_json:
        report: dict[str, Any] = {"schema": SCHEMA, "same": not found, "items": [_described(each) for each in found]}
        print_json(report)
    else:
        typer.echo(_text(found, len(after.items)))
    if found:
        raise typer.Exit(1)


def _described(each: "ItemChanges") -> dict[str, Any]:
    changes = [
        {
            "kind": change.kind,
            "before": _slot(change.before),
            "after": _slot(change.after),
            "skipped": change.skipped,
        }
        for change in each.changes
    ]
    return {"item": each.item, "in": each.known, "changes": changes}


def _slot(slot: "Slot | None") -> dict[str, Any] | None:
    from aetherflow.core.embedding import iso
    from aetherflow.scheduler.time.clock import to_ms

    if slot is None:
        return None
    local = slot.local.isoformat(timespec="seconds")
    return {"slot": iso(to_ms(slot.at)), "local": local, "timezone": slot.item.zone.key}


def _text(found: "list[ItemChanges]", items: int) -> str:
    if not found:
        return f"no slot changes, of {items} item{'s' * (items != 1)}"
    lines = []
    for each in found:
        only = {"old": "removed; ", "new": "new; ", "both": ""}[each.known]
        lines.append(f"{each.item}: {only}{_counts(each.changes)}")
        lines += [f"  {_line(change)}" for change in each.changes[:SHOWN]]
        if len(each.changes) > SHOWN:
            lines.append(f"  … and {len(each.changes) - SHOWN} more; --json has all")
    every = [change for each in found for change in each.changes]
    return "\n".join([*lines, f"slots of {len(found)} item{'s' * (len(found) != 1)} change: {_counts(every)}"])


def _counts(changes: "list[SlotChange]") -> str:
    counts = Counter[str](change.kind for change in changes)
    words = {"moves": ("moves", "move"), "appears": ("appears", "appear"), "vanishes": ("vanishes", "vanish")}
    return ", ".join(f"{counts[kind]} {forms[counts[kind] > 1]}" for kind, forms in words.items() if counts[kind])


def _line(change: "SlotChange") -> str:
    from aetherflow.scheduler.cli.shown import local_text

    slots = [local_text(slot.local) for slot in (change.before, change.after) if slot is not None]
    return f"{change.kind:8}  {' -> '.join(slots)}{_why(change.kind, change.skipped)}"


def _why(kind: str, skipped: "Reason | None") -> str:
    if skipped is None:
        return ""
    return f"  now SKIPPED {skipped}" if kind == "vanishes" else f"  was SKIPPED {skipped}"
