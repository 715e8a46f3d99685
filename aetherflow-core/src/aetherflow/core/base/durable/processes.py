"""Child processes: those of steps, and the guard that ends them if the run dies."""

import contextlib
import math
import os
import resource
import select
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from aetherflow.core.base.durable.failpoint import hit

TICK_SECONDS = 0.02
"""Poll interval where the system has no descriptor that signals the end of a child (macOS)."""


class ChildProcess(subprocess.Popen[bytes]):
    """A child process that records its resource usage at its end. `poll` and `wait` may be called from any thread."""

    def __init__(
        self,
        argv: Sequence[str],
        *,
        cwd: Path,
        env: Mapping[str, str],
        stdin: int = subprocess.DEVNULL,
        stdout: IO[bytes] | None = None,
        stderr: IO[bytes] | None = None,
    ) -> None:
        self.usage: resource.struct_rusage | None = None
        """Resource usage of the child and the descendants that it waited for; None until it was reaped."""
        self._reaping = threading.Lock()
        super().__init__(
            list(argv),
            cwd=cwd,
            env=env,
            stdin=stdin,
            stdout=stdout or subprocess.PIPE,
            stderr=stderr or subprocess.PIPE,
            process_group=0,
        )

    def poll(self) -> int | None:
        """Exit code, or the negative number of the signal that ended it; None while the child runs."""
        with self._reaping:
            if self.returncode is None:
                try:
                    pid, status, usage = os.wait4(self.pid, os.WNOHANG)
                except ChildProcessError:  # other code in this process has reaped it
                    self.returncode = 0
                else:
                    if pid:
                        self.returncode, self.usage = os.waitstatus_to_exitcode(status), usage
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the exit code, as of `poll`; subprocess.TimeoutExpired after `timeout` seconds."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while (code := self.poll()) is None:
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                raise subprocess.TimeoutExpired(self.args, timeout or 0)
            self._until_ended(left)
        return code

    def _until_ended(self, seconds: float | None) -> None:
        with self._reaping:
            if self.returncode is not None:
                return
            try:
                descriptor = os.pidfd_open(self.pid)
            except (AttributeError, OSError):
                descriptor = -1
        if descriptor < 0:
            time.sleep(TICK_SECONDS if seconds is None else min(seconds, TICK_SECONDS))
            return
        try:
            poll = select.poll()
            poll.register(descriptor, select.POLLIN)
            poll.poll(None if seconds is None else math.ceil(seconds * 1000))
        finally:
            os.close(descriptor)


def spawn(
    argv: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    stdin: int = subprocess.DEVNULL,
    stdout: IO[bytes] | None = None,
    stderr: IO[bytes] | None = None,
) -> ChildProcess:
    """Start a child in a process group of its own: stdin empty, a pipe or a file, no other descriptor inherited.

    Its stdout and stderr are pipes, or given files, which the child can go on writing when its parent dies.
    """
    hit(f"spawn {Path(argv[0]).name}")
    return ChildProcess(argv, cwd=cwd, env=env, stdin=stdin, stdout=stdout, stderr=stderr)


_detached: list[int] = []
"""Detached children that were not reaped yet."""


def spawn_detached(argv: Sequence[str], *, cwd: Path, env: Mapping[str, str], output: IO[bytes]) -> int:
    """Start a process in a session of its own that outlives this one; returns its pid.

    It inherits no descriptor but `output`, for stdout and stderr.
    """
    hit(f"spawn {Path(argv[0]).name}")
    for pid in list(_detached):  # of a process that lives long, such as a scheduler
        with contextlib.suppress(ChildProcessError):
            if os.waitpid(pid, os.WNOHANG)[0] == 0:
                continue
        _detached.remove(pid)
    process = subprocess.Popen(
        list(argv), cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
    )
    process.returncode = 0  # it is not waited for: without this, its end would be asked for here
    _detached.append(process.pid)
    return process.pid


def wait_detached(pid: int, seconds: float) -> None:
    """Wait for the end of a detached process, but no longer than so many seconds."""
    end = time.monotonic() + seconds
    with contextlib.suppress(ChildProcessError):  # it was reaped, or is none of this process
        while os.waitpid(pid, os.WNOHANG)[0] == 0 and time.monotonic() < end:
            time.sleep(TICK_SECONDS)


def spawn_guard(argv: Sequence[str]) -> tuple[subprocess.Popen[bytes], list[IO[bytes]]]:
    """Start the guard in its own session, with a nearly empty environment; returns it and the write ends of two pipes.

    One pipe is its stdin; the descriptor number of the other is its last argument. Other children do not inherit the
    write ends.
    """
    hit("spawn guard")
    second, writer = os.pipe()
    pipe = os.fdopen(writer, "wb", buffering=0)
    env = {name: value for name, value in os.environ.items() if name in ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")}
    try:
        process = subprocess.Popen(
            [*argv, str(second)],
            cwd="/",
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            pass_fds=(second,),
            start_new_session=True,
        )
    except BaseException:
        pipe.close()
        raise
    finally:
        os.close(second)
    assert process.stdin is not None  # noqa: S101 stdin=PIPE
    return process, [process.stdin, pipe]
