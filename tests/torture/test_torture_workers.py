"""W1: runs on Celery workers that are killed and frozen at random, and runs side by side whose parent is killed."""

import contextlib
import json
import os
import random
import signal
import sqlite3
import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from core_run_flow import lay_side_by_side

import warm
from aetherflow.scheduler.launchers.celery import CeleryLauncher
from celery_workers import Herd, herd_on
from torture_tier import SEED, full, sized, suite

if TYPE_CHECKING:
    from core_project import Project

pytestmark = pytest.mark.slow

RUNS, STEPS, WORKERS = sized(3, 200), sized(2, 10), sized(2, 4)
CUT = sized(1, 40)
"""Runs that are cut off at least, by kills of their workers."""
KILLS = sized(1, 25)


@pytest.mark.parametrize("broker", ["redis_url", "rabbit_url"] if full() else ["redis_url"])
def test_workers_are_killed_and_frozen(
    broker: str, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(f"{SEED}-W1-{broker}")
    url = request.getfixturevalue(broker)
    with (
        suite(f"W1 {broker.partition('_')[0]}", 1, 4, 5) as counted,
        herd_on(tmp_path, url, monkeypatch, STEPS, sized(0, 1) * 0.8) as herd,
    ):
        if full():  # else the first kill comes before the end of any run
            herd.go.touch()
        launcher = CeleryLauncher()
        for number in range(RUNS):
            herd.order(launcher, f"r{number}")
        for _ in range(WORKERS):
            herd.worker()
        herd.until(herd.owners)
        cut: list[str] = []
        while len(cut) < CUT or full():
            time.sleep(chance.uniform(0, sized(1, 3)))
            if all(run.poll() is not None for run in herd.runs.values()):
                break
            cut += _disturb(herd, chance)
        herd.go.touch()
        codes = herd.until_all_have_ended(sized(240, 600))
        attempts = {
            (run, step): number
            for run, step, number in herd.query("SELECT run_id, step_id, count(*) FROM step_runs GROUP BY 1, 2")
        }
        done = Counter((run, step) for run, step in herd.query(
            "SELECT run_id, step_id FROM step_runs WHERE status='SUCCESS'"
        ))  # fmt: skip
        effects = Counter(tuple(line.split()) for line in herd.lines())
        statuses = dict(herd.query("SELECT run_id, status FROM runs"))
        for run in herd.runs:
            with counted.case(run):
                assert (codes[run], statuses[run]) == (0, "SUCCESS")
                for number in range(STEPS):
                    key = (run, f"s{number}")
                    assert done[key] == 1, f"{key}: ended well more than once"
                    assert 1 <= effects[str(number), run] <= attempts[key], f"{key}: ran without a record"
        with counted.case("cut"):
            assert len(cut) >= CUT, "too few runs were cut off"
            assert max(attempts.values()) > 1 or not full(), "no step was cut off"
        with counted.case("locks"):
            argv = [sys.executable, "-m", "aetherflow.core", "locks", "list", "--json"]
            assert b'"key"' not in warm.run(argv, env=herd.env, capture_output=True, check=True).stdout


def _disturb(herd: Herd, chance: random.Random) -> set[str]:
    """Kill a worker with its runs, as if its host were gone, and start another; or freeze one for a while.

    Returns the runs that were cut off.
    """
    busy = [worker for worker in herd.workers if worker.poll() is None and herd.of(worker)]
    if not busy:
        return set()
    worker = chance.choice(busy)
    if not full() or chance.random() < 0.5:
        lost = herd.lose(worker)
        herd.worker()
        return lost
    frozen = [worker.pid, *(herd.of(worker).values() if chance.random() < 0.5 else ())]
    for number in (signal.SIGSTOP, signal.SIGCONT):
        for pid in frozen:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        if number == signal.SIGSTOP:
            time.sleep(chance.uniform(0.2, 8))
    return set()


def test_the_run_around_runs_side_by_side_is_killed(project: "Project") -> None:
    chance = random.Random(f"{SEED}-W1")
    lay_side_by_side(project, "[x, y, z]", 2, "sleep 0.1; echo second {{params.n}} >> $EFFECTS")
    with suite("W1 side by side", 1, 4, 6) as counted:
        for number in range(KILLS):
            run, before = f"r{number}", len(project.lines())
            process = project.start("run", "flow.yaml", "--run-id", run)
            with contextlib.suppress(Exception):
                process.wait(chance.uniform(0.1, sized(1, 3)))
            process.kill()
            process.communicate(timeout=60)
            with counted.case(run):
                again = project.cli("run", "flow.yaml", "--run-id", run)
                assert again.code == 0, again.err
                lines = Counter(project.lines()[before:])
                with contextlib.closing(sqlite3.connect(project.states / "c.sqlite")) as connection:
                    rows = connection.execute(
                        "SELECT r.params, s.step_id, count(*), sum(s.status='SUCCESS') FROM step_runs s JOIN runs r "
                        "USING (flow_id, run_id) WHERE r.parent=? GROUP BY 1, 2", (f"f/{run}",),
                    ).fetchall()  # fmt: skip
                assert len(rows) == 6
                for params, step, attempts, done in rows:
                    name = json.loads(params)["n"]
                    assert done == 1
                    assert 1 <= lines[f"{step} {name}"] <= attempts, f"{run} {name}.{step} ran without a record"
