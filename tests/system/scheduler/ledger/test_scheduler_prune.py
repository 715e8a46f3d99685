"""Forgetting old slots: what goes, what stays, and that nothing is told of what nobody knows any more."""

import datetime as dt
import json
import signal
import time
from typing import TYPE_CHECKING

import pytest

from aetherflow.core.runtime.workspace.engine_files import make_engine_folder
from aetherflow.scheduler.audit.audit import audit
from aetherflow.scheduler.ledger.pruning import prune
from aetherflow.scheduler.time.clock import from_ms

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scheduler_bench import Bench, PreparedBenches
pytestmark = pytest.mark.xdist_group("prune")  # one worker prepares
BEFORE = "2026-03-02T12:20:00Z"


def pruned(bench: "Bench", *options: str) -> dict[str, int]:
    found = json.loads(bench.command("prune", "scheduler.yaml", "--before", BEFORE, "--json", *options))
    return {each["item"]: each["slots"] for each in found["items"]}


def test_what_only_a_person_has_run_goes_too(bench: "Bench") -> None:
    bench.flow(["true"])
    bench.schedule_of({"id": "a", "cron": "0 0 * * *"})
    span = ("--from", "2026-03-01", "--to", "2026-03-05")
    bench.command("backfill", "scheduler.yaml", "a", *span, "-q")
    with bench.ledger() as ledger:
        ledger.db.execute("UPDATE slots SET finished_at=slot")
    found = json.loads(bench.command("prune", "scheduler.yaml", "--before", "2026-03-04", "--json"))
    assert [(each["item"], each["slots"]) for each in found["items"]] == [("a", 3)]
    bench.command("backfill", "scheduler.yaml", "a", *span, "--dry-run", code=2)
    assert "were pruned" in bench.errors
    assert json.loads(bench.command("status", "scheduler.yaml", "--json"))["items"][0]["seen"] is False
    # and `since` reaches no further back, once it is seen
    bench.schedule_of({"id": "a", "cron": "0 0 * * *", "since": "2026-03-01", "misfire": "skip"})
    bench.command("tick", "scheduler.yaml", "-q")
    first = int(dt.datetime(2026, 3, 4, tzinfo=dt.UTC).timestamp()) * 1000
    assert bench.rows("SELECT min(slot) FROM slots") == [(first,)]
    assert json.loads(bench.command("audit", "scheduler.yaml", "--json", code=1))["gaps"] == []


DAY = 86_400_000


MINUTELY = {"id": "a", "cron": "* * * * *"}


FORGOTTEN = "2026-03-02T12:19:01Z"


def half_an_hour(bench: "Bench") -> None:
    bench.schedule_of(MINUTELY, {"id": "b", "cron": "2 12 2 3 *"})
    bench.minutes(30)


@pytest.fixture
def known(prepared_benches: "PreparedBenches") -> "Iterator[Bench]":
    """Slots of half an hour of March: `a` every minute, `b` once, then never again."""
    with prepared_benches.after(half_an_hour) as bench:
        yield bench


def test_old_slots_go_and_the_audit_says_so(known: "Bench") -> None:
    assert pruned(known, "--dry-run") == {"a": 19}
    assert len(known.slots("a")) == 30
    assert pruned(known) == {"a": 19}
    assert min(known.slots("a")) == "12:20"
    assert known.slots("b") == {"12:02": "SUCCESS"}  # its last
    assert known.rows("SELECT min(slot) FROM attempts WHERE item='a'") == known.rows(
        "SELECT min(slot) FROM slots WHERE item='a'"
    )
    assert pruned(known) == {}
    found = json.loads(known.command("audit", "scheduler.yaml", "--to", "2026-03-02T12:31:00Z", "--json"))
    assert (found["gaps"], found["expected"], found["pruned"]) == ([], 12, {"a": FORGOTTEN})
    assert f"nothing can be said of these: a before {FORGOTTEN}" in known.errors
    known.command("audit", "scheduler.yaml", "--from", BEFORE, "--to", "2026-03-02T12:31:00Z")
    assert "pruned" not in known.errors
    assert known.rows("SELECT detail FROM journal WHERE event='prune'") == [
        (json.dumps({"before": BEFORE, "slots": 19}),)
    ]


def test_nobody_runs_again_what_was_forgotten(known: "Bench") -> None:
    pruned(known)
    span = ("--from", "2026-03-02T12:19:00Z", "--to", "2026-03-02T12:25:00Z")
    known.command("backfill", "scheduler.yaml", "a", *span, "--dry-run", code=2)
    assert "were pruned" in known.errors
    assert f"--from {FORGOTTEN}" in known.errors
    known.command("backfill", "scheduler.yaml", "a", "--from", FORGOTTEN, *span[2:], "--dry-run")
    known.schedule_of({**MINUTELY, "since": "2026-03-02T12:00:00Z"}, {"id": "b", "cron": "2 12 2 3 *"})
    known.minutes(1)  # an earlier `since` enters nothing of it as missed either
    assert min(known.slots("a")) == "12:20"
    with known.ledger() as ledger:
        assert audit(known.load(), ledger, None, from_ms(known.clock.wall), led=False).gaps == []


