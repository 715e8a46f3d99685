"""Instants and ledgers of commands."""

import contextlib
import datetime as dt
from collections.abc import Iterator
from typing import TYPE_CHECKING

from aetherflow.core.api import UsageError

if TYPE_CHECKING:
    from aetherflow.scheduler.ledger.store import Ledger
    from aetherflow.scheduler.schedule.schedule import Item, Schedule


def instant(schedule: "Schedule", text: str | None, option: str, item: "Item | None" = None) -> dt.datetime | None:
    """The instant that an option names; UsageError for none.

    Where it has no offset it is one of the item's zone, or if none is meant of the document's.
    """
    from aetherflow.scheduler.time.parsing import read_begin, read_zone

    if text is None:
        return None
    spec = schedule.spec
    zone = item.zone if item is not None else read_zone(spec.timezone or spec.defaults.timezone or "UTC")
    try:
        return read_begin(text, zone)
    except ValueError as error:
        raise UsageError(f"{option} {error.args[0]}", fix=error.args[1]) from None


def check_span(start: dt.datetime | None, end: dt.datetime | None, option: str = "--to") -> None:
    """UsageError for a span without an instant in it; without an end it is up to now."""
    last = end or dt.datetime.now(dt.UTC)
    if start is not None and start >= last:
        shown = f"{option} {end.isoformat()}" if end is not None else "now"
        fix = (
            f"swap them; {option} is itself left out" if end is not None else "name an earlier --from, or a later --to"
        )
        raise UsageError(f"--from {start.isoformat()} is not before {shown}", fix=fix)


@contextlib.contextmanager
def ledger_of(schedule: "Schedule", *, read_only: bool) -> "Iterator[Ledger]":
    """The ledger of a schedule while the block runs; one that is only read is not created.

    Faults of its file are StateErrors, also those of single reads.
    """
    from aetherflow.scheduler.ledger.store import Ledger
    from aetherflow.scheduler.time.clock import Clock

    ledger = Ledger(schedule.state, Clock(), read_only=read_only)
    try:
        with ledger.reported():
            yield ledger
    finally:
        ledger.close()
