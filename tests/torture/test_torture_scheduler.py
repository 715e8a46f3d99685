"""K1: a simulated year of a scheduler that is killed again and again, against a model: twelve policies, many zones."""

import datetime as dt
import itertools
import random
from functools import partial
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from aetherflow.scheduler.ledger.run_ids import run_id_of
from aetherflow.scheduler.time.clock import from_ms, to_ms
from torture_clockwork import World, scheduler
from torture_cron import fires
from torture_policies import Model, Policy
from torture_schedules import START, in_words, lives, rows, write_schedule
from torture_tier import SEED, full, sample, sized, suite

pytestmark = pytest.mark.slow

DAYS = sized(40, 366)
ZONES = [
    "Europe/Berlin",
    "Australia/Lord_Howe",
    "Africa/Cairo",
    "Europe/Dublin",
    "America/New_York",
    "Asia/Beirut",
    "America/Santiago",
    "Pacific/Chatham",
    "Atlantic/Azores",
    "America/Havana",
    "Africa/Casablanca",
    "Asia/Kolkata",
    "America/St_Johns",
    "Antarctica/Troll",
    "Asia/Jerusalem",
    "Australia/Adelaide",
    "America/Adak",
    "Asia/Gaza",
    "Pacific/Auckland",
    "UTC",
]
EXPRESSIONS = ["30 2,14 * * *", "0 0,3 * * *", "15 */8 * * *", "*/30 1-3 * * 0,6"]
OVERLAPS = ("skip", "queue", "allow", "kill_old")
MISFIRES = ("skip", "last", "all")


@pytest.mark.parametrize("zone", sample(ZONES, len(ZONES) if full() else 2, "K1"))
def test_a_year_against_a_model(world_place: Path, zone: str) -> None:
    chance = random.Random(f"{SEED}-K1-{zone}")
    policies = {
        f"{overlap}_{misfire}": (
            chance.choice(EXPRESSIONS),
            Policy(
                overlap,
                misfire,
                chance.choice([1_000, 300_000, 7_200_000]),
                chance.choice([1, 4]),
                chance.choice([0, 120_000]),
            ),
        )
        for overlap, misfire in itertools.product(OVERLAPS, MISFIRES)
    }
    end = START + dt.timedelta(days=DAYS)
    slots = {
        expression: [to_ms(at) for at in fires(expression, ZoneInfo(zone), START, end)] for expression in EXPRESSIONS
    }
    world = World(world_place, START, sorted(set(itertools.chain(*slots.values()))), SEED)
    document = write_schedule(world_place, zone, policies)
    spans = lives(chance, to_ms(START), to_ms(end))
    with suite(f"K1 {zone}", 12) as counted:
        for start, until in spans:
            world.now = start
            world.leave()
            assert scheduler(world, document, until) == 0
        last = spans[-1][1]
        found = rows(world_place / "ledger.sqlite")
        executed = [run.run_id for run in world.executions() if not run.cut]
        for name, (expression, policy) in policies.items():
            with counted.case(f"{name} {policy} {expression}"):
                own = [slot for slot in slots[expression] if slot <= last]
                model = Model(policy, own, partial(duration, world, name))
                for start, until in spans:
                    model.live(start, until)
                expected = model.finish()
                got = {slot: in_words(*row) for slot, row in found[name].items()}
                wrong = {
                    str(from_ms(slot)): (expected.get(slot), found[name].get(slot))
                    for slot in sorted(expected.keys() | got.keys())
                    if expected.get(slot) != got.get(slot)
                }
                assert not wrong, (len(wrong), len(expected), dict(itertools.islice(wrong.items(), 5)))
                assert [slot for slot in own if slot not in got] == []
        with counted.case("no run twice"):
            assert len(executed) == len(set(executed))


def duration(world: World, name: str, slot: int) -> int:
    return world.duration(run_id_of(name, slot))
