"""The event file: every event of every run as one JSON line with time, level and ids."""

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from core_project import Project

FLOW = """\
jobs:
  - id: a
    steps:
      - {id: s, type: check_items, inputs: {items: [1]}}
      - {id: t, type: external.process, inputs: {command: [ls, "%s"]}, retry: {max_attempts: 2}}
"""


def events(project: "Project", name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (project.folder / name).read_text().splitlines()]


def test_runs_share_one_file(project: "Project") -> None:
    project.flow(FLOW % "nowhere/{{env.API_TOKEN}}")
    env = {"AETHERFLOW_EVENTS_FILE": "logs/all.jsonl", "API_TOKEN": "hunter-two"}
    for run_id in ("r1", "r2"):
        assert project.command("run", "flow.yaml", "--run-id", run_id, env=env).code == 1
    found = events(project, "logs/all.jsonl")
    assert {(item["flow_id"], item["run_id"]) for item in found} == {("f", "r1"), ("f", "r2")}
    assert all(isinstance(item["ts_ms"], int) for item in found)
    first = [(item["event"], item["level"]) for item in found if item["run_id"] == "r1"]
    assert first == [
        ("run_start", "INFO"),
        ("job_start", "INFO"),
        ("step_start", "INFO"),
        ("step_end", "INFO"),
        ("step_start", "INFO"),
        ("step_end", "ERROR"),
        ("step_retry", "WARNING"),
        ("step_start", "INFO"),
        ("step_end", "ERROR"),
        ("job_end", "ERROR"),
        ("run_summary", "ERROR"),
    ]
    assert "hunter-two" not in (project.folder / "logs/all.jsonl").read_text()


def test_the_project_file_names_it_from_its_own_folder(project: "Project") -> None:
    project.write("version: 1\nlog: {events_file: all.jsonl}\n", "aetherflow.yaml")
    (project.folder / "flows").mkdir()
    project.write("version: 1\nflow: {id: f}\njobs: []\n", "flows/flow.yaml")
    assert project.command("run", "flows/flow.yaml", "--run-id", "r").code == 0
    assert [item["event"] for item in events(project, "all.jsonl")] == ["run_start", "run_summary"]


def test_a_file_that_cannot_be_opened_is_said_before_anything_runs(project: "Project") -> None:
    project.flow("jobs: []\n")
    done = project.command("run", "flow.yaml", env={"AETHERFLOW_EVENTS_FILE": str(project.folder)})
    assert done.code == 2
    assert f"AF0002 the event file {project.folder} cannot be opened: Is a directory" in done.err
    assert project.rows("SELECT count(*) FROM runs") == [(0,)]


def test_a_disk_that_is_full_does_not_end_the_run(project: "Project") -> None:
    project.flow("jobs: []\n")
    done = project.command("run", "flow.yaml", env={"AETHERFLOW_EVENTS_FILE": "/dev/full"})
    assert done.code == 0
    assert "an observer of the run failed and sees no more events" in done.err
