"""Forecasts of nights that the scheduler has recorded, of runs that take as long as flights took."""

import datetime as dt
from pathlib import Path
from typing import Any

import pytest

from aetherflow.scheduler.forecast.estimating import Estimates
from aetherflow.scheduler.forecast.forecast import forecast
from aetherflow.scheduler.ledger.store import Ledger
from aetherflow.scheduler.time.clock import to_ms
from hindcast import Judged, is_good, verdicts
from scheduler_bench import Bench, FakeClock

FLIGHTS = Path(__file__).parents[4] / "docs/examples/flights/data/flights.parquet"
MINUTES = """SELECT month, day, max(greatest(dep_delay, 0) + air_time) FROM '{}' WHERE carrier='{}' AND flight={}
GROUP BY ALL"""
REGULAR = {
    "orders": ("B6", 359),
    "prices": ("B6", 703),
    "stock": ("VX", 251),
    "merge": ("DL", 2159),
    "copy": ("AA", 181),
}
"""Item to carrier and number of a flight of nearly every day of 2013."""


class Jumping(FakeClock):
    """At once at the next slot, at the next end of a run, or at its own end."""

    def __init__(self, bench: Bench, slots: list[int], start: dt.datetime) -> None:
        super().__init__(start)
        self._bench, self.slots = bench, slots

    def wait(self, seconds: float) -> None:
        ends = [run.until - self.mono for run in self._bench.launcher.runs[-20:] if run.until > self.mono]
        ends += [] if self.until is None else [self.until - self.mono]
        while self.slots and self.slots[0] <= self.wall:
            self.slots.pop(0)
        due = [(self.slots[0] - self.wall) / 1000] if self.slots else []
        super().wait(max(seconds, min([*ends, *due], default=seconds)))


def recorded(bench: Bench, nights: int, judged_from: int) -> list[Judged]:
    """Let the scheduler live through nights whose runs take as long as flights took, and forecast each one."""
    duckdb: Any = pytest.importorskip("duckdb")
    start = dt.datetime(2013, 1, 1, 12, tzinfo=dt.UTC)
    took = {
        item: {row[:2]: row[2] for row in duckdb.sql(MINUTES.format(FLIGHTS, *flight)).fetchall()}
        for item, flight in REGULAR.items()
    }
    bench.flow(["true"])
    bench.schedule_of(
        {"id": "orders", "cron": "0 18 * * *"},
        {"id": "prices", "cron": "30 18 * * *", "pool": "db"},
        {"id": "stock", "cron": "40 18 * * *", "pool": "db"},
        {"id": "merge", "after": ["orders", "prices"], "cron": "50 18 * * *"},
        {"id": "copy", "cron": "0 19 * * *", "after": "orders"},
        max_running=3,
        pools={"db": 1},
    )
    schedule = bench.load()
    slots = sorted(
        {
            to_ms(at)
            for item in schedule.items
            for at in item.cron.between(start, start + dt.timedelta(days=nights), item.zone)
        }
    )
    bench.clock = bench.launcher.clock = clock = Jumping(bench, slots, start)
    told: list[Any] = []

    def evening() -> None:
        number = (clock.now() - start).days
        seconds = {item: 60.0 * (days.get((clock.now().month, clock.now().day)) or 200) for item, days in took.items()}
        bench.launcher.seconds = seconds
        if number >= judged_from:
            ledger = Ledger(schedule.state, clock, read_only=True)
            told.extend(forecast(schedule, ledger, clock.wall + 12 * 3_600_000, Estimates(schedule, ledger)).slots)
            ledger.close()

    for number in range(nights):
        clock.at(dt.timedelta(days=number, hours=5), evening)
        clock.slots.append(clock.wall + (number * 24 + 5) * 3_600_000)
    clock.slots.sort()
    bench.run_for(dt.timedelta(days=nights))
    ends = {
        (item, slot): (end - slot) / 60_000
        for item, slot, end in bench.rows("SELECT item, slot, finished_at FROM slots")
    }
    found = []
    for each in told:
        item, slot = each.night_slot.item.id, each.night_slot.slot
        before = [
            minutes for (name, at), minutes in sorted(ends.items(), key=lambda x: x[0][1]) if name == item and at < slot
        ]
        said = [(at - slot) / 60_000 for at in each.end]
        found.append(Judged(ends[item, slot], said[0], said[1], before[-1], sum(before) / len(before)))
    return found


def test_ninety_nights_that_a_scheduler_has_recorded(bench: Bench) -> None:
    judged = recorded(bench, 210, 120)
    assert len(judged) == 90 * 5
    found = verdicts(judged)
    assert is_good(found), found
