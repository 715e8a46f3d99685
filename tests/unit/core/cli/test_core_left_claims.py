"""`status` names runs whose claims later runs have left alone, and for those that have lost theirs what works."""

import contextlib
import shlex
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from core_history import status

from aetherflow.core.runtime.adopting import adopt
from claiming import FIND, change, run
from claiming import flow as pick_up

if TYPE_CHECKING:
    from core_project import Project

PARENT = """\
version: 1
flow: {id: p, workspace: {cleanup_policy: never}}
jobs:
  - {id: sub, steps: [{id: call, type: run_flow, inputs: {flow: flow.yaml}}]}
  - {id: after, depends_on: [sub], steps: [{id: s, type: test_fail_after}]}
"""


def needs(project: "Project") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = status(project)["needs_person"]
    return found


def told(project: "Project") -> list[tuple[str, str, list[str]]]:
    return [(each["status"], each["run_id"], each["commands"]) for each in needs(project)]


def test_a_run_whose_claims_are_left_stays_until_it_is_resumed(project: "Project", inbox: Path) -> None:
    project.write(FIND)
    run(project, "one", fail="after")
    (need,) = needs(project)
    assert need["cause"] == "after.s: after all that"
    assert "the next run takes it over; or: aetherflow resume one" in project.cli("claims", "list").out
    for again in ("two", "three"):
        (inbox / f"{again}.txt").write_text("3")
        run(project, again)
        assert told(project) == [("FAILED", "one", ["aetherflow resume one"])]
    assert "later runs have left it alone: aetherflow resume one, or" in project.cli("claims", "list").out
    (need,) = needs(project)
    assert need["cause"] == "after.s: after all that; later runs have left what it took to a person, 2 in all"
    assert need["since"] == project.rows("SELECT finished_at FROM runs WHERE run_id='one'")[0][0]
    adopt(project.states, project.state)
    assert [each[1] for each in told(project)] == ["one"]
    assert project.cli("resume", "one").code == 0
    assert told(project) == []


def test_resolving_it_is_enough(project: "Project", inbox: Path) -> None:
    project.write(FIND)
    run(project, "one", fail="after")
    run(project, "two")
    assert project.cli("runs", "resolve", "one", "--as", "done", "--reason", "by hand").code == 0
    assert told(project) == []


def test_so_it_is_with_one_that_was_killed(project: "Project", inbox: Path) -> None:
    project.write(FIND)
    run(project, "one", fail="after")
    change(project, "UPDATE runs SET status='RUNNING', finished_at=NULL WHERE run_id='one'")
    with contextlib.closing(sqlite3.connect(project.states / "engine/registry.sqlite")) as db, db:
        db.execute("UPDATE runs SET status='RUNNING', ended_at=NULL, open_claims=NULL")
    run(project, "two")
    assert told(project) == [("INTERRUPTED", "one", ["aetherflow resume one"])]
    assert needs(project)[0]["cause"].endswith("; later runs have left what it took to a person, 2 in all")


def test_what_a_later_run_takes_over_heals(project: "Project", inbox: Path) -> None:
    project.write(FIND.replace("leave", "take_over"))
    run(project, "one", fail="after")
    run(project, "two")
    assert told(project) == []


def test_a_run_of_some_jobs_holds_what_it_took(project: "Project", inbox: Path) -> None:
    """It is no failure; once a later run that was whole has left its claims alone, a person has to see to them."""
    project.write(FIND)
    run(project, "part", "--flow-job", "take")
    assert told(project) == []
    run(project, "two")
    rest = f"aetherflow run {project.folder / 'flow.yaml'} --run-id part"
    settle = "aetherflow runs resolve part --reason TEXT --as "
    assert told(project) == [("UNFINISHED", "part", [rest, f"{settle}done", f"{settle}abandoned"])]
    assert needs(project)[0]["cause"] == "later runs have left what it took to a person, 2 in all"
    assert "UNFINISHED f" in project.cli("status").out
    assert needs(project)[0]["handle"] == "part"
    assert project.cli("runs", "ack", "part", "--reason", "ticket 1").code == 0
    assert [each["run_id"] for each in status(project)["in_hand"]] == ["part"]
    assert told(project) == []
    assert project.cli("runs", "ack", "two", "--reason", "ticket 1").code == 2
    assert project.cli(*shlex.split(rest)[1:]).code == 0
    assert told(project) == []


def test_it_is_written_off_with_all_that_was_before(project: "Project", inbox: Path) -> None:
    project.write(FIND)
    run(project, "part", "--flow-job", "take")
    (inbox / "c.txt").write_text("3")
    run(project, "one", fail="after")
    run(project, "two")
    assert sorted(each[1] for each in told(project)) == ["one", "part"]
    assert project.cli("runs", "ack", "--before", "2999-01-01", "--reason", "old").code == 0
    assert told(project) == []


