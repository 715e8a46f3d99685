"""Gathers the slots of a night: those that run or wait, those that are expected, and those that will not run."""

from bisect import bisect_right
from graphlib import TopologicalSorter
from typing import TYPE_CHECKING, NamedTuple

from aetherflow.scheduler.forecast.play import PlayedSlot
from aetherflow.scheduler.ledger.acts import Acts, SlotAct, SlotVerb
from aetherflow.scheduler.ledger.epochs import Epochs, Pauses
from aetherflow.scheduler.ledger.slots import Slots
from aetherflow.scheduler.reasons import SlotReason, said
from aetherflow.scheduler.schedule.policy import BY_HAND, Status, decide_after
from aetherflow.scheduler.schedule.slots import excluded, expected, last_slot
from aetherflow.scheduler.time.clock import from_ms, to_ms

if TYPE_CHECKING:
    from aetherflow.scheduler.ledger.records import SlotRow
    from aetherflow.scheduler.ledger.store import Ledger
    from aetherflow.scheduler.schedule.schedule import Item, Schedule

NO_SLOT = "no slot of it yet"
_Key = tuple[int, str]
"""Slot and item, so that keys sort by time."""


class NightSlot(NamedTuple):
    """A slot of the night that runs, or will."""

    item: "Item"
    slot: int
    row: "SlotRow | None"
    """As the ledger has it; None if its time has not come."""
    played: PlayedSlot


class LeftOut(NamedTuple):
    """A slot of the night that does not run, as it stands now."""

    item: "Item"
    slot: int
    why: str


class GatheredNight(NamedTuple):
    """All slots up to an instant, ordered by slot and item."""

    slots: list[NightSlot]
    left_out: list[LeftOut]


class _Candidate(NamedTuple):
    item: "Item"
    row: "SlotRow | None"
    ready_at: int
    queued: bool = False


