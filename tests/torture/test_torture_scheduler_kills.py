"""K2: kill -9 at every failpoint of the scheduler; a year of random kills, outages and set clocks."""

import contextlib
import datetime as dt
import json
import random
import sqlite3
from collections import Counter, defaultdict
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from aetherflow.core.embedding import iso
from aetherflow.scheduler.cli import main
from aetherflow.scheduler.document.reading import load_schedule
from aetherflow.scheduler.ledger.known import note_schedule
from aetherflow.scheduler.time.clock import from_ms, to_ms
from torture_clockwork import World, scheduler
from torture_cron import fires
from torture_policies import Policy
from torture_schedules import in_words, rows, write_schedule
from torture_tier import SEED, sample, sized, suite

pytestmark = pytest.mark.slow

START = dt.datetime(2025, 3, 1, tzinfo=dt.UTC)
"""A year and more ago: `audit` looks at no slot that lies ahead."""
KILLED = -9
HOUR = 3_600_000
ITEMS = {
    "one": ("0 */2 * * *", Policy("queue", "all", 300_000, 3, 120_000)),
    "two": ("30 1-4 * * *", Policy("skip", "last", 1_000)),
    "three": ("10,40 2 * * *", Policy("kill_old", "skip", 7_200_000)),
}
SPAN = 6 * HOUR - 90_000


def fresh(folder: Path, alarms: list[int], longest: int = 8) -> World:
    """A world in which nothing has happened yet."""
    for path in folder.glob("*"):
        if path.name.startswith(("ledger", "runs", "time")):
            _remove(path)
    world = World(folder, START, alarms, SEED)
    world.longest = longest
    return world


def _remove(path: Path) -> None:
    if path.is_dir():
        for each in path.iterdir():
            _remove(each)
        path.rmdir()
    else:
        path.unlink()


def slots_of(expression: str, zone: str, end: int) -> list[int]:
    until = from_ms(end).replace(second=0, microsecond=0) + dt.timedelta(minutes=1)
    return [to_ms(at) for at in fires(expression, ZoneInfo(zone), START, until)]


