"""What exports rely on: passes over some items, and triggers that meet while a run goes on."""

import datetime as dt
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from scheduler_bench import Bench


def slot(minutes_ago: int) -> str:
    at = dt.datetime.now(dt.UTC).replace(second=0, microsecond=0) - dt.timedelta(minutes=minutes_ago)
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def days_ago(number: int) -> str:
    return f"{dt.datetime.now(dt.UTC) - dt.timedelta(days=number):%Y-%m-%d}"


def test_a_pass_over_some_items_leaves_the_others_alone(bench: "Bench") -> None:
    bench.flow(["true"])
    bench.schedule_of(*({"id": name, "cron": "* * * * *", "since": slot(3), "misfire": "last"} for name in "abc"))
    bench.command("tick", "scheduler.yaml", "--item", "a", "--item", "b")
    assert {item for (item,) in bench.rows("SELECT DISTINCT item FROM slots")} == {"a", "b"}
    assert {item for (item,) in bench.rows("SELECT item FROM epochs WHERE until IS NULL")} == {"a", "b"}
    bench.command("tick", "scheduler.yaml", "--item", "c")
    assert {item for (item,) in bench.rows("SELECT item FROM epochs WHERE until IS NULL")} == {"a", "b", "c"}
    bench.command("tick", "scheduler.yaml", "--item", "nope", code=2)
    assert "has no item 'nope'" in bench.errors


def test_a_pass_that_waits_runs_all_that_is_caught_up(bench: "Bench") -> None:
    bench.flow(["true"])
    rest = {"misfire": "all", "max_catch_up": 2, "spacing_seconds": 4, "misfire_grace_time": 1}
    bench.schedule_of({"id": "a", "cron": "0 0 * * *", "since": days_ago(2), **rest})
    bench.command("tick", "scheduler.yaml", "--item", "a")
    query = "SELECT status FROM slots ORDER BY slot"
    assert [status for (status,) in bench.rows(query)] == ["MISSED", "SUCCESS", "WAITING"]
    bench.command("tick", "scheduler.yaml", "--item", "a", "--wait")
    assert [status for (status,) in bench.rows(query)] == ["MISSED", "SUCCESS", "SUCCESS"]


@pytest.mark.slow
def test_a_trigger_replaces_the_run_of_an_earlier_one(bench: "Bench", until: Callable[..., Any]) -> None:
    """Each trigger is a process of its own: the later one cannot end the earlier run by itself."""
    bench.flow(["sh", "-c", f"cd {bench.folder}; test -e second || {{ touch began; sleep 300; }}"])
    bench.schedule_of({"id": "a", "cron": "* * * * *", "since": slot(60), "overlap": "kill_old"})
    first = bench.start("run-item", "scheduler.yaml", "a", "--slot", slot(30), "--trigger", "cron")
    until((bench.folder / "began").exists)
    bench.write("", "second")
    bench.command("run-item", "scheduler.yaml", "a", "--slot", slot(20), "--trigger", "cron")
    assert first.wait(60) != 0
    rows = bench.rows("SELECT status, reason FROM slots WHERE started_at IS NOT NULL ORDER BY slot")
    assert [status for status, _ in rows] == ["FAILED", "SUCCESS"]
    assert rows[0][1].startswith("replaced by the slot ")


@pytest.mark.slow
def test_an_item_waits_for_another_that_was_never_triggered_before(bench: "Bench", until: Callable[..., Any]) -> None:
    bench.flow(["true"])
    bench.schedule_of({"id": "first", "cron": "* * * * *"}, {"id": "second", "after": "first"})
    at = slot(0)
    second = bench.start("run-item", "scheduler.yaml", "second", "--slot", at, "--trigger", "cron")
    until(lambda: bench.rows("SELECT 1 FROM slots WHERE item='second' AND status='WAITING'"))
    bench.command("run-item", "scheduler.yaml", "first", "--slot", at, "--trigger", "cron")
    assert second.wait(60) == 0
    assert bench.rows("SELECT item, status FROM slots ORDER BY item") == [("first", "SUCCESS"), ("second", "SUCCESS")]
