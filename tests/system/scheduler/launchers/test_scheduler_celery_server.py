"""Workers on two hosts, whose states are in one PostgreSQL: a host is lost, and its runs go on at the other one."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import warm
from aetherflow.scheduler.launchers import broker, signing
from aetherflow.scheduler.launchers.celery import CeleryLauncher, Ordered
from aetherflow.scheduler.launchers.signing import MessageKind
from celery_workers import Herd, herd_on
from core_project import Project
from db_places import new_database
from server_project import OtherHost, end_leases, keep_states_in
from server_stores import connected
from services import Database

pytestmark = pytest.mark.xdist_group("rabbit")  # one worker starts the server
PARENT = """\
version: 1
flow: {id: p, params: {n: {type: string}}}
jobs:
  - id: a
    steps:
      - id: sub
        type: run_flow
        for_each: {items: [x, y, z], key: "{{item}}", max_parallel: 3}
        inputs: {flow: child.yaml, params: {n: "{{item}}"}}
"""
FAILS = """\
version: 1
flow: {id: f, params: {n: {type: string}}}
jobs:
  - id: j
    steps:
      - {id: s0, type: external.process, inputs: {shell: true, command: "echo 0 {{params.n}} >> $EFFECTS; exit 1"}}
"""


class ServerHerd:
    """Workers on this host and on another one."""

    def __init__(self, herd: Herd, server: Database) -> None:
        self.herd, self.server = herd, server
        self.project = Project(herd.folder)
        keep_states_in(self.project, server)
        herd.env["OPS_PASSWORD"] = self.project.env["OPS_PASSWORD"]
        self.other = OtherHost(self.project)

    def worker_there(self, *more: str) -> "subprocess.Popen[bytes]":
        """A worker on the other host."""
        argv = [*self.other.prefix, sys.executable, "-m", "aetherflow.scheduler", "worker", "--concurrency", "2", *more]
        # another state root than that of this host; it is above it, since the log of an order has to be in both
        env = self.herd.env | self.other.env | {"AETHERFLOW_STATE_ROOT": str(self.herd.folder)}
        with (self.herd.folder / f"worker-{len(self.herd.workers)}.log").open("ab") as log:
            found = warm.Popen(argv, cwd=self.herd.folder, env=env, stdout=log, stderr=log)
        self.herd.workers.append(found)
        return found

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """The rows of a query on the states."""
        with connected(self.server) as connection:
            if connection.execute("SELECT to_regclass('aetherflow_state.step_runs')").fetchone() == (None,):
                return []
            return connection.execute(query.encode()).fetchall()

    def check(self) -> None:
        """Nothing is broken, and nobody holds anything."""
        env = {**self.herd.env, "PYTHONPATH": ""}
        for words in (("state", "check", "//postgres:ops_db", "--read-data"), ("locks", "list", "--json")):
            done = self.project.command(*words, env=env)
            assert done.code == 0, done.out + done.err
        assert json.loads(done.out)["locks"] == []


@pytest.fixture
def herds(rabbit_url: str, postgres: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ServerHerd]:
    with herd_on(tmp_path, rabbit_url, monkeypatch) as made:
        yield ServerHerd(made, new_database(postgres, "herds"))


def test_the_runs_of_a_lost_host_go_on_at_the_other_one(herds: ServerHerd) -> None:
    herd = herds.herd
    lost = herds.worker_there()
    launcher = CeleryLauncher()
    for name in ("r1", "r2"):
        herd.order(launcher, name)
    waiting = "SELECT 1 FROM aetherflow_state.step_runs WHERE step_id='s1' AND status='RUNNING'"
    herd.until(lambda: len(herds.rows(waiting)) == 2)
    herd.lose(lost)
    end_leases(herds.server)
    herd.go.touch()
    herd.worker()
    assert herd.until_all_have_ended() == {"r1": 0, "r2": 0}
    assert [line for line in herd.lines() if line.startswith("0")] == ["0 r1", "0 r2"], "what was done is not repeated"
    hosts = herds.rows("SELECT status, generation, host FROM aetherflow_state.runs")
    assert hosts == [("SUCCESS", 2, os.uname().nodename)] * 2
    herds.check()


def test_an_order_that_was_carried_out_on_one_host_is_not_on_another(herds: ServerHerd) -> None:
    """The other host has no record of its answer; the state has. A run that has failed would be resumed."""
    herd = herds.herd
    (herd.folder / "flow.yaml").write_text(FAILS)
    here, launcher = herd.worker(), CeleryLauncher()
    real = herd.order(launcher, "real")
    assert isinstance(real, Ordered)
    sent = signing.signed(MessageKind.ORDER, "aetherflow", real.order._asdict())
    assert herd.until_all_have_ended() == {"real": 1}
    here.terminate()
    here.wait(30)
    for answer in herd.folder.glob("state/ledger.d/*.answer"):
        answer.unlink()  # the log is in a folder of both hosts here
    herds.worker_there()
    broker.application().send_task(broker.TASK, kwargs={"order": sent}, task_id="again", queue=broker.queue(None))
    herd.until(lambda: "nothing to do: run real of flow f ended FAILED" in herd.told())
    assert herd.lines() == ["0 real"]
    herd.order(launcher, "real", attempt=2)
    assert herd.until_all_have_ended() == {"real": 1}
    assert herd.lines() == ["0 real"] * 2, "another order resumes it"
    assert herds.rows("SELECT generation FROM aetherflow_state.runs") == [(2,)]
    herds.check()


def test_items_are_spread_over_hosts(herds: ServerHerd) -> None:
    herd = herds.herd
    (herd.folder / "child.yaml").write_text((herd.folder / "flow.yaml").read_text())
    (herd.folder / "flow.yaml").write_text(PARENT)
    herd.worker()
    herd.worker("--queue", "inside")
    herds.worker_there("--queue", "inside")
    herd.order(CeleryLauncher(), "r", fan_out_queue="inside")
    waiting = "SELECT 1 FROM aetherflow_state.step_runs WHERE step_id='s1' AND status='RUNNING'"
    herd.until(lambda: len(herds.rows(waiting)) == 3)
    herd.go.touch()
    assert herd.until_all_have_ended() == {"r": 0}
    hosts = {host for (host,) in herds.rows("SELECT host FROM aetherflow_state.runs WHERE flow_id='f'")}
    assert hosts == {os.uname().nodename, "two"}
    herds.check()
