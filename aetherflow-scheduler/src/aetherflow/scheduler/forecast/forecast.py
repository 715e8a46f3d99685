"""The forecast of a night: when each slot will start and end, what holds it up, and which deadlines it will miss."""

import math
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, NamedTuple

from aetherflow.scheduler.forecast.estimates import Estimate, quantile
from aetherflow.scheduler.forecast.estimating import Estimates, day_of
from aetherflow.scheduler.forecast.gathering import GatheredNight, LeftOut, NightSlot, gather
from aetherflow.scheduler.forecast.play import PlayedNight, Wait, play
from aetherflow.scheduler.schedule.policy import BY_HAND
from aetherflow.scheduler.schedule.slots import late_at

if TYPE_CHECKING:
    from aetherflow.scheduler.ledger.store import Ledger
    from aetherflow.scheduler.schedule.schedule import Schedule

MOST_NIGHTS, LEAST_NIGHTS = 41, 11
MOST_PLAYED = 50_000
"""Slots over all nights that are played: with many slots, fewer nights are."""
DAY_MS = 86_400_000
LIKELY = 0.5
"""Share of the nights in which a slot must miss its deadline to be reported as late."""
LONGER = 0.5
"""Most by which a run that goes on longer than any before is assumed to take longer still."""
OBSERVE = "observe"
"""The launcher that starts nothing."""


class Expectation(NamedTuple):
    """When something will be, in UTC epoch milliseconds."""

    p50: int
    """Not later in half of the nights."""
    p90: int
    """Not later in nine of ten."""


@dataclass(frozen=True, slots=True)
class ForecastSlot:
    """What is to be expected of a slot."""

    night_slot: NightSlot
    start: Expectation
    end: Expectation
    runs: int
    """Number of runs from which that is known; 0: it is not, and counts as no time."""
    skipped: float
    """Share of the nights in which it is skipped."""
    wait: Wait | None
    """What it waits for in a usual night."""
    late_at: int | None
    late: float
    """Share of the nights in which it has not ended by then."""

    @property
    def is_unknown(self) -> bool:
        """Whether its item runs something, and never has."""
        return not self.runs and self.night_slot.item.spec.launcher != OBSERVE

    @property
    def is_late(self) -> bool:
        """Whether it will rather miss its deadline than not."""
        return self.late > LIKELY


@dataclass(frozen=True, slots=True)
class Forecast:
    """What is to be expected of all slots before an instant."""

    at: int
    until: int
    slots: list[ForecastSlot]
    """Ordered by slot and item; the numbers of `ForecastSlot.wait` are those of this list."""
    left_out: list[LeftOut]

    @property
    def last(self) -> int | None:
        """Number of the slot that ends last; None without slots."""
        return max(range(len(self.slots)), key=lambda number: self.slots[number].end.p50, default=None)

    def path_to(self, number: int) -> list[int]:
        """What a slot waits for in a usual night, back to one that waits for nothing; the first one first."""
        path = [number]
        while (wait := self.slots[path[-1]].wait) is not None and wait.number not in path:
            path.append(wait.number)
        return path[::-1]


