"""A queue between the hooks, which must not wait, and a server, which may not answer."""

import threading
from collections import deque
from collections.abc import Callable, Mapping

Entry = Mapping[str, str | int]
PAUSE = 1.0
"""Seconds between two attempts at a server that does not answer."""


class Sender:
    """Writes entries in their order, in a thread of its own; one that cannot be written is tried again."""

    def __init__(self, write: Callable[[Entry], None], most: int) -> None:
        """`write` raises whatever is wrong if it could not write; `most` entries may wait, further ones are dropped."""
        self._write = write
        self._most = most
        self._waiting: deque[Entry] = deque()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._dropped = 0
        self._last_try = False
        """Somebody waits for the end: no pause, and the next attempt that fails is the last."""
        self._failure = ""
        """Why the last attempt failed; empty if it did not."""

    def put(self, entry: Entry) -> None:
        """Hand over an entry; returns at once."""
        with self._changed:
            if len(self._waiting) >= self._most:
                self._dropped += 1
                return
            self._waiting.append(entry)
            if self._thread is None:
                # a daemon: an attempt that hangs does not keep the process from ending
                self._thread = threading.Thread(target=self._work, name="acme-runlog", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def finish(self, seconds: float) -> tuple[int, str]:
        """Wait until everything is written, at most so long, and drop the rest; how many were dropped, and why."""
        with self._changed:
            self._last_try = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self._waiting or not self._last_try, seconds)
            self._last_try = False
            dropped, why = self._dropped + len(self._waiting), self._failure or f"no answer within {seconds:g} s"
            self._waiting.clear()
            self._dropped = 0
        return dropped, why

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: bool(self._waiting))
                entry = self._waiting[0]
            try:
                self._write(entry)
            except Exception as error:  # noqa: BLE001 whatever it is, this thread has to go on
                self._failed(str(error))
                continue
            with self._changed:
                self._failure = ""
                if self._waiting and self._waiting[0] is entry:
                    self._waiting.popleft()
                self._changed.notify_all()

    def _failed(self, why: str) -> None:
        with self._changed:
            self._failure = why
            if self._last_try:
                self._last_try = False
                self._changed.notify_all()
            self._changed.wait_for(lambda: self._last_try, PAUSE)
