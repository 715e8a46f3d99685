"""SQLite files: opened, changed in transactions, copied."""

import contextlib
import os
import sqlite3
import stat
import time
from itertools import count
from pathlib import Path
from typing import Self

from aetherflow.core.base.durable.base import make_dir, part_of, sync_dir, sync_file
from aetherflow.core.base.durable.failpoint import hit
from aetherflow.core.base.durable.places import FILE_MODE
from aetherflow.core.base.durable.stores import Database, Values, server_at
from aetherflow.core.base.errors import StateError
from aetherflow.core.base.owners import ROOT, require_own

WAL_RETRY_SECONDS = 0.02
BESIDE = ("-wal", "-shm")
"""Endings of the files that SQLite keeps beside a database while it is open."""
FileId = tuple[int, int]
"""Device and inode of a file."""


class ReplacedFileError(StateError):
    """The open file of a state, a lock store or a ledger was removed, or another one stands in its place."""


class SqliteDatabase(sqlite3.Connection):
    """A SQLite database; see `stores.Database`."""

    row_lock = ""
    """One transaction writes at a time: what it has read stays so."""
    clock = "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)"

    def attempt(self, statement: str, values: Values) -> bool:
        """Execute an INSERT; False if a unique index refuses the row."""
        try:
            self.execute(statement, values)
        except sqlite3.IntegrityError:
            return False
        return True

    def await_turn(self, name: str) -> None:
        """Nothing: one transaction writes at a time."""

    def begin(self) -> None:
        """Begin a transaction that will write."""
        self.require()
        self.execute("BEGIN IMMEDIATE")

    def committed(self) -> None:
        """Nothing: a database in memory has no files."""

    def require(self) -> None:
        """Nothing: a database in memory has no files."""

    def again(self, *, busy_seconds: float) -> Self:  # noqa: ARG002 as a file's
        """Only a file has a second connection."""
        raise TypeError("a second connection needs one that `connect` has opened")

    def wait_for_others(self, seconds: float) -> None:
        """Set how long SQLite tries again while another process has the file locked."""
        self.execute(f"PRAGMA busy_timeout={int(seconds * 1000)}")

    def relax(self) -> None:
        """Leave it to checkpoints to sync the log."""
        self.execute("PRAGMA synchronous=NORMAL")

    def now_ms(self) -> int:
        """The wall clock of this host."""
        return time.time_ns() // 1_000_000

    def tables(self) -> set[str]:
        """The names of tables and indexes."""
        return {row[0] for row in self.execute("SELECT name FROM sqlite_master")}

    def schema_version(self) -> int:
        """The `user_version` of the file."""
        return int(self.execute("PRAGMA user_version").fetchone()[0])

    def set_schema_version(self, version: int) -> None:
        """Set the `user_version` of the file."""
        self.execute(f"PRAGMA user_version={version}")

    def changes(self) -> object:
        """The `data_version` of the file."""
        return self.execute("PRAGMA data_version").fetchone()[0]

    def size(self) -> int:
        """That of the file, without its log."""
        pages, size = self.execute("SELECT * FROM pragma_page_count, pragma_page_size").fetchone()
        return int(pages * size)


class FileDatabase(SqliteDatabase):
    """A connection that knows which files it works on, and refuses to go on when their names lead elsewhere.

    SQLite keeps working on a file that was removed or replaced: what it commits then is seen by nobody else, and is
    gone with the last connection.
    """

    path: Path
    identity: FileId
    beside: dict[str, FileId]
    """The log and the shared memory, by name, once a transaction has made them."""

    def require(self) -> None:
        """Raise ReplacedFileError if a file is not the one that was opened."""
        _require(str(self.path), self.identity)
        for name, identity in self.beside.items():
            _require(name, identity)

    def committed(self) -> None:
        """Raise ReplacedFileError if what was committed just now went to a file that nobody else sees."""
        _require(str(self.path), self.identity)
        if not self.beside:
            found = {name: _identity(name) for name in (f"{real_file(self.path)}{ending}" for ending in BESIDE)}
            self.beside = {name: identity for name, identity in found.items() if identity is not None}

    def again(self, *, busy_seconds: float) -> Self:
        """A second connection to the file; ReplacedFileError if it was removed or replaced."""
        return type(self).opened(self.path, self.identity, busy_seconds)

    @classmethod
    def opened(cls, path: Path, identity: FileId | None, busy_seconds: float) -> Self:
        """A connection to a file that exists, and is the expected one."""
        # SQLite does not tell which file it opened: it is the expected one if the name leads to it before and after
        identity = _require(str(path), identity)
        uri = f"{path.as_uri()}?mode=rw"  # a file that was removed since is not made again
        connection = sqlite3.connect(
            uri, uri=True, timeout=busy_seconds, isolation_level=None, check_same_thread=False, factory=cls
        )
        try:
            _switch_to_wal(connection, time.monotonic() + busy_seconds)
            connection.execute("PRAGMA synchronous=FULL")
            _require(str(path), identity)
        except BaseException:
            connection.close()
            raise
        connection.path, connection.identity, connection.beside = path, identity, {}
        return connection


