"""Stopping a run: signals wake the main thread, which ends processes, interrupts connectors and waits for the step."""

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from queue import SimpleQueue
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM)


class Stop:
    """The stop request of one run: none, or the signal that asked."""

    def __init__(self) -> None:
        self.signal: int | None = None
        # SimpleQueue.put may be called from a signal handler while the same thread waits in get; Event.set may not
        self.inbox: SimpleQueue[Any] = SimpleQueue()

    @property
    def requested(self) -> bool:
        """True once the run is being stopped."""
        return self.signal is not None

    def request(self, number: int) -> None:
        """Ask the run to stop."""
        self.signal = number
        self.inbox.put(("signal", number))

    @contextlib.contextmanager
    def handling_signals(self) -> Iterator[None]:
        """Turn HUP, INT, QUIT and TERM into stop requests while the block runs; only in the main thread."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def handler(number: int, frame: FrameType | None) -> None:
            del frame
            self.request(number)

        # HUP ignored from the start means nohup: the run is to outlive its terminal
        ignored = {signal.SIGHUP} if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else set()
        before = {number: signal.signal(number, handler) for number in SIGNALS if number not in ignored}
        try:
            yield
        finally:
            for number, previous in before.items():
                signal.signal(number, previous)


class Processes:
    """The children of a run that still live, each the leader of a process group."""

    def __init__(self) -> None:
        self._live: dict[int, subprocess.Popen[bytes]] = {}

    def add(self, process: subprocess.Popen[bytes]) -> None:
        """Watch over a child."""
        self._live[process.pid] = process

    def end(self, process: subprocess.Popen[bytes], grace: float) -> None:
        """SIGTERM to the whole group, time to react, SIGKILL to what is left of it."""
        _signal_group(process.pid, signal.SIGTERM)
        deadline = time.monotonic() + grace
        while time.monotonic() < deadline and _group_lives(process):
            time.sleep(0.02)
        _signal_group(process.pid, signal.SIGKILL)
        process.wait()
        self._live.pop(process.pid, None)  # only now: a stop during the grace must still find it

    def forget(self, process: subprocess.Popen[bytes]) -> None:
        """A child ended by itself; what it left in its group is ended too."""
        if self._live.pop(process.pid, None) is not None:
            _signal_group(process.pid, signal.SIGKILL)

    def signal_all(self, number: int) -> None:
        """Signal every live group."""
        for pid in list(self._live):
            _signal_group(pid, number)


def _signal_group(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def _group_lives(process: subprocess.Popen[bytes]) -> bool:
    process.poll()  # reap the leader, so that an empty group vanishes
    try:
        os.killpg(process.pid, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True
