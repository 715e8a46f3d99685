"""Reading a state file without side effects: no file is created, no table changed, no writer blocked."""

import os
import shlex
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TypeVar

from aetherflow.core.base import durable
from aetherflow.core.base.errors import StateError
from aetherflow.core.kernel.state.schema import SCHEMA_VERSION, empty_state

T = TypeVar("T")
BUSY_SECONDS = 5.0
HEADER = b"SQLite format 3\0"
_RESTORE = "restore it: aetherflow state restore --help"


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


def unreadable(path: Path, error: Exception) -> StateError:
    """The StateError for a file that cannot be read."""
    if durable.server_at(path) is not None:
        return StateError(f"the state in {path} cannot be read: {error}", fix="check the server, and its resource")
    if isinstance(error, FileNotFoundError):
        return StateError(f"state file {path}: {error}", fix="check the path")
    reason, fix = why_unreadable(path, error)
    return StateError(f"state file {path}: {reason}", fix=fix)


def why_unreadable(
    path: Path, error: Exception, fix: str = "restore it: aetherflow state restore --help"
) -> tuple[str, str]:
    """Why a file cannot be used, and what to do, or `fix`; SQLite reports a full disk and no permission alike."""
    real = durable.real_file(path)
    if isinstance(error, PermissionError) or (real.exists() and not os.access(real, os.R_OK)):
        return "permission denied", f"let this account read {real}"
    if isinstance(error, sqlite3.OperationalError | OSError) and _is_full(real.parent):
        return "disk full", f"free space on the disk of {real.parent}"
    return str(error), fix


def _is_full(folder: Path) -> bool:
    try:
        return os.statvfs(folder).f_bavail == 0
    except OSError:
        return False


def schema_of(db: durable.Database, path: Path) -> int:
    """The schema of a state file, 0 for an empty database.

    Raises StateError for a file of a newer engine, of version 0.x, and of another program.
    """
    # tables before the version that counts: another process may create both meanwhile, and that is no file of 0.x
    tables = set[str]() if db.schema_version() else db.tables()
    version = db.schema_version()
    if version > SCHEMA_VERSION:
        message = f"state file {path} has schema {version}, this engine knows up to {SCHEMA_VERSION}"
        raise StateError(message, fix="update aetherflow-core, or name another state file")
    if not version and {"job_runs", "step_runs"} <= tables:
        message = f"{path} is a state file of AetherFlow 0.x, whose runs cannot be shown or resumed any more"
        raise StateError(message, fix="name a new file in flow.state.path; this one stays as it is")
    if not version and tables:
        raise StateError(f"{path} is a database that AetherFlow did not create", fix="name another flow.state.path")
    return version


def require_schema(db: durable.Database, path: Path, wanted: int) -> None:
    """Raise StateError unless the file has the schema `wanted`."""
    if (version := schema_of(db, path)) == wanted:
        return
    if version == 0:
        raise StateError(f"{path} is no state file of AetherFlow", fix="name another file")
    message = f"state file {path} has the older schema {version}"
    raise StateError(message, fix=f"aetherflow state migrate {shlex.quote(str(path))}")


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
