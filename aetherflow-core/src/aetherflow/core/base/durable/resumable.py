"""Files that are written over several attempts: earlier content is kept, and verified before it is used."""

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Callable, Mapping
from io import BufferedIOBase
from pathlib import Path
from typing import Any, BinaryIO

from aetherflow.core.base.durable.base import PART_PREFIX, part_of, stems_of
from aetherflow.core.base.durable.failpoint import hit
from aetherflow.core.base.durable.hashing import BackgroundHash
from aetherflow.core.base.durable.places import FOLDER_MODE, Folder, naming

_KEPT, _NOTE = ".kept", ".note"
_CHUNK = 1 << 20
LEFT_SECONDS = 7 * 86400
"""Age after which an unfinished file that nobody continues counts as a leftover."""


class ResumableFile(BufferedIOBase):
    """A file that is written under a hidden name beside its final one, which later attempts find by `key`.

    `checkpoint(note)` marks the content so far as valid; a later attempt continues there with the note. Earlier content
    is hashed again before it is used, so nothing needs an fsync before the end: after a power cut the work at worst
    starts again. `publish()` syncs the file and renames it into place.
    """

    def __init__(self, final: Path, key: str, *, check: Callable[[], None] = lambda: None) -> None:
        """`key` distinguishes writers of the same file; `check` raises once writing is no longer allowed."""
        self._folder = Folder(final.parent, mode=FOLDER_MODE)
        self.final = final
        self._check = check
        stem, *older = stems_of(final)
        self._kept, self._side = f"{stem}.{key}{_KEPT}", f"{stem}.{key}{_NOTE}"
        self.size = 0
        """Bytes in the file, those of earlier attempts included."""
        self.note: dict[str, Any] = {}
        """The note of the last checkpoint; empty if there is none."""
        self._ended = False
        for name in (f"{each}.{key}{end}" for each in older for end in (_NOTE, _KEPT)):
            _remove_if_left(self._folder, name)  # several files shared it in 1.0: whose content it is is not known
        hit(f"resume {final.name}")
        self._file = os.fdopen(_open_alone(self._folder, self._kept), "r+b", 1 << 18)
        self._hash = BackgroundHash()
        try:
            self._take_up()
        except BaseException:
            self._file.close()
            raise

    @property
    def sha256(self) -> str:
        """Hexadecimal sha256 of all that is in the file."""
        return self._hash.hexdigest()

    def writable(self) -> bool:
        """True: the file is write-only."""
        return True

    def seekable(self) -> bool:
        """False: the hash needs the bytes in order."""
        return False

    def tell(self) -> int:
        """Bytes in the file."""
        return self.size

    def write(self, data: bytes) -> int:  # type: ignore[override]  # any buffer is taken, as by every binary file
        """Append bytes; returns their number."""
        self._check()
        hit(f"write {self.final.name}", self._file, data)
        with naming(self.final):
            self._file.write(data)
        self._hash.update(data)
        self.size += len(data)
        return len(data)

    def flush(self) -> None:
        """Pass buffered bytes to the operating system."""
        if not self._file.closed:
            with naming(self.final):
                self._file.flush()

    def checkpoint(self, note: Mapping[str, Any]) -> None:
        """Make everything written so far available to the next attempt, with `note`, a map of JSON values."""
        self._check()
        self.flush()
        self.note = dict(note)
        text = json.dumps({"size": self.size, "sha256": self.sha256, "note": self.note}).encode()
        part = part_of(self.final.with_name(self._side)).name
        hit(f"checkpoint {self.final.name}")
        with (
            naming(self.final),
            os.fdopen(self._folder.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL), "wb") as file,
        ):
            file.write(text)
        self._folder.rename(part, self._side)

    def restart(self) -> None:
        """Discard everything that was written, by this and earlier attempts."""
        self._check()
        with contextlib.suppress(FileNotFoundError):
            self._folder.unlink(self._side)
        self._cut(0)

    def reader(self) -> BinaryIO:
        """A reader of the whole file from its start; the caller closes it."""
        self.flush()
        return os.fdopen(self._folder.open(self._kept, os.O_RDONLY), "rb")

    def publish(self) -> None:
        """Fsync, rename into place, fsync the folder. A failed fsync is raised and never tried again."""
        self._check()
        with naming(self.final):
            self._file.flush()
            hit(f"fsync {self.final.name}")
            os.fsync(self._file.fileno())
            self._file.close()
        hit(f"rename {self.final.name}")
        self._folder.rename(self._kept, self.final.name)
        with contextlib.suppress(FileNotFoundError):
            self._folder.unlink(self._side)
        self._folder.sync()
        self._ended = True

    def discard(self) -> None:
        """Remove all that was written; there will be no file."""
        self._ended = True
        with contextlib.suppress(OSError):
            self._file.close()
        for name in (self._kept, self._side):
            with contextlib.suppress(FileNotFoundError):
                self._folder.unlink(name)

    @property
    def ended(self) -> bool:
        """True once it was published or discarded."""
        return self._ended

    def close(self) -> None:
        """Keep what was written for the next attempt."""
        if hasattr(self, "_file"):  # the finalizer also closes an object whose open failed
            self._hash.close()
            self._file.close()
            self._folder.close()

    def _take_up(self) -> None:
        try:
            with os.fdopen(self._folder.open(self._side, os.O_RDONLY), "rb") as side:
                found = json.loads(side.read())
            size, sha256, note = int(found["size"]), str(found["sha256"]), dict(found["note"])
        except (OSError, ValueError, KeyError, TypeError):
            self._cut(0)
            return
        if os.fstat(self._file.fileno()).st_size < size:
            self._cut(0)
            return
        left = size
        while left:
            chunk = self._file.read(min(left, _CHUNK))
            self._hash.update(chunk)
            left -= len(chunk)
        if self._hash.hexdigest() != sha256:
            self._cut(0)
            return
        self.note = note
        self._cut(size)

    def _cut(self, size: int) -> None:
        self._file.seek(size)
        self._file.truncate()
        self.size = size
        if not size:
            self._hash.close()
            self._hash = BackgroundHash()
            self.note = {}


