"""One process per run: a kernel lock on a file, freed by the kernel when its holder dies, however it dies."""

import fcntl
import os
import socket
from pathlib import Path

from aetherflow.core import durable
from aetherflow.core.errors import RunBusyError, StateError


class RunLock:
    """Exclusive ownership of one run on this host, held until `release()` or the end of the process."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    def acquire(self, run_id: str) -> None:
        """Take the lock at once; RunBusyError names the process that holds it."""
        try:
            durable.make_dir(self._path.parent)
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, durable.FILE_MODE)
        except OSError as error:
            raise self._unusable(error) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.pread(descriptor, 200, 0).decode(errors="replace") or "another process"
            os.close(descriptor)
            message = f"run {run_id} is being executed by {owner}"
            raise RunBusyError(message, fix="wait for it, or use another --run-id") from None
        try:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"pid {os.getpid()} on {socket.gethostname()}".encode(), 0)
        except OSError as error:
            os.close(descriptor)
            raise self._unusable(error) from error
        self._descriptor = descriptor

    def _unusable(self, error: OSError) -> StateError:
        fix = "check the disk and the folder beside flow.state.path, then run again"
        return StateError(f"the run cannot be locked: {self._path}: {error.strerror}", fix=fix)

    def release(self) -> None:
        """Let the next process in; the file stays, since removing it would race with a waiting one."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
