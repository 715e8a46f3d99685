"""`jobs[].lock`: a job holds a lock by name from its first step to its last."""

import contextlib
import sqlite3
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from core_scope_locks import held

from aetherflow.core.api import Step, register_step

if TYPE_CHECKING:
    from core_project import Project


@register_step("job_lock_look")
class Look(Step[Any]):
    """Writes down which locks are held; with `lose` it takes them away and waits until the run has seen it."""

    def run(self) -> None:
        path = Path(self.ctx.env["AETHERFLOW_STATE_ROOT"]) / "engine/locks.sqlite"
        with contextlib.closing(sqlite3.connect(path, timeout=30)) as connection, connection:
            found = sorted(connection.execute("SELECT key, token FROM locks WHERE expires_at > 0"))
            with Path(self.ctx.env["EFFECTS"]).open("a") as file:
                file.write(f"{self.id} {found} {self.inputs.get('token')}\n")
            if self.inputs.get("lose"):
                connection.execute("DELETE FROM locks")
        deadline = time.monotonic() + 60
        while self.inputs.get("lose") and not self.ctx.cancelled:
            assert time.monotonic() < deadline, "nobody noticed"
            time.sleep(0.02)


def flow(project: "Project", lock: str = "{key: 'stock.{{params.shop}}'}", lose: str = "false", head: str = "") -> None:
    project.write(
        f"""\
        flow: {{id: f, params: {{shop: {{default: oslo}}}}{head}}}
        jobs:
          - id: a
            lock: {lock}
            steps:
              - {{id: one, type: job_lock_look, inputs: {{token: "{{{{lock.key}}}} {{{{lock.token}}}}"}}}}
              - {{id: two, type: job_lock_look, inputs: {{lose: {lose}}}}}
              - {{id: three, type: job_lock_look}}
          - {{id: b, steps: [{{id: four, type: job_lock_look}}]}}
        """
    )


def test_the_lock_is_held_from_the_first_step_to_the_last(project: "Project") -> None:
    flow(project, head=", locks: {scope: job}")
    assert project.cli("run", "flow.yaml", "--run-id", "r").code == 0
    held_in_a = [("job/f/a", 1), ("stock.oslo", 1)]
    assert project.lines() == [
        f"one {held_in_a} stock.oslo 1", f"two {held_in_a} None", f"three {held_in_a} None",
        f"four {[('job/f/b', 1)]} None",
    ]  # fmt: skip


def test_a_lock_that_another_run_has_fails_the_job_and_a_resume_takes_it(project: "Project") -> None:
    flow(project)
    with held(project, "stock.oslo"):
        done = project.cli("run", "flow.yaml", "--run-id", "r")
        assert done.code == 1
        assert (
            "FAILED a at flow.yaml:4:11\n  AF5301 Lock not acquired: stock.oslo; held by run o of flow other"
            in done.err
        )
        assert project.rows("SELECT job_id, status FROM job_runs ORDER BY 1") == [("a", "FAILED"), ("b", "SUCCESS")]
        assert project.cli("run", "flow.yaml", "--param", "shop=bergen", "--run-id", "other").code == 0
    assert project.cli("resume", "r").code == 0
    assert project.lines()[-3] == "one [('stock.oslo', 2)] stock.oslo 2", "the token has grown"


def test_a_lost_lock_ends_the_job_and_no_other(project: "Project") -> None:
    flow(project, lose="true", head=", locks: {ttl_seconds: 1}")
    done = project.cli("run", "flow.yaml", "--run-id", "r")
    assert done.code == 1
    assert "FAILED a.two" in done.err
    assert "AF5302 the lock stock.oslo was lost (token 1)" in done.err
    assert project.rows("SELECT job_id, status FROM job_runs ORDER BY 1") == [("a", "FAILED"), ("b", "SUCCESS")]
    assert [line.split()[0] for line in project.lines()] == ["one", "two", "four"]


def test_a_lost_lock_ends_the_items_too(project: "Project") -> None:
    project.write(
        """\
        flow: {id: f, locks: {ttl_seconds: 1}}
        jobs:
          - id: a
            lock: {key: k}
            steps: [{id: s, type: job_lock_look, for_each: {items: [1, 2], on_error: continue}, inputs: {lose: true}}]
        """
    )
    done = project.cli("run", "flow.yaml", "--run-id", "r")
    assert "AF5302 item 1 of 2 (1): the lock k was lost" in done.err
    assert len(project.lines()) == 1


def test_the_innermost_lock_is_the_one_that_counts(project: "Project") -> None:
    project.flow(
        """\
        jobs:
          - id: a
            lock: {key: k}
            steps:
              - id: s
                type: with_lock
                inputs: {lock_key: j, step: {type: job_lock_look, inputs: {token: "{{lock.key}}"}}}
              - {id: t, type: job_lock_look, inputs: {token: "{{lock.key}}"}}
        """
    )
    assert project.cli("run", "flow.yaml", "--run-id", "r").code == 0
    assert project.lines() == ["s_inner [('j', 1), ('k', 1)] j", "t [('k', 1)] k"]


@pytest.mark.parametrize(
    ("lock", "found"),
    [
        ("{}", "AF1102 jobs[0].lock lacks the key 'key'"),
        ("{key: k, wait_second: 3}", "AF1101 unknown key 'wait_second' in jobs[0].lock"),
        ("{key: '{{steps.one.x}}'}", "AF1302 jobs[0].lock.key: Unknown template root: steps"),
        ("{key: '{{jobs.b.outputs.x}}'}", "AF1208 jobs[0].lock.key: 'b' is no earlier job"),
        ("{key: '{{params.shp}}'}", "AF1208 jobs[0].lock.key: 'shp' is not among flow.params"),
    ],
)
def test_mistakes_are_found_at_their_place(project: "Project", lock: str, found: str) -> None:
    flow(project, lock)
    done = project.cli("validate", "flow.yaml")
    assert (done.code, found in done.out) == (2, True), done.out


def test_the_same_lock_inside_is_a_mistake(project: "Project") -> None:
    inner = "{type: with_lock, inputs: {lock_key: k, step: {type: check_items}}}"
    project.flow(
        f"""\
        jobs:
          - id: a
            lock: {{key: k}}
            steps:
              - {{id: s, type: with_lock, inputs: {{lock_key: j, step: {inner}}}}}
              - {{id: t, type: with_lock, inputs: {{lock_key: j, step: {{type: check_items}}}}}}
        """
    )
    done = project.cli("validate", "flow.yaml")
    assert done.code == 2
    told = "lock_key: the job holds the lock 'k' already, by its `lock` on line 5"
    assert f"AF1218 jobs[0].steps[0].inputs.step.inputs.{told}" in done.out
    assert done.out.count("AF1218") == 1


def test_lock_is_no_value_without_a_lock(project: "Project") -> None:
    project.flow("jobs: [{id: a, steps: [{id: s, type: file_write, inputs: {path: p, content: '{{lock.token}}'}}]}]\n")
    assert "or give the job a `lock`" in project.cli("validate", "flow.yaml").out
