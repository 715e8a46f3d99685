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

from aetherflow.core.base.durable.base import FILE_MODE, make_dir, naming, part_of, sync_dir, sync_file
from aetherflow.core.base.durable.failpoint import hit


def remove_file(path: Path) -> None:
    """Delete one file."""
    hit(f"unlink {path.name}")
    path.unlink()
    sync_dir(path.parent)


def remove_scratch(path: Path) -> None:
    """Delete a temporary file, if it is there; not synced, as its return after a power cut does no harm."""
    if path.exists():
        hit(f"unlink {path.name}")
        path.unlink()


def rename_file(path: Path, target: Path) -> None:
    """Give one file another name in its folder; a file of that name is replaced."""
    hit(f"rename {target.name}")
    path.replace(target)
    sync_dir(target.parent)


def new_file(path: Path, *, mode: int = FILE_MODE) -> IO[bytes]:
    """A file in a folder that nobody else knows yet: `swap_dir` makes all of it durable at once."""
    hit(f"create {path.name}")
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb")


def open_lock(path: Path) -> IO[bytes]:
    """Open a file to hold a kernel lock on; its content means nothing."""
    make_dir(path.parent)
    return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, FILE_MODE), "r+b", buffering=0)


def swap_link(target: str, link: Path) -> None:
    """Let the symbolic link `link` lead to `target` from one instant to the next."""
    make_dir(link.parent)
    part = part_of(link)
    hit(f"link {link.name}")
    part.symlink_to(target)
    hit(f"rename {link.name}")
    part.replace(link)
    sync_dir(link.parent)


def move_file(path: Path, target: Path) -> None:
    """Give one file another place; a file there is replaced. Across file systems by a copy that is whole first."""
    make_dir(target.parent)
    hit(f"move {target.name}")
    try:
        path.rename(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        with path.open("rb") as old, AtomicFile(target, mode=stat.S_IMODE(path.stat().st_mode)) as new:
            shutil.copyfileobj(old, new, 1 << 20)
        remove_file(path)
        return
    hit(f"moved {target.name}")
    sync_dir(target.parent)
    if path.parent != target.parent:
        sync_dir(path.parent)


def publish_file(staged: Path, final: Path) -> tuple[int, str]:
    """Put a finished file in the place of another one; its size and sha256."""
    sync_file(staged)
    facts = file_facts(staged)
    move_file(staged, final)
    return facts


def open_log(path: Path) -> IO[bytes]:
    """Open a log for appending; logs are for people and are not synced."""
    make_dir(path.parent)
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, FILE_MODE), "ab", buffering=0)


class AppendedFile:
    """A file that grows at its end, seen by others as it does: the log of a child. Made durable at its end."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._new = not path.exists()
        hit(f"append {path.name}")
        self._file = open_log(path)

    def write(self, data: bytes) -> int:
        """Append bytes, all of them."""
        hit(f"write {self.path.name}", self._file, data)
        view = memoryview(data).cast("B")
        done = 0
        with naming(self.path):
            while done < len(view):  # the system may take less than all, on a disk that is nearly full
                done += self._file.write(view[done:])
        return done

    def close(self) -> None:
        """fsync, and fsync of the folder if the file is new. A failed fsync is never tried again."""
        try:
            with naming(self.path):
                hit(f"fsync {self.path.name}")
                os.fsync(self._file.fileno())
        finally:
            self._file.close()
        if self._new:
            sync_dir(self.path.parent)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self._file.close()  # the first error is the one to show


class AtomicFile(BufferedIOBase):
    """A file being written under a temporary name beside its final one; hashed as it is written.

    `publish()` makes it durable and renames it into place; `discard()` leaves what was there before.
    """

    def __init__(self, final: Path, *, mode: int = FILE_MODE, sync: bool = True) -> None:
        """Without `sync` a power cut may tear it: for files that are checked before they are used."""
        make_dir(final.parent)
        self._sync = sync
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
        """Append bytes; returns their number."""
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
        if hasattr(self, "_file") and not self._file.closed:  # the finalizer flushes what could not be opened, too
            with naming(self.final):
                self._file.flush()

    def publish(self) -> None:
        """fsync, rename into place, fsync the folder. A failed fsync is never tried again."""
        with naming(self.final):
            self._file.flush()
            if self._sync:
                hit(f"fsync {self.final.name}")
                os.fsync(self._file.fileno())
            self._file.close()
        hit(f"rename {self.final.name}")
        self._part.replace(self.final)
        if self._sync:
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
