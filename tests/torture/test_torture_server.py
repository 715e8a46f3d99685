"""W3: commands over states in a server that is killed in their middle, again and again, and brought back."""

import random
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

import pytest

from server_project import keep_states_in
from server_stores import ServerPlace, place_of
from services import MortalServer, mortal_mariadb, mortal_postgres
from torture_tier import SEED, full, sized, suite

if TYPE_CHECKING:
    import subprocess

    from core_project import Project

pytestmark = pytest.mark.slow

RUNS, SIDE_BY_SIDE, KILLS = sized(3, 50), sized(3, 10), sized(1, 3)
"""Runs in all, those that are started together, and how often the server is killed meanwhile, at most."""
LONG_SECONDS = 70
"""Longer than a lease: once, the server is away for so long."""
SECONDS = 180
"""For the runs that were started together, from the last kill on."""
STEPS = ("a0", "a1", "b0", "b1")
FLOW = """\
version: 1
flow: {id: f, params: {lock: {type: string}}}
jobs:
  - id: a
    lock: {key: "{{params.lock}}", wait_seconds: 600}
    steps:
      - {id: a0, type: external.process, inputs: {shell: true, command: "echo $AETHERFLOW_RUN_ID a0 >> $EFFECTS; sleep 0.2"}}
      - {id: a1, type: external.process, inputs: {shell: true, command: "echo $AETHERFLOW_RUN_ID a1 >> $EFFECTS; sleep 0.2"}}
  - id: b
    depends_on: [a]
    lock: {key: "{{params.lock}}", wait_seconds: 600}
    steps:
      - {id: b0, type: external.process, inputs: {shell: true, command: "echo $AETHERFLOW_RUN_ID b0 >> $EFFECTS; sleep 0.2"}}
      - {id: b1, type: external.process, inputs: {shell: true, command: "echo $AETHERFLOW_RUN_ID b1 >> $EFFECTS; sleep 0.2"}}
"""  # noqa: E501


def start(project: "Project", run: str, number: int) -> "subprocess.Popen[str]":
    """Begin a run, which shares its lock with a few others."""
    return project.start("run", "flow.yaml", "--run-id", run, "--param", f"lock=of-{number % 4}")


@pytest.mark.parametrize("mortal", [mortal_postgres, mortal_mariadb])
def test_all_runs_end_right(mortal: Callable[[], AbstractContextManager[MortalServer]], project: "Project") -> None:
    with mortal() as server, suite(f"W3 {server.database.driver}", 1, 3) as counted:
        chance = random.Random(f"{SEED}-W3-{server.database.driver}")
        keep_states_in(project, server.database)
        project.write(FLOW)
        place, hit, resumed = place_of(server.database), 0, 0
        for first in range(0, RUNS, SIDE_BY_SIDE):
            numbers = range(first, min(first + SIDE_BY_SIDE, RUNS))
            started = {f"r{number}": start(project, f"r{number}", number) for number in numbers}
            hit += _disturb(project, server, list(started.values()), chance, long=full() and first == SIDE_BY_SIDE)
            told = {run: process.communicate(timeout=SECONDS)[1] for run, process in started.items()}
            for number, (run, process) in zip(numbers, started.items(), strict=True):
                with counted.case(f"{run}, ended with {process.returncode}"):
                    if process.returncode != 0:
                        resumed += 1
                        again = start(project, run, number)
                        told[run] += "".join(again.communicate(timeout=SECONDS))
                        assert again.returncode == 0, told[run]
                    assert "Traceback" not in told[run], told[run]
                    _check(place, project, run)
            with counted.case(f"locks after {list(started)}"):
                for table in ("locks.locks", "locks.waiters"):
                    assert place.ask(f"SELECT * FROM {place.schema(table)}") == [], table
                leases = f"SELECT run_id FROM {place.schema('state')}.owners WHERE expires_at > {place.kind.clock}"
                assert place.ask(leases) == [], "one that could not be given back has not ended by itself"
        with counted.case("runs that were hit"):
            assert hit >= RUNS // 2, f"only {hit} runs were in the middle when the server was killed"
            assert resumed or not full(), (
                "all went on by themselves, also those that were left without a server for long"
            )


def _disturb(
    project: "Project",
    server: MortalServer,
    started: "list[subprocess.Popen[str]]",
    chance: random.Random,
    *,
    long: bool,
) -> int:
    """Kill the server, and bring it back, while runs go on; the number of runs that were going on then."""
    lines = len(project.lines())
    deadline = time.monotonic() + SECONDS
    while len(project.lines()) == lines and time.monotonic() < deadline:
        time.sleep(0.01)
    hit = set[int]()
    for kill in range(KILLS):
        time.sleep(chance.uniform(0, 3 if full() else 0.3))
        hit |= {process.pid for process in started if process.poll() is None}
        server.kill()
        time.sleep(LONG_SECONDS if long and kill == 0 else chance.uniform(0, sized(0, 3)))
        server.start_again()
    return len(hit)


def _check(place: ServerPlace, project: "Project", run: str) -> None:
    """It ended SUCCESS, and so did each step once, at its last attempt, after which nothing of it ran again."""
    state = place.schema("state")
    assert place.ask(f"SELECT status FROM {state}.runs WHERE run_id='{run}'") == [("SUCCESS",)]
    rows = place.ask(
        f"SELECT step_id, attempt, status FROM {state}.step_runs WHERE run_id='{run}' ORDER BY step_id, attempt"
    )
    assert [step for step, _, status in rows if status == "SUCCESS"] == list(STEPS), rows
    attempts, effects = Counter(step for step, _, _ in rows), Counter(project.lines())
    last = {step: status for step, _, status in rows}
    for step in STEPS:
        assert last[step] == "SUCCESS", rows
        assert 1 <= effects[f"{run} {step}"] <= attempts[step], f"{step} ran without a record: {rows}"
