"""Reading a state without side effects: no file is created, no table changed, no writer blocked."""

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TypeVar

from aetherflow.core.base import durable
from aetherflow.core.kernel.state.schema import SCHEMA_VERSION, TABLES
from aetherflow.core.kernel.state.unusable import require_schema, unreadable

T = TypeVar("T")
BUSY_SECONDS = 5.0
HEADER = b"SQLite format 3\0"


def read(path: Path, query: Callable[[durable.Database], T]) -> T:
    """The result of `query` on a consistent view of a state file of the current schema.

    Raises StateError for a file that is missing or damaged, or was made by another program or another version.
    """

    def checked(db: durable.Database) -> T:
        require_schema(db, path, SCHEMA_VERSION)
        return query(db)

    try:
        return read_store(path, checked)
    except (sqlite3.Error, OSError) as error:
        if isinstance(error, FileNotFoundError) and durable.server_at(path) is not None:  # nobody has used it yet
            with closing(empty_state()) as db:
                return query(db)
        raise unreadable(path, error) from error


def read_store(path: Path, query: Callable[[durable.Database], T], store: str = "state") -> T:
    """As `read`, for a store of any schema, in a file or a server. Raises sqlite3.Error, OSError."""
    if (server := durable.server_at(path)) is None:
        return read_any(path, query)
    with closing(server.database(store, busy_seconds=BUSY_SECONDS, reading=True)) as db:
        db.begin()
        if not db.schema_version():  # somebody makes its tables just now
            raise FileNotFoundError(f"there is no {store} in {path}")
        return query(db)


def read_any(path: Path, query: Callable[[durable.SqliteDatabase], T]) -> T:
    """As `read`, for a SQLite file of any schema. Raises sqlite3.Error, OSError."""
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    before = _version(path)
    if before is not None:
        try:
            found = _query(path, query, immutable=True)
        except sqlite3.Error:
            if _version(path) == before:
                raise
        else:
            if _version(path) == before:
                return found
    return _query(path, query, immutable=False)  # a writer exists or was killed: its side files exist already


def empty_state() -> durable.Database:
    """An empty state in memory, for a state file that does not exist."""
    connection = durable.memory_database()
    durable.execute_all(connection, durable.statements_of(*TABLES), SCHEMA_VERSION)
    return connection


def _query(path: Path, query: Callable[[durable.SqliteDatabase], T], *, immutable: bool) -> T:
    with closing(durable.connect_to_read(path, immutable=immutable)) as db:
        db.execute("BEGIN")
        return query(db)


def _version(path: Path) -> tuple[int, int, int] | None:
    """Inode, size and mtime, to detect a write; None with a write-ahead log: a writer is active, or was killed."""
    path = durable.real_file(path)
    if os.path.exists(f"{path}-wal"):  # noqa: PTH110 twice in each look at a state; a Path costs six times as much
        return None
    found = path.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns
