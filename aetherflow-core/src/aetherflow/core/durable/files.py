"""Files: written as a whole or not at all, deleted, hashed; and logs, which are for people and not synced."""

import contextlib
import errno
import hashlib
import os
import shutil
import stat
from io import BufferedIOBase
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from aetherflow.core.durable.base import FILE_MODE, make_dir, naming, part_of, sync_dir, sync_file
from aetherflow.core.durable.failpoint import hit


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


def publish_file(staged: Path, final: Path) -> tuple[int, str]:
    """Put a finished file in the place of another one, from another file system by a copy; its size and sha256."""
    sync_file(staged)
    size, sha256 = file_facts(staged)
    make_dir(final.parent)
    try:
        rename_file(staged, final)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        with staged.open("rb") as source, AtomicFile(final, mode=stat.S_IMODE(staged.stat().st_mode)) as copy:
            shutil.copyfileobj(source, copy, 1 << 20)
        remove_file(staged)
    return size, sha256


def open_log(path: Path) -> IO[bytes]:
    """Open a log for appending; logs are for people and are not synced."""
    make_dir(path.parent)
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, FILE_MODE), "ab", buffering=0)


class AtomicFile(BufferedIOBase):
    """A file being written under a temporary name beside its final one; hashed as it is written.

    `publish()` makes it durable and renames it into place; `discard()` leaves what was there before.
    """

    def __init__(self, final: Path, *, mode: int = FILE_MODE) -> None:
        make_dir(final.parent)
        self.final = final
        self.size = 0
        self._hash = hashlib.sha256()
        self._part = part_of(final)
        hit(f"create {final.name}")
        self._file = os.fdopen(os.open(self._part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb", 1 << 18)

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
        with naming(self.final):
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
            with naming(self.final):
                self._file.flush()

    def publish(self) -> None:
        """fsync, rename into place, fsync the folder. A failed fsync is never tried again."""
        with naming(self.final):
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


def write_bytes(path: Path, data: bytes, *, mode: int = FILE_MODE) -> None:
    """Write a small file as a whole."""
    with AtomicFile(path, mode=mode) as file:
        file.write(data)


def file_facts(path: Path) -> tuple[int, str]:
    """Size in bytes and sha256 of a file."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return file.tell(), digest
