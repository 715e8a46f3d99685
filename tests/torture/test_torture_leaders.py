"""K3: three schedulers on one ledger, their leader killed again and again while slots are being caught up.

The ledger is a file, or in a server: then each scheduler is on a host of its own, where nobody sees that a process of
another one has died.
"""

import contextlib
import datetime as dt
import json
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import warm
from aetherflow.scheduler.schedule.schedule import ledger_place
from core_project import Project
from server_project import OtherHost, keep_states_in, state_of
from server_stores import SERVERS, ServerPlace, new_place
from torture_tier import SEED, sized, suite

pytestmark = pytest.mark.slow

KILLS = {"file": sized(3, 50)} | dict.fromkeys(SERVERS, sized(1, 50))
PAST = sized(3, 20)
"""Slots of the past, per item, that wait to be caught up when the first scheduler starts."""
EVERY = 5
"""Minutes between slots: on a busy machine a run takes half a minute, and what is due is caught up all the same."""
LEASE_SECONDS = 2.0
ITEMS = ("a", "b")
DOCUMENT = """\
version: 1
timezone: UTC
{state}lease_seconds: {lease}
max_running: 3
defaults: {{since: "{since}", misfire: all, max_catch_up: 1000, overlap: queue, flow_job: j}}
items:
  - {{id: a, cron: "*/{every} * * * *", flow_yaml: flow.yaml}}
  - {{id: b, cron: "*/{every} * * * *", flow_yaml: flow.yaml}}
"""
FLOW = """\
version: 1
flow: {{id: f}}
jobs:
  - id: j
    steps:
      - {{id: s, type: external.process, inputs: {{command: [sh, -c, 'echo $AETHERFLOW_RUN_ID >> {effects}']}}}}
"""


HOSTS = ("one", "two", "three")


