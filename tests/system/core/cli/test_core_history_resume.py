"""`resume`: by the id of a run, or by its flow; and how it refuses to start another run instead."""

import contextlib
import json
import sqlite3
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from core_project import Project

JOBS = """\
jobs:
  - id: a
    steps:
      - {id: one, type: external.process, inputs: {shell: true, command: 'echo one >> $EFFECTS'}}
      - {id: two, type: external.process, inputs: {shell: true, command: 'test -e go && echo two >> $EFFECTS'}}
"""
# the programs of a step run in the job's folder, so the file that they wait for is named absolutely


@pytest.fixture
def failed(project: "Project") -> "Project":
    """Run `r` of flow f failed in its second step."""
    project.flow(JOBS.replace("test -e go", f"test -e {project.folder}/go"))
    assert project.cli("run", "flow.yaml", "--run-id", "r", "-q").code == 1
    return project


def go(project: "Project") -> None:
    (project.folder / "go").touch()


def test_by_the_id_of_the_run(failed: "Project", monkeypatch: pytest.MonkeyPatch) -> None:
    assert failed.cli("resume", "r").code == 1
    go(failed)
    (failed.folder / "elsewhere").mkdir()
    monkeypatch.chdir(failed.folder / "elsewhere")
    result = failed.cli("resume", "r", "--json")
    assert result.code == 0, result
    document = json.loads(result.out)
    assert (document["schema"], document["run_id"], document["status"]) == (1, "r", "SUCCESS")
    assert failed.lines() == ["one", "two"]
    assert failed.cli("resume", "r").err.startswith("nothing to do: run r of flow f ended SUCCESS")


def test_by_the_flow_the_latest_unfinished_run(failed: "Project") -> None:
    assert failed.cli("run", "flow.yaml", "--run-id", "s", "-q").code == 1
    go(failed)
    assert failed.cli("run", "flow.yaml", "--run-id", "t", "-q").code == 0
    for run_id in ("s", "r"):
        result = failed.cli("resume", "flow.yaml", "-q")
        assert (result.code, result.out) == (0, "")
        assert failed.rows(f"SELECT status FROM runs WHERE run_id='{run_id}'") == [("SUCCESS",)]
    result = failed.cli("resume", "flow.yaml")
    assert (result.code, result.out) == (0, "")
    assert result.err.startswith("nothing to resume: every run of flow f ended well; run t ended SUCCESS at 20")


def test_what_cannot_be_resumed(failed: "Project") -> None:
    result = failed.cli("resume", "nobody")
    assert (result.code, "no run 'nobody' is known" in result.err) == (2, True)
    failed.write("version: 1\nflow: {id: g}\njobs: []\n", "g.yaml")
    result = failed.cli("resume", "g.yaml")
    assert (result.code, "fix: aetherflow run g.yaml" in result.err) == (2, True)
    (failed.folder / "flow.yaml").rename(failed.folder / "moved.yaml")
    result = failed.cli("resume", "r")
    assert (result.code, "is gone" in result.err, "--run-id r" in result.err) == (2, True, True)
    go(failed)
    assert failed.cli("resume", "moved.yaml", "-q").code == 0


def test_no_other_run_is_started_instead(failed: "Project") -> None:
    failed.write(f"version: 1\nflow: {{id: g}}\n{JOBS}")
    result = failed.cli("resume", "r")
    assert (result.code, "is now flow g" in result.err) == (2, True)
    failed.write(f"version: 1\nflow: {{id: f, state: {{path: other.sqlite}}}}\n{JOBS}")
    result = failed.cli("resume", "r")
    assert (result.code, "other.sqlite" in result.err) == (2, True)
    assert not (failed.folder / "other.sqlite").exists()


def test_parameters_and_dates_are_those_of_the_start(project: "Project") -> None:
    project.write(
        "version: 1\nflow: {id: f, params: {name: {type: string}}}\njobs: [{id: a, steps: [{id: s, "
        "type: external.process, inputs: {shell: true, command: "
        f"'echo {{{{params.name}}}} {{{{run.slot}}}} >> $EFFECTS; test -e {project.folder}/go'}}}}]}}]\n"
    )
    more = ["--param", "name=x", "--slot", "2026-01-01T00:00:00Z"]
    assert project.cli("run", "flow.yaml", "--run-id", "r", "-q", *more).code == 1
    go(project)
    assert project.cli("resume", "r", "-q").code == 0
    assert project.lines() == ["x 2026-01-01T00:00:00Z"] * 2


def test_changes_of_finished_steps(failed: "Project") -> None:
    failed.flow(JOBS.replace("test -e go", f"test -e {failed.folder}/go").replace("echo one", "echo ONE"))
    go(failed)
    result = failed.cli("resume", "r")
    assert (result.code, "AF3003" in result.err) == (2, True)
    assert failed.cli("resume", "r", "--accept-changes", "--reason", "only a spelling").code == 0
    assert failed.lines() == ["one", "two"]
    with contextlib.closing(sqlite3.connect(failed.state)) as db:
        details = [json.loads(row[0]) for row in db.execute("SELECT detail FROM journal WHERE event='change_accepted'")]
    assert details[0]["reason"] == "only a spelling"
