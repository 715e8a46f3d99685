"""Claims of runs that a step started: good with the outermost run, in whichever state file they stand."""

import contextlib
import json
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from aetherflow.core.base.errors import LostOwnershipError
from aetherflow.core.kernel.state.ownership import RunLock
from aetherflow.core.kernel.state.records import Intervention
from aetherflow.core.kernel.state.run_state import RunState
from aetherflow.core.kernel.state.store import StateStore
from aetherflow.core.kernel.state.transitions import Status
from aetherflow.core.testing.state_base import FACTS, FROZEN
from claiming import flow as pick_up
from claiming import run, running

if TYPE_CHECKING:
    from core_project import Project

PARENT = """\
version: 1
flow: {id: f, workspace: {cleanup_policy: never}}
jobs:
  - id: take
    steps: [{id: sub, type: run_flow, inputs: {flow: child.yaml}}]
  - id: after
    depends_on: [take]
    steps: [{id: s, type: test_fail_after}]
"""
CHILD = pick_up().replace("id: f,", "id: c,")
DEEP = (
    "version: 1\nflow: {id: m, workspace: {cleanup_policy: never}}\n"
    "jobs: [{id: j, steps: [{id: deep, type: run_flow, inputs: {flow: grandchild.yaml}}]}]\n"
)


def lay(project: "Project", *, cleanup: str = "never", shared: bool = False, deep: bool = False) -> None:
    """A flow whose step runs a pick-up, with a state of its own or in that of its parent; or one deeper."""
    child = pick_up(cleanup, "move").replace(
        "id: f,", f"id: c, {f'state: {{path: {project.state}}},' if shared else ''}"
    )
    project.write(PARENT)
    project.write(DEEP if deep else child, "child.yaml")
    project.write(child, "grandchild.yaml")


def child_rows(project: "Project", sql: str) -> list[tuple[Any, ...]]:
    own = project.states / "c.sqlite"
    with contextlib.closing(sqlite3.connect(own if own.exists() else project.state)) as db:
        return db.execute(sql).fetchall()


def claims(project: "Project") -> list[tuple[str, str]]:
    return child_rows(project, "SELECT key, state FROM claims ORDER BY at, key")


def final(project: "Project") -> dict[str, Any]:
    return {key: json.loads(value)["text"] for key, value in child_rows(project, "SELECT key, value FROM ledger")}


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("deep", [False, True])
def test_they_become_final_with_the_run_around(project: "Project", inbox: Path, shared: bool, deep: bool) -> None:
    lay(project, shared=shared, deep=deep)
    run(project, "one", fail="after")
    assert child_rows(project, "SELECT status FROM runs WHERE flow_id='c'") == [("SUCCESS",)]
    assert claims(project) == [("a.txt", "open"), ("b.txt", "open")]
    assert project.cli("state", "check", "flow.yaml").code == 0
    assert project.cli("resume", "one").code == 0
    assert claims(project) == [("a.txt", "final"), ("b.txt", "final")]
    assert final(project) == {"a.txt": "1", "b.txt": "2"}
    assert project.lines() == ["a.txt 1", "b.txt 2"]
    for flow_file in ("flow.yaml", "child.yaml"):
        assert project.cli("state", "check", flow_file).code == 0


@pytest.mark.parametrize("deep", [False, True])
def test_another_run_takes_them_over_if_the_run_around_failed(project: "Project", inbox: Path, deep: bool) -> None:
    lay(project, deep=deep)
    run(project, "one", fail="after")
    project.effects.unlink()
    run(project, "two")
    assert project.lines() == ["a.txt 1", "b.txt 2"], "nothing that the failed run took is lost"
    assert sorted(claims(project)) == [("a.txt", "final"), ("a.txt", "lost"), ("b.txt", "final"), ("b.txt", "lost")]
    refused = project.cli("resume", "one")
    assert refused.code == 2
    assert "AF3005 run one cannot go on: run two" in refused.err
    assert "what it had claimed in take.sub: 'a.txt' of ledger picked and 1 more" in refused.err
    again = project.cli("resume", "one", "--from-step", "take")
    assert again.code == 0, again.err
    assert project.lines() == ["a.txt 1", "b.txt 2"]
    assert project.cli("resume", "one").code == 0