def _identity(name: str) -> FileId | None:
    try:
        found = os.stat(name)  # noqa: PTH116 called in each transaction; a Path costs as much again
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _require(name: str, identity: FileId | None) -> FileId:
    found = _identity(name)
    if found is None or found != identity:
        what = "was removed" if found is None else "was replaced by another file"
        fix = "keep other programs away from it; what this process did since then is recorded nowhere: look at it"
        raise ReplacedFileError(f"{name} {what} while this process worked with it", fix=fix)
    return found


def real_file(path: Path) -> Path:
    """The file that SQLite opens under a path: the target if the path is a link.

    Files beside a database are named after this one, as SQLite names its own: otherwise two processes that use two
    names of one file would not see each other's locks.
    """
    return Path(os.path.realpath(path)) if os.path.islink(path) else path  # noqa: PTH114 is_symlink raises on EACCES


def side_folder(path: Path) -> Path:
    """The folder beside a database, `F.d`, the same for all names of the file; it holds locks, alive files, logs."""
    if (server := server_at(path)) is not None:
        return server.folder
    real = real_file(path)
    return real.with_name(f"{real.name}.d")


def store_beside(path: Path, name: str) -> Path:
    """The file of this name in the folder beside a database; a server keeps what stands there itself."""
    return side_folder(path) / name if server_at(path) is None else path


def open_store(path: Path, store: str, *, busy_seconds: float) -> Database:
    """Open, or create, a store of this name in the server that a path names, else in the file, as `connect` does."""
    if (server := server_at(path)) is None:
        return connect(path, busy_seconds=busy_seconds)
    return server.database(store, busy_seconds=busy_seconds)


def connect(path: Path, *, busy_seconds: float) -> FileDatabase:
    """Open a SQLite file, mode 0600, WAL, every commit synced; the caller owns transactions.

    Raises UntrustedError if another user could have written it.
    """
    make_dir(path.parent)
    _require_own(path)
    if not path.exists():
        hit(f"create {path.name}")
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, FILE_MODE))
        sync_dir(real_file(path).parent)
    connection = FileDatabase.opened(path.absolute(), _identity(str(path)), busy_seconds)
    try:
        # the log file that SQLite made just now; it tries that too, and ignores a failure
        sync_dir(real_file(path).parent)
    except BaseException:
        connection.close()
        raise
    return connection


def _require_own(path: Path) -> None:
    # SQLite opens by name. Without faults nobody else can exchange what is there, so it need not be opened by us, too
    require_own(path, "the file")
    real = real_file(path)
    for name in (f"{real}{ending}" for ending in (".d", *BESIDE)):
        try:
            facts = os.lstat(name)  # its folder was judged with the file's: only the name itself may have faults
        except OSError:
            continue
        if stat.S_ISLNK(facts.st_mode) or facts.st_mode & 0o022 or facts.st_uid not in (ROOT, os.geteuid()):
            require_own(Path(name), "what stands beside a database,")


def memory_database() -> SqliteDatabase:
    """An empty database in memory, for readers of a file that does not exist."""
    return sqlite3.connect(":memory:", isolation_level=None, factory=SqliteDatabase)


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


def connect_to_read(path: Path, *, immutable: bool) -> SqliteDatabase:
    """Open an existing SQLite file read-only.

    `immutable` promises that nobody writes the file meanwhile; SQLite then creates no files beside it, which a reader
    in WAL mode otherwise leaves behind. Raises UntrustedError if another user could have written it.
    """
    _require_own(path)
    mode = "mode=ro&immutable=1" if immutable else "mode=ro"
    uri = f"{path.absolute().as_uri()}?{mode}"
    return sqlite3.connect(uri, uri=True, timeout=5.0, isolation_level=None, factory=SqliteDatabase)


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
    the new one gets a number. A store in a server has none: the migration is one transaction, and the server's own tool
    makes backups; then the path itself is returned.
    """
    if server_at(path) is not None:
        return path
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
