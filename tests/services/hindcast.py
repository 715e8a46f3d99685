"""Nights that are known, as a ledger has them, and what a forecast made the evening before says of each."""

import datetime as dt
import json
import math
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from random import Random
from statistics import fmean, median
from typing import Any, NamedTuple

from aetherflow.scheduler.forecast.estimating import Estimates
from aetherflow.scheduler.forecast.forecast import ForecastSlot, forecast
from aetherflow.scheduler.forecast.gathering import gather
from aetherflow.scheduler.forecast.play import play
from aetherflow.scheduler.ledger.epochs import Epochs
from aetherflow.scheduler.ledger.records import insert
from aetherflow.scheduler.ledger.run_ids import run_id_of
from aetherflow.scheduler.ledger.store import Ledger
from aetherflow.scheduler.schedule.schedule import Schedule
from aetherflow.scheduler.time.clock import to_ms
from scheduler_bench import Bench

EVENING = dt.datetime(2025, 3, 3, 21, tzinfo=dt.UTC)
"""Of the first night, a Monday."""
DAY = dt.timedelta(days=1)
NIGHT_MS = 12 * 3_600_000
MINUTE = 60_000
ITEMS: list[dict[str, Any]] = [
    {"id": "orders", "cron": "0 22 * * *"},
    {"id": "prices", "cron": "10 22 * * *"},
    {"id": "stock", "cron": "20 22 * * *", "pool": "db"},
    {"id": "ledger", "cron": "20 22 * * *", "pool": "db"},
    {"id": "merge", "after": ["orders", "prices"], "cron": "30 22 * * *"},
    {"id": "dump", "cron": "0 1 * * *", "command": ["true"], "lock": "disk"},
    {"id": "copy", "cron": "5 1 * * *", "command": ["true"], "lock": "disk"},
    {"id": "report", "cron": "0 2 * * *", "after": ["merge", "stock", "ledger"]},
    {"id": "mail", "after": "report"},
]
"""Their usual minutes are 10 to 60, so that they wait for each other every night."""
TOP = {"max_running": 4, "pools": {"db": 1}}

Law = Callable[[Random, str, int, dt.date], float]
"""Random numbers, item, number of the night and its day to the seconds that its run takes."""


@cache
def usual(item: str) -> float:
    """Seconds in the middle."""
    return 60.0 * (10 + 50 * Random(item).random())


def noise(rng: Random, spread: float = 0.15) -> float:
    """A factor around 1; one night in thirty goes wrong."""
    return math.exp(rng.gauss(0, spread)) * (rng.uniform(2, 4) if rng.random() < 1 / 30 else 1)


def steady(rng: Random, item: str, night: int, day: dt.date) -> float:
    return usual(item) * noise(rng)


def weekday(rng: Random, item: str, night: int, day: dt.date) -> float:
    return usual(item) * noise(rng) * (0.5, 1.0, 1.0, 1.3, 1.6, 0.4, 0.4)[day.weekday()]


def month_end(rng: Random, item: str, night: int, day: dt.date) -> float:
    return usual(item) * noise(rng) * (3.0 if (day + DAY).month != day.month else 1.0)


def trend(rng: Random, item: str, night: int, day: dt.date) -> float:
    return usual(item) * noise(rng) * 1.004**night


def heavy_tail(rng: Random, item: str, night: int, day: dt.date) -> float:
    return usual(item) * 0.5 * rng.paretovariate(1.5)


LAWS: dict[str, Law] = {each.__name__: each for each in (steady, weekday, month_end, trend, heavy_tail)}


class Judged(NamedTuple):
    """A slot as it was, and as it was forecast; in minutes after its time."""

    was: float
    p50: float
    p90: float
    yesterday: float
    mean: float


class Verdicts(NamedTuple):
    """How good the forecasts of many slots were."""

    covered: float
    """Share of the slots that ended by p90."""
    error: float
    """Median error of p50, in minutes."""
    as_yesterday: float
    by_mean: float
    """Median errors of the two simple forecasts."""


def verdicts(judged: Sequence[Judged]) -> Verdicts:
    """How good these forecasts were, all slots together."""
    return Verdicts(
        sum(each.was <= each.p90 for each in judged) / len(judged),
        median(abs(each.was - each.p50) for each in judged),
        median(abs(each.was - each.yesterday) for each in judged),
        median(abs(each.was - each.mean) for each in judged),
    )


def is_good(found: Verdicts) -> bool:
    """Whether p90 says what it says, and p50 is better than both simple forecasts."""
    return 0.85 <= found.covered <= 0.95 and found.error < min(found.as_yesterday, found.by_mean)


class Nights:
    """A schedule whose nights go as a law says, one after the other, and its ledger."""

    def __init__(self, bench: Bench, items: Sequence[Mapping[str, Any]] = ITEMS, **top: Any) -> None:
        self.bench = bench
        bench.flow(["true"])
        given = [item if "command" in item else {"flow": "flow.yaml", **item} for item in items]
        bench.write(json.dumps({"timezone": "UTC", "state": "ledger.sqlite", **TOP, **top, "items": given}))
        self.schedule: Schedule = bench.load()
        self.ledger = Ledger(self.schedule.state, bench.clock)
        self.ends: dict[str, list[float]] = {}

    def night(self, number: int, takes: Callable[[str, dt.date], float], *, judged: bool) -> list[Judged]:
        """Let one night pass, and write it down; returns what was forecast of it, if asked."""
        evening = EVENING + number * DAY
        self.bench.clock.wall = now = to_ms(evening)
        with self.ledger.transaction("evening"):
            for item in self.schedule.items:
                Epochs(self.ledger).set_cursor(item.id, now)
        until, spec = now + NIGHT_MS, self.schedule.spec
        told: list[ForecastSlot] = []
        if judged:
            told = forecast(self.schedule, self.ledger, until, Estimates(self.schedule, self.ledger)).slots
        slots = [each.night_slot for each in told] or gather(self.schedule, self.ledger, until).slots
        real = [1000 * takes(each.item.id, evening.date()) for each in slots]
        was = play([each.played for each in slots], real, spec.max_running, spec.pools)
        found, rows = list[Judged](), list[dict[str, Any]]()
        for place, each in enumerate(slots):
            start, end = was.starts[place], was.ends[place]
            assert start is not None
            assert end is not None
            known = self.ends.setdefault(each.item.id, [])
            if judged:
                p50, p90 = ((at - each.slot) / MINUTE for at in told[place].end)
                found.append(Judged((end - each.slot) / MINUTE, p50, p90, known[-1], fmean(known)))
            known.append((end - each.slot) / MINUTE)
            rows.append(row_of(each.item.id, each.slot, round(start), round(end)))
        with self.ledger.transaction("night"):
            insert(self.ledger.db, "slots", *rows)
        return found


def row_of(item: str, slot: int, start: int, end: int) -> dict[str, Any]:
    """The row of a slot that has ended well."""
    values: dict[str, Any] = {"item": item, "slot": slot, "status": "SUCCESS", "run_id": run_id_of(item, slot)}
    values |= {"trigger": "scheduler", "host": "h", "claimed_at": slot, "attempts": 1}
    return values | {"started_at": start, "finished_at": end}


def hindcast(bench: Bench, law: Law, *, before: int, nights: int, seed: int = 1) -> list[Judged]:
    """Forecast so many nights, each from those before it."""
    made, rng = Nights(bench), Random(seed)
    found = list[Judged]()
    for number in range(before + nights):

        def takes(item: str, day: dt.date, number: int = number) -> float:
            return law(rng, item, number, day)

        found += made.night(number, takes, judged=number >= before)
    made.ledger.close()
    return found
