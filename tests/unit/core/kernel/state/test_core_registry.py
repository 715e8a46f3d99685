"""The registry of runs: an index that may be lost, and that no run depends on."""

import contextlib
import shutil
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from core_registry import flow, known, rows

from aetherflow.core.kernel.state import registry
from aetherflow.core.kernel.state.registry_file import KnownFlow, Registered

if TYPE_CHECKING:
    from core_project import Project


def test_a_run_registers_itself_once(project: "Project") -> None:
    path = flow(project, "f")
    for _ in range(2):
        assert project.cli("run", "f.yaml", "--run-id", "r").code == 0
    assert rows(project, "SELECT run_id, flow_id, state_path, flow_path FROM runs") == [
        ("r", "f", str(project.state), str(path))
    ]
    assert (project.states / "registry.sqlite").stat().st_mode & 0o777 == 0o600


def test_two_flows_on_one_state_file_and_one_run_id(project: "Project") -> None:
    shared = str(project.folder / "elsewhere" / "shared.db")
    for flow_id in ("f", "g"):
        flow(project, flow_id, shared)
        assert project.cli("run", f"{flow_id}.yaml", "--run-id", "r").code == 0
    assert known(project) == [("f", shared), ("g", shared)]
    assert [(run.flow_id, run.state_path) for run in registry.find_runs(project.states, "r")] == known(project)


def test_without_a_registry_the_state_root_is_searched_and_nothing_written(project: "Project") -> None:
    for flow_id in ("f", "g"):
        flow(project, flow_id)
        assert project.cli("run", f"{flow_id}.yaml", "--run-id", "r").code == 0
    before = registry.known_flows(project.states)
    (project.states / "registry.sqlite").unlink()
    (project.states / "other.sqlite").write_bytes(b"no database")
    names = sorted(path.name for path in project.states.iterdir())
    found = registry.known_flows(project.states)
    assert [(each.flow_id, each.state_path, each.flow_path) for each in found] == [
        (each.flow_id, each.state_path, each.flow_path) for each in before
    ]
    assert len(registry.find_runs(project.states, "r")) == 2
    assert project.cli("status").code == 0
    assert project.cli("runs", "list").out.count("SUCCESS") == 2
    assert sorted(path.name for path in project.states.iterdir()) == names


def test_the_next_run_builds_a_missing_registry(project: "Project") -> None:
    for flow_id in ("f", "g"):
        flow(project, flow_id)
        assert project.cli("run", f"{flow_id}.yaml", "--run-id", "old").code == 0
    (project.states / "registry.sqlite").unlink()
    assert project.cli("run", "f.yaml", "--run-id", "new").code == 0
    assert rows(project, "SELECT flow_id, run_id FROM runs ORDER BY 1, 2") == [("f", "new"), ("f", "old"), ("g", "old")]


@pytest.mark.parametrize("damage", ["text", "header", "table"])
def test_a_damaged_registry_is_a_warning_and_built_anew(project: "Project", damage: str) -> None:
    outside = str(project.folder / "outside.db")
    flow(project, "f")
    flow(project, "g", outside)
    for flow_id in ("f", "g"):
        assert project.cli("run", f"{flow_id}.yaml", "--run-id", "old").code == 0
    path = project.states / "registry.sqlite"
    if damage == "text":
        path.write_text("no database " * 500)
    elif damage == "header":
        path.write_bytes(b"SQLite format 3\0" + b"\xff" * 5000)
    else:
        with contextlib.closing(sqlite3.connect(path)) as connection:
            connection.execute("DROP TABLE runs")
    assert project.cli("runs", "list").code == 0
    result = project.cli("run", "f.yaml", "--run-id", "new")
    assert result.code == 0
    assert "was damaged" in result.err
    assert path.with_name("registry.sqlite.damaged").exists()
    found = set(rows(project, "SELECT flow_id, run_id FROM runs"))
    assert {("f", "old"), ("f", "new")} <= found
    if damage == "table":  # what the old one still says about states elsewhere is not lost
        assert ("g", "old") in found
    assert "was damaged" not in project.cli("run", "f.yaml", "--run-id", "third").err


def test_a_registry_that_cannot_be_written_does_not_stop_a_run(project: "Project") -> None:
    flow(project, "f", str(project.folder / "f.sqlite"))
    project.states.write_text("a file in the way of the folder")
    result = project.cli("run", "f.yaml", "--run-id", "r")
    assert result.code == 0
    assert "the registry of runs" in result.err
    assert "cannot be written" in result.err


def test_a_registry_of_a_newer_engine_stays_as_it_is(project: "Project") -> None:
    flow(project, "f")
    assert project.cli("run", "f.yaml", "--run-id", "r").code == 0
    with contextlib.closing(sqlite3.connect(project.states / "registry.sqlite")) as connection:
        connection.execute("PRAGMA user_version=9")
    result = project.cli("run", "f.yaml", "--run-id", "s")
    assert result.code == 0
    assert "it has schema 9" in result.err
    assert rows(project, "SELECT run_id FROM runs") == [("r",)]


def test_adopt_and_forget(tmp_path: Path, project: "Project") -> None:
    flow(project, "f")
    assert project.cli("run", "f.yaml", "--run-id", "r").code == 0
    (tmp_path / "deep").mkdir()
    shutil.copy(project.state, tmp_path / "deep/f.sqlite")
    for _ in range(2):
        registry.adopt(tmp_path, tmp_path / "deep/f.sqlite")
    (found,) = registry.known_flows(tmp_path)
    assert isinstance(found, KnownFlow)
    assert found.state_path == str(tmp_path / "deep/f.sqlite")
    registry.adopt(tmp_path, project.state)
    both = registry.find_runs(tmp_path, "r")
    assert [type(run) for run in both] == [Registered, Registered]
    registry.forget(tmp_path, [("f", "r", project.state)])
    assert [run.state_path for run in registry.find_runs(tmp_path, "r")] == [found.state_path]
    assert len(registry.known_flows(tmp_path)) == 2