def test_while_the_run_around_lives_they_are_left_alone(project: "Project", inbox: Path) -> None:
    lay(project)
    run(project, "one", fail="after")
    with running(project, "one"):
        assert project.cli("run", "child.yaml", "--run-id", "alone").code == 0
        listed = json.loads(project.cli("claims", "list", "--json").out)["claims"]
        assert {each["next"] for each in listed} == {"final when run one ends well"}
        child = listed[0]["run_id"]
        busy = project.cli("runs", "resolve", child, "--as", "done", "--reason", "no")
        assert (busy.code, "run one goes on" in busy.err) == (3, True)
    assert claims(project) == [("a.txt", "open"), ("b.txt", "open")]
    assert project.cli("run", "child.yaml", "--run-id", "later").code == 0
    assert min(claims(project)) == ("a.txt", "final")


def test_a_step_that_is_done_again_takes_again_what_its_run_had_taken(project: "Project", inbox: Path) -> None:
    lay(project)
    run(project, "one", fail="after")
    project.effects.unlink()
    again = project.cli("resume", "one", "--from-step", "take")
    assert again.code == 0, again.err
    assert project.lines() == ["a.txt 1", "b.txt 2"]
    assert final(project) == {"a.txt": "1", "b.txt": "2"}
    assert sorted(claims(project)) == [("a.txt", "final"), ("a.txt", "lost"), ("b.txt", "final"), ("b.txt", "lost")]
    assert project.cli("resume", "one").code == 0


def test_the_second_run_of_a_family_sees_what_the_first_has_taken(project: "Project", inbox: Path) -> None:
    lay(project)
    step = "{id: sub, type: run_flow, for_each: [1, 2], inputs: {flow: child.yaml}}"
    project.write(PARENT.replace("{id: sub, type: run_flow, inputs: {flow: child.yaml}}", step))
    run(project, "one")
    assert project.lines() == ["a.txt 1", "b.txt 2"]
    assert claims(project) == [("a.txt", "final"), ("b.txt", "final")]
    jobs = child_rows(project, "SELECT status FROM job_runs WHERE job_id='take' ORDER BY started_at")
    assert jobs == [("SUCCESS",), ("SKIPPED",)]


def test_one_that_is_resumed_by_hand_still_belongs_to_the_run_around(project: "Project", inbox: Path) -> None:
    lay(project)
    run(project, "one", fail="load")
    ((child,),) = child_rows(project, "SELECT run_id FROM runs")
    done = project.cli("resume", child)
    assert done.code == 0, done.err
    assert "they become final when run one ends well" in done.err
    assert claims(project) == [("a.txt", "open"), ("b.txt", "open")]
    assert project.cli("resume", "one").code == 0
    assert claims(project) == [("a.txt", "final"), ("b.txt", "final")]


def test_the_folders_that_its_claims_needed_go_with_the_end_of_the_run_around(project: "Project", inbox: Path) -> None:
    lay(project, cleanup="on_success")
    run(project, "one", fail="after")
    folder = project.work / "c" / "take"
    assert len(list(folder.glob("*/artifacts/*.txt"))) == 2
    assert project.cli("resume", "one").code == 0
    assert list(folder.glob("*/*")) == []
    assert child_rows(project, "SELECT DISTINCT gone_by FROM artifacts") == [("cleanup on_success",)]


