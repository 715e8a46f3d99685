"""Two containers of one machine, which have the boot in common but neither processes nor folders."""

import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from db_places import new_database
from server_project import Container, end_leases, keep_states_in
from server_stores import SERVERS

if TYPE_CHECKING:
    import subprocess

    from core_project import Project
    from services import Database

pytestmark = pytest.mark.xdist_group("waiting")  # one worker waits, while the others work
WAITS = """\
version: 1
flow: {id: f, locks: {scope: job, ttl_seconds: 3600, wait_seconds: WAIT}}
jobs:
  - id: a
    steps:
      - id: wait
        type: external.process
        inputs: {command: [sh, -c, "echo begun >> $EFFECTS; while [ ! -e $MARK ]; do sleep 0.1; done"]}
      - {id: last, type: external.process, inputs: {command: [sh, -c, "echo last >> $EFFECTS"]}}
"""


@pytest.fixture(params=[*SERVERS, "file"])
def server(request: pytest.FixtureRequest, project: "Project") -> "Database | None":
    """Where states and locks are kept; None: in files, on volumes that the containers share."""
    project.env["MARK"] = str(project.folder / "mark")
    project.write(WAITS.replace("WAIT", "0"))
    project.write(WAITS.replace("WAIT", "120"), "patient.yaml")
    if request.param == "file":
        return None
    found = new_database(request.getfixturevalue(request.param), "containers")
    keep_states_in(project, found)
    return found


class Containers:
    """Containers of the project, and what runs in them."""

    def __init__(self, project: "Project", server: "Database | None") -> None:
        self.one, self.two = (Container(project, name, shares=server is None) for name in ("one", "two"))
        self.server = server
        self._started: list[subprocess.Popen[bytes]] = []

    def start(self, container: Container, *arguments: str) -> "subprocess.Popen[bytes]":
        """Start a command, which is killed at the end of the test."""
        self._started.append(container.start(*arguments))
        return self._started[-1]

    def kill(self, run: "subprocess.Popen[bytes]") -> None:
        """Kill a container; a minute later the lease of its run has ended."""
        run.send_signal(signal.SIGKILL)
        run.wait()
        if self.server is not None:
            end_leases(self.server)

    def close(self) -> None:
        """Kill what still runs."""
        for each in self._started:
            each.kill()
            each.wait()


@pytest.fixture
def containers(project: "Project", server: "Database | None") -> "Iterator[Containers]":
    found = Containers(project, server)
    yield found
    found.close()


def effects(project: "Project") -> list[str]:
    return project.effects.read_text().split() if project.effects.exists() else []


def listed(container: Container, kind: str) -> list[tuple[str, bool]]:
    document: dict[str, Any] = json.loads(container.command("locks", "list", "--json").out)
    return [(each["owner"]["run_id"], each["alive"]) for each in document[kind]]


def until(found: Any) -> None:
    deadline = time.monotonic() + 30
    while not found():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_run_that_held_a_lock_is_resumed_in_the_other_container(project: "Project", containers: Containers) -> None:
    run = containers.start(containers.one, "run", "flow.yaml", "--run-id", "r1")
    until(lambda: effects(project) == ["begun"])
    assert listed(containers.two, "locks") == [("r1", True)]
    containers.kill(run)
    Path(project.env["MARK"]).touch()
    resumed = containers.two.command("resume", "r1")
    assert resumed.code == 0, resumed.err
    assert effects(project) == ["begun", "begun", "last"]


def test_a_run_that_waits_lives_for_both_containers_and_keeps_its_place(
    project: "Project", containers: Containers
) -> None:
    holder = containers.start(containers.one, "run", "flow.yaml", "--run-id", "r1")
    until(lambda: effects(project) == ["begun"])
    waiter = containers.start(containers.two, "run", "patient.yaml", "--run-id", "r2")
    until(lambda: listed(containers.two, "waiters") == [("r2", True)])
    time.sleep(1.1)  # longer than a waiter takes to write its next heartbeat
    assert listed(containers.one, "waiters") == [("r2", True)]
    refused = containers.one.command("run", "flow.yaml", "--run-id", "r3")
    assert (refused.code, "Lock not acquired: job/f/a" in refused.err) == (1, True), refused.err
    Path(project.env["MARK"]).touch()
    assert (holder.wait(30), waiter.wait(30)) == (0, 0)
    assert effects(project) == ["begun", "last"] * 2
