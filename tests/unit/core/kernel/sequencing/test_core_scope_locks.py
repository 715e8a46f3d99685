"""`flow.locks`: runs of one flow, or of one job, exclude each other; and steps inside steps survive a crash."""

from typing import TYPE_CHECKING

import pytest
from core_scope_locks import flow, held

from aetherflow.core.api import LeaseLostError
from aetherflow.core.kernel.sequencing.scope_locks import ScopeLocks

if TYPE_CHECKING:
    from core_project import Project


def test_a_flow_whose_lock_is_held_is_busy(project: "Project") -> None:
    flow(project, "{scope: flow}")
    with held(project, "flow/f"):
        done = project.cli("run", "flow.yaml", "--run-id", "r")
        assert (done.code, done.out) == (3, "")
        assert "AF3101 Lock not acquired: flow/f; held by run o of flow other" in done.err
        assert project.rows("SELECT count(*) FROM runs") == [(0,)], "nothing was begun"
        skipped = project.cli("run", "flow.yaml", "--if-busy", "skip")
        assert (skipped.code, skipped.out) == (0, "")
        assert "nothing done: Lock not acquired: flow/f" in skipped.err
    assert project.cli("run", "flow.yaml", "--run-id", "r").code == 0


def test_a_job_whose_lock_is_held_fails_alone(project: "Project") -> None:
    flow(project, "{scope: job}")
    with held(project, "job/f/a"):
        done = project.cli("run", "flow.yaml", "--run-id", "r")
        assert done.code == 1
        assert "AF5301 Lock not acquired: job/f/a" in done.err
        assert project.rows("SELECT job_id, status FROM job_runs ORDER BY 1") == [("a", "FAILED"), ("b", "SUCCESS")]
    assert project.cli("run", "flow.yaml", "--run-id", "r").code == 0


def test_no_lock_store_without_a_lock(project: "Project") -> None:
    flow(project, "{scope: none}")
    assert project.cli("run", "flow.yaml").code == 0
    assert not (project.states / "engine/locks.sqlite").exists()


def test_a_step_that_was_started_with_the_end_of_another_does_not_begin_without_its_lock(
    project: "Project", monkeypatch: pytest.MonkeyPatch
) -> None:
    project.flow(
        """\
        jobs:
          - id: a
            steps:
              - {id: one, type: check_items, inputs: {items: [1]}}
              - {id: two, type: check_items, inputs: {items: [1]}}
        """
    )
    looked: list[str] = []

    def lost(self: ScopeLocks) -> LeaseLostError | None:
        looked.append("once")
        return LeaseLostError("the lock was lost") if len(looked) > 2 else None

    with monkeypatch.context() as patch:
        patch.setattr(ScopeLocks, "lost", lost)
        assert project.cli("run", "flow.yaml", "--run-id", "r").code == 1
    query = "SELECT step_id, attempt, status FROM step_runs ORDER BY 1, 2"
    assert project.rows(query) == [("one", 1, "SUCCESS"), ("two", 1, "INTERRUPTED")], "nothing is left RUNNING"
    assert project.cli("run", "flow.yaml", "--run-id", "r").code == 0
    assert project.rows(query) == [("one", 1, "SUCCESS"), ("two", 1, "INTERRUPTED"), ("two", 2, "SUCCESS")]