class _Gathering:
    """Collects the slots from now to `until`, in epoch milliseconds."""

    def __init__(self, schedule: "Schedule", ledger: "Ledger", until: int) -> None:
        self._schedule, self._until = schedule, until
        self._slots, self._pauses, self._now = Slots(ledger), Pauses(ledger), ledger.clock.now_ms()
        self._items = {item.id: item for item in schedule.items}
        self._cursors = Epochs(ledger).cursors()
        self._acts: dict[_Key, SlotAct] = {(act.slot, act.item): act for act in Acts(ledger).open()}
        self._found: dict[_Key, _Candidate] = {}
        self._left: dict[_Key, str] = {}
        self._after: dict[_Key, list[_Key]] = {}
        self._slots_of: dict[str, list[int]] = {}
        """Item to its slots of the night, ascending."""

    def gather(self) -> GatheredNight:
        """The slots of the night, and those that do not run."""
        for row in self._slots.active():
            if row.item in self._items:
                self._add_row(row, self._items[row.item])
        for item in self._schedule.items:
            if item.spec.enabled:
                self._add_expected(item)
        for slot, name in sorted([*self._found, *self._left]):
            self._slots_of.setdefault(name, []).append(slot)
        graph = {item.id: [name for name in item.after if name in self._items] for item in self._schedule.items}
        place = {name: number for number, name in enumerate(TopologicalSorter(graph).static_order())}
        for key in sorted(self._found, key=lambda key: place[key[1]]):
            self._follow(key, self._found[key])
        keys = sorted(self._found)
        numbers = {key: number for number, key in enumerate(keys)}
        slots = [self._night_slot(key, self._found[key], numbers) for key in keys]
        return GatheredNight(
            slots, [LeftOut(self._items[key[1]], key[0], self._left[key]) for key in sorted(self._left)]
        )

    def _night_slot(self, key: _Key, found: _Candidate, numbers: dict[_Key, int]) -> NightSlot:
        spec, row = found.item.spec, found.row
        running = row.started_at if row is not None and row.status == Status.RUNNING else None
        played = PlayedSlot(
            found.item.id,
            found.ready_at,
            running,
            spec.pool if row is None else row.pool,
            spec.lock,
            spec.overlap,
            found.queued,
            spec.max_catch_up if spec.misfire == "all" else 0,
            spec.after_status == "any",
            tuple(numbers[each] for each in self._after.get(key, ()) if each in numbers),
        )
        return NightSlot(found.item, key[0], row, played)

    def _add_row(self, row: "SlotRow", item: "Item") -> None:
        key, ready_at = (row.slot, row.item), max(self._now, row.not_before or 0)
        if row.status == Status.WAITING and not row.begun:
            pause = self._pauses.at(row.item, self._now) if row.trigger not in BY_HAND else None
            if pause is not None:
                self._left[key] = pause.why
                return
            act = self._acts.get(key)
            if act is not None and act.verb == SlotVerb.HOLD:
                if act.until is None:
                    self._left[key] = act.why
                    return
                ready_at = max(ready_at, act.until)
        self._found[key] = _Candidate(item, row, ready_at, row.queued)

    def _add_expected(self, item: "Item") -> None:
        """The slots that are not in the ledger; of those that are due already the newest one, or all by `misfire`."""
        grace = round(item.spec.misfire_grace_time * 1000)
        begin = self._cursors[item.id] + 1 if item.id in self._cursors else self._now
        begin = max(begin, self._now - grace, to_ms(item.since) if item.since is not None else 0)
        if begin >= self._until:
            return
        pauses = self._pauses.of(item.id, begin, self._until)
        waiting = None
        for slot in expected(item, from_ms(begin), from_ms(self._until)):
            at = to_ms(slot.at)
            key, act = (at, item.id), self._acts.get((at, item.id))
            if key in self._found or key in self._left:
                continue
            pause = next((pause for pause in pauses if pause.covers(max(at, self._now))), None)
            why = pause.why if pause is not None else excluded(slot)
            if act is not None and why is None and (act.verb == SlotVerb.SKIP or act.until is None):
                why = act.why
            if why is not None:
                self._left[key] = why
                continue
            until = act.until if act is not None and act.until is not None else 0
            if at <= self._now and item.spec.misfire != "all":
                if waiting is not None:
                    self._left[waiting] = said(SlotReason.COALESCED)
                    del self._found[waiting]
                waiting = key
            late = at <= self._now and item.spec.misfire == "all"
            self._found[key] = _Candidate(item, None, max(at, self._now, until), late)

    def _follow(self, key: _Key, found: _Candidate) -> None:
        """Note what a slot follows; it does not run if that does not, or has ended in another way."""
        row = found.row
        if row is not None and (row.begun or row.trigger in BY_HAND):
            return
        for name in found.item.after:
            if (why := self._unlike(key, found.item, name)) is not None:
                self._left[key] = said(SlotReason.AFTER, what=f"{name}: {why}")
                del self._found[key]
                return

    def _unlike(self, key: _Key, item: "Item", name: str) -> str | None:
        """Why a slot does not run after the one of an item that it follows; None if it does."""
        any_status = item.spec.after_status == "any"
        at = self._last_slot(name, key[0])
        if at is None:
            return None if any_status else NO_SLOT
        followed = at, name
        if followed in self._found:
            self._after.setdefault(key, []).append(followed)
            return None
        if followed in self._left:
            act = self._acts.get(followed)
            held = act is not None and act.verb == SlotVerb.HOLD
            return self._left[followed] if held or not any_status else None
        row = self._slots.find(name, followed[0]) or self._slots.latest(name, followed[0])
        wanted = item.spec.after_status
        if decide_after(row.status if row is not None else None, wanted) == "skip":
            return row.status if row is not None else NO_SLOT
        return None

    def _last_slot(self, name: str, until: int) -> int | None:
        """The latest slot of an item up to an instant: one of the night, else the one before it."""
        slots = self._slots_of.get(name, [])
        if place := bisect_right(slots, until):
            return slots[place - 1]
        item = self._items.get(name)
        slot = last_slot(item, from_ms(until)) if item is not None else None
        return to_ms(slot.at) if slot is not None else None


def gather(schedule: "Schedule", ledger: "Ledger", until: int) -> GatheredNight:
    """The slots that run or wait now, and those that are expected before `until`, in UTC epoch milliseconds."""
    return _Gathering(schedule, ledger, until).gather()