def test_only_the_flows_that_were_asked_for(project: "Project", inbox: Path) -> None:
    """Several flows may have one state file."""
    for name in ("f", "g"):
        project.write(FIND.replace("{id: f,", f"{{id: {name}, state: {{path: {project.state}}},"), f"{name}.yaml")
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("FAIL", "after")
            assert project.cli("run", f"{name}.yaml", "--run-id", f"{name}1").code == 1
    assert [each["name"] for each in status(project, "--flow", "g")["needs_person"]] == ["g"]


def test_of_a_run_inside_another_the_outer_one_is_gone_on_with(project: "Project", inbox: Path) -> None:
    project.write(FIND.replace("  - {id: after, depends_on: [take], steps: [{id: s, type: test_fail_after}]}\n", ""))
    project.write(PARENT, "parent.yaml")
    fail(project, "one")
    assert told(project) == [("FAILED", "one", ["aetherflow resume one"])]
    assert project.cli("run", "parent.yaml", "--run-id", "two").code == 0
    ((status_told, inner, commands),) = told(project)
    assert (status_told, commands) == ("UNFINISHED", ["aetherflow resume one"])
    assert inner != "one"
    assert needs(project)[0]["holds_up"] == ["p/one"]
    assert project.cli("resume", "one").code == 0
    assert told(project) == []


def fail(project: "Project", run_id: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FAIL", "after")
        assert project.cli("run", "parent.yaml", "--run-id", run_id).code == 1


def test_one_that_has_lost_its_claims_is_told_what_works(project: "Project", inbox: Path) -> None:
    """Another slot has taken over: going on would be refused, so that is not what is printed."""
    project.write(pick_up())
    run(project, "one", "--slot", "2026-11-24T01:30Z", fail="load")
    run(project, "two", "--slot", "2026-11-25T01:30Z")
    assert told(project) == [("FAILED", "one", ["aetherflow resume one --from-step take"])]
    assert project.cli(*needs(project)[0]["commands"][0].split()[1:]).code == 0
    assert told(project) == []


def test_without_the_outer_run_a_person_settles_the_inner_one(project: "Project", inbox: Path) -> None:
    project.write(FIND.replace("  - {id: after, depends_on: [take], steps: [{id: s, type: test_fail_after}]}\n", ""))
    project.write(PARENT, "parent.yaml")
    fail(project, "one")
    assert project.cli("run", "parent.yaml", "--run-id", "two").code == 0
    with contextlib.closing(sqlite3.connect(project.states / "p.sqlite")) as db, db:
        db.execute("DELETE FROM runs WHERE run_id='one'")
    ((_, inner, commands),) = told(project)
    common = f"aetherflow runs resolve {inner} --reason TEXT --as"
    assert commands == [f"{common} done", f"{common} abandoned"]
    assert project.cli(*commands[0].split()[1:]).code == 0
    assert told(project) == []


def test_the_earliest_job_that_lost_something_is_named(project: "Project", monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that a later job has moved was taken by the earlier one."""
    inbox = project.work / "inbox"
    inbox.mkdir(parents=True)
    monkeypatch.setenv("INBOX", str(inbox))
    for name in ("a.txt", "b.txt"):
        (inbox / name).write_text(name)
    find = "{type: file_find, id: find, inputs: {path: '{{env.INBOX}}', pattern: NAME, new_only: true, on_empty: ok}"
    first = find.replace("NAME", "b.txt") + ", outputs: {files: '{{result.files}}'}}"
    move = "{src: '{{jobs.z.outputs.files}}', dest_dir: '{{env.INBOX}}/done', on_empty: ok}"
    project.write(
        "version: 1\nflow: {id: f, workspace: {cleanup_policy: never}}\njobs:\n"
        f"  - {{id: z, steps: [{first}]}}\n"
        f"  - {{id: a, depends_on: [z], steps: [{find.replace('NAME', 'a.txt')}}}]}}\n"
        f"  - {{id: archive, depends_on: [a], steps: [{{id: move, type: file_move, inputs: {move}}}]}}\n"
        "  - {id: after, depends_on: [archive], steps: [{id: s, type: test_fail_after}]}\n"
    )
    run(project, "one", "--slot", "2026-11-24T01:30Z", fail="after")
    assert (inbox / "done/b.txt").exists()
    run(project, "two", "--slot", "2026-11-25T01:30Z")
    refused = project.cli("resume", "one")
    assert "took over what it had claimed in z.find" in refused.err
    assert told(project) == [("FAILED", "one", ["aetherflow resume one --from-step z"])]
    again = project.cli("resume", "one", "--from-step", "z")
    assert again.code == 0, again.err
    assert told(project) == []
