"""Tables of a lock store. `*_at` are UTC epoch milliseconds; `*_mono` count on the clock of the boot beside them."""

import sqlite3

from aetherflow.core.base import durable
from aetherflow.core.base.errors import StateError

SCHEMA_VERSION = 1

_TABLES = """
CREATE TABLE locks (
    key TEXT NOT NULL PRIMARY KEY, owner TEXT NOT NULL, token INTEGER NOT NULL, acquired_at INTEGER NOT NULL,
    renewed_at INTEGER NOT NULL, expires_at INTEGER NOT NULL, ttl_ms INTEGER NOT NULL,
    boot TEXT NOT NULL, expires_mono INTEGER NOT NULL, alive TEXT, host TEXT NOT NULL, pid INTEGER NOT NULL
) WITHOUT ROWID, STRICT;
CREATE TABLE waiters (
    ticket INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL, owner TEXT NOT NULL, since INTEGER NOT NULL,
    boot TEXT NOT NULL, alive TEXT NOT NULL, host TEXT NOT NULL, pid INTEGER NOT NULL
) STRICT;
CREATE INDEX waiters_of_key ON waiters (key, ticket);
CREATE TABLE tokens (key TEXT NOT NULL PRIMARY KEY, last INTEGER NOT NULL) WITHOUT ROWID, STRICT;
CREATE TABLE broken (
    key TEXT NOT NULL, token INTEGER NOT NULL, owner TEXT NOT NULL, at INTEGER NOT NULL, actor TEXT NOT NULL,
    reason TEXT NOT NULL, PRIMARY KEY (key, token)
) WITHOUT ROWID, STRICT;
"""


def prepare_schema(connection: sqlite3.Connection, path: str) -> None:
    """Create the tables in a new file, accept our own version, refuse any other with a StateError."""
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version == SCHEMA_VERSION:
        return
    if version > SCHEMA_VERSION:
        raise StateError(
            f"lock store {path} has schema {version}, this engine knows up to {SCHEMA_VERSION}",
            fix="update aetherflow-core, or name another file in AETHERFLOW_LOCK_STORE",
        )
    with durable.transaction(connection, "create lock store"):
        if connection.execute("PRAGMA user_version").fetchone()[0] == SCHEMA_VERSION:
            return  # another process was first
        if connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            fix = "name another file in AETHERFLOW_LOCK_STORE"
            raise StateError(f"{path} is a database that AetherFlow did not create", fix=fix)
        for statement in _TABLES.split(";"):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
