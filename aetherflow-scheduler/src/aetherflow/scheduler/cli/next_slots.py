import datetime as dt
import heapq
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aetherflow.core.embedding import print_json
from aetherflow.scheduler.cli.arguments import ItemsArgument, JsonOption, ScheduleArgument

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aetherflow.scheduler.ledger.acts import SlotAct
    from aetherflow.scheduler.schedule.schedule import Item, Schedule
    from aetherflow.scheduler.schedule.slots import Slot

MOST = 100_000
USUAL = 10


def next_slots(
    file: ScheduleArgument,
    items: ItemsArgument = None,
    number: Annotated[
        int | None, typer.Option("-n", "--number", metavar="N", help="How many slots, of all items together.")
    ] = None,
    start: Annotated[
        str | None, typer.Option("--from", metavar="TIME", help="First instant; omitted: now. A day, or a time.")
    ] = None,
    until: Annotated[
        str | None, typer.Option("--until", metavar="TIME", help="End, left out; then -n is not needed.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show the next slots, in the item's zone and in UTC.

    The notes say how a clock change affects a slot, which slots the item's calendar and blackouts will skip, and why,
    and which ones a person holds or skips. Times without an offset are in the zone of the item if one is named, else of
    the document. Slots of disabled items are shown only if the item is named.

    Example: aetherflow-scheduler next scheduler.yaml nightly --from 2026-10-24 -n 3
    """
    from aetherflow.core.api import UsageError
    from aetherflow.scheduler.cli.app import SCHEMA
    from aetherflow.scheduler.cli.loading import load
    from aetherflow.scheduler.time.clock import to_ms

    if number is not None and not 1 <= number <= MOST:
        raise UsageError(f"-n {number} is out of range", fix=f"write 1 to {MOST}")
    schedule = load(file)
    chosen = [schedule.item(name) for name in items] if items else [i for i in schedule.items if i.spec.enabled]
    first, end = _span(schedule, start, until, chosen[0] if items and len(chosen) == 1 else None)
    most = number or (USUAL if end is None else MOST)
    slots = list(islice(_merged(chosen, first, end or dt.datetime.max.replace(tzinfo=dt.UTC)), most))
    if end is not None and number is None and len(slots) == MOST:
        raise UsageError(f"more than {MOST} slots until {until}", fix="name an earlier --until, items, or -n")
    acts = _acts(schedule, slots)
    found = [_described(slot, acts.get((slot.item.id, to_ms(slot.at)))) for slot in slots]
    if as_json:
        print_json({"schema": SCHEMA, "slots": found})
    else:
        typer.echo(_text(found))


def _span(
    schedule: "Schedule", start: str | None, until: str | None, only: "Item | None"
) -> tuple[dt.datetime, dt.datetime | None]:
    from aetherflow.core.api import UsageError
    from aetherflow.scheduler.cli.instants import check_span, instant

    now = dt.datetime.now(dt.UTC)
    first = instant(schedule, start, "--from", only) or now
    end = instant(schedule, until, "--until", only)
    if start is None and end is not None and end <= now:
        raise UsageError(f"--until {until} has passed", fix="name a later one, or say where to begin: --from")
    if end is not None:
        check_span(first, end, "--until")
    return first, end


def _merged(items: "list[Item]", start: dt.datetime, end: dt.datetime) -> "Iterator[Slot]":
    from aetherflow.scheduler.schedule.slots import expected

    each = [expected(item, max(start, item.since or start), end) for item in items]
    return heapq.merge(*each, key=lambda slot: slot.at)


def _acts(schedule: "Schedule", slots: "list[Slot]") -> "dict[tuple[str, int], SlotAct]":
    """Item and slot to the hold or the skip that stands. Slots follow from the document, be the ledger as it may."""
    from aetherflow.core.api import StateError
    from aetherflow.scheduler.cli.instants import ledger_of
    from aetherflow.scheduler.ledger.acts import Acts
    from aetherflow.scheduler.ledger.places import is_there

    if not slots or not is_there(schedule.state):
        return {}
    try:
        with ledger_of(schedule, read_only=True) as ledger:
            return {(act.item, act.slot): act for act in Acts(ledger).open()}
    except StateError as error:
        typer.echo(f"warning: holds and skips cannot be shown: {error}\n  fix: {error.fix}", err=True)
        return {}


def _described(slot: "Slot", act: "SlotAct | None") -> dict[str, Any]:
    from aetherflow.core.embedding import iso
    from aetherflow.scheduler.cli.shown import local_text
    from aetherflow.scheduler.ledger.acts import SlotVerb
    from aetherflow.scheduler.schedule.slots import excluded
    from aetherflow.scheduler.time.clock import to_ms

    skip = act is not None and act.verb == SlotVerb.SKIP
    return {
        "item": slot.item.id,
        "slot": iso(to_ms(slot.at)),
        "local": slot.local.isoformat(timespec="seconds"),
        "local_text": local_text(slot.local),
        "timezone": slot.item.zone.key,
        "skipped": act.why if act is not None and skip else excluded(slot),
        "held": act.why if act is not None and not skip else None,
        "act": act.as_json() if act is not None else None,
        "remark": slot.remark,
        "enabled": slot.item.spec.enabled,
    }


def _text(found: list[dict[str, Any]]) -> str:
    from aetherflow.core.embedding import table

    if not found:
        return "no slots"
    rows = []
    for each in found:
        notes = [
            f"SKIPPED {each['skipped']}" if each["skipped"] else "",
            each["held"] or "",
            each["remark"] or "",
            "" if each["enabled"] else "not enabled",
        ]
        rows.append([each["local_text"], each["slot"], each["item"], "; ".join(note for note in notes if note)])
    return table(["LOCAL", "UTC", "ITEM", "NOTE"], rows)
