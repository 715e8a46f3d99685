"""A runner that is stopped for longer than its lease: its children end in time, and it changes nothing any more."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from aetherflow.core.base.errors import LostOwnershipError, RunBusyError
from aetherflow.core.kernel.state.records import Intervention
from aetherflow.core.kernel.state.run_state import RunState
from aetherflow.core.kernel.state.store import StateStore
from aetherflow.core.kernel.state.transitions import Status
from aetherflow.core.records import run_lease
from aetherflow.core.records.run_lock import run_lock
from aetherflow.core.testing import FlowProject
from aetherflow.core.testing.state_base import FACTS, FROZEN
from file_as_server import use_file

SECONDS = {"LEASE_SECONDS": 6.0, "CHILDREN_SECONDS": 4.0, "HOLD_SECONDS": 3.0, "RENEW_SECONDS": 0.3}
FLOW = """\
version: 1
flow: {{id: f, state: {{path: "{state}"}}, locks: {{scope: none}}}}
jobs:
  - id: a
    steps:
      - id: child
        type: external.process
        inputs: {{shell: true, command: "cd {folder}; echo $$ > pid.part; mv pid.part pid; exec sleep 1000"}}
      - {{id: late, type: file_write, inputs: {{path: "{folder}/late.txt", content: "no"}}}}
"""


@pytest.fixture
def runner(tmp_path: Path) -> Iterator[int]:
    """A process that executes a step with a child, its state in what is a server to it."""
    if (pid := os.fork()) == 0:
        code = 99
        try:
            os.setpgid(0, 0)
            for name, seconds in SECONDS.items():
                setattr(run_lease, name, seconds)
            state = use_file(tmp_path / "here")
            project = FlowProject(tmp_path / "project")
            project.write(FLOW.format(state=state, folder=tmp_path))
            code = {Status.SUCCESS: 0, Status.INTERRUPTED: 2}.get(Status(project.run(run_id="r").summary.status), 1)
        except LostOwnershipError:
            code = 3
        finally:
            os._exit(code)
    yield pid
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    with suppress(ChildProcessError):
        os.waitpid(pid, 0)


def test_the_children_of_a_stopped_runner_end_before_another_host_may_begin(
    runner: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    wait_for: Callable[..., None],
    lives: Callable[[int], bool],
) -> None:
    wait_for((tmp_path / "pid").exists, 60)
    child = int((tmp_path / "pid").read_text())
    time.sleep(SECONDS["LEASE_SECONDS"] + 1)
    assert lives(child), "its lease is renewed"
    os.kill(runner, signal.SIGSTOP)
    monkeypatch.setattr(run_lease, "boot_id", lambda: "of another host")
    with closing(StateStore(use_file(tmp_path / "here"))) as store:
        lock = run_lock(store.path, "f", "r")
        lock._path = tmp_path / "elsewhere" / "r.lock"  # the folder of another host
        while True:
            alive = lives(child)
            try:
                lock.acquire("r")
                break
            except RunBusyError:
                time.sleep(0.05)
        assert not alive, "it was ended before"
        run = RunState(store, "f", "r")
        run.load()
        run.begin(FACTS, FROZEN, {}, Intervention())
        os.kill(runner, signal.SIGCONT)
        assert os.waitstatus_to_exitcode(os.waitpid(runner, 0)[1]) == 3, "it has lost its run"
        assert run.generation == 2
        found = store.find_run("f", "r")
        assert found is not None
        assert (found.status, found.generation) == (Status.RUNNING, 2)
        rows = store.connection.execute("SELECT step_id, status FROM step_runs").fetchall()
        assert rows == [("child", "INTERRUPTED")]
        lock.release()
    assert not (tmp_path / "late.txt").exists()


def test_a_run_is_lost_that_is_kept_only_after_the_end_of_its_children(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wait_for: Callable[..., None]
) -> None:
    for name, seconds in {**SECONDS, "CHILDREN_SECONDS": 0.4, "HOLD_SECONDS": 0.3, "RENEW_SECONDS": 0.1}.items():
        monkeypatch.setattr(run_lease, name, seconds)
    lost: list[bool] = []
    told: list[float] = []

    def beat(_: object) -> None:
        time.sleep(0 if len(told) > 1 else 1)  # a host that is too slow, once

    with closing(StateStore(use_file(tmp_path / "here"))) as store:
        lock = run_lock(store.path, "f", "r")
        assert isinstance(lock, run_lease.RunLease)
        lock.acquire("r")
        with lock.beating(beat, lambda: lost.append(True), told.append):
            wait_for(lambda: lost, 60)
            with pytest.raises(LostOwnershipError):
                lock.check()
        lock.release()
