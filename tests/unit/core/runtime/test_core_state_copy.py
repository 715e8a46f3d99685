"""Copying states between files: run by run, safe to repeat, compared at the end."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from aetherflow.core.base import durable
from aetherflow.core.base.durable import failpoint
from aetherflow.core.kernel.state.ownership import RunLock
from aetherflow.core.runtime.state_copy import copy_states
from aetherflow.core.testing.failpoints import Action

if TYPE_CHECKING:
    from core_project import Project

INNER = "version: 1\nflow: {id: inner}\njobs: [{id: a, steps: [{id: s, type: check_items, inputs: {items: [1]}}]}]\n"
OUTER = """\
version: 1
flow: {id: f}
jobs:
  - id: a
    steps:
      - {id: call, type: run_flow, inputs: {flow: inner.yaml}}
      - {id: large, type: check_items, inputs: {items: ["{{env.LARGE}}"]}, outputs: {text: "{{env.LARGE}}"}}
      - {id: end, type: file_hash, inputs: {path: "{{env.MARK}}"}}
"""


@pytest.fixture
def root(project: "Project", monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state root with a run that failed, one that is well, and one inside each."""
    monkeypatch.setenv("MARK", str(project.folder / "mark"))
    monkeypatch.setenv("LARGE", "x" * 300_000)
    project.write(INNER, "inner.yaml")
    project.write(OUTER)
    assert project.cli("run", "flow.yaml", "--run-id", "r1").code == 1
    (project.folder / "mark").touch()
    assert project.cli("run", "flow.yaml", "--run-id", "r2").code == 0
    (project.folder / "mark").unlink()
    assert project.cli("runs", "ack", "r1", "--reason", "known").code == 0
    return project.states


def copied(project: "Project", *more: str, target: str = "copy") -> dict[str, object]:
    done = project.cli("state", "copy", str(project.states), str(project.folder / target), "--json", *more)
    assert done.code == 0, done.err
    return dict(json.loads(done.out)["copied"])


def test_all_of_a_root_is_copied_and_goes_on_there(
    project: "Project", root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, again = copied(project), copied(project)
    assert (first["runs"], first["left"], again["runs"], again["left"]) == (4, 0, 0, 4)
    assert first["sha256"] == again["sha256"]
    assert first["outputs"] == 2, "of each run of f one that is too large for a row"
    there = project.folder / "copy"
    monkeypatch.setenv("AETHERFLOW_STATE_ROOT", str(there))
    for name in ("f", "inner"):
        assert project.cli("state", "check", str(there / f"{name}.sqlite"), "--read-data").code == 0
    assert {run["run_id"] for run in json.loads(project.cli("runs", "list", "--json").out)["runs"]} >= {"r1", "r2"}
    (call,) = json.loads(project.cli("runs", "show", "r1", "--json").out)["flows"]
    assert call["state_path"] == str(there / "inner.sqlite")  # paths of states lead to the copies
    assert "run_start" in project.cli("runs", "logs", "r1").out
    (project.folder / "mark").touch()
    resumed = project.cli("resume", "r1")
    assert (resumed.code, "reused" in resumed.out) == (0, True)
    refused = project.cli("state", "copy", str(root), str(there))
    assert (refused.code, "run r1 of flow f has gone on in" in refused.err) == (4, True)


def test_what_went_on_at_the_source_is_copied_anew(project: "Project", root: Path) -> None:
    copied(project)
    (project.folder / "mark").touch()
    assert project.cli("resume", "r1").code == 0
    again = copied(project)
    assert (again["runs"], again["left"]) == (1, 3)
    with closing(sqlite3.connect(project.folder / "copy/f.sqlite")) as db:
        assert db.execute("SELECT count(*) FROM step_runs WHERE run_id='r1'").fetchone() == (4,)


def test_it_is_refused_while_a_run_is_live(project: "Project", root: Path) -> None:
    lock = RunLock(durable.side_folder(root / "f.sqlite") / "runs/f/r9.lock")
    lock.acquire("r9")
    refused = project.cli("state", "copy", str(root), str(project.folder / "copy"))
    lock.release()
    assert (refused.code, "has runs that are live: f/r9" in refused.err) == (3, True)


def test_wherever_it_is_killed_it_is_finished_by_doing_it_again(
    project: "Project", root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    number, killed = 1, 0
    while True:
        target = project.folder / f"killed-{number}"
        with monkeypatch.context() as failing:
            failing.setattr(failpoint, "act", Action(f"{number}:raise"))
            try:
                copy_states(root, target)
                break
            except RuntimeError:
                killed += 1
        again = copied(project, target=target.name)
        assert int(str(again["runs"])) + int(str(again["left"])) == 4
        number += 5
    assert killed > 10


@pytest.mark.parametrize(
    ("source", "target", "said"),
    [("nowhere", "copy", "there is no state in"), ("state", "state", "both are the same"),
     ("state", "//postgres:of_nobody", "nothing here says how to reach")],
)  # fmt: skip
def test_places_that_are_none(project: "Project", root: Path, source: str, target: str, said: str) -> None:
    refused = project.cli("state", "copy", source, target)
    assert refused.code in (2, 4)
    assert said in refused.err
