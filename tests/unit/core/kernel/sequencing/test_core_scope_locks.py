"""`flow.locks`: runs of one flow, or of one job, exclude each other; and steps inside steps survive a crash."""

from typing import TYPE_CHECKING

from core_scope_locks import flow, held

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
    assert not (project.states / "locks.sqlite").exists()
