"""`status` and `runs`: what an operator sees of the past, also of runs whose process is gone."""

import contextlib
import shlex
import sqlite3
import time
from typing import TYPE_CHECKING

import pytest
from core_history import OK, by_flow, flow, runs, status

from aetherflow.core.records.registry import register
from aetherflow.core.records.registry_file import Registered

if TYPE_CHECKING:
    from core_project import Project


def test_nothing_ever_ran(project: "Project") -> None:
    project.states.mkdir()
    result = project.cli("status")
    assert (result.code, result.err) == (0, "")
    assert "no run under" in result.out
    assert "no such run" in project.cli("runs", "list").out
    assert list(project.states.iterdir()) == [], "looking creates nothing"


def test_a_run_of_another_host_is_judged_by_its_heartbeat(project: "Project") -> None:
    flow(project, "f", OK)
    assert project.cli("run", "f.yaml", "--run-id", "r").code == 0
    for age, expected in ((0, "running"), (120_000, "interrupted")):
        with contextlib.closing(sqlite3.connect(project.state)) as db:
            beat = time.time_ns() // 1_000_000 - age
            db.execute("UPDATE runs SET status='RUNNING', host='far-away', finished_at=NULL, heartbeat_at=?", (beat,))
            db.commit()
        with contextlib.closing(sqlite3.connect(project.states / "engine/registry.sqlite")) as db:
            db.execute("UPDATE runs SET status='RUNNING', ended_at=NULL")
            db.commit()
        assert by_flow(status(project)) == {"f": expected}


def test_200_flows_with_a_state_file_each(project: "Project") -> None:
    flow(project, "f", OK)
    assert project.cli("run", "f.yaml", "--run-id", "r").code == 0
    project.state.rename(project.folder / "template")
    (project.states / "engine/registry.sqlite").unlink()
    expected = {"RUNNING": "interrupted", "SUCCESS": "ok", "FAILED": "failed", "UNKNOWN": "unknown"}
    statuses = [*expected, "INTERRUPTED"]
    words = {**expected, "INTERRUPTED": "interrupted"}
    template = (project.folder / "template").read_bytes()
    for number in range(200):
        flow_id, path = f"flow{number:03}", project.states / f"flow{number:03}.sqlite"
        path.write_bytes(template)
        with contextlib.closing(sqlite3.connect(path)) as db:
            for table in ("runs", "job_runs", "step_runs", "journal"):
                db.execute(f"UPDATE {table} SET flow_id=?", (flow_id,))
            db.execute("UPDATE runs SET status=?", (statuses[number % 5],))
            db.commit()
        assert register(project.states, Registered(flow_id, "r", str(path), "/gone.yaml", number)) is None
    started = time.monotonic()
    document = status(project)
    assert time.monotonic() - started < 10
    assert by_flow(document) == {f"flow{n:03}": words[statuses[n % 5]] for n in range(200)}
    assert document["counts"] == {"interrupted": 80, "ok": 40, "failed": 40, "unknown": 40}
    lines = project.cli("status").out.splitlines()
    assert (lines[0].endswith("160 need a person"), lines[-1]) == (True, "ok          40 flows (--all)")
    assert sum("next: aetherflow resume r --flow" in line for line in lines) == 120
    assert len(runs(project)) == 20
    assert len(runs(project, "--limit", "500", "--status", "interrupted", "--status", "failed")) == 120


def test_a_state_file_that_cannot_be_read(project: "Project") -> None:
    for flow_id in ("broken", "old", "gone", "good"):
        flow(project, flow_id, OK)
        assert project.cli("run", f"{flow_id}.yaml", "--run-id", flow_id).code == 0
    (project.states / "broken.sqlite").write_text("no database " * 500)
    (project.states / "gone.sqlite").unlink()
    with contextlib.closing(sqlite3.connect(project.states / "old.sqlite")) as db:
        db.execute("PRAGMA user_version=1")
    document = status(project)
    assert by_flow(document) == {"broken": "unreadable", "old": "older", "gone": "gone", "good": "ok"}
    found = {each["flow_id"]: each["next"] for each in document["flows"]}
    assert found["old"] == f"aetherflow state migrate {project.states / 'old.sqlite'}"
    shown = project.cli("status").out
    assert f", as does: {found['old']}\n" in shown, "whole, however long its path is"
    result = project.cli("runs", "list")
    assert result.code == 4
    assert "good" in result.out
    assert result.err.count("AF4001") == 3


def test_the_command_that_migrates_a_state_works_when_it_is_typed(project: "Project") -> None:
    flow(project, "f", OK)
    assert project.cli("run", "f.yaml", "--run-id", "r").code == 0
    path = project.folder / "my states" / "f.sqlite"
    path.parent.mkdir()
    project.state.rename(path)
    assert register(project.states, Registered("f", "r", str(path), "f.yaml", 1)) is None
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version=2")
    (found,) = (each["next"] for each in status(project)["flows"] if each["state_path"] == str(path))
    assert shlex.split(found) == ["aetherflow", "state", "migrate", str(path)]


def test_a_run_whose_registry_was_lost_is_found(project: "Project") -> None:
    flow(project, "f", OK)
    assert project.cli("run", "f.yaml", "--run-id", "r").code == 0
    with contextlib.closing(sqlite3.connect(project.states / "engine/registry.sqlite")) as db:
        db.execute("DELETE FROM runs")
        db.commit()
    assert "run r of flow f: SUCCESS" in project.cli("runs", "show", "r").out


def test_the_project_file_names_the_state_root(project: "Project", monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AETHERFLOW_STATE_ROOT")
    project.write("version: 1\nroots: {state: mine}\n", "aetherflow.yaml").chmod(0o644)
    flow(project, "f", OK)
    assert project.cli("run", "f.yaml", "--run-id", "r").code == 0
    assert by_flow(status(project)) == {"f": "ok"}
    assert (project.folder / "mine/engine/registry.sqlite").exists()
    elsewhere = project.folder / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert by_flow(status(project, "--config", str(project.folder / "aetherflow.yaml"))) == {"f": "ok"}
