"""`flow.locks`: runs of one flow, or of one job, exclude each other; and steps inside steps survive a crash."""

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aetherflow.core.api import Step, StepResult, register_step
from aetherflow.core.kernel.locks.records import Owner
from aetherflow.core.kernel.locks.store import LockStore

if TYPE_CHECKING:
    from core_project import Project

OTHER = Owner("other", "o", 1)


@contextlib.contextmanager
def held(project: "Project", key: str) -> Iterator[None]:
    """Another run holds the lock."""
    store = LockStore(project.states / "locks.sqlite")
    try:
        store.acquire(key, OTHER)
        yield
    finally:
        store.close()


def flow(project: "Project", locks: str) -> None:
    project.write(
        f"""\
        flow: {{id: f, locks: {locks}}}
        jobs:
          - {{id: a, steps: [{{id: s, type: check_items, inputs: {{items: [1]}}}}]}}
          - {{id: b, steps: [{{id: s, type: check_items, inputs: {{items: [1]}}}}]}}
        """
    )


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


@register_step("inner_note")
class Note(Step[Any]):
    """Writes down that it ran."""

    def run(self) -> StepResult:
        """Do it."""
        with Path(self.ctx.env["EFFECTS"]).open("a") as file:
            file.write(f"{self.id}\n")
        return StepResult(output={"n": 5})


@register_step("inner_outer")
class Outer(Step[Any]):
    """Runs two inner steps, and dies between or after them while the file `die` says so."""

    def run(self) -> StepResult:
        """Do it."""
        die = Path(self.ctx.env["EFFECTS"]).with_name("die")
        for number in (1, 2):
            result = self.ctx.call_step("inner_note", {"number": number}, step_id=f"i{number}")
            if die.exists() and die.read_text() == str(number):
                die.unlink()
                os.kill(os.getpid(), signal.SIGKILL)
        return StepResult(output=dict(result.output or {}))