def audited(document: Path, until: int, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """What `audit` says of all slots up to a time."""
    capsys.readouterr()
    code = main(
        ["audit", str(document), "--from", iso(to_ms(START)), "--to", iso(until), "--fail-on", "none", "--json"]
    )
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert code == 0, found["gaps"][:5]
    return found


def check(world: World, found: dict[str, dict[int, tuple[str, str]]], expected: dict[str, list[int]]) -> None:
    """Every expected slot once, no run executed twice, and executed only if the ledger says so."""
    for name, slots in expected.items():
        missing = [iso(slot) for slot in slots if slot not in found.get(name, {})]
        assert not missing, f"{name}: {len(missing)} slots are nowhere, {missing[:3]}"
    whole = Counter(run.run_id for run in world.executions() if not run.cut)
    twice = [run_id for run_id, number in whole.items() if number > 1 and not world.runs[run_id].cut]
    assert not twice, f"executed twice: {twice[:3]}"
    with contextlib.closing(sqlite3.connect(world.ledger)) as ledger:
        done = {row[0] for row in ledger.execute("SELECT run_id FROM slots WHERE status='SUCCESS'")}
        left_out = {row[0] for row in ledger.execute("SELECT run_id FROM slots WHERE status IN ('SKIPPED', 'MISSED')")}
    assert done <= whole.keys(), f"SUCCESS without a run: {sorted(done - whole.keys())[:3]}"
    assert not left_out & whole.keys(), f"left out, and executed: {sorted(left_out & whole.keys())[:3]}"


def test_kill_at_every_point(world_place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    end = to_ms(START) + SPAN
    expected = {name: slots_of(cron, "UTC", end) for name, (cron, _) in ITEMS.items()}
    alarms = sorted({slot for slots in expected.values() for slot in slots})
    document = write_schedule(world_place, "UTC", ITEMS, START)
    note_schedule(load_schedule(document))  # once for all lives, so that the points of each are the same
    names = world_place / "points"
    world = fresh(world_place, alarms)
    assert scheduler(world, document, end, failpoint=f"log:{names}") == 0
    undisturbed = {name: {at: in_words(*row) for at, row in own.items()} for name, own in rows(world.ledger).items()}
    points = names.read_text().splitlines()
    chosen = sample(range(1, len(points) + 1), sized(25, len(points)), "K2")
    with suite("K2 points", 12) as counted:
        for point in chosen:
            with counted.case(f"kill at {point}, {points[point - 1]}"):
                world = fresh(world_place, alarms)
                assert scheduler(world, document, end, failpoint=str(point)) == KILLED
                assert scheduler(world, document, end) == 0
                found = rows(world.ledger)
                world.look()
                check(world, found, expected)
                assert {
                    name: {at: in_words(*row) for at, row in own.items()} for name, own in found.items()
                } == undisturbed
                audited(document, end, capsys)


@pytest.mark.parametrize("part", range(sized(1, 4)))
def test_a_year_of_kills_outages_and_set_clocks(
    world_place: Path, part: int, capsys: pytest.CaptureFixture[str]
) -> None:
    chance = random.Random(f"{SEED}-K2-{part}")
    zone = chance.choice(["Europe/Berlin", "Australia/Lord_Howe", "America/New_York", "Africa/Cairo"])
    end = to_ms(START) + sized(30, 366) * 24 * HOUR
    alarms = sorted({slot for cron, _ in ITEMS.values() for slot in slots_of(cron, zone, end + 100 * 24 * HOUR)})
    document = write_schedule(world_place, zone, ITEMS, START)
    world = fresh(world_place, alarms, longest=90)
    jumps = sorted(chance.randrange(to_ms(START), end) for _ in range(sized(6, 40)))
    world.jumps = [(at, round(chance.choice([-1, 1]) * chance.lognormvariate(0, 1.5) * HOUR)) for at in jumps]
    lived = kills = 0
    with suite(f"K2 year {part}", 12) as counted:
        while world.now < end:
            until = min(world.now + round(chance.lognormvariate(3, 1) * HOUR), end)
            failpoint = str(round(chance.lognormvariate(5, 1.5))) if chance.random() < 0.6 else ""
            with counted.case(f"life {lived}, from {iso(world.now)}"):
                code = scheduler(world, document, until, failpoint)
                assert code in (0, KILLED)
                kills += code == KILLED
                world.look()
            lived += 1
            if chance.random() < 0.5:
                world.now += round(chance.choice([0.2, 3, 9, 60]) * HOUR)
                world.leave()
        last = world.now + 24 * HOUR
        assert scheduler(world, document, last) == 0
        world.look()
        wall = last + world.shift
        expected = {name: slots_of(cron, zone, wall) for name, (cron, _) in ITEMS.items()}
        expected = {name: [slot for slot in slots if slot <= wall] for name, slots in expected.items()}
        with counted.case(f"{lived} lives, {kills} kills, {len(jumps)} jumps: every slot, no run twice"):
            check(world, rows(world.ledger), expected)
            over = wall - 24 * HOUR
            report = audited(document, over, capsys)
            assert report["expected"] == sum(slot < over for slots in expected.values() for slot in slots)
        with counted.case("storms are bounded, and spaced"):
            check_storms(world)


def check_storms(world: World) -> None:
    """What was caught up at one time: no more than `max_catch_up`, in order, `spacing_seconds` apart."""
    with contextlib.closing(sqlite3.connect(world.ledger)) as ledger:
        query = "SELECT claimed_at, slot, run_id, started_at FROM slots WHERE item='one' AND queued=1 ORDER BY 1, 2"
        storms: dict[int, list[tuple[str, int | None]]] = defaultdict(list)
        for claimed, _, run_id, started in ledger.execute(query):
            storms[claimed].append((run_id, started))
    assert storms, "nothing was ever caught up"
    begun: dict[str, int] = {}
    for run in world.executions():
        begun.setdefault(run.run_id, run.start)
    policy = ITEMS["one"][1]
    for claimed, storm in storms.items():
        assert len(storm) <= policy.max_catch_up, (iso(claimed), storm)
        starts = [begun[run_id] for run_id, _ in storm if run_id in begun]
        assert starts == sorted(starts), (iso(claimed), storm)
        if not starts or any(starts[0] - 24 * HOUR <= at <= starts[-1] for at, _ in world.jumps):
            continue
        # by the ledger: a scheduler that is killed between this and the start of its process is late with the latter
        gaps = [later - earlier for (_, earlier), (_, later) in pairwise(storm) if earlier and later]
        assert all(gap >= policy.spacing or gap < 0 for gap in gaps), (iso(claimed), gaps)  # below 0: it was set back
