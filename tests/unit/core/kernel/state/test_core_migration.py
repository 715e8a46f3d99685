"""State files of older engines: brought to today's schema, after a backup."""

import contextlib
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

from aetherflow.core.kernel.state.migration import migrate
from aetherflow.core.kernel.state.schema import SCHEMA_VERSION
from aetherflow.core.kernel.state.store import StateStore

if TYPE_CHECKING:
    from core_project import Project

V1_TABLES = """
CREATE TABLE runs (
    flow_id TEXT NOT NULL, run_id TEXT NOT NULL, generation INTEGER NOT NULL, status TEXT NOT NULL, reason TEXT,
    engine_version TEXT NOT NULL, flow_path TEXT NOT NULL, fingerprint TEXT NOT NULL,
    params TEXT NOT NULL, slot TEXT, run_date TEXT NOT NULL, data_date TEXT NOT NULL,
    actor TEXT NOT NULL, host TEXT NOT NULL, pid INTEGER NOT NULL, trigger TEXT NOT NULL, command TEXT NOT NULL,
    started_at INTEGER NOT NULL, finished_at INTEGER, error TEXT,
    PRIMARY KEY (flow_id, run_id)
) WITHOUT ROWID, STRICT;
CREATE TABLE job_runs (
    flow_id TEXT NOT NULL, run_id TEXT NOT NULL, job_id TEXT NOT NULL, status TEXT NOT NULL,
    when_result INTEGER, outputs TEXT, blob TEXT, skip_reason TEXT, blocked_by TEXT, error TEXT,
    started_at INTEGER NOT NULL, finished_at INTEGER,
    PRIMARY KEY (flow_id, run_id, job_id)
) WITHOUT ROWID, STRICT;
CREATE TABLE step_runs (
    flow_id TEXT NOT NULL, run_id TEXT NOT NULL, job_id TEXT NOT NULL, step_id TEXT NOT NULL,
    item_key TEXT NOT NULL DEFAULT '', attempt INTEGER NOT NULL, status TEXT NOT NULL, effect TEXT NOT NULL,
    idem_key TEXT NOT NULL, outputs TEXT, blob TEXT, plugin TEXT NOT NULL, reason TEXT, error TEXT,
    started_at INTEGER NOT NULL, finished_at INTEGER,
    PRIMARY KEY (flow_id, run_id, job_id, step_id, item_key, attempt)
) WITHOUT ROWID, STRICT;
CREATE TABLE artifacts (
    flow_id TEXT NOT NULL, run_id TEXT NOT NULL, job_id TEXT NOT NULL, step_id TEXT NOT NULL,
    item_key TEXT NOT NULL DEFAULT '', path TEXT NOT NULL, size INTEGER NOT NULL, sha256 TEXT NOT NULL, gone_by TEXT,
    PRIMARY KEY (flow_id, run_id, path)
) WITHOUT ROWID, STRICT;
CREATE TABLE journal (
    seq INTEGER PRIMARY KEY, flow_id TEXT NOT NULL, run_id TEXT NOT NULL, at INTEGER NOT NULL,
    event TEXT NOT NULL, detail TEXT NOT NULL
) STRICT;
CREATE TABLE ledger (
    flow_id TEXT NOT NULL, namespace TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL,
    run_id TEXT NOT NULL, at INTEGER NOT NULL,
    PRIMARY KEY (flow_id, namespace, key)
) WITHOUT ROWID, STRICT;
"""
"""The first schema, as it was."""


def columns(path: Path) -> dict[str, set[str]]:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        found = connection.execute("SELECT name FROM sqlite_master WHERE type IN ('table', 'index')")
        names = [row[0] for row in found]
        return {name: {row[1] for row in connection.execute(f"PRAGMA table_info({name})")} for name in names}


def old_file(path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript(V1_TABLES)
        connection.execute("PRAGMA user_version=1")
        connection.execute(
            "INSERT INTO runs VALUES ('f', 'r', 1, 'FAILED', NULL, '1.0.0', 'flow.yaml', 'abc', '{}', NULL, "
            "'2026-01-01', '2026-01-01', 'me', 'here', 1, 'cli', 'aetherflow run', 1, 2, 'x')"
        )
        connection.commit()


def test_an_old_file_gets_todays_tables_and_keeps_its_rows(project: "Project") -> None:
    old_file(project.state)
    StateStore(project.state).close()
    fresh = project.folder / "fresh.sqlite"
    StateStore(fresh).close()
    assert columns(project.state) == columns(fresh)
    assert project.rows("PRAGMA user_version") == [(SCHEMA_VERSION,)]
    assert project.rows("SELECT run_id, status, error FROM runs") == [("r", "FAILED", "x")]


def test_the_backup_is_the_old_file(project: "Project") -> None:
    old_file(project.state)
    with contextlib.closing(sqlite3.connect(project.state, isolation_level=None)) as connection:
        backup = migrate(connection, project.state)
        assert backup == project.state.with_name("f.sqlite.v1.bak")
        assert migrate(connection, project.state) is None
    assert backup.stat().st_mode & 0o077 == 0
    with contextlib.closing(sqlite3.connect(backup)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)
        assert connection.execute("SELECT run_id FROM runs").fetchone() == ("r",)
    assert "definitions" not in columns(backup)


def test_the_backup_of_a_migration_replaces_no_other(project: "Project") -> None:
    kept = project.state.with_name("f.sqlite.v1.bak")
    old_file(project.state)
    kept.write_text("all that is left")
    StateStore(project.state).close()
    assert kept.read_text() == "all that is left"
    with contextlib.closing(sqlite3.connect(kept.with_name("f.sqlite.v1-2.bak"))) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)


def test_an_old_run_is_resumed(project: "Project") -> None:
    old_file(project.state)
    project.flow("jobs: [{id: a, steps: [{id: s, type: check_items, inputs: {items: [1]}}]}]")
    assert project.cli("run", "flow.yaml", "--run-id", "r").code == 0
    assert project.rows("SELECT status, generation FROM runs") == [("SUCCESS", 2)]
