"""Tables of a ledger. All times are UTC epoch milliseconds; JSON is stored as text."""

import sqlite3
from pathlib import Path

from aetherflow.core.api import StateError
from aetherflow.core.embedding import durable

SCHEMA_VERSION = 2

_TABLES = """
CREATE TABLE items (
    item TEXT NOT NULL PRIMARY KEY, cursor INTEGER NOT NULL, file TEXT, pruned INTEGER
) WITHOUT ROWID, STRICT;
CREATE TABLE epochs (
    id INTEGER PRIMARY KEY, item TEXT NOT NULL, definition TEXT NOT NULL, since INTEGER NOT NULL, until INTEGER
) STRICT;
CREATE INDEX epochs_of_item ON epochs (item, since);
CREATE TABLE slots (
    item TEXT NOT NULL, slot INTEGER NOT NULL, status TEXT NOT NULL, reason TEXT, run_id TEXT NOT NULL,
    batch INTEGER NOT NULL DEFAULT 1, attempts INTEGER NOT NULL DEFAULT 0, failures INTEGER NOT NULL DEFAULT 0,
    trigger TEXT NOT NULL, host TEXT NOT NULL, owner TEXT, claimed_at INTEGER NOT NULL, started_at INTEGER,
    finished_at INTEGER, exit_code INTEGER, waits_since INTEGER, not_before INTEGER,
    queued INTEGER NOT NULL DEFAULT 0, late INTEGER NOT NULL DEFAULT 0, overdue INTEGER NOT NULL DEFAULT 0,
    pool TEXT, params TEXT NOT NULL DEFAULT '{}', pid INTEGER, birth TEXT, log TEXT,
    PRIMARY KEY (item, slot)
) WITHOUT ROWID, STRICT;
CREATE INDEX open_slots ON slots (status) WHERE status IN ('WAITING', 'RUNNING', 'INTERRUPTED');
CREATE TABLE attempts (
    item TEXT NOT NULL, slot INTEGER NOT NULL, run_id TEXT NOT NULL, attempt INTEGER NOT NULL, status TEXT NOT NULL,
    reason TEXT, trigger TEXT NOT NULL, host TEXT NOT NULL, pid INTEGER, started_at INTEGER NOT NULL,
    finished_at INTEGER, exit_code INTEGER, log TEXT,
    PRIMARY KEY (item, slot, attempt)
) WITHOUT ROWID, STRICT;
CREATE TABLE owners (
    name TEXT NOT NULL PRIMARY KEY, kind TEXT NOT NULL, host TEXT NOT NULL, pid INTEGER NOT NULL, since INTEGER NOT NULL
) WITHOUT ROWID, STRICT;
CREATE TABLE pauses (
    id INTEGER PRIMARY KEY, item TEXT NOT NULL, since INTEGER NOT NULL, until INTEGER, reason TEXT NOT NULL,
    actor TEXT NOT NULL
) STRICT;
CREATE INDEX pauses_of_item ON pauses (item, since);
CREATE TABLE fence (
    id INTEGER PRIMARY KEY CHECK (id = 1), token INTEGER NOT NULL, owner TEXT NOT NULL, host TEXT NOT NULL,
    pid INTEGER NOT NULL, since INTEGER NOT NULL
) STRICT;
CREATE TABLE journal (
    seq INTEGER PRIMARY KEY, at INTEGER NOT NULL, event TEXT NOT NULL, item TEXT, slot INTEGER, actor TEXT NOT NULL,
    detail TEXT NOT NULL
) STRICT;
"""

_MIGRATIONS: dict[int, str] = {1: "ALTER TABLE items ADD COLUMN file TEXT; ALTER TABLE items ADD COLUMN pruned INTEGER"}
"""Version to the statements that make the next one of it."""


def prepare_schema(connection: sqlite3.Connection, path: Path, *, read_only: bool = False) -> None:
    """Create the tables in a new file, migrate an older one after a backup, refuse any other with a StateError.

    `read_only`: an older file is refused too, as nothing may be written.
    """
    version = _version(connection)
    if version == SCHEMA_VERSION:
        return
    if version > SCHEMA_VERSION:
        raise StateError(
            f"ledger {path} has schema {version}, this scheduler knows up to {SCHEMA_VERSION}",
            fix="update aetherflow-scheduler, or name another file in `state:`",
        )
    if version and read_only:
        raise StateError(
            f"ledger {path} has schema {version}, this scheduler reads {SCHEMA_VERSION}",
            fix="let `aetherflow-scheduler run` or `tick` open it once, which migrates it after a backup",
        )
    if version:
        _migrate(connection, path, version)
        return
    with durable.transaction(connection, "create ledger"):
        if _version(connection) == SCHEMA_VERSION:
            return  # another process was first
        if connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            fix = "name another file in `state:`"
            raise StateError(f"{path} is a database that is no ledger of a scheduler", fix=fix)
        _execute_all(connection, _TABLES)


def _migrate(connection: sqlite3.Connection, path: Path, version: int) -> None:
    with durable.transaction(connection, "migrate ledger"):
        if _version(connection) != version:
            return  # another process was first, and has made the backup
        durable.keep_before(path, version)
        for old in range(version, SCHEMA_VERSION):
            _execute_all(connection, _MIGRATIONS[old])


def _execute_all(connection: sqlite3.Connection, statements: str) -> None:
    for statement in statements.split(";"):
        connection.execute(statement)
    connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])