def forecast(
    schedule: "Schedule", ledger: "Ledger", until: int, estimates: Estimates, *, most_nights: int = MOST_NIGHTS
) -> Forecast:
    """The slots that run, and those that are expected before `until`, in UTC epoch milliseconds. Only reads."""
    night, now = gather(schedule, ledger, until), ledger.clock.now_ms()
    number = max(LEAST_NIGHTS, min(most_nights, MOST_PLAYED // max(1, len(night.slots))))
    shares = [(place + 0.5) / number for place in range(number)]
    items = {each.item.id: each.item for each in night.slots if each.item.spec.launcher != OBSERVE}
    known = {name: _Known.of(found, shares) for name, item in items.items() if (found := estimates.of(item))}
    taken = [_Taken(each, known.get(each.item.id), shares, now) for each in night.slots]
    played, spec = [each.played for each in night.slots], schedule.spec
    nights = [
        play(played, [each.takes[place] for each in taken], spec.max_running, spec.pools) for place in range(number)
    ]
    usual = play(played, [each.usual for each in taken], spec.max_running, spec.pools)
    slots = [_slot(place, night, nights, usual, taken[place]) for place in range(len(night.slots))]
    return Forecast(now, until, slots, night.left_out)


class _Known(NamedTuple):
    """What is known of an item, and how many times as long as usual its runs take: usually, and in such shares."""

    found: Estimate
    times: list[float]

    @classmethod
    def of(cls, found: Estimate, shares: list[float]) -> "_Known":
        return cls(found, [_at(found, share) for share in [0.5, *shares]])


class _Taken:
    """What the run of a slot takes, in milliseconds: usually, and in each of the nights."""

    def __init__(self, night_slot: NightSlot, known: _Known | None, shares: list[float], now: int) -> None:
        if known is None:
            self.runs, self.usual, self.takes = 0, 0.0, [0.0] * len(shares)
            return
        found, times = known
        self.runs = found.runs
        scale = 1000 * math.exp(found.log_seconds(day_of(night_slot.slot, night_slot.item.zone)))
        since = night_slot.played.running_since
        if since is None:
            takes = [scale * each for each in times]
        else:
            took = now - since
            gone = _share_before(found, took / scale)
            takes = [max(scale * _at(found, gone + (1 - gone) * share), took) for share in [0.5, *shares]]
            if took >= takes[0]:  # longer than ever
                takes = [took * (1 + LONGER * share) for share in [0.5, *shares]]
        self.usual, *self.takes = takes
        self.takes = _as_in_nights_before(self.takes, found, night_slot)


def _as_in_nights_before(takes: list[float], found: Estimate, night_slot: NightSlot) -> list[float]:
    """Dealt out to the nights: to each one as it was so many days ago, so that what was slow together stays together.

    Where the item did not run then, to any of them.
    """
    slots = [night_slot.slot - (place + 1) * DAY_MS for place in range(len(takes))]
    was = [found.by_slot[slot] for slot in slots if slot in found.by_slot]
    if len(was) < len(slots):
        rng = Random(f"{night_slot.item.id} {night_slot.slot}")  # noqa: S311 the same at each call
        was = [found.by_slot[slot] if slot in found.by_slot else rng.choice(found.errors) for slot in slots]
    dealt = [0.0] * len(takes)
    for place, each in zip(sorted(range(len(takes)), key=was.__getitem__), sorted(takes), strict=True):
        dealt[place] = each
    return dealt


def _at(found: Estimate, share: float) -> float:
    return math.exp(quantile(found.errors, share))


def _share_before(found: Estimate, times: float) -> float:
    """The share of runs that are over after so many times of what is usual."""
    if times <= 0:
        return 0.0
    return sum(each < math.log(times) for each in found.errors) / (len(found.errors) + 1)


def _slot(
    number: int, night: GatheredNight, nights: list[PlayedNight], usual: PlayedNight, taken: _Taken
) -> ForecastSlot:
    night_slot = night.slots[number]
    starts = sorted(at for each in nights if (at := each.starts[number]) is not None)
    ends = sorted(at for each in nights if (at := each.ends[number]) is not None)
    late = None
    if night_slot.row is None or night_slot.row.trigger not in BY_HAND:
        late = late_at(night_slot.item, night_slot.slot)
    ready_at = night_slot.played.ready_at
    return ForecastSlot(
        night_slot,
        _expectation(starts, ready_at),
        _expectation(ends, ready_at),
        taken.runs,
        1 - len(ends) / len(nights),
        usual.waits.get(number),
        late[0] if late is not None else None,
        sum(end > late[0] for end in ends) / len(nights) if late is not None else 0.0,
    )


def _expectation(ascending: list[float], otherwise: int) -> Expectation:
    if not ascending:
        return Expectation(otherwise, otherwise)
    most = len(ascending) - 1
    found = []
    for share in (0.5, 0.9):
        place = min(max(share * len(ascending) - 0.5, 0), most)
        below = int(place)
        above = min(below + 1, most)
        found.append(round(ascending[below] + (place - below) * (ascending[above] - ascending[below])))
    return Expectation(*found)
