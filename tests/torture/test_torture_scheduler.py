"""K1, K2: a simulated year of a scheduler that is killed again and again, whose clock is set now and then."""

import contextlib
import datetime as dt
import itertools
import random
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from aetherflow.scheduler import launchers
from aetherflow.scheduler.clock import from_ms, to_ms
from aetherflow.scheduler.run_ids import run_id_of
from torture_clockwork import World, scheduler
from torture_policies import Model, Policy
from torture_slots import Times, fires, times
from torture_tier import SEED, full, sample, sized, suite

pytestmark = pytest.mark.slow

START = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
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
EXPRESSIONS = [
    times("30 2,14 * * *", {30}, {2, 14}),
    times("0 0,3 * * *", {0}, {0, 3}),
    times("15 */8 * * *", {15}, {0, 8, 16}),
    times("*/30 1-3 * * 0,6", {0, 30}, {1, 2, 3}, {5, 6}),
]
OVERLAPS = ("skip", "queue", "allow", "kill_old")
MISFIRES = ("skip", "last", "all")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder in memory if there is one, where the launcher `world` is installed."""
    info = tmp_path / "site" / "torture_world-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: torture-world\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[aetherflow.launchers]\nworld = torture_clockwork:WorldLauncher\n")
    monkeypatch.syspath_prepend(info.parent)
    launchers._installed.cache_clear()
    launchers.load_launcher.cache_clear()
    memory = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(prefix="aetherflow-world-", dir=memory if memory.is_dir() else tmp_path))
    yield folder
    shutil.rmtree(folder)
    launchers._installed.cache_clear()
    launchers.load_launcher.cache_clear()


def write_schedule(folder: Path, zone: str, items: dict[str, tuple[Times, Policy]]) -> Path:
    lines = ["version: 1", f"timezone: {zone}", f"state: {folder}/ledger.sqlite", "max_running: 1000", "items:"]
    for name, (expression, policy) in items.items():
        lines += [
            f"  - id: {name}",
            f'    cron: "{expression.text}"',
            "    flow_yaml: flow.yaml",
            "    launcher: world",
            f"    since: {START:%Y-%m-%dT%H:%M:%SZ}",
            f"    overlap: {policy.overlap}",
            f"    misfire: {policy.misfire}",
            f"    misfire_grace_time: {policy.grace // 1000}",
            f"    max_catch_up: {policy.max_catch_up}",
            f"    spacing_seconds: {policy.spacing // 1000}",
        ]
    document = folder / "scheduler.yaml"
    document.write_text("\n".join(lines) + "\n")
    (folder / "flow.yaml").write_text("version: 1\nflow: {id: f}\njobs: []\n")
    return document


def lives(chance: random.Random, start: int, end: int) -> list[tuple[int, int]]:
    """Spans during which a scheduler lives, with outages of seconds to days between them."""
    spans = []
    at = start
    while at < end:
        until = min(at + round(chance.lognormvariate(4, 1) * 3_600_000), end)
        spans.append((at // 60_000 * 60_000 + 30_000, until // 60_000 * 60_000 + 31_000))
        gap = chance.choice([1, 3, 10, 45, 200, 900, 3000])
        at = until + gap * 60_000
    return spans


def rows(ledger: Path) -> dict[str, dict[int, tuple[str, str]]]:
    found: dict[str, dict[int, tuple[str, str]]] = {}
    with contextlib.closing(sqlite3.connect(ledger)) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        for item, slot, status, reason in db.execute("SELECT item, slot, status, reason FROM slots"):
            assert slot not in found.setdefault(item, {})
            found[item][slot] = (status, reason or "")
    return found


def in_words(status: str, reason: str) -> str:
    """A row in the words of the model."""
    if status in ("SKIPPED", "FAILED", "MISSED"):
        return f"{status} {reason.split(' ', maxsplit=1)[0].rstrip(':')}"
    return status


@pytest.mark.parametrize("zone", ZONES if full() else sample(ZONES, 2, "K1"))
def test_a_year_against_a_model(place: Path, zone: str) -> None:
    chance = random.Random(f"{SEED}-K1-{zone}")
    policies = {
        f"{overlap}_{misfire}": (
            chance.choice(EXPRESSIONS),
            Policy(
                overlap,
                misfire,
                chance.choice([0, 300_000, 7_200_000]),
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
    world = World(place, START, sorted(set(itertools.chain(*slots.values()))), SEED)
    document = write_schedule(place, zone, policies)
    spans = lives(chance, to_ms(START), to_ms(end))
    for start, until in spans:
        world.now = start
        world.leave()
        assert scheduler(world, document, until) == 0
    last = spans[-1][1]
    found = rows(place / "ledger.sqlite")
    executed = [run.run_id for run in world.executions() if not run.cut]
    with suite(f"K1 {zone}", 12) as counted:
        for name, (expression, policy) in policies.items():
            with counted.case(f"{name} {policy} {expression.text}"):
                own = [slot for slot in slots[expression] if slot <= last]
                model = Model(policy, own, lambda at, name=name: world.duration(run_id_of(name, at)))
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
