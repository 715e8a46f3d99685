"""Slots: the instants at which an item is expected to run."""

import datetime as dt
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from aetherflow.scheduler.reasons import Reason, SlotReason, said
from aetherflow.scheduler.schedule.calendars import rolled_from
from aetherflow.scheduler.time.clock import from_ms, to_ms

if TYPE_CHECKING:
    from aetherflow.scheduler.schedule.schedule import Item

_MICROSECOND = dt.timedelta(microseconds=1)


class Slot(NamedTuple):
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
        """A note on how a clock change, or the calendar, has placed the slot; or None."""
        from aetherflow.scheduler.time.dst import remark_of  # for people only

        notes = [remark_of(self.item.cron, self.item.zone, self.at)]
        if others := rolled_from(self.item.cron, self.local.date()):
            notes.append(f"in place of {', '.join(map(str, others))}")
        return "; ".join(note for note in notes if note) or None


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


def may_be_late(item: "Item") -> bool:
    """Whether `late_at` says anything of slots of an item."""
    return item.deadline is not None or item.spec.late_after_seconds is not None


def late_at(item: "Item", slot: int) -> tuple[int, str] | None:
    """The instant (epoch ms) from which a slot that has not ended is late, and the text for that; None if never."""
    spec = item.spec
    if item.deadline is not None:
        at = item.deadline.after(from_ms(slot), item.zone)
        return None if at is None else (to_ms(at), f"has not ended by its deadline, {spec.deadline}")
    if spec.late_after_seconds is None:
        return None
    told = f"has not ended {spec.late_after_seconds:g} s after its slot"
    return slot + round(spec.late_after_seconds * 1000), told


def excluded(slot: Slot) -> Reason | None:
    """Why a slot is skipped by its item's calendar or blackouts; None if it is not."""
    item, local = slot.item, slot.local
    if (reason := item.days.excluded(local.date())) is not None:
        return reason
    if not item.blackouts:  # of years that have passed there are many slots
        return None
    whys = (window.reason for window in item.blackouts if window.covers(slot.at, local))
    return next((said(SlotReason.BLACKOUT, why=why) for why in whys), None)
