"""State files of older engines: brought to today's schema, after a backup."""

import contextlib
import sqlite3
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from aetherflow.core.base import durable
from aetherflow.core.base.errors import StateError
from aetherflow.core.kernel.state.ownership import RunLock
from aetherflow.core.kernel.state.records import now_ms
from aetherflow.core.kernel.state.schema import SCHEMA_VERSION
from aetherflow.core.kernel.state.store import StateStore
from aetherflow.core.records import backup as backups
from aetherflow.core.records.living import HEARTBEAT_LIMIT_MS
from aetherflow.core.records.migration import migrate, open_state
from aetherflow.core.records.registry import known_flows, register
from aetherflow.core.records.registry_file import Registered
from old_data import OldData, unpack

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
    open_state(project.state).close()
    fresh = project.folder / "fresh.sqlite"
    open_state(fresh).close()
    assert columns(project.state) == columns(fresh)
    assert project.rows("PRAGMA user_version") == [(SCHEMA_VERSION,)]
    assert project.rows("SELECT run_id, status, error FROM runs") == [("r", "FAILED", "x")]


def test_the_backup_is_the_old_file(project: "Project") -> None:
    old_file(project.state)
    with contextlib.closing(durable.connect(project.state, busy_seconds=1)) as connection:
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
    open_state(project.state).close()
    assert kept.read_text() == "all that is left"
    with contextlib.closing(sqlite3.connect(kept.with_name("f.sqlite.v1-2.bak"))) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)


def test_a_database_of_something_else_is_not_taken_for_an_old_state(project: "Project") -> None:
    assert register(project.states, Registered("f", "r", str(project.state), "f.yaml", 1)) is None
    registry = project.states / "engine/registry.sqlite"
    before = registry.read_bytes()
    result = project.cli("state", "migrate", str(registry))
    assert (result.code, "AF4001" in result.err, "is no state file" in result.err) == (4, True, True)
    assert registry.read_bytes() == before
    assert not list(project.states.glob("*.bak"))


def test_a_state_that_cannot_be_migrated_is_left_as_it_is_and_named(project: "Project") -> None:
    old_file(project.state)
    with contextlib.closing(sqlite3.connect(project.state)) as connection:
        connection.execute("DROP TABLE job_runs")
    result = project.cli("state", "migrate", str(project.state))
    assert (result.code, "AF4001" in result.err) == (4, True)
    assert f"state file {project.state} cannot be migrated: no such table: job_runs" in result.err
    assert project.rows("PRAGMA user_version") == [(1,)]
    assert "parent" not in columns(project.state)["runs"]


def test_the_backup_stands_beside_the_file_that_a_link_names(project: "Project") -> None:
    real = project.folder / "disk/f.sqlite"
    old_file(real)
    project.states.mkdir(exist_ok=True)
    project.state.symlink_to(real)
    open_state(project.state).close()
    assert real.with_name("f.sqlite.v1.bak").exists()
    assert not list(project.states.glob("*.bak"))


def test_an_old_run_is_resumed(project: "Project") -> None:
    old_file(project.state)
    project.flow("jobs: [{id: a, steps: [{id: s, type: check_items, inputs: {items: [1]}}]}]")
    assert project.cli("run", "flow.yaml", "--run-id", "r").code == 0
    assert project.rows("SELECT status, generation FROM runs") == [("SUCCESS", 2)]


# Files of 1.0.0

WHOLE = ("runs", "job_runs", "step_runs", "artifacts", "journal", "ledger", "definitions")


@pytest.fixture
def data(tmp_path: Path) -> OldData:
    return unpack(tmp_path / "data")


def state_of(data: OldData, flow: str) -> Path:
    return data.states / f"{flow}.sqlite"


def test_nothing_is_rewritten_that_1_0_0_wrote(data: OldData) -> None:
    for flow in ("failed", "items", "killed", "good"):
        open_state(state_of(data, flow)).close()
        before = data.expected(flow)
        for table in WHOLE:
            names = ", ".join(before[table][0]) if before[table] else "*"
            assert data.state(flow, f"SELECT {names} FROM {table}") == before[table], (flow, table)
        assert data.state(flow, "SELECT DISTINCT def_version FROM step_runs") == [{"def_version": 1}]
        assert data.state(flow, "SELECT name, value FROM meta WHERE name='migrated_from'")[0]["value"] == "2"
        assert columns(state_of(data, flow)) == columns(fresh(data.folder))


def fresh(folder: Path) -> Path:
    path = folder / "fresh.sqlite"
    open_state(path).close()
    return path


def test_a_file_in_use_is_not_migrated(data: OldData) -> None:
    path = state_of(data, "failed")
    before = path.read_bytes()
    lock = RunLock(path.with_name("failed.sqlite.d") / "runs/failed/failed-1.lock")
    lock.acquire("failed-1")
    try:
        with pytest.raises(StateError, match=r"older schema 2 and is in use by failed/failed-1: it is not") as caught:
            open_state(path)
        assert caught.value.fix == "wait for it, or stop it; then do the same again"
    finally:
        lock.release()
    assert path.read_bytes() == before
    assert list(path.parent.glob("failed.sqlite*.bak")) == []
    open_state(path).close()
    assert data.state("failed", "PRAGMA user_version") == [{"user_version": SCHEMA_VERSION}]


