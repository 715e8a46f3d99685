"""Files: written completely or not at all, moved, deleted, hashed; and logs, which are not synced."""

import contextlib
import errno
import fcntl
import hashlib
import os
import shutil
import stat
from io import BufferedIOBase
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from aetherflow.core.base.durable.base import part_of, sync_file
from aetherflow.core.base.durable.failpoint import hit
from aetherflow.core.base.durable.places import FILE_MODE, FOLDER_MODE, Folder, naming, open_to_read
from aetherflow.core.base.owners import require_own


def remove_file(path: Path) -> None:
    """Delete one file, durably. FileNotFoundError if it is missing."""
    with Folder(path.parent) as folder:
        hit(f"unlink {path.name}")
        folder.unlink(path.name)
        folder.sync()


def remove_scratch(path: Path) -> None:
    """Delete a temporary file if it exists; not synced: its return after a power cut does no harm."""
    if path.exists():
        with Folder(path.parent) as folder:
            hit(f"unlink {path.name}")
            folder.unlink(path.name)


def rename_file(path: Path, target: Path) -> None:
    """Rename a file within its folder, durably; a file of that name is replaced."""
    with Folder(path.parent) as folder:
        hit(f"rename {target.name}")
        folder.rename(path.name, target.name)
        folder.sync()


def new_file(path: Path, *, mode: int = FILE_MODE) -> IO[bytes]:
    """Create a file in a staging folder; not synced, since `swap_dir` later syncs the whole folder."""
    hit(f"create {path.name}")
    with Folder(path.parent) as folder:
        return os.fdopen(folder.open(path.name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb")


def open_lock(path: Path) -> IO[bytes]:
    """Open a file, created if missing, to hold a kernel lock on; its content is unused."""
    with Folder(path.parent, mode=FOLDER_MODE) as folder:
        return os.fdopen(folder.open(path.name, os.O_RDWR | os.O_CREAT), "r+b", buffering=0)


def is_locked(path: Path) -> bool | None:
    """Whether a living process holds the kernel lock on a file; None if there is no such file. Creates nothing."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)  # shared: two checks at once do not disturb each other
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def swap_link(target: str, link: Path) -> None:
    """Create or replace the symbolic link `link` atomically, so that it points to `target`."""
    part = part_of(link).name
    with Folder(link.parent, mode=FOLDER_MODE) as folder:
        hit(f"link {link.name}")
        os.symlink(target, part, dir_fd=folder.descriptor)
        hit(f"rename {link.name}")
        folder.rename(part, link.name)
        folder.sync()


def link_file(path: Path, target: Path) -> None:
    """Give a file another name, or copy it where that is impossible; not synced, since `swap_dir` syncs the folder."""
    hit(f"link {target.name}")
    try:
        os.link(path, target)
    except OSError:  # another file system, or one without links
        shutil.copy2(path, target)


def move_file(path: Path, target: Path) -> None:
    """Move a file, replacing `target`; across file systems by a complete copy, after which the source is deleted."""
    with Folder(path.parent) as old, Folder(target.parent, mode=FOLDER_MODE) as new:
        hit(f"move {target.name}")
        try:
            old.rename(path.name, target.name, new)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            _move_far(path, target)
            return
        hit(f"moved {target.name}")
        new.sync()
        if path.parent != target.parent:
            old.sync()


def _move_far(path: Path, target: Path) -> None:
    with open_to_read(path) as old, AtomicFile(target, mode=stat.S_IMODE(os.fstat(old.fileno()).st_mode)) as new:
        shutil.copyfileobj(old, new, 1 << 20)
    remove_file(path)


def publish_file(staged: Path, final: Path) -> tuple[int, str]:
    """Sync a finished file and move it to `final`, replacing a file there; returns its size and sha256."""
    sync_file(staged)
    facts = file_facts(staged)
    move_file(staged, final)
    return facts


def open_log(path: Path) -> IO[bytes]:
    """Open a log for appending, created if missing; logs are not synced.

    A link at its name is followed if it is the user's own, or root's, as /dev/stderr is; else UntrustedError.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    with Folder(path.parent, mode=FOLDER_MODE) as folder:
        if path.is_symlink():
            require_own(path, "the log")
            return os.fdopen(os.open(path, flags, FILE_MODE), "ab", buffering=0)
        return os.fdopen(folder.open(path.name, flags), "ab", buffering=0)


class AppendedFile:
    """A file opened for appending, which others may read meanwhile, such as a child's log; synced when it is closed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._new = not path.exists()
        hit(f"append {path.name}")
        self._file = open_log(path)

    def write(self, data: bytes) -> int:
        """Append all of `data`; returns the number of bytes."""
        hit(f"write {self.path.name}", self._file, data)
        view = memoryview(data).cast("B")
        done = 0
        with naming(self.path):
            while done < len(view):  # a write may be partial, on a disk that is nearly full
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
            with Folder(self.path.parent) as folder:
                folder.sync()

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
    """A file that is written under a temporary name beside its final one and hashed while it is written.

    `publish()` syncs it and renames it into place; `discard()` removes it. As a context manager it is published, or
    discarded after an exception; either way `final` is complete.
    """

    def __init__(self, final: Path, *, mode: int = FILE_MODE, sync: bool = True) -> None:
        """With `sync` False a power cut may damage the file: only for files that are verified before use."""
        self._folder = Folder(final.parent, mode=FOLDER_MODE)
        self._sync = sync
        self.final = final
        self.size = 0
        self._hash = hashlib.sha256()
        self._part = part_of(final).name
        hit(f"create {final.name}")
        part = self._folder.open(self._part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        self._file = os.fdopen(part, "wb", 1 << 18)

    @property
    def sha256(self) -> str:
        """Hexadecimal sha256 of what was written so far."""
        return self._hash.hexdigest()

    def writable(self) -> bool:
        """True: the file is write-only."""
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
        """Pass buffered bytes to the operating system."""
        if hasattr(self, "_file") and not self._file.closed:  # the finalizer also flushes an object whose open failed
            with naming(self.final):
                self._file.flush()

    def publish(self) -> None:
        """Fsync, rename into place, fsync the folder. A failed fsync is raised and never tried again."""
        with naming(self.final):
            self._file.flush()
            if self._sync:
                hit(f"fsync {self.final.name}")
                os.fsync(self._file.fileno())
            self._file.close()
        hit(f"rename {self.final.name}")
        self._folder.rename(self._part, self.final.name)
        if self._sync:
            self._folder.sync()
        self._folder.close()

    def discard(self) -> None:
        """Remove the temporary file."""
        with contextlib.suppress(OSError):
            self._file.close()
        if self._folder.descriptor >= 0:
            with contextlib.suppress(FileNotFoundError):
                self._folder.unlink(self._part)
            self._folder.close()

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
    """Write a small file atomically and durably."""
    with AtomicFile(path, mode=mode) as file:
        file.write(data)


def file_facts(path: Path) -> tuple[int, str]:
    """Size in bytes and sha256 of a file."""
    with open_to_read(path) as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return file.tell(), digest