def _open_alone(folder: Folder, name: str) -> int:
    """Open the file and lock it, so that nobody takes it for a leftover."""
    while True:
        descriptor = folder.open(name, os.O_RDWR | os.O_CREAT)
        with contextlib.suppress(BlockingIOError):  # held by an abandoned attempt, which no longer writes
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(descriptor).st_nlink:
            return descriptor
        os.close(descriptor)  # another process has just removed it as a leftover


class Leftovers:
    """Removes unfinished files of dead writers from folders that belong to no run, when something is written there.

    It removes all leftovers of the same file, and those of other files that were not touched for `LEFT_SECONDS`.
    """

    def __init__(self) -> None:
        self._found: dict[Path, list[str]] = {}

    def remove(self, final: Path, key: str) -> None:
        """Remove the leftovers of `final` by writers other than `key`; at the first call for a folder, all old ones."""
        begin, *older = (f"{stem}." for stem in stems_of(final))
        try:
            folder = Folder(final.parent)
        except FileNotFoundError:
            return
        with folder:
            if (found := self._found.get(final.parent)) is None:
                names = [name for name in folder.names() if name.startswith(PART_PREFIX)]
                found = self._found[final.parent] = [name for name in names if name.endswith((_KEPT, _NOTE))]
                for name in found:
                    if _is_old(folder, name) and not name.startswith(f"{begin}{key}."):
                        _remove_if_left(folder, name)
            for name in found:
                stem, _, owner = name.rpartition(".")[0].rpartition(".")
                if (f"{stem}." == begin and owner != key) or f"{stem}." in older:
                    _remove_if_left(folder, name)


def _is_old(folder: Folder, name: str) -> bool:
    with contextlib.suppress(FileNotFoundError):
        found = os.stat(name, dir_fd=folder.descriptor, follow_symlinks=False)
        return time.time() - found.st_mtime > LEFT_SECONDS
    return False


def _remove_if_left(folder: Folder, name: str) -> None:
    """Remove an unfinished file, or its note, unless a writer has locked it."""
    descriptor = None
    with contextlib.suppress(OSError):  # already removed, locked by a writer, or not permitted
        with contextlib.suppress(FileNotFoundError):
            descriptor = folder.open(f"{name.rpartition('.')[0]}{_KEPT}", os.O_RDWR)
        try:
            if descriptor is not None:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            hit(f"remove {name}")
            folder.unlink(name)
        finally:
            if descriptor is not None:
                os.close(descriptor)
