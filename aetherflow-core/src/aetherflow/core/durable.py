"""Every lasting effect of the core: commits, file writes, renames, deletes, spawns. Nothing else may cause one.

The order that makes SUCCESS mean something: write under a temporary name, fsync, rename, fsync the folder, and only
then commit. Each effect passes a failpoint, so that tests can kill the process, or fail the call, at every one:

    AETHERFLOW_FAILPOINT=7          kill -9 at the 7th point
    AETHERFLOW_FAILPOINT=7:enospc   fail it: enospc, eio or raise; torn writes half and kills; sleep=SECONDS; stop
    AETHERFLOW_FAILPOINT=log:FILE   write the name of each point to FILE
"""

import contextlib
import errno
import hashlib
import itertools
import os
import secrets
import shutil
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from io import BufferedIOBase
from pathlib import Path
from types import TracebackType
from typing import IO, Self

FAILPOINT_VARIABLE = "AETHERFLOW_FAILPOINT"
PART_PREFIX, PART_SUFFIX = ".aetherflow-", ".part"
"""Temporary files of unfinished writes; what a crash leaves behind matches both."""
FOLDER_MODE, FILE_MODE = 0o700, 0o600

_FAILPOINT = os.environ.get(FAILPOINT_VARIABLE, "")
_hits = itertools.count(1)


def hit(name: str, stream: IO[bytes] | None = None, data: bytes = b"") -> None:
    """Pass the failpoint `name`; one `if` when none is set."""
    if _FAILPOINT:
        _act(name, stream, data)


def _act(name: str, stream: IO[bytes] | None, data: bytes) -> None:
    head, _, action = _FAILPOINT.partition(":")
    if head == "log":
        with Path(action).open("a", encoding="utf-8") as log:
            log.write(name + "\n")
        return
    if next(_hits) != int(head):
        return
    kind, _, argument = action.partition("=")
    if kind == "sleep":
        time.sleep(float(argument))
    elif kind == "stop":
        os.kill(os.getpid(), signal.SIGSTOP)
    elif kind in ("enospc", "eio"):
        number = errno.ENOSPC if kind == "enospc" else errno.EIO
        raise OSError(number, os.strerror(number), name)
    elif kind == "raise":
        raise RuntimeError(f"failpoint {name}")
    else:
        if kind == "torn" and stream is not None:
            stream.write(data[: len(data) // 2])
            stream.flush()
        os.kill(os.getpid(), signal.SIGKILL)


# Database


def connect(path: Path, *, busy_seconds: float) -> sqlite3.Connection:
    """Open a SQLite file, mode 0600, WAL, every commit synced; the caller owns transactions."""
    make_dir(path.parent)
    if not path.exists():
        hit(f"create {path.name}")
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, FILE_MODE))
        sync_dir(path.parent)
    connection = sqlite3.connect(path, timeout=busy_seconds, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    return connection


def memory_database() -> sqlite3.Connection:
    """A database that leaves nothing behind, for readers of a file that does not exist."""
    return sqlite3.connect(":memory:", isolation_level=None)


def connect_to_read(path: Path, *, immutable: bool) -> sqlite3.Connection:
    """Open an existing SQLite file only to read it.

    `immutable` promises that nobody writes the file meanwhile; SQLite then makes no files beside it, which a reader of
    a file in WAL mode leaves behind otherwise.
    """
    mode = "mode=ro&immutable=1" if immutable else "mode=ro"
    return sqlite3.connect(f"{path.absolute().as_uri()}?{mode}", uri=True, timeout=5.0, isolation_level=None)


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection, name: str) -> Iterator[None]:
    """One transaction that commits at the end, or rolls back on any exception."""
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
    """A consistent copy of an open SQLite file, whole or not at all; an older copy of that name is replaced."""
    part = _part_of(target)
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


def restore_database(copy: sqlite3.Connection, connection: sqlite3.Connection) -> None:
    """Put the content of `copy` in the place of an open SQLite file's, in one transaction of that file."""
    hit("restore")
    copy.backup(connection)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    hit("restored")


# Folders


def make_dir(path: Path) -> None:
    """Create a folder and its parents, mode 0700, each one durable in its parent."""
    missing = []
    while not path.is_dir():
        missing.append(path)
        if path.parent == path:
            break
        path = path.parent
    for folder in reversed(missing):
        hit(f"mkdir {folder.name}")
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=FOLDER_MODE)
        sync_dir(folder.parent)


