"""Ownership of runs: a kernel lock on a file allows one process per run, and is freed however its holder dies."""

import fcntl
import os
import time
from pathlib import Path

from aetherflow.core.base import durable
from aetherflow.core.base.actor import hostname
from aetherflow.core.base.errors import RunBusyError, StateError

PROBES, PROBE_SECONDS = 20, 0.005
"""Tries to take a run lock: a check whether the run is live holds the lock for an instant, on a busy machine longer."""
NAME_PROBES = 100
"""Tries to read the owner's name, at most half a second in total."""


def lock_path(state_path: Path, flow_id: str, run_id: str) -> Path:
    """The file that a `RunLock` of the run locks."""
    return durable.side_folder(state_path) / "runs" / flow_id / f"{run_id}.lock"


class RunLock:
    """Exclusive ownership of one run on this host, held until `release()` or the end of the process."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None
        self._gate: int | None = None
        self._process = 0

    def acquire(self, run_id: str) -> None:
        """Take the lock without waiting. Raises RunBusyError, which names the holder, StateError."""
        for last in (False,) * (PROBES - 1) + (True,):
            descriptor = self._open()
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if self._is_current(descriptor):
                    break
            except BlockingIOError:
                if last:
                    owner = _owner(descriptor)
                    os.close(descriptor)
                    message = f"run {run_id} is being executed by {owner}"
                    raise RunBusyError(message, fix="wait for it, or use another --run-id") from None
            os.close(descriptor)
            time.sleep(PROBE_SECONDS)
        else:
            raise StateError(f"the run cannot be locked: {self._path} is removed again and again", fix="try again")
        try:
            self._gate = self._enter()
            name = f"pid {os.getpid()} on {hostname()}".encode()
            os.pwrite(descriptor, name, 0)
            os.ftruncate(descriptor, len(name))
        except (OSError, RunBusyError) as error:
            self._leave()
            os.close(descriptor)
            raise error if isinstance(error, RunBusyError) else self._unusable(error) from error
        self._descriptor, self._process = descriptor, os.getpid()

    def _unusable(self, error: OSError) -> StateError:
        fix = "check the disk and the folder beside flow.state.path, then run again"
        return StateError(f"the run cannot be locked: {self._path}: {error.strerror}", fix=fix)

    def release(self) -> None:
        """Release the lock; the file stays."""
        if self._descriptor is not None:
            if os.getpid() == self._process:  # a process that a step has forked may have a copy, and unwind as well
                fcntl.flock(self._descriptor, fcntl.LOCK_UN)
            os.close(self._descriptor)
            self._descriptor = None
            self._leave()

    def _enter(self) -> int:
        """Share the folder of all run locks, which `no_run` holds alone; as long as the run has its own lock."""
        folder = os.path.dirname(os.path.dirname(self._path))  # noqa: PTH120 thousands are taken; a Path costs more
        gate = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(gate, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(gate)
            raise RunBusyError("the state is being restored", fix="start again once that is done") from None
        return gate

    def _leave(self) -> None:
        if self._gate is not None:
            if os.getpid() == self._process:
                fcntl.flock(self._gate, fcntl.LOCK_UN)
            os.close(self._gate)
            self._gate = None

    @property
    def descriptor(self) -> int:
        """That of the locked file."""
        if self._descriptor is None:
            raise RuntimeError("the lock is not held")
        return self._descriptor

    def _open(self) -> int:
        try:
            try:
                return os.open(self._path, os.O_RDWR | os.O_CREAT, durable.FILE_MODE)
            except FileNotFoundError:
                durable.make_dir(self._path.parent)
                return os.open(self._path, os.O_RDWR | os.O_CREAT, durable.FILE_MODE)
        except OSError as error:
            raise self._unusable(error) from error

    def _is_current(self, descriptor: int) -> bool:
        """False if the file was removed between opening and locking, so that the lock has no effect."""
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return False
        mine = os.fstat(descriptor)
        return (mine.st_dev, mine.st_ino) == (found.st_dev, found.st_ino)


def _owner(descriptor: int) -> str:
    """The name of the lock's holder, which it writes a moment after taking the lock."""
    for _ in range(NAME_PROBES):
        if text := os.pread(descriptor, 200, 0).decode(errors="replace"):
            return text
        time.sleep(PROBE_SECONDS)
    return "another process"
