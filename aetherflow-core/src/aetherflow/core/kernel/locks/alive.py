"""Liveness files: a process holds a kernel lock on its file, which is freed however the process ends."""

import contextlib
import fcntl
import os
import secrets
import weakref
from pathlib import Path

from aetherflow.core.base import durable

SUFFIX = ".alive"
_held: "weakref.WeakSet[AliveFile]" = weakref.WeakSet()


class AliveFile:
    """The file of this process; the kernel lock on it lasts until `close()` or the end of the process.

    Its content is the last heartbeat, in milliseconds of the monotonic clock: a stopped process keeps its kernel lock,
    but does not beat. Create it inside a write transaction of the lock store, which keeps `remove_dead` away until the
    lock is taken.
    """

    def __init__(self, folder: Path) -> None:
        durable.make_dir(folder)
        self.name = secrets.token_hex(8) + SUFFIX
        self._path = folder / self.name
        durable.hit("create alive file")
        self._descriptor: int | None = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL, durable.FILE_MODE)
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        _held.add(self)

    def beat(self, mono_ms: int) -> None:
        """Write a heartbeat with this monotonic time."""
        if self._descriptor is not None:
            os.pwrite(self._descriptor, f"{mono_ms:020}\n".encode(), 0)

    def close(self) -> None:
        """Give up the lock and remove the file; in a forked child, where both are the parent's, do nothing."""
        if self._descriptor is not None:
            try:
                with contextlib.suppress(OSError):
                    durable.remove_file(self._path)
            finally:
                self.drop()

    def drop(self) -> None:
        """Close the descriptor, which frees the kernel lock, and leave the file."""
        _held.discard(self)
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def is_dead(folder: Path, name: str) -> bool:
    """True if the process behind a file of this boot has ended.

    A missing file proves nothing. Rows that name a file are removed before the file.
    """
    return durable.is_locked(folder / name) is False


def last_beat(folder: Path, name: str) -> int:
    """Milliseconds of the monotonic clock at the last heartbeat; 0 if there was none."""
    try:
        return int((folder / name).read_bytes() or b"0")
    except (OSError, ValueError):
        return 0


def living_files(folder: Path) -> list[str]:
    """Names of the files of running processes."""
    return [path.name for path in sorted(folder.glob(f"*{SUFFIX}")) if not is_dead(folder, path.name)]


def dead_files(folder: Path) -> list[Path]:
    """Files of dead processes; to be called inside a write transaction of the lock store."""
    return [path for path in sorted(folder.glob(f"*{SUFFIX}")) if is_dead(folder, path.name)]


def remove_files(paths: list[Path]) -> None:
    """Remove files of dead processes, after the rows that name them; failures are ignored."""
    for path in paths:
        with contextlib.suppress(OSError):
            durable.remove_file(path)


def _forked() -> None:
    for file in list(_held):  # the child's copy of the descriptor would keep the lock of a dead parent
        file.drop()


os.register_at_fork(after_in_child=_forked)
