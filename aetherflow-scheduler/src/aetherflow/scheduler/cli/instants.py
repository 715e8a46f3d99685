"""Shared helpers of the commands: parsing instants and opening ledgers."""

import contextlib
import datetime as dt
from collections.abc import Iterator
from typing import TYPE_CHECKING

from aetherflow.core.api import UsageError

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from aetherflow.scheduler.ledger.store import Ledger
    from aetherflow.scheduler.schedule.schedule import Item, Schedule


def instant(schedule: "Schedule", text: str | None, option: str, item: "Item | None" = None) -> dt.datetime | None:
    """Parse the instant of an option; None if the option was omitted. Raises UsageError for invalid text.

    Text without an offset is in the item's zone, or without `item` in the document's zone.
    """
    from aetherflow.scheduler.time.parsing import read_begin

    if text is None:
        return None
    try:
        return read_begin(text, zone_of(schedule, item))
    except ValueError as error:
        raise UsageError(f"{option} {error.args[0]}", fix=error.args[1]) from None


def zone_of(schedule: "Schedule", item: "Item | None" = None) -> "ZoneInfo":
    """The zone of an item, or without one that of the document."""
    from aetherflow.scheduler.time.parsing import read_zone

    spec = schedule.spec
    return item.zone if item is not None else read_zone(spec.timezone or spec.defaults.timezone or "UTC")


def until_ms(schedule: "Schedule", text: str | None, item: "Item | None" = None) -> int | None:
    """Epoch milliseconds of `--until`: a span from now, a time of day (its next one), or an instant.

    Times are in the item's zone, or without `item` in the document's zone. None if the option was omitted. Raises
    UsageError for invalid text, and for a time that has passed.
    """
    from aetherflow.core.embedding import is_span, span_ms
    from aetherflow.scheduler.time.clock import Clock, from_ms, to_ms
    from aetherflow.scheduler.time.parsing import read_time

    now = Clock().now_ms()
    if text is None:
        return None
    if is_span(text):
        return now + span_ms(text, "--until")
    try:
        at = read_time(text).after(from_ms(now), zone_of(schedule, item))
    except ValueError:
        at = instant(schedule, text, "--until", item)
    if at is None or to_ms(at) <= now:
        raise UsageError(f"--until {text!r} is over already", fix="name a time to come: 2h, 08:00, 2026-11-24T08:00")
    return to_ms(at)


def check_span(start: dt.datetime | None, end: dt.datetime | None, option: str = "--to") -> None:
    """Raise UsageError for an empty span; without an end, the span ends now."""
    last = end or dt.datetime.now(dt.UTC)
    if start is not None and start >= last:
        shown = f"{option} {end.isoformat()}" if end is not None else "now"
        fix = f"name an earlier --from, or a later {option}; {option} is itself left out"
        raise UsageError(f"--from {start.isoformat()} is not before {shown}", fix=fix)


@contextlib.contextmanager
def ledger_of(schedule: "Schedule", *, read_only: bool) -> "Iterator[Ledger]":
    """Open the ledger of a schedule for a `with` block; with `read_only`, a missing file is not created.

    Errors of the file inside the block are raised as StateError.
    """
    from aetherflow.scheduler.ledger.places import open_ledger
    from aetherflow.scheduler.time.clock import Clock

    ledger = open_ledger(schedule, Clock(), read_only=read_only)
    try:
        with ledger.reported():
            yield ledger
    finally:
        ledger.close()
