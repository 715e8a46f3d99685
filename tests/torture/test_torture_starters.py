"""B4: many processes start one run at the same time; one executes it, the others are told who does."""

import os
import random
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

import warm
from torture_tier import SEED, TIER, sized, suite

if TYPE_CHECKING:
    from torture_bench import Bench

TRIALS = sized(8, 200)
STARTER = """\
import sys, time
time.sleep(float(sys.argv[1]))
from aetherflow.core.cli import main
sys.exit(main(sys.argv[2:]))
"""
FLOW = """\
flow: {id: f, workspace: {cleanup_policy: never}}
jobs:
  - id: a
    steps:
      - {id: one, type: torture_effect}
      - {id: slow, type: external.process, inputs: {command: [sleep, "0.3"]}}
      - {id: two, type: torture_effect}
"""


def start(bench: "Bench", delay: float) -> "subprocess.Popen[str]":
    return warm.Popen(
        [sys.executable, "-c", STARTER, f"{delay:.3f}", "run", "flow.yaml", "--run-id", "r", "-q"],
        cwd=bench.folder,
        env={**os.environ, **bench.env, "PYTHONPATH": str(bench.folder / "site")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
def test_one_run_many_starters(bench: "Bench") -> None:
    chance = random.Random(SEED)
    bench.write(FLOW)
    with suite("B4", 4) as counted:
        for trial in range(TRIALS):
            bench.forget()
            number = chance.choice([2, 2, 5, 5, 20] if TIER == "T1" else [2, 5])
            kill = trial % 3 == 0
            with counted.case(f"trial {trial}: {number} starters, kill {kill}"):
                _trial(bench, [chance.uniform(0, 0.2) for _ in range(number)], kill=kill)


def _trial(bench: "Bench", delays: list[float], *, kill: bool) -> None:
    started = [start(bench, delay) for delay in delays]
    if kill:
        _kill_the_owner(bench)
    ended = [(process, *process.communicate(timeout=60)) for process in started]
    codes = [process.returncode for process, _, _ in ended]
    assert set(codes) <= {0, 3, -signal.SIGKILL}, (codes, [err for _, _, err in ended])
    for process, _, err in ended:
        if process.returncode == 3:
            assert "run r is being executed by pid " in err, err
    if kill:
        last = start(bench, 0)  # the very next one takes over, and does not wait for anything to expire
        _, err = last.communicate(timeout=60)
        assert last.returncode == 0, err
    else:
        assert codes.count(0) >= 1, codes
    lines = [line.split()[0] for line in bench.lines()]
    attempts = dict(bench.rows("SELECT step_id, max(attempt) FROM step_runs GROUP BY 1"))
    for step in ("one", "two"):
        assert 1 <= lines.count(step) <= attempts[step], (lines, attempts)
    assert bench.rows("SELECT status FROM runs") == [("SUCCESS",)]


def _kill_the_owner(bench: "Bench") -> None:
    lock = bench.states / "f.sqlite.d" / "runs" / "f" / "r.lock"
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        words = lock.read_text().split() if lock.exists() else []
        if len(words) > 1 and words[1].isdigit() and bench.lines():
            try:
                os.kill(int(words[1]), signal.SIGKILL)
            except ProcessLookupError:
                pass
            return
        time.sleep(0.01)
