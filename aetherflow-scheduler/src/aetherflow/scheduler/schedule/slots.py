"""Slots: the instants at which an item is expected to run."""

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aetherflow.scheduler.reasons import Reason, SlotReason, said

if TYPE_CHECKING:
    from aetherflow.scheduler.schedule.schedule import Item

_MICROSECOND = dt.timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Slot:
    """One instant at which an item is expected to run."""

    item: "Item"
    at: dt.datetime
    """The instant in UTC."""

    @property
    def local(self) -> dt.datetime:
        """The same instant in the item's zone."""
        return self.at.astimezone(self.item.zone)

    @property
    def remark(self) -> str | None:
        """A note on how a clock change affects the slot, or None."""
        from aetherflow.scheduler.time.dst import remark_of  # for people only

        return remark_of(self.item.cron, self.item.zone, self.at)


def expected(item: "Item", start: dt.datetime, end: dt.datetime) -> Iterator[Slot]:
    """The slots of an item in [start, end) by its cron expression alone, without regard to epochs and pauses."""
    return (Slot(item, at) for at in item.cron.between(start, end, item.zone))


def due(item: "Item", after: dt.datetime, now: dt.datetime) -> Iterator[Slot]:
    """The slots of an item after `after`, up to and including `now`."""
    return expected(item, after + _MICROSECOND, now + _MICROSECOND)


def next_slot(item: "Item", after: dt.datetime) -> Slot | None:
    """The first slot of an item after an instant; None if there is none before the year 10000."""
    at = item.cron.after(after, item.zone)
    return None if at is None else Slot(item, at)


def last_slot(item: "Item", until: dt.datetime) -> Slot | None:
    """The latest slot of an item at or before an instant; None if there is none within forty years."""
    at = item.cron.before(until, item.zone)
    return None if at is None else Slot(item, at)


def excluded(slot: Slot) -> Reason | None:
    """Why a slot is skipped by its item's calendar or blackouts; None if it is not."""
    item = slot.item
    local = slot.local
    if (reason := item.days.excluded(local.date())) is not None:
        return reason
    whys = (window.reason for window in item.blackouts if window.covers(slot.at, local))
    return next((said(SlotReason.BLACKOUT, why=why) for why in whys), None)
