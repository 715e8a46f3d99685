"""Starting runs by a fork server: starting an interpreter and importing takes four fifths of a short run."""

import errno
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from aetherflow.core.base import durable
from aetherflow.core.runtime.processes import fork_server_program
from aetherflow.core.runtime.processes.fork_messages import ENDED, LENGTH, STARTED, ForkRequest, received

END_SECONDS = 5.0
UNKNOWN = 3
"""Exit code of a run whose server was killed: as of a start that found the run busy, its state says how it ended."""


class ForkedProcess:
    """A process that was forked. `wait` is called by one thread; `poll` says what it has found."""

    def __init__(self, pid: int, status: socket.socket) -> None:
        self.pid = pid
        self._status = status
        self._code: int | None = None
        self._ending = threading.Lock()

    def poll(self) -> int | None:
        """The exit code, or the negative number of the signal that ended it; None while it runs."""
        return self._code

    def wait(self) -> int:
        """Wait for the exit code. With its server killed the process is killed, too: nobody would hear of its end."""
        if self._code is None:
            said = received(self._status, ENDED.size)
            if said is None:
                self.kill()
            with self._ending, self._status:  # closed, the process may be given another run
                self._code = UNKNOWN if said is None else ENDED.unpack(said)[0]
        return self._code

    def terminate(self) -> None:
        """Send SIGTERM to the process, unless its run has ended."""
        with self._ending, suppress(ProcessLookupError, PermissionError):
            if self._code is None:
                os.kill(self.pid, signal.SIGTERM)

    def kill(self) -> None:
        """Kill the process with its process group, unless its run has ended."""
        with self._ending, suppress(ProcessLookupError, PermissionError):
            if self._code is None:
                os.killpg(self.pid, signal.SIGKILL)


class ForkServer:
    """Starts processes by a server, which is started before the first one, and again when it is gone or out of date."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._control: socket.socket | None = None
        self._servers: list[durable.ChildProcess] = []

    def prepare(self) -> None:
        """Start the server if there is none, without waiting for it."""
        with self._lock:
            self._reached()

    def start(
        self, module: str, arguments: Sequence[str], *, cwd: Path, env: Mapping[str, str],
        stdin: IO[bytes], stdout: IO[bytes], stderr: IO[bytes],
    ) -> ForkedProcess:  # fmt: skip
        """Have `python -P -m MODULE` run in a process of its own process group; OSError if that fails.

        It is forked, or has executed others of the same folder and environment, and is as if it was forked now.

        It has no other open files.
        """
        request = ForkRequest(module, arguments, str(cwd), dict(env))
        return ForkedProcess(*self._ask(request, [stdin.fileno(), stdout.fileno(), stderr.fileno()]))

    def close(self) -> None:
        """End the server, and wait a moment for it: it ends with the last run."""
        with self._lock:
            if self._control is not None:
                self._control.close()
                self._control = None
            for server in self._servers:
                with suppress(subprocess.TimeoutExpired):
                    server.wait(END_SECONDS)

    def _ask(self, request: ForkRequest, streams: Sequence[int]) -> tuple[int, socket.socket]:
        body = json.dumps(request).encode()
        for _ in range(2):  # the server may be gone
            ours, theirs = socket.socketpair()
            with self._lock, theirs:
                try:
                    control = self._reached()
                except BaseException:
                    ours.close()
                    raise
                try:
                    socket.send_fds(control, [LENGTH.pack(len(body))], [*streams, theirs.fileno()])
                    control.sendall(body)
                    theirs.close()
                    said = received(ours, STARTED.size)
                except OSError:
                    said = None
                pid, number, stale = (0, 0, True) if said is None else STARTED.unpack(said)
                if stale:
                    control.close()  # it ends with the last run that it has forked
                    self._control = None
            if pid:
                return pid, ours
            ours.close()
            if number:
                raise OSError(number, os.strerror(number), request.folder)
        raise OSError(errno.ECHILD, "the process that forks runs does not start")

    def _reached(self) -> socket.socket:
        if self._control is None:
            self._servers = [server for server in self._servers if server.poll() is None]
            control, theirs = socket.socketpair()
            argv = [sys.executable or "python3", "-P", "-m", fork_server_program.__name__]
            try:
                with theirs, os.fdopen(os.dup(2), "wb") as told:
                    self._servers.append(
                        durable.spawn(
                            argv, cwd=Path.cwd(), env=os.environ, stdin=theirs.fileno(), stdout=told, stderr=told
                        )
                    )
            except BaseException:
                control.close()
                raise
            self._control = control
        return self._control
