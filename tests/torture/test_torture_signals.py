"""A7: whatever ends a run, none of its processes is left, and the step that was under way is known.

    AETHERFLOW_TORTURE_TIER=T1 AETHERFLOW_TORTURE_SEED=7 pytest tests/torture/test_torture_signals.py

T0, the default, takes a sample; T1 every blow on every tree, ten times. The seed repeats a run.
"""

import os
import random
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

import warm
from torture_signals import BLOWS, LIMIT_SECONDS, TREES, Trial, alive, trial, wait_for

SEED = int(os.environ.get("AETHERFLOW_TORTURE_SEED", str(random.randrange(10**6))))
TIMES = 10 if os.environ.get("AETHERFLOW_TORTURE_TIER") == "T1" else 0
SAMPLE = [
    ("TERM", "setsid"), ("INT", "ignores TERM"), ("HUP", "depth 4"), ("QUIT", "holds stdout"),
    ("KILL runner", "setsid"), ("KILL runner", "ignores TERM"), ("KILL runner", "depth 4"),
    ("KILL guard", "setsid"), ("KILL both", "setsid"), ("KILL both", "single"),
]  # fmt: skip
CASES = [(blow, tree) for blow in BLOWS for tree in TREES] if TIMES else SAMPLE
SIGNALLED = {"TERM": 143, "INT": 130, "HUP": 129, "QUIT": 131}


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """In memory where that is possible: the disk is not what is tested here."""
    with TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else tmp_path) as name:
        yield Path(name)


@pytest.mark.parametrize(("blow", "tree"), CASES)
def test_nothing_is_left_behind(
    blow: str, tree: str, folder: Path, record_property: Callable[[str, object], None]
) -> None:
    record_property("trials", TIMES or 1)
    again = f"AETHERFLOW_TORTURE_SEED={SEED} pytest {Path(__file__).name} -k '{blow} and {tree}'"
    print(f"seed {SEED}; repeat with: {again}")
    dice = random.Random(f"{SEED} {blow} {tree}")
    for number in range(TIMES or 1):
        early = bool(TIMES) and number % 2 == 1 and blow != "KILL guard"  # strike while the tree grows
        with trial(folder / str(number), tree) as run:
            strike(run, blow, early, dice)


def strike(run: Trial, blow: str, early: bool, dice: random.Random) -> None:
    # the guard doubles itself 20 ms after its start: only from then on may it die together with the runner
    needed = 2 if blow == "KILL both" else 1
    ready = (lambda: len(run.guards()) >= needed) if early else run.is_up
    assert wait_for(ready, 60) is not None, f"no tree: {(run.folder / 'err').read_text()}"
    time.sleep(dice.uniform(0, 0.03))
    guards = run.strike(blow, dice.randrange(2))
    if blow == "KILL guard":
        assert wait_for(lambda: len(set(run.guards()) - set(guards)) == 2, 60) is not None, "no new guard"
        assert len(run.descendants()) >= run.expected, "the run goes on"
        assert run.runner.poll() is None
        guards = [*guards, *run.guards()]
        blow = dice.choice(["TERM", "KILL runner"])
        run.strike(blow, 0)
    gone = wait_for(lambda: not run.descendants(), LIMIT_SECONDS)
    assert gone is not None, f"left after {LIMIT_SECONDS} s: {run.descendants()}"
    assert wait_for(lambda: run.runner.poll() is not None, 60) is not None, "the run does not end"
    assert not run.descendants()
    assert run.runner.returncode == SIGNALLED.get(blow, -9)
    assert wait_for(lambda: not any(map(alive, guards)), 60) is not None, "a guard outlives its run"
    if run.runner.returncode == -9:
        recover(run)
    with closing(sqlite3.connect(run.folder / "state/f.sqlite")) as state:
        assert state.execute("SELECT status FROM step_runs WHERE attempt = 1").fetchall() == [("INTERRUPTED",)]


def recover(run: Trial) -> None:
    """After kill -9 the next process of the run records what became of the step."""
    flow = run.folder / "flow.yaml"
    head = flow.read_text().partition("        inputs:")[0]
    flow.write_text(head + "        inputs: {command: ['true']}\n")
    command = [sys.executable, "-m", "aetherflow.core", "run", "flow.yaml", "--run-id", "r", "-q"]
    warm.run(command, cwd=run.folder, env=run.env, check=True, timeout=30)
