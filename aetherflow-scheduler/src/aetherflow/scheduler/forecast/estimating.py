"""The estimates of the items of a schedule, from its ledger."""

import datetime as dt
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple
from zoneinfo import ZoneInfo

from aetherflow.scheduler.forecast.estimates import LEAST_KNOWN, Estimate, estimate
from aetherflow.scheduler.ledger.durations import PastRun, past_runs, without_waits
from aetherflow.scheduler.time.clock import from_ms

if TYPE_CHECKING:
    from aetherflow.scheduler.ledger.store import Ledger
    from aetherflow.scheduler.schedule.schedule import Item, Schedule

USUAL = (0.1, 0.9)


class UsualTime(NamedTuple):
    """How long four of five runs take, in seconds."""

    least: float
    most: float
    runs: int

    def __str__(self) -> str:
        for size, unit in ((1, "s"), (60, "min"), (3600, "h")):
            least, most = self.least / size, self.most / size
            if most < 100 or unit == "h":
                break
        digits = 1 if unit == "h" and most < 10 else 0
        low, high = f"{least:.{digits}f}", f"{most:.{digits}f}"
        return f"usually {low} {unit}" if low == high else f"usually {low}-{high} {unit}"

    def as_json(self) -> dict[str, float | int]:
        """For machines, in seconds."""
        return {"least_seconds": round(self.least, 3), "most_seconds": round(self.most, 3), "runs": self.runs}


class Estimates:
    """Makes the estimate of an item once, and again only when it has run since."""

    def __init__(self, schedule: "Schedule", ledger: "Ledger") -> None:
        self._schedule, self._ledger = schedule, ledger
        self._sharing: dict[str, list[str]] = {}
        for item in schedule.items:
            if item.spec.lock is not None:
                self._sharing.setdefault(item.spec.lock, []).append(item.id)
        self._made: dict[str, tuple[int, Estimate | None]] = {}
        self._together: dict[str, tuple[list[int], list[PastRun]]] = {}
        """Lock to the newest slots of the items that share it, and their runs from when each had it."""

    def of(self, item: "Item") -> Estimate | None:
        """That of an item; None if it has not run yet."""
        newest = self._newest(item.id)
        known = self._made.get(item.id)
        if known is None or known[0] != newest:
            runs = self._runs_of(item)
            self._made[item.id] = known = newest, estimate(runs, [day_of(run.slot, item.zone) for run in runs])
        return known[1]

    def usual(self, item: "Item", slot: int) -> UsualTime | None:
        """How long a run of a slot usually takes; None while too few are known."""
        found = self.of(item)
        if found is None or found.runs < LEAST_KNOWN:
            return None
        day = day_of(slot, item.zone)
        least, most = (found.seconds(day, share) for share in USUAL)
        return UsualTime(least, most, found.runs)

    def _newest(self, name: str) -> int:
        query = "SELECT coalesce(max(slot), 0) FROM slots WHERE item=? AND finished_at IS NOT NULL"
        return int(self._ledger.read(query, (name,))[0][0])

    def _runs_of(self, item: "Item") -> list[PastRun]:
        """Its runs; where others have the same lock, without the time in which it waited for them."""
        lock = item.spec.lock
        sharing = self._sharing.get(lock, []) if lock is not None else []
        if lock is None or len(sharing) < 2:
            return past_runs(self._ledger, item.id)
        newest, known = [self._newest(name) for name in sharing], self._together.get(lock)
        if known is None or known[0] != newest:  # read once for all of them
            runs = without_waits(run for name in sharing for run in past_runs(self._ledger, name))
            self._together[lock] = known = newest, runs
        return [run for run in known[1] if run.item == item.id]


@lru_cache(maxsize=100_000)
def day_of(slot: int, zone: ZoneInfo) -> dt.date:
    """The day of a slot, in epoch milliseconds, in a zone."""
    return from_ms(slot).astimezone(zone).date()
