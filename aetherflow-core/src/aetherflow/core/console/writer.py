"""Writing output in a thread of its own, so that what prints does not wait for what reads."""

import os
import select
import signal
import threading
import time
from collections import deque
from types import FrameType
from typing import Any

LIMIT = 1 << 20
"""Bytes for stderr that may wait for their reader; of more the oldest lines are dropped."""
PATIENCE_SECONDS = 2.0
"""How long a full buffer may hold up what prints: a reader that takes half of it in this time loses nothing."""
END_SECONDS = 10.0
"""How long the end of a command waits for a reader that takes nothing."""
STOPPED_SECONDS = 0.5
"""The same for a command that is being stopped."""
CHUNK = 4096
"""Bytes per write: a pipe takes them whole, and each is a sign of life of the reader."""
STDERR = 2
SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)


class Writer:
    """Writes to descriptors in order. Nothing that it is given fails; a descriptor without a reader holds up nobody.

    Only lines for stderr are dropped: there the progress goes. Stdout gets the results.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: deque[tuple[int, bytes]] = deque()
        self._size = 0
        self._busy = False
        self._ended = False
        self._dropped = 0
        self._stuck = False
        """True from when nobody made room in time until half of it is free again."""
        self._moved = time.monotonic()
        """When a reader took something, or there was nothing to take."""
        self._noticed = False
        self._before: dict[int, Any] = {}
        self.recorded = False
        """Set once the result is recorded, or something else handles signals until it is: see `_signalled`."""
        if threading.current_thread() is threading.main_thread():
            wanted = [number for number in SIGNALS if signal.getsignal(number) not in (signal.SIG_IGN, None)]
            self._before = {number: signal.signal(number, self._signalled) for number in wanted}
        self._thread = threading.Thread(target=self._work, name="output", daemon=True)
        self._thread.start()

    def write(self, descriptor: int, data: bytes) -> None:
        """Take bytes to be written; waits only while the buffer is full, and not for long."""
        with self._changed:
            if descriptor == STDERR:
                self._make_room(len(data))
            if not self.behind:
                self._moved = time.monotonic()
            self._waiting.append((descriptor, data))
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

        The thread ends, too, unless it is left with a write that never ends.
        """
        self.recorded = True
        with self._changed:
            self._ended = True
            self._changed.notify_all()
            while self.behind:
                patience = STOPPED_SECONDS if stopped or self._noticed else END_SECONDS
                if time.monotonic() - self._moved > patience:
                    break
                self._changed.wait(0.05)  # a signal does not wake it
            done = not self.behind
        if done:
            self._thread.join()
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _signalled(self, number: int, frame: FrameType | None) -> None:
        """A signal before or after the work, which has a handler of its own: the end must not contradict the record.

        A second one still ends the process, should something hang at the end.
        """
        del frame
        if self.recorded and not self._noticed:
            self._noticed = True
        else:
            signal.signal(number, self._before[number])
            os.kill(os.getpid(), number)

    def _make_room(self, size: int) -> None:
        if self._size + size > LIMIT and not self._stuck:
            self._stuck = not self._changed.wait_for(lambda: self._size <= LIMIT // 2, PATIENCE_SECONDS)
        kept: deque[tuple[int, bytes]] = deque()
        while self._size + size > LIMIT and self._waiting:
            descriptor, data = self._waiting.popleft()
            if descriptor == STDERR:
                self._size -= len(data)
                self._dropped += data.count(b"\n")
            else:
                kept.append((descriptor, data))
        self._waiting.extendleft(reversed(kept))
        self._size += size

    def _work(self) -> None:
        while True:
            with self._changed:
                self._busy = False
                if self._size <= LIMIT // 2:
                    self._stuck = False
                    self._changed.notify_all()  # not at every line: who waits for room would run in between
                self._changed.wait_for(lambda: self._waiting or self._ended)
                if not self._waiting:
                    return
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
                self._size -= written if descriptor == STDERR else 0
                self._dropped += lost
