"""Tables of a state file. Times are UTC epoch milliseconds; JSON is stored as text."""

import sqlite3

from aetherflow.core import durable
from aetherflow.core.errors import StateError

SCHEMA_VERSION = 1

_TABLES = """
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


def prepare_schema(connection: sqlite3.Connection, path: str) -> None:
    """Create the tables in a new file, accept our own version, refuse any other.

    Raises StateError for a file of a newer engine and for a database that is not ours.
    """
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version == SCHEMA_VERSION:
        return
    if version > SCHEMA_VERSION:
        raise StateError(
            f"state file {path} has schema {version}, this engine knows up to {SCHEMA_VERSION}",
            fix="update aetherflow-core, or name another state file",
        )
    with durable.transaction(connection, "create schema"):
        if connection.execute("PRAGMA user_version").fetchone()[0] == SCHEMA_VERSION:
            return  # another process was first
        if connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            raise StateError(f"{path} is a database that AetherFlow did not create", fix="name another flow.state.path")
        for statement in _TABLES.split(";"):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
