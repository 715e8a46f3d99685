"""What goes on with a run: found by the folder, the project file, and what the run's row knows."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from aetherflow.core.records.history import PastRun, list_runs
from aetherflow.core.runtime.resuming import Resumes, Start, start_of

if TYPE_CHECKING:
    from core_project import Project

FAILS = "version: 1\nflow: {{id: {0}}}\njobs: [{{id: a, steps: [{{id: s, type: fail, inputs: {{message: no}}}}]}}]\n"


def failed(project: "Project", flow_id: str = "f") -> PastRun:
    """Run `r` of a flow, which failed."""
    project.write(FAILS.format(flow_id), f"{flow_id}.yaml")
    assert project.cli("run", f"{flow_id}.yaml", "--run-id", "r").code == 1
    (run,) = list_runs(project.states / f"{flow_id}.sqlite", run_id="r")
    return run


def test_the_command_is_the_same_wherever_the_run_is_found(project: "Project", tmp_path: Path) -> None:
    run = failed(project)
    assert Resumes(project.states, here=tmp_path).commands(run) == ("aetherflow resume r",)
    failed(project, "g")
    assert Resumes(project.states).commands(run) == ("aetherflow resume r --flow f",)


def test_where_it_is_not_found_the_project_file_or_the_folder_of_the_run_leads_to_it(
    project: "Project", monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run = failed(project)
    monkeypatch.delenv("AETHERFLOW_STATE_ROOT")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "other"))
    there = tmp_path / "a b"
    there.mkdir()
    config = there / "aetherflow.yaml"
    config.write_text(f"version: 1\nroots: {{state: {project.states}}}\n")
    of_that = run._replace(config=str(config), working_dir=str(tmp_path))
    assert Resumes(project.states).commands(of_that) == (f"aetherflow resume r --config '{config}'",)
    of_that = run._replace(config=None, working_dir=str(there))
    assert Resumes(project.states).commands(of_that) == (f"cd '{there}' && aetherflow resume r",)
    assert Resumes(project.states, here=there).commands(of_that) == ("aetherflow resume r",)
    monkeypatch.chdir(tmp_path)
    given = Path("a b/aetherflow.yaml")
    of_that = run._replace(config=str(config))
    assert Resumes(project.states, given).commands(of_that) == ("aetherflow resume r --config 'a b/aetherflow.yaml'",)


def test_a_root_that_is_relative_to_a_folder_is_looked_for_there(
    project: "Project", monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run = failed(project)
    monkeypatch.setenv("AETHERFLOW_STATE_ROOT", "state")
    assert Resumes(project.states).commands(run) == ("aetherflow resume r",)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    command = f"cd {project.folder} && aetherflow resume r"
    assert Resumes(project.states, here=elsewhere).commands(run) == (command,)


@pytest.mark.parametrize(
    ("command", "flow_path", "expected"),
    [
        ("run flows/f.yaml --config ops/c.yaml", "/srv/flows/f.yaml", Start(Path("/srv"), Path("/srv/ops/c.yaml"))),
        ("run ../f.yaml --config=c.yaml", "/srv/a/../f.yaml", Start(Path("/srv/a"), Path("/srv/a/c.yaml"))),
        ("run --flow-yaml=f.yaml -q", "/srv/f.yaml", Start(Path("/srv"), None)),
        ("run /srv/f.yaml --config /etc/c.yaml", "/srv/f.yaml", Start(None, Path("/etc/c.yaml"))),
        ("run /srv/f.yaml --config c.yaml", "/srv/f.yaml", Start(None, None, "c.yaml")),
        ("run f.yaml --param 'a=***", "/srv/f.yaml", Start(None, None)),
    ],
)
def test_a_row_of_1_0_says_by_its_command_line_how_it_was_started(
    project: "Project", command: str, flow_path: str, expected: Start
) -> None:
    old: dict[str, Any] = {"working_dir": None, "config": None, "manifest": None}
    assert start_of(failed(project)._replace(command=f"aetherflow {command}", flow_path=flow_path, **old)) == expected


def test_a_wrapped_command_of_1_0_is_typed_where_it_was(project: "Project") -> None:
    command = "aetherflow wrap --id w --config c.yaml -- sh --config other"
    old: dict[str, Any] = {"working_dir": None, "config": None, "trigger": "wrap", "flow_path": "/srv/jobs/wrap w"}
    run = failed(project)._replace(command=command, **old)
    assert start_of(run) == Start(Path("/srv/jobs"), Path("/srv/jobs/c.yaml"))
    assert Resumes(project.states).commands(run) == (f"cd /srv/jobs && {command}",)


def test_a_wrapped_command_is_one_whoever_has_called_it(project: "Project") -> None:
    named: dict[str, Any] = {"working_dir": None, "config": None, "trigger": "scheduler"}
    run = failed(project)._replace(command="aetherflow wrap --id w -- true", flow_id="w", **named)
    assert Resumes(project.states).commands(run._replace(flow_path="/srv/jobs/wrap w")) == (
        "cd /srv/jobs && aetherflow wrap --id w -- true",
    )
    assert "resume" in Resumes(project.states).commands(run._replace(flow_path="/srv/jobs/w.yaml"))[0]


def test_what_is_hidden_in_a_command_is_to_be_filled_in(project: "Project") -> None:
    run = failed(project)._replace(trigger="wrap", command="aetherflow wrap --id w -- curl -u 'ada:***' http://x")
    assert Resumes(project.states).commands(run) == ("aetherflow wrap --id w -- curl -u ada:VALUE http://x",)
