"""SQLite files: opened, changed in transactions, copied."""

import contextlib
import os
import sqlite3
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

from aetherflow.core.base.durable.base import FILE_MODE, make_dir, part_of, sync_dir, sync_file
from aetherflow.core.base.durable.failpoint import hit

WAL_RETRY_SECONDS = 0.02


def real_file(path: Path) -> Path:
    """The file that SQLite opens under a path: the target if the path is a link.

    Files beside a database are named after this one, as SQLite names its own: otherwise two processes that use two
    names of one file would not see each other's locks.
    """
    return Path(os.path.realpath(path)) if os.path.islink(path) else path  # noqa: PTH114 is_symlink raises on EACCES


def side_folder(path: Path) -> Path:
    """The folder beside a database, `F.d`, the same for all names of the file; it holds locks, alive files, logs."""
    real = real_file(path)
    return real.with_name(f"{real.name}.d")


def connect(path: Path, *, busy_seconds: float) -> sqlite3.Connection:
    """Open a SQLite file, created with mode 0600 if missing, in WAL mode, every commit synced.

    The connection is in autocommit mode: use `transaction`. Raises sqlite3.Error, OSError.
    """
    make_dir(path.parent)
    if not path.exists():
        hit(f"create {path.name}")
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, FILE_MODE))
        sync_dir(real_file(path).parent)
    connection = sqlite3.connect(path, timeout=busy_seconds, isolation_level=None, check_same_thread=False)
    try:
        _switch_to_wal(connection, time.monotonic() + busy_seconds)
    except sqlite3.Error:
        connection.close()
        raise
    connection.execute("PRAGMA synchronous=FULL")
    sync_dir(real_file(path).parent)  # for the new WAL file; SQLite syncs too, but ignores a failure
    return connection


def memory_database() -> sqlite3.Connection:
    """An empty database in memory, for readers of a file that does not exist."""
    return sqlite3.connect(":memory:", isolation_level=None)


def _switch_to_wal(connection: sqlite3.Connection, deadline: float) -> None:
    while True:
        try:
            mode = connection.execute("PRAGMA journal_mode=WAL").fetchone()[0]
        except sqlite3.OperationalError as error:
            # two processes open a new file at once: for this statement SQLite ignores its busy timeout
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(WAL_RETRY_SECONDS)
            continue
        if mode != "wal":  # SQLite answers a failed switch, even an I/O error, with the old mode
            raise sqlite3.OperationalError(f"its journal mode stays {mode}; it cannot be switched to wal")
        return


def connect_to_read(path: Path, *, immutable: bool) -> sqlite3.Connection:
    """Open an existing SQLite file read-only.

    `immutable` promises that nobody writes the file meanwhile; SQLite then creates no files beside it, which a reader
    in WAL mode otherwise leaves behind.
    """
    mode = "mode=ro&immutable=1" if immutable else "mode=ro"
    return sqlite3.connect(f"{path.absolute().as_uri()}?{mode}", uri=True, timeout=5.0, isolation_level=None)


def execute_all(connection: sqlite3.Connection, statements: str, version: int) -> None:
    """Execute statements separated by `;` (none may contain one) and set the `user_version` of the file."""
    for statement in statements.split(";"):
        connection.execute(statement)
    connection.execute(f"PRAGMA user_version={version}")


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection, name: str) -> Iterator[None]:
    """A write transaction that commits at the end of the block and rolls back on any exception."""
    hit(f"begin {name}")
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        hit(f"commit {name}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    hit(f"committed {name}")


def backup_database(connection: sqlite3.Connection, target: Path) -> None:
    """Write a consistent copy of an open SQLite file, complete or not at all; an existing `target` is replaced."""
    part = part_of(target)
    hit(f"backup {target.name}")
    os.close(os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL, FILE_MODE))
    try:
        with contextlib.closing(sqlite3.connect(part)) as copy:
            connection.backup(copy)
        sync_file(part)
        hit(f"rename {target.name}")
        part.replace(target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    sync_dir(target.parent)


def keep_before(path: Path, version: int) -> Path:
    """Copy the committed content of a SQLite file beside it before a migration from `version`; returns the copy's path.

    Call it inside the migrating transaction, so that nobody writes after the copy. An existing copy is never replaced:
    the new one gets a number.
    """
    again = (f"-{number}" if number > 1 else "" for number in count(1))
    real = real_file(path)
    names = (real.with_name(f"{real.name}.v{version}{each}.bak") for each in again)
    target = next(name for name in names if not os.path.lexists(name))
    with contextlib.closing(connect_to_read(path, immutable=False)) as before:
        backup_database(before, target)
    return target


def restore_database(copy: sqlite3.Connection, connection: sqlite3.Connection) -> None:
    """Replace the content of the open SQLite file `connection` by that of `copy`, in one transaction."""
    hit("restore")
    copy.backup(connection)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    hit("restored")
