"""The launcher `subprocess`: each run is a separate `aetherflow run` process on this host."""

import contextlib
import fcntl
import json
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from aetherflow.core.embedding import ForkedProcess, durable
from aetherflow.scheduler.launchers.base import BROKER_URL, Launcher, Outcome, Running, RunRequest
from aetherflow.scheduler.launchers.orphans import birth_of

MAX_SUMMARY = 16 << 20
"""Bytes; a longer summary is not read, and only the exit code counts."""


def started(
    module: str,
    arguments: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    stdin: IO[bytes],
    stdout: IO[bytes],
    stderr: IO[bytes],
) -> durable.ChildProcess | ForkedProcess:
    """Start a module as a program in a process group of its own."""
    argv = [sys.executable or "python3", "-m", module, *arguments]
    return durable.spawn(argv, cwd=cwd, env=env, stdin=stdin.fileno(), stdout=stdout, stderr=stderr)


class SubprocessLauncher(Launcher):
    """Starts `python -m aetherflow.core run …` in a new process group.

    The process writes to files, not pipes, so it keeps running when the scheduler dies.
    """

    def __init__(self, process: Callable[..., durable.ChildProcess | ForkedProcess] = started) -> None:
        """`process` starts the processes; `ForkServer.start` does it with less work."""
        self._process = process

    def start(self, request: RunRequest, ended: Callable[[], None]) -> Running:
        return self.spawn("aetherflow.core", request.shown_arguments, request, ended, request.stdin)

    def spawn(
        self,
        module: str,
        arguments: Sequence[str],
        request: RunRequest,
        ended: Callable[[], None],
        given: bytes | None = None,
    ) -> Running:
        """Start this module as a program in place of that of the request; it reads `given` from stdin."""
        with (
            _holding(given) as stdin,
            durable.open_log(summary_file(request.log)) as stdout,
            durable.open_log(request.log) as stderr,
        ):
            with contextlib.suppress(OSError):
                fcntl.flock(stderr, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the run inherits it: see `is_written`
            env = {**os.environ, **request.env}
            env.pop(BROKER_URL, None)
            process = self._process(
                module, arguments, cwd=request.folder, env=env, stdin=stdin, stdout=stdout, stderr=stderr
            )
        return _Child(process, request, ended)


def _holding(data: bytes | None) -> IO[bytes]:
    """Open a file without a name that holds `data`: unlike a pipe it is whole even if this process is killed."""
    if data is None:
        return open(os.devnull, "rb")  # noqa: PTH123 the caller closes it
    if sys.platform == "linux":
        file: IO[bytes] = os.fdopen(os.memfd_create("stdin"), "w+b")
    else:
        file = tempfile.TemporaryFile()  # noqa: SIM115 the caller closes it
    file.write(data)
    file.seek(0)
    return file


class _Child(Running):
    def __init__(
        self, process: durable.ChildProcess | ForkedProcess, request: RunRequest, ended: Callable[[], None]
    ) -> None:
        self.pid = process.pid
        self.birth = birth_of(process.pid)
        self._process = process
        self._log = request.log
        self._ended = ended
        # one thread per run waits for the process to end; its small stack costs little memory
        threading.Thread(target=self._watch, name=f"run {request.run_id}", daemon=True).start()

    def _watch(self) -> None:
        self._process.wait()
        self._ended()

    def poll(self) -> Outcome | None:
        code = self._process.poll()
        return None if code is None else Outcome(code, _read_summary(summary_file(self._log)))

    def terminate(self) -> None:
        self._process.terminate()  # only the runner: it stops its programs itself, in order

    def kill(self) -> None:
        # its programs have their own process groups; the guard process of the run kills those
        if isinstance(self._process, ForkedProcess):
            self._process.kill()
        elif self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)


def summary_file(log: Path) -> Path:
    """The file for the run's stdout, which holds its summary."""
    return log.with_suffix(".json")


def _read_summary(path: Path) -> dict[str, Any] | None:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_SUMMARY + 1)  # a device that stands there has no end
        found = json.loads(data) if len(data) <= MAX_SUMMARY else None
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None
