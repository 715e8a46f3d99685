"""Instants and ledgers of commands."""

import contextlib
import datetime as dt
from collections.abc import Iterator
from typing import TYPE_CHECKING

from aetherflow.core.api import UsageError

if TYPE_CHECKING:
    from aetherflow.scheduler.ledger.store import Ledger
    from aetherflow.scheduler.schedule import Schedule


def instant(schedule: "Schedule", text: str | None, option: str) -> dt.datetime | None:
    """The instant that an option names, in the zone of the document where it has no offset; UsageError for none."""
    from aetherflow.scheduler.times import read_instant, read_zone

    if text is None:
        return None
    try:
        return read_instant(text, read_zone(schedule.spec.timezone or "UTC"))
    except ValueError as error:
        raise UsageError(f"{option} {error.args[0]}", fix=error.args[1]) from None


@contextlib.contextmanager
def ledger_of(schedule: "Schedule", *, read_only: bool) -> "Iterator[Ledger]":
    """The ledger of a schedule while the block runs; one that is only read is not created."""
    from aetherflow.scheduler.clock import Clock
    from aetherflow.scheduler.ledger.store import Ledger

    ledger = Ledger(schedule.state, Clock(), read_only=read_only)
    try:
        yield ledger
    finally:
        ledger.close()
