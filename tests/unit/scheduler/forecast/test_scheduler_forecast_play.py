"""A played night goes as one of the scheduler: the same starts and ends, with the same durations."""

import datetime as dt
from random import Random
from typing import Any

import pytest

from aetherflow.scheduler.forecast.gathering import gather
from aetherflow.scheduler.forecast.play import PlayedSlot, Wait, play
from scheduler_bench import Bench

STEPS_MS = 4000
"""The scheduler looks once a second, so each wait makes a slot a second later."""


def drawn(rng: Random) -> list[dict[str, Any]]:
    """Some items; slots in the ten minutes after noon."""
    found: list[dict[str, Any]] = []
    for number in range(rng.randint(3, 7)):
        item: dict[str, Any] = {"id": f"i{number}", "cron": f"{rng.choice(['*/3', '1', '2', '4', '*/2'])} 12 * * *"}
        if found and rng.random() < 0.5:
            item["after"] = [rng.choice(found)["id"]]
            if rng.random() < 0.3:
                item["after_status"] = "any"
        if rng.random() < 0.4:
            item["pool"] = "db"
        item["overlap"] = rng.choice(["skip", "queue", "allow"])
        found.append(item)
    return found


@pytest.mark.parametrize("seed", range(12))
def test_as_the_scheduler_does_it(bench: Bench, seed: int) -> None:
    rng = Random(seed)
    items = drawn(rng)
    # apart by more than a few seconds, so that the steps of the scheduler put nothing into another order
    seconds = {item["id"]: 11.0 + 37 * place + 60 * rng.randint(0, 2) for place, item in enumerate(items)}
    bench.schedule_of(*items, max_running=rng.choice([2, 3, 10]), pools={"db": 1})
    bench.launcher.seconds = seconds
    schedule = bench.load()
    bench.minutes(0.02)
    with bench.ledger() as ledger:
        night = gather(schedule, ledger, bench.clock.wall + 600_000)
    played = [each.played for each in night.slots]
    takes = [1000 * seconds[each.item.id] for each in night.slots]
    told = play(played, takes, schedule.spec.max_running, schedule.spec.pools)
    # what comes after these slots changes nothing of them; one that has not started by then has no start below
    last = max(end for end in told.ends if end is not None)
    bench.run_for(dt.timedelta(milliseconds=last + STEPS_MS - bench.clock.wall))
    real = {row[:2]: row[2:] for row in bench.rows("SELECT item, slot, status, started_at, finished_at FROM slots")}
    for number, each in enumerate(night.slots):
        status, start, _ = real[each.item.id, each.slot]
        expected = told.starts[number]
        if expected is None:
            assert status == "SKIPPED", (seed, each.item.id, status)
            continue
        assert start is not None, (seed, each.item.id, status)
        assert abs(start - expected) <= STEPS_MS, (seed, each.item.id, dt.timedelta(milliseconds=start - expected))


def test_a_lock_is_waited_for_in_the_pool() -> None:
    slots = [PlayedSlot("a", 0, lock="disk"), PlayedSlot("b", 10, lock="disk"), PlayedSlot("c", 20)]
    night = play(slots, [100, 50, 5], 2, {})
    assert night.starts == [0, 10, 100]
    assert night.ends == [100, 150, 105]
    assert night.waits == {1: Wait(0, "lock disk"), 2: Wait(0, "max_running")}


def test_a_run_that_goes_on_ends_when_it_would() -> None:
    slots = [PlayedSlot("a", 1000, running_since=0), PlayedSlot("b", 1000, after=(0,))]
    night = play(slots, [1500, 10], 1, {})
    assert (night.starts, night.ends) == ([0, 1500], [1500, 1510])
    assert night.waits == {1: Wait(0, "after")}
