"""The launcher `subprocess`: each run is a process of its own on this host, `aetherflow run`."""

import contextlib
import fcntl
import json
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aetherflow.core.embedding import durable
from aetherflow.scheduler.launchers.base import Launcher, Outcome, Running, RunRequest
from aetherflow.scheduler.launchers.orphans import birth_of

MAX_SUMMARY = 16 << 20
"""Bytes; a summary beyond it is not read, the exit code counts all the same."""


class SubprocessLauncher(Launcher):
    """Starts `python -m aetherflow.core run …` in a process group of its own.

    The process writes into files, so it goes on when the scheduler dies.
    """

    def start(self, request: RunRequest, ended: Callable[[], None]) -> Running:
        argv = [sys.executable or "python3", "-m", "aetherflow.core", *request.arguments]
        with (
            durable.open_log(summary_file(request.log)) as stdout,
            durable.open_log(request.log) as stderr,
        ):
            with contextlib.suppress(OSError):
                fcntl.flock(stderr, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the run inherits it: see `is_written`
            env = {**os.environ, **request.env}
            process = durable.spawn(argv, cwd=request.folder, env=env, stdout=stdout, stderr=stderr)
        return _Child(process, request, ended)


class _Child(Running):
    def __init__(self, process: durable.ChildProcess, request: RunRequest, ended: Callable[[], None]) -> None:
        self.pid = process.pid
        self.birth = birth_of(process.pid)
        self._process = process
        self._log = request.log
        self._ended = ended
        # the thread sleeps in the kernel until the process ends; its stack is next to nothing
        threading.Thread(target=self._watch, name=f"run {request.run_id}", daemon=True).start()

    def _watch(self) -> None:
        self._process.wait()
        self._ended()

    def poll(self) -> Outcome | None:
        code = self._process.poll()
        return None if code is None else Outcome(code, _read_summary(summary_file(self._log)))

    def terminate(self) -> None:
        # only the runner: it ends its programs itself, and in order
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(self._process.pid, signal.SIGTERM)

    def kill(self) -> None:
        # its programs have groups of their own; the guard of the run ends those
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)


def summary_file(log: Path) -> Path:
    """Where what the run prints goes: its summary."""
    return log.with_suffix(".json")


def _read_summary(path: Path) -> dict[str, Any] | None:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_SUMMARY + 1)  # a device that stands there has no end
        found = json.loads(data) if len(data) <= MAX_SUMMARY else None
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None
