"""Plays a night: when slots start and end, if their runs take so long.

The rules are those by which the scheduler starts: `after`, `overlap`, pools and `max_running`; of waiting slots the
oldest one starts first. A run that needs a lock takes its place in the pool, and waits there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from typing import NamedTuple

from aetherflow.scheduler.schedule.policy import Overlap


@dataclass(frozen=True, slots=True)
class PlayedSlot:
    """A slot of the night; times are UTC epoch milliseconds. Slots are numbered in the order of slot and item."""

    item: str
    ready_at: int
    """From when it may start, as far as it depends on itself."""
    running_since: int | None = None
    pool: str | None = None
    lock: str | None = None
    overlap: Overlap = "skip"
    queued: bool = False
    """It waits for the slots of its item before it, whatever `overlap` says."""
    max_catch_up: int = 0
    """With `misfire: all`: the most slots that catch up for which it waits, whatever `overlap` says."""
    any_status: bool = False
    """What it follows may also have been skipped."""
    after: tuple[int, ...] = ()
    """Numbers of the slots that it follows."""


class Wait(NamedTuple):
    """What a slot was waiting for at last."""

    number: int
    """Of the slot whose end let it start."""
    why: str


@dataclass(slots=True)
class PlayedNight:
    """How the slots of one night went; None for what was skipped."""

    starts: list[float | None]
    ends: list[float | None]
    waits: dict[int, Wait] = field(default_factory=dict)


_WAITS, _RUNS, _OVER = range(3)


class _Play:
    """One night. Numbers are those of the slots."""

    def __init__(
        self, slots: Sequence[PlayedSlot], takes: Sequence[float], max_running: int, pools: Mapping[str, int]
    ) -> None:
        self._slots, self._takes = slots, takes
        self._free = max_running
        self._room: dict[str | None, int] = {None: len(slots) + max_running}
        self._room.update(pools)
        self._queues: dict[str | None, list[int]] = {}
        self._locks: dict[str, tuple[float, int]] = {}
        self._stage = [_WAITS] * len(slots)
        self._left = [len(slot.after) for slot in slots]
        """How many slots each one waits for; those whose time has not come count as one more."""
        self._spoilt: set[int] = set()
        """Those that follow a slot which was skipped."""
        self._entered: dict[int, float] = {}
        """Since when those wait that only wait for room."""
        self._active: dict[str, list[int]] = {}
        """Item to its slots that wait or run."""
        self._catching_up = {number for number, slot in enumerate(slots) if slot.queued}
        self._followers: dict[int, list[int]] = {}
        self._events: list[tuple[float, bool, int]] = []
        """Time, whether it is ready in place of over, and number."""
        self.night = PlayedNight([None] * len(slots), [None] * len(slots))

    def play(self) -> PlayedNight:
        """Play it to the end of the last slot."""
        for number, slot in enumerate(self._slots):
            for other in slot.after:
                self._followers.setdefault(other, []).append(number)
            if slot.running_since is not None:
                self._active.setdefault(slot.item, []).append(number)
                self._run(number, slot.running_since, slot.ready_at)
            else:
                self._left[number] += 1
                self._events.append((slot.ready_at, True, number))
        heapify(self._events)
        last = None
        while self._events:
            at, is_ready, number = heappop(self._events)
            if is_ready:
                self._active.setdefault(self._slots[number].item, []).append(number)
                self._release(number, at, None)
            elif self._stage[number] == _RUNS and self.night.ends[number] == at:
                self._over(number, at)
                last = number
            if not self._events or self._events[0][0] > at:
                self._start(at, last)
        return self.night

    def _release(self, number: int, at: float, by: int | None) -> None:
        """One thing less to wait for; `by` is the slot whose end it was."""
        self._left[number] -= 1
        if self._left[number]:
            return
        slot = self._slots[number]
        if by is not None:
            self.night.waits[number] = Wait(by, "after" if by in slot.after else "overlap")
        if number in self._spoilt and not slot.any_status:
            self._skip(number, at)
            return
        active = self._active[slot.item]
        ahead = [each for each in active if each < number or self._stage[each] == _RUNS] if len(active) > 1 else None
        if ahead and slot.overlap != "allow":
            before = sum(each in self._catching_up for each in active if each != number)
            if 0 < before <= slot.max_catch_up:
                self._catching_up.add(number)
            if number in self._catching_up or slot.overlap == "queue":
                self._left[number] = 1
                self._followers.setdefault(ahead[-1], []).append(number)
                return
            if slot.overlap == "skip":
                self._skip(number, at)
                return
            for other in ahead:
                self._end_old(other, at)
        self._entered[number] = at
        heappush(self._queues.setdefault(slot.pool, []), number)

    def _end_old(self, number: int, at: float) -> None:
        if self._stage[number] == _RUNS:
            self.night.ends[number] = at
            self._spoilt.update(self._followers.get(number, ()))
            self._over(number, at)
        else:
            self._skip(number, at)

    def _skip(self, number: int, at: float) -> None:
        self._end(number)
        for other in self._followers.get(number, ()):
            if number in self._slots[other].after:
                self._spoilt.add(other)
            self._release(other, at, None)

    def _end(self, number: int) -> None:
        self._stage[number] = _OVER
        self._active[self._slots[number].item].remove(number)

    def _over(self, number: int, at: float) -> None:
        self._end(number)
        self._free += 1
        self._room[self._slots[number].pool] += 1
        for other in self._followers.get(number, ()):
            self._release(other, at, number)

    def _start(self, at: float, last: int | None) -> None:
        while self._free > 0 and self._entered:
            heads = [queue[0] for pool, queue in self._queues.items() if queue and self._room[pool] > 0]
            if not heads:
                return
            number = min(heads)
            slot = self._slots[number]
            heappop(self._queues[slot.pool])
            entered = self._entered.pop(number)
            if self._stage[number] == _OVER:  # replaced by a later one
                continue
            if last is not None and entered < at:
                full = slot.pool is not None and self._slots[last].pool == slot.pool
                self.night.waits[number] = Wait(last, f"pool {slot.pool}" if full else "max_running")
            self._run(number, at, at)

    def _run(self, number: int, start: float, now: float) -> None:
        slot = self._slots[number]
        self._stage[number] = _RUNS
        self._free -= 1
        self._room[slot.pool] -= 1
        self.night.starts[number] = start
        begin = start
        if slot.lock is not None:
            free, holder = self._locks.get(slot.lock, (start, number))
            if free > start:
                begin = free
                self.night.waits[number] = Wait(holder, f"lock {slot.lock}")
        end = max(begin + self._takes[number], now)
        if slot.lock is not None:
            self._locks[slot.lock] = (end, number)
        self.night.ends[number] = end
        heappush(self._events, (end, False, number))


def play(
    slots: Sequence[PlayedSlot], takes: Sequence[float], max_running: int, pools: Mapping[str, int]
) -> PlayedNight:
    """Play a night in which runs take so many milliseconds, with so much room; a pool that is not named has no limit.

    Of a slot that runs already the milliseconds count from its start.
    """
    return _Play(slots, takes, max_running, pools).play()
