"""Locks in flows: the step `with_lock`, `ctx.lease`, and what a lost lock does to a step."""

import signal
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from core_with_lock import ECHO, OTHER, SEEN, Loop, NeverLooks, UseLease, Wait, WaitFor, locked, opened

from aetherflow.core.api import register_step
from aetherflow.core.host import catalog
from aetherflow.core.kernel.locks.store import LockStore

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


def stdout(project: "Project", step: str = "s") -> str:
    ((found,),) = project.rows(f"SELECT json_extract(outputs, '$.stdout') FROM step_runs WHERE step_id='{step}'")
    return str(found).strip()


# with_lock


def test_the_result_of_the_inner_step_is_the_result(project: "Project") -> None:
    project.flow(job(locked(ECHO % "hello"), '{id: t, type: check_items, inputs: {items: ["{{steps.s.stdout}}"]}}'))
    assert project.cli("run", "flow.yaml").code == 0
    assert stdout(project) == "hello"
    with opened(project) as store:
        assert store.holders() == []


def test_templates_and_children_see_the_lock(project: "Project") -> None:
    command = "{{lock.token}} {{lock.key}} {{params.who}} {{lock.none:no}} $AETHERFLOW_LOCK_TOKEN"
    outside = (
        "{id: t, type: external.process, inputs: {command: [sh, -c, 'printenv AETHERFLOW_LOCK_TOKEN || echo unset'],"
    )
    project.write(
        "version: 1\nflow: {id: f, params: {who: {default: '{{{{lock.key}}}}'}}}\n".replace("{{{{", "{{").replace(
            "}}}}", "}}"
        )
        + job(locked(ECHO % command), outside + " log: {stdout: capture}}}")
    )
    for token in ("1", "2"):
        done = project.cli("run", "flow.yaml", "--run-id", f"r{token}")
        assert done.code == 0, done.err
    found = dict(project.rows("SELECT run_id, json_extract(outputs, '$.stdout') FROM step_runs WHERE step_id='s'"))
    # what a template yields is not scanned again, now or later
    assert {run: text.strip() for run, text in found.items()} == {
        "r1": "1 k {{lock.key}} no 1",
        "r2": "2 k {{lock.key}} no 2",
    }
    outputs = project.rows("SELECT json_extract(outputs, '$.stdout') FROM step_runs WHERE step_id='t'")
    assert {text.strip() for (text,) in outputs} == {"unset"}


def test_a_child_without_the_runs_environment_sees_the_token_too(project: "Project") -> None:
    inner = (ECHO % "$AETHERFLOW_LOCK_TOKEN").replace("inputs: {", "inputs: {inherit_env: false, ")
    project.flow(job(locked(inner)))
    assert project.cli("run", "flow.yaml").code == 0
    assert stdout(project) == "1"


def test_a_lock_inside_a_lock(project: "Project") -> None:
    inner = "{type: with_lock, inputs: {lock_key: '{{lock.key}}-{{run_id}}', step: %s}}" % (
        ECHO % "{{lock.key}} {{lock.token}} {{flow_id}}"
    )
    project.flow(job(locked(inner)))
    assert project.cli("run", "flow.yaml", "--run-id", "r").code == 0
    assert stdout(project) == "k-r 1 f"


def test_a_busy_lock_fails_the_step_at_once_and_names_the_holder(project: "Project") -> None:
    project.flow(job(locked(ECHO % "hello")))
    with opened(project) as store:
        store.acquire("k", OTHER)
        done = project.cli("run", "flow.yaml", "--run-id", "r")
        assert done.code == 1
        assert "AF5301 Lock not acquired: k; held by run o of flow other, pid" in done.err
    assert project.cli("run", "flow.yaml", "--run-id", "r").code == 0


def test_a_step_waits_for_its_lock(project: "Project", wait_for: WaitFor) -> None:
    project.flow(job(locked(ECHO % "hello", ", wait_seconds: 30")))
    with opened(project) as store:
        lease = store.acquire("k", OTHER)
        process = project.start("run", "flow.yaml")
        wait_for(store.waiters)
        assert lease.release()
        _, err = process.communicate(timeout=30)
        assert process.returncode == 0, err


@pytest.mark.parametrize("settings", [{"AETHERFLOW_LOCK_STORE": "shared/l.sqlite"}, {}])
def test_flows_of_one_lock_store_exclude_each_other(project: "Project", settings: dict[str, str]) -> None:
    project.flow(job(locked(ECHO % "hello")))
    path = project.folder / "shared/l.sqlite" if settings else project.states / "engine/locks.sqlite"
    with LockStore(path) as store:
        store.acquire("k", OTHER)
        done = project.command("run", "flow.yaml", env=settings)
    assert done.code == 1
    assert "Lock not acquired: k" in done.err


@pytest.mark.parametrize("trap", ["", "trap '' TERM;"])
def test_a_lost_lock_ends_the_children(
    project: "Project", wait_for: WaitFor, lives: Callable[[int], bool], trap: str
) -> None:
    script = f"{trap} echo $$ > $EFFECTS.new; mv $EFFECTS.new $EFFECTS; for i in $(seq 600); do sleep 0.1; done"
    inner = f'{{type: external.process, inputs: {{command: [sh, -c, "{script}"]}}}}'
    project.flow(job(locked(inner, ", ttl_seconds: 0.6")))
    process = project.start("run", "flow.yaml", env={"AETHERFLOW_STOP_GRACE_SECONDS": "0.5"})
    wait_for(project.effects.exists)
    pid = int(project.effects.read_text())
    with opened(project) as store:
        started = time.monotonic()
        assert store.break_lock("k", reason="to see what happens", actor="ann") is not None
        store.acquire("k", OTHER)
        _, err = process.communicate(timeout=60)
    assert time.monotonic() - started < 40
    assert not lives(pid)
    assert process.returncode == 1
    assert "AF5302 the lock k was lost (token 1): it was released by ann" in err


def test_a_stop_ends_the_wait_for_a_lock(project: "Project", wait_for: WaitFor) -> None:
    project.flow(job(locked(ECHO % "hello", ", wait_seconds: 600")))
    with opened(project) as store:
        store.acquire("k", OTHER)
        process = project.start("run", "flow.yaml", env={"AETHERFLOW_STOP_GRACE_SECONDS": "600"})
        wait_for(store.waiters)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
        assert process.returncode == 143
        assert store.waiters() == []


def test_the_lock_of_a_killed_run_is_free_at_once(project: "Project", wait_for: WaitFor) -> None:
    project.flow(job(locked('{type: external.process, inputs: {command: [sh, -c, "touch $EFFECTS; sleep 3"]}}')))
    process = project.start("run", "flow.yaml", "--run-id", "r")
    wait_for(project.effects.exists)
    process.kill()
    process.communicate()
    project.flow(job(locked(ECHO % "hello")))
    done = project.cli("run", "flow.yaml", "--run-id", "other")
    assert done.code == 0, done.err