def sync_dir(path: Path) -> None:
    """Make renames and creations inside a folder durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_tree(path: Path) -> None:
    """Delete a folder and all below it; links are removed, never followed."""
    hit(f"rmtree {path.name}")
    shutil.rmtree(path)
    sync_dir(path.parent)


def swap_dir(staged: Path, final: Path) -> None:
    """Put `staged` in the place of `final` by renames; if the second rename fails the old folder is put back."""
    make_dir(final.parent)
    _sync_tree(staged)
    aside: Path | None = None
    if final.exists():
        aside = _part_of(final)
        hit(f"swap aside {final.name}")
        final.rename(aside)
    try:
        hit(f"swap in {final.name}")
        staged.rename(final)
    except BaseException:
        if aside is not None:
            aside.rename(final)
        raise
    sync_dir(final.parent)
    if aside is not None:
        remove_tree(aside)


def _sync_tree(path: Path) -> None:
    for folder, _, files in os.walk(path):
        for name in files:
            sync_file(Path(folder, name))
        sync_dir(Path(folder))


# Files


def sync_file(path: Path) -> None:
    """Make the content of a finished file durable."""
    hit(f"fsync {path.name}")
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_file(path: Path) -> None:
    """Delete one file."""
    hit(f"unlink {path.name}")
    path.unlink()
    sync_dir(path.parent)


def rename_file(path: Path, target: Path) -> None:
    """Give one file another name in its folder; a file of that name is replaced."""
    hit(f"rename {target.name}")
    path.replace(target)
    sync_dir(target.parent)


def open_log(path: Path) -> IO[bytes]:
    """Open a log for appending; logs are for people and are not synced."""
    make_dir(path.parent)
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, FILE_MODE), "ab", buffering=0)


class AtomicFile(BufferedIOBase):
    """A file being written under a temporary name beside its final one; hashed as it is written.

    `publish()` makes it durable and renames it into place; `discard()` leaves what was there before.
    """

    def __init__(self, final: Path) -> None:
        make_dir(final.parent)
        self.final = final
        self.size = 0
        self._hash = hashlib.sha256()
        self._part = _part_of(final)
        hit(f"create {final.name}")
        self._file = os.fdopen(os.open(self._part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE), "wb", 1 << 18)

    @property
    def sha256(self) -> str:
        """Hexadecimal sha256 of what was written so far."""
        return self._hash.hexdigest()

    def writable(self) -> bool:
        """True: only for writing."""
        return True

    def seekable(self) -> bool:
        """False: the hash needs the bytes in order."""
        return False

    def write(self, data: bytes) -> int:  # type: ignore[override]  # any buffer is taken, as by every binary file
        """Append bytes."""
        hit(f"write {self.final.name}", self._file, data)
        self._file.write(data)
        self._hash.update(data)
        length = memoryview(data).nbytes
        self.size += length
        return length

    def tell(self) -> int:
        """Bytes written so far."""
        return self.size

    def flush(self) -> None:
        """Hand buffered bytes to the system."""
        if not self._file.closed:
            self._file.flush()

    def publish(self) -> None:
        """fsync, rename into place, fsync the folder. A failed fsync is never tried again."""
        self._file.flush()
        hit(f"fsync {self.final.name}")
        os.fsync(self._file.fileno())
        self._file.close()
        hit(f"rename {self.final.name}")
        self._part.replace(self.final)
        sync_dir(self.final.parent)

    def discard(self) -> None:
        """Remove the temporary file."""
        with contextlib.suppress(OSError):
            self._file.close()
        with contextlib.suppress(FileNotFoundError):
            self._part.unlink()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self.discard()
            return
        try:
            self.publish()
        except BaseException:
            self.discard()
            raise


def write_bytes(path: Path, data: bytes) -> None:
    """Write a small file as a whole."""
    with AtomicFile(path) as file:
        file.write(data)


def file_facts(path: Path) -> tuple[int, str]:
    """Size in bytes and sha256 of a file."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return file.tell(), digest


def _part_of(final: Path) -> Path:
    """A temporary name beside `final`, cut so that it stays within the file system's 255 bytes."""
    stem = final.name.encode(errors="surrogateescape")[:120].decode(errors="ignore")
    return final.with_name(f"{PART_PREFIX}{stem}.{secrets.token_hex(6)}{PART_SUFFIX}")


def is_part(path: Path) -> bool:
    """True for the name of an unfinished write."""
    return path.name.startswith(PART_PREFIX) and path.name.endswith(PART_SUFFIX)


def remove_parts(folder: Path) -> None:
    """Delete what unfinished writes of a dead process left below a folder."""
    for part in sorted(folder.rglob(f"{PART_PREFIX}*{PART_SUFFIX}")):
        if part.is_dir() and not part.is_symlink():
            remove_tree(part)
        else:
            remove_file(part)


# Processes


def spawn(argv: Sequence[str], *, cwd: Path, env: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Start a child in a process group of its own: stdin empty, stdout and stderr as pipes, no descriptor inherited."""
    hit(f"spawn {Path(argv[0]).name}")
    child_env = {key: value for key, value in env.items() if key != FAILPOINT_VARIABLE}
    return subprocess.Popen(
        list(argv),
        cwd=cwd,
        env=child_env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        process_group=0,
    )


def spawn_guard(argv: Sequence[str]) -> tuple[subprocess.Popen[bytes], list[IO[bytes]]]:
    """Start the guard in a session of its own, with next to no environment; returns it and its two pipes.

    One pipe is its stdin, the number of the other its last argument. Nobody inherits the write ends.
    """
    hit("spawn guard")
    second, writer = os.pipe()
    pipe = os.fdopen(writer, "wb", buffering=0)
    env = {name: value for name, value in os.environ.items() if name in ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")}
    try:
        process = subprocess.Popen(
            [*argv, str(second)],
            cwd="/",
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            pass_fds=(second,),
            start_new_session=True,
        )
    except BaseException:
        pipe.close()
        raise
    finally:
        os.close(second)
    assert process.stdin is not None  # noqa: S101 it was asked for
    return process, [process.stdin, pipe]
