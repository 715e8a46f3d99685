"""Aborts sessions without activity, independent of the time limits of their library."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Protocol

from aetherflow_builtins_transfer.failures import LostError

_LOOK_SECONDS = 0.25
LEAST_PER_SECOND = 16
"""Bytes of content that a transfer moves at least; a server that sends a byte now and then is never idle."""


class Watched(Protocol):
    """An object to watch: a session, or a connection on which a session is being opened."""

    beat: Callable[[], None]

    def abort(self) -> None: ...


class Watchdog:
    """Watches working sessions. Each chunk and each answer is a beat; after `limit` seconds without a beat the session
    is aborted, and the thread that waits in it gets an error.

    The libraries' own time limits are not sufficient: none of them notices a server that accepts no more bytes.
    """

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._beats: dict[int, float] = {}
        self._sessions: dict[int, Watched] = {}
        self._thread: threading.Thread | None = None
        self._content: dict[int, tuple[float, int]] = {}
        """By thread: begin of the present span of `limit` seconds, and the bytes of content in it."""

    def count(self, size: int) -> None:
        """Record a beat with content; LostError if the content came too slowly for `limit` seconds."""
        self.beat()
        me, now = threading.get_ident(), time.monotonic()
        began, before = self._content.get(me, (now, 0))
        if now - began >= self._limit:
            if before + size < self._limit * LEAST_PER_SECOND:
                raise LostError(f"less than {LEAST_PER_SECOND} bytes per second for {self._limit:g} s")
            began, before, size = now, 0, 0
        self._content[me] = began, before + size

    def beat(self) -> None:
        """Record activity in the session of this thread."""
        me = threading.get_ident()
        if me in self._beats:
            self._beats[me] = time.monotonic()

    @contextmanager
    def watch(self, session: Watched) -> Iterator[None]:
        """Watch a session while this thread uses it."""
        me = threading.get_ident()
        with self._lock:
            outer = self._sessions.get(me)  # work in one session may use a second one
            self._beats[me], self._sessions[me] = time.monotonic(), session
            if self._thread is None:
                self._thread = threading.Thread(target=self._look, name="transfer-watchdog", daemon=True)
                self._thread.start()
        session.beat = self.beat
        try:
            yield
        finally:
            with self._lock:
                self._content.pop(me, None)
                if outer is None:
                    del self._beats[me], self._sessions[me]
                else:
                    self._beats[me], self._sessions[me] = time.monotonic(), outer

    def _look(self) -> None:
        idle_rounds = 0
        while True:
            time.sleep(_LOOK_SECONDS)
            with self._lock:
                now = time.monotonic()
                late = [self._sessions[each] for each, beat in self._beats.items() if now - beat > self._limit]
                idle_rounds = 0 if self._beats else idle_rounds + 1
                if idle_rounds > 8:
                    self._thread = None
                    return
            for session in late:
                with suppress(Exception):  # the session is broken, so errors on abort do not matter
                    session.abort()
