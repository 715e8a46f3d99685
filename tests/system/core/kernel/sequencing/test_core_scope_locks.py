"""`flow.locks`: runs of one flow, or of one job, exclude each other; and steps inside steps survive a crash."""

import os
import signal
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from core_scope_locks import flow, held

from aetherflow.core.cli import main
from aetherflow.core.kernel.locks.store import LockStore

if TYPE_CHECKING:
    from core_project import Project


def test_a_run_waits_for_the_lock_of_its_flow(project: "Project", wait_for: Callable[..., None]) -> None:
    flow(project, "{scope: flow}")
    with held(project, "flow/f"):
        process = project.start("run", "flow.yaml", "--if-busy", "wait")
        store = LockStore(project.states / "engine/locks.sqlite")
        wait_for(store.waiters)
        store.close()
        assert process.poll() is None
    _, err = process.communicate(timeout=30)
    assert process.returncode == 0, err


def test_a_wait_ends_with_a_signal(project: "Project", wait_for: Callable[..., None]) -> None:
    flow(project, "{scope: flow}")
    with held(project, "flow/f"):
        process = project.start("run", "flow.yaml", "--run-id", "r", "--if-busy", "wait")
        store = LockStore(project.states / "engine/locks.sqlite")
        wait_for(store.waiters)
        store.close()
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 143, err
    assert project.rows("SELECT count(*) FROM runs") == [(0,)]


@pytest.mark.parametrize(("die", "lines"), [("1", ["i1", "i2"]), ("2", ["i1", "i2"])])
def test_an_inner_step_that_is_done_is_not_done_again(project: "Project", die: str, lines: list[str]) -> None:
    project.flow('jobs: [{id: a, steps: [{id: s, type: inner_outer, outputs: {n: "{{result.n}}"}}]}]')
    project.effects.with_name("die").write_text(die)
    child = os.fork()
    if child == 0:  # pragma: no cover
        try:
            main(["run", "flow.yaml", "--run-id", "r", "-q"])
        finally:
            os._exit(99)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert project.cli("run", "flow.yaml", "--run-id", "r").code == 0
    assert project.lines() == lines
    assert project.rows("SELECT step_id, attempt, status FROM step_runs ORDER BY 1, 2") == [
        ("s", 1, "INTERRUPTED"), ("s", 2, "SUCCESS"), ("s.i1", 1, "SUCCESS"), ("s.i2", 1, "SUCCESS"),
    ]  # fmt: skip
    assert project.rows("SELECT outputs FROM job_runs") == [('{"n":5}',)]