def test_resolving_the_run_around_settles_them_too(project: "Project", inbox: Path) -> None:
    lay(project)
    run(project, "one", fail="after")
    done = project.cli("runs", "resolve", "one", "--as", "done", "--reason", "sent by hand")
    assert (done.code, done.out) == (0, "run one is resolved as done; 2 claims are final\n")
    assert claims(project) == [("a.txt", "final"), ("b.txt", "final")]
    run(project, "two")
    assert project.lines() == ["a.txt 1", "b.txt 2"]


def test_a_run_around_is_not_resolved_while_one_inside_is_executed(project: "Project", inbox: Path) -> None:
    """As by a person who resumes that one by hand."""
    lay(project)
    run(project, "one", fail="load")
    ((child,),) = child_rows(project, "SELECT run_id FROM runs")
    lock = RunLock(project.states / "c.sqlite.d" / "runs" / "c" / f"{child}.lock")
    lock.acquire(child)
    busy = project.cli("runs", "resolve", "one", "--as", "done", "--reason", "no")
    lock.release()
    assert (busy.code, f"run {child} goes on" in busy.err) == (3, True)
    assert claims(project) == [("a.txt", "open"), ("b.txt", "open")]
    assert project.cli("runs", "resolve", "one", "--as", "done", "--reason", "yes").code == 0


def test_pruning_keeps_the_run_around_them(project: "Project", inbox: Path) -> None:
    """Only that can make them final."""
    lay(project)
    run(project, "one", fail="after")
    done = project.cli("runs", "prune", "--keep-last", "0", "--yes")
    assert done.out.endswith("kept 2 runs for claims that are open: aetherflow claims list\n")
    assert project.cli("resume", "one").code == 0
    assert claims(project) == [("a.txt", "final"), ("b.txt", "final")]


def test_one_that_is_not_owned_any_more_makes_nothing_final(project: "Project", inbox: Path) -> None:
    """Its host was suspended; another process went on with it, and failed."""
    lay(project)
    run(project, "one", fail="after")
    with contextlib.closing(StateStore(project.state)) as store:
        state = RunState(store, "f", "one")
        state.load()
        state.begin(FACTS, FROZEN, {}, Intervention())
        store.connection.execute("UPDATE runs SET generation=generation+1 WHERE run_id='one'")
        with pytest.raises(LostOwnershipError):
            state.finish(Status.SUCCESS)
    assert claims(project) == [("a.txt", "open"), ("b.txt", "open")]


def test_a_step_may_start_runs_of_several_flows(project: "Project", inbox: Path) -> None:
    lay(project)
    project.write(PARENT.replace("type: run_flow, inputs: {flow: child.yaml}", "type: test_two_flows"))
    one = "version: 1\nflow: {id: another}\njobs: [{id: a, steps: [{id: s, type: test_claim}]}]\n"
    project.write(one, "another.yaml")
    run(project, "one", fail="after")
    assert project.cli("resume", "one").code == 0
    assert claims(project) == [("a.txt", "final"), ("b.txt", "final")]
    listed = json.loads(project.cli("claims", "list", "--state", "final", "--json").out)["claims"]
    assert sorted(each["flow_id"] for each in listed) == ["another", "c", "c"]
    assert project.cli("resume", "one", "--from-step", "take").code == 0
    assert json.loads(project.cli("claims", "list", "--json").out)["claims"] == []


def test_what_a_step_no_longer_runs_is_not_final_with_the_run_around(project: "Project", inbox: Path) -> None:
    lay(project)
    run(project, "one", fail="after")
    one = "version: 1\nflow: {id: another}\njobs: [{id: a, steps: [{id: s, type: test_claim}]}]\n"
    project.write(one, "another.yaml")
    project.write(PARENT.replace("child.yaml", "another.yaml"))
    again = project.cli("resume", "one", "--from-step", "take")
    assert again.code == 0, again.err
    assert claims(project) == [("a.txt", "open"), ("b.txt", "open")], "for the next run of that flow"
    assert project.cli("run", "child.yaml", "--run-id", "later").code == 0
    assert final(project) == {"a.txt": "1", "b.txt": "2"}
