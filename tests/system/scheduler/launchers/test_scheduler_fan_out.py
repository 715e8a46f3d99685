"""Runs that a step has side by side, spread over Celery workers: order, failures, stops, lost workers, resumes."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aetherflow.scheduler.launchers.base import Running
from aetherflow.scheduler.launchers.celery import CeleryLauncher
from celery_workers import Herd, herd_on

FLOW = """\
version: 1
flow: {id: f, params: {n: {type: string}}}
jobs:
  - id: a
    lock: {key: warehouse}
    steps:
      - id: sub
        type: run_flow
        for_each: {items: [x, y, z], key: "{{item}}", max_parallel: 3}
        inputs: {flow: child.yaml, params: {n: "{{item}}"}}
        outputs: {all: "{{result.items}}"}
"""
CHILD = """\
version: 1
flow: {id: c, params: {n: {type: string}}}
jobs:
  - id: load
    lock: {key: warehouse}
    steps:
      - {id: first, type: external.process, inputs: {shell: true, command: "echo first {{params.n}} >> $EFFECTS"}}
      - id: second
        type: external.process
        inputs:
          shell: true
          command: >-
            until test -e $GO; do sleep 0.02; done; test ! -e $EFFECTS.bad.{{params.n}} || exit 7;
            echo second {{params.n}} >> $EFFECTS
        outputs: {said: "{{params.n}}"}
"""
pytestmark = pytest.mark.xdist_group("rabbit")  # one worker starts the server
ALL = sorted(f"{step} {n}" for step in ("first", "second") for n in "xyz")


@pytest.fixture
def herd(rabbit_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Herd]:
    with herd_on(tmp_path, rabbit_url, monkeypatch) as made:
        (tmp_path / "flow.yaml").write_text(FLOW)
        (tmp_path / "child.yaml").write_text(CHILD)
        yield made


def order(herd: Herd, attempt: int = 1) -> Running:
    return herd.order(CeleryLauncher(), "r", attempt=attempt, fan_out_queue="inside")


def children(herd: Herd) -> dict[str, tuple[Any, ...]]:
    """Status and generation of the runs inside, by their parameter."""
    rows = herd.query("SELECT params, status, generation FROM runs", "c")
    return {json.loads(params)["n"]: tuple(rest) for params, *rest in rows}


def told(herd: Herd) -> str:
    """What the run has told; an order that was delivered twice has two logs."""
    return "".join(f"{path.name}\n{path.read_text()}" for path in (herd.folder / "state/ledger.d").glob("r.1*.log"))


def waiting(herd: Herd) -> int:
    return len(herd.query("SELECT 1 FROM step_runs WHERE step_id='second' AND status='RUNNING'", "c"))


def test_runs_inside_a_run_are_spread_over_workers(herd: Herd) -> None:
    herd.worker()
    others = [herd.worker("--queue", "inside") for _ in range(2)]
    order(herd)
    herd.until(lambda: waiting(herd) == 3)
    spread = [set(herd.of(worker, "c")) for worker in others]
    assert sorted(map(len, spread)) == [1, 2], "each takes no more than it executes"
    herd.go.touch()
    assert herd.until_all_have_ended() == {"r": 0}
    assert herd.lines() == ALL
    (outputs,) = herd.query("SELECT outputs FROM job_runs")[0]
    found = json.loads(outputs)["all"]
    assert [each["jobs"]["load"]["outputs"]["said"] for each in found] == ["x", "y", "z"]
    log = told(herd)
    assert "a.sub[y] | load.second SUCCESS" in log


def test_one_that_fails_is_repeated_alone(herd: Herd) -> None:
    herd.go.touch()
    bad = herd.effects.with_name("effects.bad.y")
    bad.touch()
    herd.worker()
    herd.worker("--queue", "inside", "--concurrency", "3")
    order(herd)
    assert herd.until_all_have_ended() == {"r": 1}
    log = told(herd)
    assert "1 of 3 items failed: y" in log, log
    assert "flow c ended FAILED in load.second" in log
    bad.unlink()
    order(herd, attempt=2)
    assert herd.until_all_have_ended() == {"r": 0}
    assert herd.lines() == ALL
    assert children(herd) == {"x": ("SUCCESS", 1), "y": ("SUCCESS", 2), "z": ("SUCCESS", 1)}


def test_a_stop_reaches_all_and_a_resume_goes_on(herd: Herd) -> None:
    herd.worker()
    herd.worker("--queue", "inside", "--concurrency", "3")
    run = order(herd)
    herd.until(lambda: waiting(herd) == 3)
    run.terminate()
    assert herd.until_all_have_ended() == {"r": 143}
    assert children(herd) == dict.fromkeys("xyz", ("INTERRUPTED", 1))
    herd.go.touch()
    order(herd, attempt=2)
    assert herd.until_all_have_ended() == {"r": 0}
    assert herd.lines() == ALL
    assert children(herd) == dict.fromkeys("xyz", ("SUCCESS", 2))


def test_lost_workers_hand_on_what_they_executed(herd: Herd) -> None:
    for name in ("flow.yaml", "child.yaml"):  # runs inside stop when the run around loses a lock that it lent them
        path = herd.folder / name
        path.write_text(path.read_text().replace("    lock: {key: warehouse}\n", ""))
    first = herd.worker()
    second = herd.worker("--queue", "inside")
    order(herd)
    herd.until(lambda: waiting(herd) == 2)
    assert len(herd.lose(second)) == 0, "the run around goes on"
    herd.worker("--queue", "inside", "--concurrency", "3")
    herd.until(lambda: waiting(herd) == 3 and len(herd.of(herd.workers[2], "c")) == 3)
    assert herd.lose(first) == {"r"}
    herd.worker()
    herd.go.touch()
    assert herd.until_all_have_ended() == {"r": 0}
    assert herd.lines() == ALL
    assert {status for status, _ in children(herd).values()} == {"SUCCESS"}


def test_a_worker_alone_is_killed_and_its_run_waits_for_those_inside(herd: Herd) -> None:
    first = herd.worker()
    herd.worker("--queue", "inside", "--concurrency", "3")
    order(herd)
    herd.until(lambda: waiting(herd) == 3)
    os.kill(first.pid, signal.SIGKILL)
    first.wait(30)
    herd.worker()
    herd.go.touch()
    assert herd.until_all_have_ended() == {"r": 0}
    assert herd.lines() == ALL
    assert children(herd) == dict.fromkeys("xyz", ("SUCCESS", 1))
