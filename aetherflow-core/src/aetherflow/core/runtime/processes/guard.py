"""The runner's side of the guard: a small process that ends the run's children if the runner dies."""

import contextlib
import os
import secrets
import select
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from aetherflow.core.base import durable
from aetherflow.core.runtime.processes import guard_program

END_SECONDS = 2.0
"""Time for the guard to end; starting it takes 20 ms, and a run may end before that."""
RENEW_SECONDS = 1.0
"""Shortest time between two starts of the guard, unless a child is about to be started."""
_guards: "weakref.WeakSet[Guard]" = weakref.WeakSet()


class Guard:
    """Starts the guard program before the first child, registers every group with it, and replaces a killed guard."""

    def __init__(self, mark: str) -> None:
        self._mark = mark
        self._groups: dict[int, str] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._pipes: list[IO[bytes]] = []
        self._started = 0.0
        self._until: float | None = None
        self._lock = threading.Lock()
        _guards.add(self)

    def ready(self) -> None:
        """Make sure that a guard and its twin are running; OSError if none can be started."""
        with self._lock:
            if not self._watching():
                self._renew()

    def tend(self) -> None:
        """Replace a killed guard if there are groups to watch; at most once per RENEW_SECONDS."""
        if self._groups and time.monotonic() > self._started + RENEW_SECONDS:
            with contextlib.suppress(OSError):  # the twin still watches, and the next call tries again
                self.ready()

    def add(self, group: int, birth: str) -> None:
        """Register a process group; `birth` is the start time of its leader."""
        with self._lock:
            self._groups[group] = birth
            self._tell(f"add {group} {birth}")

    def remove(self, group: int) -> None:
        """Unregister a process group that has ended."""
        with self._lock:
            if self._groups.pop(group, None) is not None:
                self._tell(f"del {group}")

    def keep_until(self, deadline: float) -> None:
        """The children must not live longer than to this monotonic time, unless a later one is set before."""
        with self._lock:
            self._until = deadline
            self._tell(f"until {deadline}")

    def close(self) -> None:
        """End the guard, at the end of a run that has left no process."""
        with self._lock:
            self._groups.clear()
            self._dismiss(self._process, self._pipes)
            self._process, self._pipes = None, []

    def drop_pipes(self) -> None:
        """In a process forked from the runner, close its copies of the pipes, which would hide the runner's end."""
        for pipe in self._pipes:
            pipe.close()
        self._pipes = []

    def _watching(self) -> bool:
        if not self._pipes:
            return False
        poll = select.poll()  # a pipe without a reader polls as an error
        for pipe in self._pipes:
            poll.register(pipe, 0)
        return not poll.poll(0)

    def _renew(self) -> None:
        old = self._process, self._pipes
        self._started = time.monotonic()
        self._process, self._pipes = durable.spawn_guard(
            [sys.executable or "python3", "-I", "-S", str(Path(guard_program.__file__))]
        )
        for pipe in self._pipes:
            os.set_blocking(pipe.fileno(), False)  # a stopped guard must not block the run
        self._tell(f"mark {self._mark}")
        if self._until is not None:
            self._tell(f"until {self._until}")
        for group, birth in self._groups.items():
            self._tell(f"add {group} {birth}")
        self._dismiss(*old)  # only now: until here the old guard's twin was watching

    def _tell(self, line: str) -> None:
        for pipe in self._pipes:
            with contextlib.suppress(OSError):  # a dead guard is replaced before the next child
                pipe.write(line.encode() + b"\n")

    @staticmethod
    def _dismiss(process: "subprocess.Popen[bytes] | None", pipes: "list[IO[bytes]]") -> None:
        for pipe in pipes:
            with contextlib.suppress(OSError):
                pipe.write(b"end\n")
            pipe.close()
        if process is not None:
            try:
                process.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()


@contextlib.contextmanager
def guarded_programs() -> "Iterator[Callable[..., subprocess.Popen[bytes]]]":
    """Yield a function that starts programs as `subprocess.Popen` does, each in a session of its own.

    They and their descendants are killed at the end of the block, and if this process dies before. For programs that
    no step starts, such as those of a bundle source: `RunContext.spawn` starts those of steps.
    """
    mark = secrets.token_hex(16)
    guard = Guard(mark)
    outer = os.environ.get(guard_program.VARIABLE)
    marked = {guard_program.VARIABLE: f"{outer}:{mark}" if outer else mark}
    started: dict[int, str] = {}

    def start(argv: list[str], *, env: Mapping[str, str], **options: Any) -> subprocess.Popen[bytes]:
        guard.ready()
        process = subprocess.Popen(argv, env={**env, **marked}, start_new_session=True, **options)
        started[process.pid] = guard_program.born(process.pid)
        guard.add(process.pid, started[process.pid])
        return process

    try:
        yield start
    finally:
        if started:
            guard_program.end(started, guard_program.Search(mark), 0)
        guard.close()


def _in_forked_process() -> None:
    for guard in _guards:
        guard.drop_pipes()


os.register_at_fork(after_in_child=_in_forked_process)
