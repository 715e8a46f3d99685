"""Writing output in a thread of its own, so that what prints does not wait for what reads."""

import os
import select
import signal
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

LIMIT = 1 << 20
"""Bytes that may wait for their reader; of more the oldest lines are dropped."""
PATIENCE_SECONDS = 2.0
"""How long a full buffer may hold up what prints, until it has been empty again."""
END_SECONDS = 10.0
"""How long the end of a command waits for a reader that takes nothing."""
STOPPED_SECONDS = 0.5
"""The same for a command that is being stopped."""
CHUNK = 4096
"""Bytes per write: a pipe takes them whole, and each is a sign of life of the reader."""
STDERR = 2
SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM)


class Writer:
    """Writes to descriptors in order. Nothing that it is given fails; a descriptor without a reader holds up nobody.

    Only lines for stderr are dropped, for there the progress goes; stdout gets few texts, the results.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: deque[tuple[int, bytes]] = deque()
        self._size = 0
        self._busy = False
        self._dropped = 0
        self._patience = PATIENCE_SECONDS
        self._moved = time.monotonic()
        """When a reader took something, or there was nothing to take."""
        threading.Thread(target=self._work, name="output", daemon=True).start()

    def write(self, descriptor: int, data: bytes) -> None:
        """Take bytes to be written; waits only while the buffer is full, and not for long."""
        with self._changed:
            if self._size > LIMIT and self._patience > 0:
                began = time.monotonic()
                self._changed.wait_for(lambda: self._size <= LIMIT, self._patience)
                self._patience -= time.monotonic() - began
            if not self.behind:
                self._moved = time.monotonic()
            self._waiting.append((descriptor, data))
            self._size += len(data)
            if self._size > LIMIT:
                self._drop()
            self._changed.notify_all()

    @property
    def behind(self) -> bool:
        """Whether something has not been written yet."""
        return self._busy or bool(self._waiting)

    def take_dropped(self) -> int:
        """How many lines were dropped since this was asked last."""
        with self._changed:
            dropped, self._dropped = self._dropped, 0
            return dropped

    def finish(self, *, stopped: bool) -> None:
        """Wait until everything is written, or until nobody has taken anything for some time; a signal shortens that.

        The process is to end after it; the thread may be left with a write that never ends.
        """
        with _noticing_signals() as noticed, self._changed:
            while self.behind:
                patience = STOPPED_SECONDS if stopped or noticed else END_SECONDS
                if time.monotonic() - self._moved > patience:
                    return
                self._changed.wait(0.05)  # a signal does not wake it

    def _drop(self) -> None:
        kept: deque[tuple[int, bytes]] = deque()
        while self._size > LIMIT and len(self._waiting) > 1:  # what came last is kept, be it as long as it may
            descriptor, data = self._waiting.popleft()
            if descriptor == STDERR:
                self._size -= len(data)
                self._dropped += data.count(b"\n")
            else:
                kept.append((descriptor, data))
        self._waiting.extendleft(reversed(kept))

    def _work(self) -> None:
        while True:
            with self._changed:
                self._busy = False
                if not self._waiting:
                    self._patience = PATIENCE_SECONDS
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._waiting)
                descriptor, data = self._waiting.popleft()
                self._busy = True
            self._put(descriptor, data)

    def _put(self, descriptor: int, data: bytes) -> None:
        done = 0
        while done < len(data):
            try:
                written = os.write(descriptor, data[done : done + CHUNK])
            except BlockingIOError:  # who shares the descriptor has made it so
                poll = select.poll()
                poll.register(descriptor, select.POLLOUT)
                poll.poll()
                continue
            except OSError:  # the reader is gone, the disk is full, the terminal has hung up
                written, lost = len(data) - done, data.count(b"\n", done)
            else:
                lost = 0
            done += written
            with self._changed:
                self._moved = time.monotonic()
                self._size -= written
                self._dropped += lost


@contextmanager
def _noticing_signals() -> Iterator[list[int]]:
    """Within it, signals that would end the process are put into the list instead; only in the main thread."""
    noticed: list[int] = []

    def notice(number: int, frame: FrameType | None) -> None:
        del frame
        noticed.append(number)

    before: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        wanted = [number for number in SIGNALS if signal.getsignal(number) != signal.SIG_IGN]
        before = {number: signal.signal(number, notice) for number in wanted}
    try:
        yield noticed
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
