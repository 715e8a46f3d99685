"""Locks in flows: the step `with_lock`, `ctx.lease`, and what a lost lock does to a step."""

import threading
import time
from typing import TYPE_CHECKING

import pytest
from core_with_lock import ECHO, OTHER, SEEN, Loop, NeverLooks, UseLease, Wait, WaitFor, break_lock, locked, opened

from aetherflow.core.api import LeaseLostError, LockBusyError, register_step
from aetherflow.core.host import catalog
from aetherflow.core.validation import validate_flow_yaml

if TYPE_CHECKING:
    from core_project import Project


@pytest.fixture(autouse=True)
def steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog, "_registered", {group: dict(known) for group, known in catalog._registered.items()})
    for cls in (UseLease, Loop, NeverLooks, Wait):
        register_step(cls.__name__.lower())(cls)
    SEEN.clear()


def job(*steps: str) -> str:
    return "jobs:\n- id: a\n  steps:\n" + "".join(f"  - {each}\n" for each in steps)


def test_a_skip_of_the_inner_step_is_a_skip(project: "Project") -> None:
    project.flow(job(locked("{type: check_items, inputs: {items: []}}")[:-1] + ", on_no_data: skip_job}"))
    assert project.cli("run", "flow.yaml").code == 0
    assert project.rows("SELECT status FROM job_runs") == [("SKIPPED",)]


def test_types_survive_late_rendering(project: "Project") -> None:
    items = '["{{lock.token}}", "{{lock}}", !raw "{{lock.x}}"]'
    inner = f'{{type: check_items, inputs: {{items: {items}, min_count: "{{{{lock.token}}}}"}}}}'
    project.flow(job(locked(inner)))
    assert project.cli("run", "flow.yaml").code == 0
    assert project.rows("SELECT json_extract(outputs, '$.count') FROM step_runs") == [(3,)] * 2


def test_a_missing_value_in_the_inner_inputs_fails_the_step(project: "Project") -> None:
    project.flow(job(locked(ECHO % "{{lock.nothing}}")))
    done = project.cli("run", "flow.yaml")
    assert done.code == 1
    assert "no value for {{lock.nothing}}" in done.err


def test_a_resource_of_a_flow_is_no_lock_store(project: "Project", monkeypatch: pytest.MonkeyPatch) -> None:
    project.flow("resources: {central: {kind: db, driver: sqlite3, config: {path: x}}}\n" + job(locked(ECHO % "x")))
    monkeypatch.setenv("AETHERFLOW_LOCK_STORE", "central")
    done = project.cli("run", "flow.yaml")
    assert done.code == 2
    assert "'central' is a resource of the flow, and all flows share the locks" in done.err
    assert "move it into the project file; a file called central is ./central" in done.err


def test_a_run_without_locks_creates_no_lock_store(project: "Project") -> None:
    project.flow(job("{id: s, type: check_items, inputs: {items: [1]}}"))
    assert project.cli("run", "flow.yaml").code == 0
    assert not (project.states / "engine/locks.sqlite").exists()


# validate


def problems(project: "Project", *steps: str) -> list[tuple[str, str]]:
    report = validate_flow_yaml(project.flow(job(*steps)))
    return [(item["af"], item["loc"]) for item in report["errors"]]


INNER = "jobs[0].steps[0].inputs.step"


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (locked(ECHO % "{{lock.token}}"), []),
        (locked("{type: external.proces}"), [("AF2101", f"{INNER}.type")]),
        (locked("{type: external.process}"), [("AF1102", f"{INNER}.inputs.command")]),
        (locked("{type: check_items, inputs: {items: [], least: 1}}"), [("AF1101", f"{INNER}.inputs.least")]),
        (locked("{type: check_items, inputs: {items: [], min_count: '{{lock.token}}'}}"), []),
        (locked("{typ: check_items}"), [("AF1101", f"{INNER}.typ"), ("AF1102", f"{INNER}.type")]),
        (locked("{type: check_items, inputs: {items: []}, outputs: {}}"), [("AF1101", f"{INNER}.outputs")]),
        (
            locked("{type: check_items, inputs: {items: []}}").replace("lock_key: k", "lock_key: '{{lock.key}}'"),
            [("AF1208", "jobs[0].steps[0].inputs.lock_key")],
        ),
        (
            "{id: s, type: check_items, inputs: {items: ['{{lock.key}}']}}",
            [("AF1208", "jobs[0].steps[0].inputs.items[0]")],
        ),
        (
            locked("{type: with_lock, inputs: {lock_key: '{{lock.key}}', step: {type: nothing_known}}}"),
            [("AF2101", f"{INNER}.inputs.step.type")],
        ),
        (locked("[]"), [("AF1103", INNER)]),
    ],
)
def test_the_inner_step_is_checked_like_any_other(
    project: "Project", step: str, expected: list[tuple[str, str]]
) -> None:
    assert sorted(problems(project, step)) == sorted(expected)


# ctx


def test_leases_of_a_step(project: "Project") -> None:
    project.flow(job("{id: s, type: uselease}"))
    with opened(project) as store:
        store.acquire("taken", OTHER)
        done = project.cli("run", "flow.yaml")
        assert done.code == 0, done.err
        assert [holder.key for holder in store.holders()] == ["taken"], "what the step kept ends with the run"
    assert SEEN == {"held": ("k", 1, False), "again": 1, "second": 2, "by hand": [True, True, False]}


def test_a_lost_lock_stops_a_step_that_looks(project: "Project", wait_for: WaitFor) -> None:
    project.flow(job("{id: s, type: loop}"))

    def steal() -> None:
        wait_for(project.effects.exists)
        break_lock(project.states)

    thief = threading.Thread(target=steal)
    thief.start()
    started = time.monotonic()
    done = project.cli("run", "flow.yaml")
    thief.join()
    assert done.code == 1
    assert time.monotonic() - started < 40
    assert "AF5302 the lock k was lost (token 1): it was released by ann: to see what happens" in done.err


def test_a_lost_lock_fails_a_step_that_does_not_look(project: "Project") -> None:
    project.flow(job("{id: s, type: neverlooks}"))
    done = project.cli("run", "flow.yaml")
    assert done.code == 1
    assert "AF5302 the lock k was lost (token 1)" in done.err


def test_errors_are_what_other_code_expects() -> None:
    assert issubclass(LockBusyError, RuntimeError)
    assert issubclass(LeaseLostError, RuntimeError)
