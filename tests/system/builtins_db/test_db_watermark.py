"""Rows that a night had read and not finished with: the next one reads them again, and each is loaded once."""

import json
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import warm
from aetherflow.core.testing import FlowProject
from aetherflow_builtins_db.steps.watermark import Tracker
from db_places import postgres_place
from db_project import Project
from services import Database

SOURCE = """\
CREATE TABLE orders (id INTEGER PRIMARY KEY, s TEXT);
INSERT INTO orders SELECT i, 'x' FROM generate_series(1, 3) i
"""
TARGET = "CREATE TABLE target (id INTEGER PRIMARY KEY, s TEXT, load_id VARCHAR(600))"
MARK = {"column": "id", "initial": 0}


@pytest.fixture
def shop(postgres: Database, tmp_path: Path) -> Project:
    """Orders, and a table to load them into."""
    made = Project(tmp_path, {"wh": postgres_place(postgres, "watermarks").resource})
    made.sql(SOURCE, TARGET)
    return made


def night(shop: Project, fail: str | None, mode: str) -> Any:
    """Extract what is new, load it; fail before or after the load."""
    modes: dict[str, dict[str, Any]] = {
        "append": {"mode": "append", "load_id": "{{steps.new.claim}}", "load_id_column": "load_id"},
        "ledger": {"mode": "append", "load_id": "{{steps.new.claim}}"},
        "merge": {"mode": "merge", "keys": ["id"]},
    }
    bad = {"type": "db_execute", "sql": "SELECT no_such_column"}
    steps: dict[str, Any] = {
        "new": {
            "type": "db_extract",
            "sql": "SELECT id, s FROM orders WHERE id > :watermark ORDER BY id",
            "output": "new.csv",
            "watermark": MARK | {"name": "orders"},
            "on_empty": "skip",
        }
    }
    if fail == "early":
        steps["early"] = bad
    steps["load"] = {"type": "db_load", "table": "target", "path": "new.csv", "columns": ["id", "s"]} | modes[mode]
    if fail == "late":
        steps["late"] = bad
    return shop.run(**steps)


@pytest.mark.parametrize("fail", ["early", "late"])
@pytest.mark.parametrize("mode", ["append", "merge", "ledger"])
def test_rows_of_a_failed_night_are_read_again_and_loaded_once(shop: Project, mode: str, fail: str) -> None:
    bad = night(shop, fail, mode)
    assert bad.error
    if mode != "ledger":  # where the table has no column for the load's id, a repeated load is the very same file
        shop.sql("INSERT INTO orders VALUES (4, 'new'), (5, 'new')")
    good = night(shop, None, mode)
    assert good.status["load"] == "SUCCESS", good.error
    assert (good.outputs["new"]["watermark_before"], good.outputs["new"]["claim"]) == (0, bad.outputs["new"]["claim"])
    assert good.outputs["new"]["taken_over_from"] == bad.summary.run_id
    expected = [[number] for number in range(1, 4 if mode == "ledger" else 6)]
    assert shop.rows("SELECT id FROM target ORDER BY id") == expected
    shop.sql("INSERT INTO orders VALUES (9, 'later')")
    later = night(shop, None, mode)
    assert (later.outputs["new"]["rows"], later.outputs["new"]["taken_over_from"]) == (1, None)
    assert shop.rows("SELECT id FROM target ORDER BY id") == [*expected, [9]]


HOLD = "touch ready; while [ ! -e go ]; do sleep 0.05; done"


def held(folder: Path, if_claimed: str) -> None:
    """A flow that extracts, and then, if it is told so, lives on until there is a file `go`."""
    inputs = {
        "resource": "wh",
        "sql": "SELECT id FROM orders WHERE id > :watermark ORDER BY id",
        "output": "new.csv",
        "watermark": MARK | {"if_claimed": if_claimed},
    }
    hold = {"id": "hold", "type": "external.process", "inputs": {"shell": True, "command": HOLD, "cwd": str(folder)}}
    flow = {
        "version": 1,
        "flow": {
            "id": "flow",
            "workspace": {"root": str(folder / "work"), "cleanup_policy": "never"},
            "params": {"hold": {"type": "boolean", "default": False}},
        },
        "resources": {"wh": {"kind": "db", "driver": "sqlite3", "config": {"path": str(folder / "wh.sqlite")}}},
        "jobs": [
            {"id": "main", "steps": [{"id": "new", "type": "db_extract", "inputs": inputs}]},
            {"id": "hold", "depends_on": ["main"], "when": "params.hold == true", "steps": [hold]},
        ],
    }
    (folder / "flow.yaml").write_text(json.dumps(flow), encoding="utf-8")


@pytest.mark.parametrize("if_claimed", ["fail", "skip", "wait"])
def test_a_watermark_that_a_living_run_has_moved_is_busy(tmp_path: Path, if_claimed: str) -> None:
    project = FlowProject(tmp_path)
    project.work.mkdir()
    with closing(sqlite3.connect(tmp_path / "wh.sqlite")) as db:
        db.executescript("CREATE TABLE orders (id INTEGER); INSERT INTO orders VALUES (1), (2)")
    held(project.work, if_claimed)
    shutil.copy(project.work / "flow.yaml", project.folder)
    shutil.move(tmp_path / "wh.sqlite", project.work)
    command = [sys.executable, "-m", "aetherflow.core", "run", "flow.yaml", "--run-id", "first", "--param", "hold=true"]
    first = warm.Popen(command, cwd=project.folder, env=project.env, stderr=subprocess.DEVNULL)
    try:
        wait_for(project.work / "ready")
        with closing(sqlite3.connect(project.work / "wh.sqlite")) as db, db:
            db.execute("INSERT INTO orders VALUES (3)")
        if if_claimed == "wait":
            threading.Timer(0.5, (project.work / "go").touch).start()
        ran = project.run()
    finally:
        (project.work / "go").touch()
        assert first.wait(60) == 0
    new = ran["main.new"]
    if if_claimed == "fail":
        assert ran.error is not None
        assert (ran.error.code, "run first has moved the watermark" in ran.error.message) == ("AF5303", True)
    elif if_claimed == "skip":
        assert (new.status, new.outputs["rows"]) == ("SKIPPED", 0)
        assert "run first has moved the watermark" in (new.reason or "")
    else:
        assert (new.outputs["rows"], new.outputs["watermark_before"]) == (1, 2)


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < deadline, path
        time.sleep(0.02)


def test_two_extracts_at_once_share_no_row(tmp_path: Path) -> None:
    """Another run begins and ends while this one reads: who is later has the same rows, and fails."""
    project = FlowProject(tmp_path)
    project.work.mkdir()
    held(project.work, "fail")
    shutil.copy(project.work / "flow.yaml", project.folder)
    with closing(sqlite3.connect(project.work / "wh.sqlite")) as db:
        db.executescript("CREATE TABLE orders (id INTEGER); INSERT INTO orders VALUES (1), (2)")
    original = Tracker.claim

    def slow(tracker: Tracker) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Tracker, "claim", original)
            done = project.command("run", "flow.yaml", "--run-id", "fast")
        assert done.code == 0, done.err
        original(tracker)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Tracker, "claim", slow)
        ran = project.run()
    assert ran.error is not None
    assert ran.error.code == "AF5303"
    again = project.run(run_id=ran.summary.run_id)
    assert (again["main.new"].outputs["rows"], again["main.new"].outputs["watermark_before"]) == (0, 2)