def test_a_kill_in_the_middle_leaves_nothing_that_is_thought_lost(known: "Bench") -> None:
    names = known.folder / "points"
    make_engine_folder(known.folder / "state")
    copy = (known.folder / "ledger.sqlite").read_bytes()
    known.command("prune", "scheduler.yaml", "--before", BEFORE, AETHERFLOW_TESTS_FAILPOINT=f"log:{names}")
    points = names.read_text().splitlines()
    assert {"commit prune begins", "commit prune", "commit prune ends"} <= set(points)
    for number in range(1, len(points) + 1):
        for left in known.folder.glob("ledger.sqlite-*"):
            left.unlink()
        (known.folder / "ledger.sqlite").write_bytes(copy)
        code = -signal.SIGKILL
        known.command("prune", "scheduler.yaml", "--before", BEFORE, code=code, AETHERFLOW_TESTS_FAILPOINT=str(number))
        with known.ledger() as ledger:
            found = audit(known.load(), ledger, None, from_ms(known.clock.wall), led=False)
        assert found.gaps == [], points[number - 1]


def test_a_time_that_is_too_late_is_refused(known: "Bench") -> None:
    known.command("prune", "scheduler.yaml", "--before", "2199-01-01", code=2)
    assert "is later than a day ago" in known.errors
    known.command("prune", "scheduler.yaml", code=2)


def test_a_clock_that_goes_back_beyond_it_runs_nothing_again(known: "Bench") -> None:
    pruned(known)
    started = len(known.launcher.started())
    known.clock.wall -= 25 * 60_000  # to about 12:05, of which the ledger has forgotten all
    known.minutes(10)
    assert len(known.launcher.started()) == started
    known.minutes(20)
    assert len(known.launcher.started()) == len(set(known.launcher.started())) == started + 5


def four_hundred_days_ahead(bench: "Bench") -> None:
    half_an_hour(bench)
    bench.schedule_of({"id": "a", "cron": "0 * * * *"})
    bench.minutes(1)
    bench.clock.wall = round(time.time() * 1000) + 400 * DAY
    bench.minutes(1)
    bench.clock.wall += 3 * DAY
    bench.minutes(1)
    with bench.ledger() as ledger:
        prune(ledger, bench.clock.wall - DAY)
    bench.clock.wall = int(time.time() // 3600 - 3) * 3_600_000 + 30 * 60_000  # how many slots follow is known
    bench.minutes(1)


@pytest.fixture
def stuck(prepared_benches: "PreparedBenches") -> "Iterator[Bench]":
    """The clock was 400 days ahead for three days, and slots of that time were pruned by it; now it is right."""
    with prepared_benches.after(four_hundred_days_ahead) as bench:
        yield bench


def test_slots_to_come_that_were_forgotten_are_told_of(stuck: "Bench") -> None:
    assert "a starts nothing until" in stuck.told.getvalue()
    found = json.loads(stuck.command("status", "scheduler.yaml", "--json", code=1))
    until = found["items"][0]["held_until"]
    assert until > "2026-03-02"
    assert f"starts nothing until {until}" in stuck.command("status", "scheduler.yaml", code=1)
    assert f"aetherflow-scheduler prune {stuck.file} --before TIME" in stuck.errors
    assert f"nothing starts until {until}" in stuck.command("audit", "scheduler.yaml", code=1)
    assert "pruned, so nothing can be said" not in stuck.errors
    stuck.command("backfill", "scheduler.yaml", "a", "--from", "2026-03-01", "--to", "2026-03-02", code=2)
    assert "set the clock right" in stuck.errors


def test_a_prune_by_the_right_clock_takes_it_back(stuck: "Bench") -> None:
    before = from_ms(stuck.clock.wall - 2 * DAY).strftime("%Y-%m-%dT%H:%M:%SZ")
    stuck.command("prune", "scheduler.yaml", "--before", before)
    started = len(stuck.launcher.started())
    stuck.minutes(121)
    assert len(stuck.launcher.started()) == started + 2
    assert json.loads(stuck.command("status", "scheduler.yaml", "--json", code=1))["items"][0]["held_until"] is None
    assert json.loads(stuck.command("audit", "scheduler.yaml", "--json", code=1))["pruned"] == {"a": before}
