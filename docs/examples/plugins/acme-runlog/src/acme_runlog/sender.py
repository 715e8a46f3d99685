"""A queue between the hooks, which must not wait, and a server, which may not answer."""

import threading
from collections import deque
from collections.abc import Callable, Mapping
from typing import Protocol

Entry = Mapping[str, str | int]
PAUSE = 1.0
"""Seconds between two attempts at a server that does not answer."""


class Target(Protocol):
    """Where entries go, for one thread."""

    def write(self, entry: Entry) -> None:
        """Write one; raises whatever is wrong."""

    def close(self) -> None:
        """End what it holds."""


class Sender:
    """Writes entries in their order, in a thread of its own; one that cannot be written is tried again."""

    def __init__(self, new: Callable[[], Target], most: int) -> None:
        """`new` makes the target of a thread; `most` entries may wait, further ones are dropped."""
        self._new = new
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
        """Wait until everything is written, at most so long, and drop the rest; how many were dropped, and why.

        The thread ends; the next entry starts another one.
        """
        with self._changed:
            self._last_try = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self._waiting or not self._last_try, seconds)
            self._last_try = False
            dropped, why = self._dropped + len(self._waiting), self._failure or f"no answer within {seconds:g} s"
            self._waiting.clear()
            self._dropped = 0
            self._thread = None
            self._changed.notify_all()
        return dropped, why

    def _work(self) -> None:
        target = self._new()
        while (entry := self._next()) is not None:
            try:
                target.write(entry)
            except Exception as error:  # noqa: BLE001 whatever it is, this thread has to go on
                self._failed(str(error))
                continue
            with self._changed:
                self._failure = ""
                if self._waiting and self._waiting[0] is entry:
                    self._waiting.popleft()
                self._changed.notify_all()
        target.close()

    def _next(self) -> Entry | None:
        """The oldest entry that waits; None if this thread is not needed any more."""
        with self._changed:
            self._changed.wait_for(lambda: bool(self._waiting) or self._is_over())
            return None if self._is_over() else self._waiting[0]

    def _is_over(self) -> bool:
        return self._thread is not threading.current_thread()

    def _failed(self, why: str) -> None:
        with self._changed:
            self._failure = why
            if self._last_try:
                self._last_try = False
                self._changed.notify_all()
            self._changed.wait_for(lambda: self._last_try or self._is_over(), PAUSE)