def test_a_file_that_another_host_uses_is_not_migrated(data: OldData) -> None:
    path = state_of(data, "killed")
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("UPDATE runs SET host='elsewhere', heartbeat_at=?", (now_ms(),))
        db.commit()
    with pytest.raises(StateError, match="in use by killed/killed-1 on elsewhere"):
        open_state(path)
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("UPDATE runs SET heartbeat_at=?", (now_ms() - HEARTBEAT_LIMIT_MS,))
        db.commit()
    open_state(path).close()


def test_reasons_of_1_0_get_their_codes(data: OldData) -> None:
    """Those of which the data has none."""
    path = state_of(data, "retried")
    words = {
        ("SKIPPED", "", None, "no rows"): "no_data",
        ("SKIPPED", "", None, "step requested skip_job"): "skip_job",
        ("SKIPPED", "t", '{"items":[1]}', "all 1 items were skipped"): "items_skipped",
        ("SKIPPED", "t", None, "no rows"): "step",
        ("SUCCESS", "t", None, "verified"): "verified",
        ("SUCCESS", "t", None, "decided by ann"): "decided",
    }
    insert = (
        "INSERT INTO step_runs (flow_id, run_id, job_id, step_id, attempt, status, effect, idem_key, plugin, items, "
        "reason, started_at) VALUES ('retried', 'retried-1', 'words', ?, 1, ?, 'once', '', ?, ?, ?, 1)"
    )
    with contextlib.closing(sqlite3.connect(path)) as db:
        for number, (status, plugin, items, reason) in enumerate(words):
            db.execute(insert, (f"s{number}", status, plugin, items, reason))
        db.execute("UPDATE job_runs SET status='SKIPPED', skip_reason='step requested skip_job' WHERE job_id='main'")
        db.commit()
    open_state(path).close()
    found = data.state("retried", "SELECT reason_code FROM step_runs WHERE job_id='words' ORDER BY step_id")
    assert [row["reason_code"] for row in found] == list(words.values())
    jobs = data.state("retried", "SELECT DISTINCT reason_code FROM job_runs WHERE job_id='main'")
    assert jobs == [{"reason_code": "skip_job"}]


def test_what_1_0_wrote_of_interrupted_attempts_gets_codes(data: OldData) -> None:
    path = state_of(data, "retried")
    words = {
        "the process that ran it ended": "process_ended",
        "stopped before it began": "not_begun",
        "signal 15": "stopped",
        "stopped": "stopped",  # a step with for_each
        "the run is being stopped": "stopped",  # a step inside a step
        "exit code 143": None,
    }
    insert = (
        "INSERT INTO step_runs (flow_id, run_id, job_id, step_id, attempt, status, effect, idem_key, plugin, error, "
        "started_at) VALUES ('retried', 'retried-1', 'words', ?, 1, 'INTERRUPTED', 'once', '', 't', ?, 1)"
    )
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.executemany(insert, [(f"s{number}", error) for number, error in enumerate(words)])
        db.commit()
    open_state(path).close()
    found = data.state("retried", "SELECT reason_code FROM step_runs WHERE job_id='words' ORDER BY step_id")
    assert [row["reason_code"] for row in found] == list(words.values())


def test_two_that_open_an_old_file_at_once(data: OldData) -> None:
    """The second one finds it migrated, and makes no second backup."""
    path = state_of(data, "failed")
    opened: list[StateStore] = []
    threads = [threading.Thread(target=lambda: opened.append(open_state(path))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(opened) == 4
    for store in opened:
        store.close()
    assert [found.name for found in path.parent.glob("failed.sqlite*.bak")] == ["failed.sqlite.v2.bak"]


def test_an_old_registry_is_migrated_and_read_before(data: OldData) -> None:
    root = data.states
    assert len(known_flows(root)) == 22
    assert data.rows(f"{root.relative_to(data.folder)}/registry.sqlite", "PRAGMA user_version")[0]["user_version"] == 1
    assert register(root, Registered("new", "r", str(root / "new.sqlite"), "new.yaml", 1)) is None
    registry = str((root / "registry.sqlite").relative_to(data.folder))
    assert data.rows(registry, "PRAGMA user_version") == [{"user_version": 3}]
    assert data.rows(registry, "SELECT count(*) AS n FROM refused") == [{"n": 0}]
    assert data.rows(f"{registry}.v1.bak", "PRAGMA user_version") == [{"user_version": 1}]
    assert len(known_flows(root)) == 23


def test_a_backup_of_an_older_engine_is_restored(data: OldData, monkeypatch: pytest.MonkeyPatch) -> None:
    path, copy = state_of(data, "failed"), data.folder / "failed.tar"
    with monkeypatch.context() as older:
        older.setattr(backups, "SCHEMA_VERSION", 2)
        backups.backup_state(path, copy)
    open_state(path).close()
    assert backups.restore_state(path, copy).runs == 1
    assert data.state("failed", "PRAGMA user_version") == [{"user_version": SCHEMA_VERSION}]
    assert data.state("failed", "SELECT DISTINCT def_version FROM step_runs") == [{"def_version": 1}]
    assert path.with_name("failed.sqlite.v2-2.bak").exists(), "what was restored, as it was"
