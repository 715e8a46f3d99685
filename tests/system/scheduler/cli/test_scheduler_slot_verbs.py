"""`hold`, `skip` and `release` beside real processes: a scheduler that runs, passes, and what `runs show` tells."""

import datetime as dt
import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

import warm
from scheduler_bench import Bench
from scheduler_hints import CRON, DAY, RUN, SLOT

NEXT_DAY = (dt.date.fromisoformat(DAY) + dt.timedelta(days=1)).isoformat()


@pytest.fixture
def held(bench: Bench) -> Bench:
    """A schedule with one slot that is due, whenever the test runs, and that is held."""
    bench.flow(["true"])
    due = {"id": "a", "cron": CRON, "since": DAY, "misfire": "last"}
    bench.schedule_of(due, {"id": "b", "after": "a", "since": DAY, "misfire": "last"})
    bench.command("hold", "scheduler.yaml", "a", "--slot", SLOT, "--reason", "the bank is late")
    return bench


def statuses(bench: Bench) -> list[tuple[str, str]]:
    return bench.rows("SELECT item, status FROM slots ORDER BY item")


def test_a_scheduler_that_runs_starts_it_when_it_is_released(held: Bench, until: Callable[..., Any]) -> None:
    process = held.start("run", "scheduler.yaml")
    until(lambda: statuses(held) == [("a", "WAITING"), ("b", "WAITING")])
    until(lambda: held.rows("SELECT reason_code FROM slots WHERE item='b'") == [("after",)])
    report = json.loads(held.command("release", "scheduler.yaml", "a", "--next", "--reason", "it is there", "--json"))
    assert (report["status"], report["verb"], report["next"]) == ("WAITING", "release", None)
    until(lambda: statuses(held) == [("a", "SUCCESS"), ("b", "SUCCESS")])
    assert held.stop(process) == 0


def test_a_skip_reaches_a_scheduler_that_runs(held: Bench, until: Callable[..., Any]) -> None:
    process = held.start("run", "scheduler.yaml")
    until(lambda: statuses(held) == [("a", "WAITING"), ("b", "WAITING")])
    held.command("skip", "scheduler.yaml", "a", "--next", "--reason", "not today")
    until(lambda: statuses(held) == [("a", "SKIPPED"), ("b", "SKIPPED")])
    assert held.stop(process) == 0


def test_one_that_ran_all_the_same_is_as_any_other(held: Bench) -> None:
    held.command("skip", "scheduler.yaml", "a", "--slot", SLOT, "--reason", "not today")
    held.command("tick", "scheduler.yaml")
    assert statuses(held) == [("a", "SKIPPED"), ("b", "SKIPPED")]
    span = ["backfill", "scheduler.yaml", "a", "--from", DAY, "--to", NEXT_DAY]
    span += ["--include", "all", "--reason", "new rates", "-q"]
    held.command(*span)
    assert statuses(held)[0] == ("a", "SKIPPED")
    held.command("run-item", "scheduler.yaml", "a", "--slot", SLOT, "-q")
    held.command(*span)
    assert held.rows("SELECT run_id, status FROM slots WHERE item='a'") == [(f"{RUN}-b2", "SUCCESS")]


def test_passes_leave_it_and_runs_show_tells_of_it(held: Bench) -> None:
    assert json.loads(held.command("tick", "scheduler.yaml", "--json"))["waiting"] == 2
    assert "is held by" in held.command("run-item", "scheduler.yaml", "a", code=3) + held.errors
    held.command("backfill", "scheduler.yaml", "a", "--from", DAY, "--to", NEXT_DAY, code=1)
    assert "left out, held by" in held.errors
    held.command("release", "scheduler.yaml", "a", "--next", "--reason", "it is there")
    held.command("tick", "scheduler.yaml")
    assert statuses(held) == [("a", "SUCCESS"), ("b", "SUCCESS")]
    words = [sys.executable, "-m", "aetherflow.core", "runs", "show", RUN]
    for more in ([], ["--json"]):
        done: subprocess.CompletedProcess[str] = warm.run(
            [*words, *more], cwd=held.folder, env=held.env(), capture_output=True, text=True, timeout=240
        )
        assert done.returncode == 0, done.stderr
        lines = json.loads(done.stdout)["notes"] if more else done.stdout.splitlines()
        told = [line for line in lines if line.startswith("slot   a")]
        assert [line.split(": ")[1].split(" by ")[0] for line in told] == ["hold", "release"]
        assert "the bank is late (ended 2" in told[0]
        assert told[1].endswith(": it is there")