class Herd:
    """Schedulers on one ledger; with a server, each on its own host."""

    def __init__(self, folder: Path, place: ServerPlace | None = None) -> None:
        self.folder = folder
        self._place = place
        self._at: dict[int, OtherHost] = {}
        self.ledger = folder / "ledger.sqlite"
        self.processes: list[subprocess.Popen[bytes]] = []
        project = Project(folder)
        self._hosts = list[OtherHost]()
        if place is not None:
            keep_states_in(project, place.server)
            self._hosts = [OtherHost(project, name) for name in HOSTS]
        self._env = project.env | warm.forking()

    def start(self) -> None:
        argv = [sys.executable, "-m", "aetherflow.scheduler", "run", "scheduler.yaml"]
        env, host = self._env, next((each for each in self._hosts if each not in self._at.values()), None)
        if host is not None:
            argv, env = [*host.prefix, *argv], env | host.env
        with (self.folder / "events").open("ab") as events:
            process = warm.Popen(argv, cwd=self.folder, env=env, stdout=events, stderr=events)
        if host is not None:
            self._at[process.pid] = host
        self.processes.append(process)

    def command(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        argv = [sys.executable, "-m", "aetherflow.scheduler", *arguments]
        return warm.run(argv, cwd=self.folder, env=self._env, capture_output=True, text=True, check=False)

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        if self._place is not None:
            ledger = ledger_place(Path(state_of(self._place.server)), self.folder / "scheduler.yaml")
            return self._place.within(f"ledger_{ledger.name}", sql)
        try:
            with contextlib.closing(sqlite3.connect(f"file:{self.ledger}?mode=ro", uri=True, timeout=30)) as db:
                return db.execute(sql).fetchall()
        except sqlite3.OperationalError:  # not there yet
            return []

    def leader(self, other_than: int = 0) -> tuple[int, int] | None:
        """Token and pid of the leader, if it is another one than that of this token."""
        found = self.query("SELECT token, pid FROM fence")
        return (int(found[0][0]), int(found[0][1])) if found and found[0][0] != other_than else None

    def wait_for_leader(self, other_than: int, seconds: float) -> tuple[int, int]:
        deadline = time.monotonic() + seconds
        while (found := self.leader(other_than)) is None:
            assert time.monotonic() < deadline, "nobody took the lead"
            time.sleep(0.01)
        return found

    def wait_until_all_stand_by(self) -> None:
        deadline = time.monotonic() + 60
        wanted = {process.pid for process in self.processes}
        while not wanted <= {pid for (pid,) in self.query("SELECT pid FROM owners")}:
            assert time.monotonic() < deadline, "a scheduler does not come up"
            time.sleep(0.02)

    def kill(self, pid: int) -> None:
        process = next(process for process in self.processes if process.pid == pid)
        process.kill()
        process.wait()
        self.processes.remove(process)
        self._at.pop(pid, None)

    def end(self) -> list[int]:
        for process in self.processes:
            process.send_signal(signal.SIGTERM)
        codes = [process.wait(120) for process in self.processes]
        self.processes.clear()
        return codes


@pytest.fixture(params=KILLS)
def herd(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Herd]:
    place = new_place(request, "leaders") if request.param in SERVERS else None
    made = Herd(tmp_path, place)
    now = dt.datetime.now(dt.UTC).replace(second=0, microsecond=0)
    since = now - dt.timedelta(minutes=now.minute % EVERY + EVERY * PAST)
    state = "state: ledger.sqlite\n" if place is None else ""
    text = DOCUMENT.format(since=f"{since:%Y-%m-%dT%H:%M:%SZ}", lease=LEASE_SECONDS, state=state, every=EVERY)
    (tmp_path / "scheduler.yaml").write_text(text)
    (tmp_path / "flow.yaml").write_text(FLOW.format(effects=tmp_path / "effects"))
    yield made
    for process in made.processes:
        process.kill()
        process.wait()


def test_the_leader_is_killed_again_and_again(herd: Herd, request: pytest.FixtureRequest) -> None:
    kind = request.node.callspec.params["herd"]
    chance = random.Random(f"{SEED}-K3")
    for _ in range(3):
        herd.start()
    token, pid = herd.wait_for_leader(0, 60)
    with suite(f"K3 {kind}", 12) as counted:
        takeovers = []
        for number in range(KILLS[kind]):
            herd.wait_until_all_stand_by()
            time.sleep(chance.uniform(0, 2))
            token, pid = herd.leader() or (token, pid)
            herd.kill(pid)
            killed = time.monotonic()
            with counted.case(f"kill {number}"):
                token, pid = herd.wait_for_leader(token, 30)
                takeovers.append(time.monotonic() - killed)
                assert takeovers[-1] <= 2 * LEASE_SECONDS, f"take-over after {takeovers[-1]:.2f} s"
            herd.start()
        print(f"longest take-over {max(takeovers):.2f} s")
        herd.wait_until_all_stand_by()
        settle(herd)
        with counted.case("the end"):
            assert herd.end() == [0, 0, 0]
        done = herd.command("audit", "scheduler.yaml", "--json")
        report = json.loads(done.stdout)
        with counted.case("no slot is lost"):
            assert done.returncode == 0, report["gaps"]
            assert set(report["counts"]) == {"SUCCESS"}, report
            assert report["expected"] >= PAST * len(ITEMS)
        with counted.case("no slot is doubled"):
            lines = Counter((herd.folder / "effects").read_text().split())
            assert [run_id for run_id, number in lines.items() if number > 1] == []
            assert len(lines) == report["counts"]["SUCCESS"]


def settle(herd: Herd) -> None:
    """Wait until all that is due has ended; not in the last seconds before more comes."""
    deadline = time.monotonic() + 3600
    active, cycle = "SELECT 1 FROM slots WHERE status IN ('WAITING', 'RUNNING')", EVERY * 60
    while herd.query(active) or not 3 < time.time() % cycle < cycle - 15:
        assert time.monotonic() < deadline, herd.query("SELECT item, slot, status, reason FROM slots")[-9:]
        time.sleep(0.2)
