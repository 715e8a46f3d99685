"""Compares two versions of a schedule by their slots: which appear, vanish, or move."""

import datetime as dt
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal

from aetherflow.core.api import UsageError
from aetherflow.scheduler.reasons import Reason
from aetherflow.scheduler.schedule.slots import Slot, excluded, expected

if TYPE_CHECKING:
    from aetherflow.scheduler.schedule.schedule import Item, Schedule

MOST = 2_000_000
"""Slots of both versions that are compared, of all items that differ."""
WEEK = dt.timedelta(days=7)
"""A slot that vanishes and one that appears farther away from it are two things."""


@dataclass(frozen=True, slots=True)
class SlotChange:
    """One slot that runs in one version only, or that has moved."""

    before: Slot | None
    """None for one that appears."""
    after: Slot | None
    """None for one that vanishes."""
    skipped: Reason | None = None
    """Why the slot is left out in the version in which it does not run; None if there it is no slot at all."""

    @property
    def kind(self) -> Literal["moves", "appears", "vanishes"]:
        """What becomes of it."""
        if self.before is not None and self.after is not None:
            return "moves"
        return "appears" if self.before is None else "vanishes"

    @property
    def at(self) -> dt.datetime:
        """Where it stands in a list: the instant in the old version if it has one there."""
        slot = self.before or self.after
        assert slot is not None  # noqa: S101 one of the two is there
        return slot.at


@dataclass(frozen=True, slots=True)
class ItemChanges:
    """The slots of one item that are not the same in both versions."""

    item: str
    known: Literal["both", "old", "new"]
    """In which version the document has the item."""
    changes: list[SlotChange]


def differences(old: "Schedule", new: "Schedule", start: dt.datetime, end: dt.datetime) -> list[ItemChanges]:
    """The items whose slots in [start, end) differ, in the order of the new version; then those that it has no more.

    A slot is one that runs: none of a disabled item, or that a calendar or a blackout leaves out. Raises UsageError if
    that were more than `MOST`.
    """
    before, after = ({item.id: item for item in each.items} for each in (old, new))
    left, found = MOST, []
    for name in after | before:
        one, other = before.get(name), after.get(name)
        if one is not None and other is not None and _timing(one) == _timing(other):
            continue
        was, left = _slots_of(one, start, end, left)
        now, left = _slots_of(other, start, end, left)
        if changes := _changes(was, now):
            known: Literal["both", "old", "new"] = "old" if other is None else "new" if one is None else "both"
            found.append(ItemChanges(name, known, changes))
    return found


def _timing(item: "Item") -> tuple[Any, ...]:
    """What determines which slots of an item run."""
    chosen = item.cron.chosen.definition if item.cron.chosen is not None else None
    since = item.since.timestamp() if item.since is not None else None
    return item.cron.normal, chosen, item.zone.key, since, item.days, item.blackouts, item.spec.enabled


def _slots_of(
    item: "Item | None", start: dt.datetime, end: dt.datetime, most: int
) -> tuple[dict[Slot, Reason | None], int]:
    """The slots of an item, with the reasons of those that do not run; and how many more may be looked at."""
    if item is None or not item.spec.enabled:
        return {}, most
    slots = islice(expected(item, max(start, item.since or start), end), most + 1)
    found = {slot: excluded(slot) for slot in slots}
    if len(found) > most:
        raise UsageError(f"more than {MOST} slots differ, or may", fix="name an earlier --until")
    return found, most - len(found)


def _changes(was: Mapping[Slot, Reason | None], now: Mapping[Slot, Reason | None]) -> list[SlotChange]:
    skipped_before, skipped_now = _skipped(was), _skipped(now)
    ran, runs = ({slot.at for slot, why in each.items() if why is None} for each in (was, now))
    gone = [slot for slot, why in was.items() if why is None and slot.at not in runs]
    fresh = [slot for slot, why in now.items() if why is None and slot.at not in ran]
    moved = dict(_moved(gone, fresh))
    targets = {slot.at for slot in moved.values()}
    changes = [SlotChange(slot, moved.get(slot), None if slot in moved else skipped_now.get(slot.at)) for slot in gone]
    changes += [SlotChange(None, slot, skipped_before.get(slot.at)) for slot in fresh if slot.at not in targets]
    return sorted(changes, key=lambda change: change.at)


def _skipped(slots: Mapping[Slot, Reason | None]) -> dict[dt.datetime, Reason]:
    return {slot.at: why for slot, why in slots.items() if why is not None}


def _moved(gone: Sequence[Slot], fresh: Sequence[Slot]) -> Iterator[tuple[Slot, Slot]]:
    """Pairs of slots of which one stands for the other: as many on the same day, else each the nearest of the other."""
    days: dict[dt.date, tuple[list[Slot], list[Slot]]] = {}
    for index, each in enumerate((gone, fresh)):
        for slot in each:
            days.setdefault(slot.local.date(), ([], []))[index].append(slot)
    left: tuple[list[Slot], list[Slot]] = ([], [])
    for of_day in days.values():
        if len(of_day[0]) == len(of_day[1]):
            yield from zip(*of_day, strict=True)
        else:
            for rest, slots in zip(left, of_day, strict=True):
                rest += slots
    one, other = (sorted(rest, key=lambda slot: slot.at) for rest in left)
    for slot in one:
        nearest = _nearest(slot, other)
        if nearest is not None and _nearest(nearest, one) is slot and abs(nearest.at - slot.at) <= WEEK:
            yield slot, nearest


def _nearest(slot: Slot, others: Sequence[Slot]) -> Slot | None:
    index = bisect_left(others, slot.at, key=lambda other: other.at)
    return min(others[max(0, index - 1) : index + 1], key=lambda other: abs(other.at - slot.at), default=None)
