"""Tables of a state file. Times are UTC epoch milliseconds; JSON is stored as text."""

import sqlite3
from pathlib import Path

from aetherflow.core.base import durable
from aetherflow.core.base.errors import StateError

SCHEMA_VERSION = 2

_TABLES = """
CREATE TABLE runs (
    flow_id TEXT NOT NULL, run_id TEXT NOT NULL, generation INTEGER NOT NULL, status TEXT NOT NULL, reason TEXT,
    engine_version TEXT NOT NULL, flow_path TEXT NOT NULL, fingerprint TEXT NOT NULL,
    params TEXT NOT NULL, slot TEXT, run_date TEXT NOT NULL, data_date TEXT NOT NULL,
    actor TEXT NOT NULL, host TEXT NOT NULL, pid INTEGER NOT NULL, trigger TEXT NOT NULL, command TEXT NOT NULL,
    started_at INTEGER NOT NULL, finished_at INTEGER, error TEXT,
    parent TEXT, heartbeat_at INTEGER,
    PRIMARY KEY (flow_id, run_id)
) WITHOUT ROWID, STRICT;
CREATE TABLE job_runs (
    flow_id TEXT NOT NULL, run_id TEXT NOT NULL, job_id TEXT NOT NULL, status TEXT NOT NULL,
    when_result INTEGER, outputs TEXT, blob TEXT, skip_reason TEXT, blocked_by TEXT, error TEXT,
    started_at INTEGER NOT NULL, finished_at INTEGER,
    def_hash TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (flow_id, run_id, job_id)
) WITHOUT ROWID, STRICT;
CREATE TABLE step_runs (
    flow_id TEXT NOT NULL, run_id TEXT NOT NULL, job_id TEXT NOT NULL, step_id TEXT NOT NULL,
    item_key TEXT NOT NULL DEFAULT '', attempt INTEGER NOT NULL, status TEXT NOT NULL, effect TEXT NOT NULL,
    idem_key TEXT NOT NULL, outputs TEXT, blob TEXT, plugin TEXT NOT NULL, reason TEXT, error TEXT,
    started_at INTEGER NOT NULL, finished_at INTEGER,
    def_hash TEXT NOT NULL DEFAULT '', items TEXT, items_blob TEXT, secret_keys TEXT,
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
CREATE TABLE definitions (hash TEXT PRIMARY KEY, text TEXT NOT NULL) WITHOUT ROWID, STRICT;
CREATE INDEX runs_by_start ON runs (started_at);
CREATE INDEX journal_by_run ON journal (flow_id, run_id, seq);
"""

_MIGRATIONS = {
    1: """
ALTER TABLE runs ADD COLUMN parent TEXT;
ALTER TABLE runs ADD COLUMN heartbeat_at INTEGER;
ALTER TABLE job_runs ADD COLUMN def_hash TEXT NOT NULL DEFAULT '';
ALTER TABLE step_runs ADD COLUMN def_hash TEXT NOT NULL DEFAULT '';
ALTER TABLE step_runs ADD COLUMN items TEXT;
ALTER TABLE step_runs ADD COLUMN items_blob TEXT;
ALTER TABLE step_runs ADD COLUMN secret_keys TEXT;
CREATE TABLE definitions (hash TEXT PRIMARY KEY, text TEXT NOT NULL) WITHOUT ROWID, STRICT;
CREATE INDEX runs_by_start ON runs (started_at);
CREATE INDEX journal_by_run ON journal (flow_id, run_id, seq);
""",
}
"""What leads from one version to the next; a migrated file and a new one have the same columns."""


def prepare_schema(connection: sqlite3.Connection, path: Path) -> None:
    """Create the tables in a new file, accept our own version, migrate an older one, refuse any other.

    Raises StateError for a file of a newer engine and for a database that is not ours.
    """
    version = _version(connection)
    if version == SCHEMA_VERSION:
        return
    if version > SCHEMA_VERSION:
        raise StateError(
            f"state file {path} has schema {version}, this engine knows up to {SCHEMA_VERSION}",
            fix="update aetherflow-core, or name another state file",
        )
    if version:
        migrate(connection, path)
        return
    with durable.transaction(connection, "create schema"):
        if _version(connection) == SCHEMA_VERSION:
            return  # another process was first
        if connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            raise StateError(f"{path} is a database that AetherFlow did not create", fix="name another flow.state.path")
        _execute_all(connection, _TABLES)


def empty_state() -> sqlite3.Connection:
    """A state in which nothing has run yet, and which leaves nothing behind."""
    connection = durable.memory_database()
    _execute_all(connection, _TABLES)
    return connection


def migrate(connection: sqlite3.Connection, path: Path) -> Path | None:
    """Bring an older file to our version, after a backup beside it; returns the backup, None if nothing was to do."""
    if not 0 < (version := _version(connection)) < SCHEMA_VERSION:
        return None
    with durable.transaction(connection, "migrate schema"):
        if _version(connection) != version:
            return None  # another process was first, and has made the backup
        backup = durable.keep_before(path, version)
        for old in range(version, SCHEMA_VERSION):
            _execute_all(connection, _MIGRATIONS[old])
    return backup


def _execute_all(connection: sqlite3.Connection, statements: str) -> None:
    for statement in statements.split(";"):
        connection.execute(statement)
    connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])
