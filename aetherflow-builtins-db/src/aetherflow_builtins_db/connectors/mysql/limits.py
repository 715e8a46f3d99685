"""How long a server may take and how much it may send: for a login, and for an answer."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

MOST_LOGIN_BYTES = 1 << 20
"""The most that a server may send until the login is done; real ones send less than 4 KiB."""
MOST_ANSWER_BYTES = 1 << 30
"""The most that may come for one answer, or for one row of a result that is not kept: the largest packet of MySQL."""
LEAST_PER_SECOND, SLOW_LIMITS = 16, 10
"""A server that sends fewer bytes a second for so many read timeouts will never end."""


class Login:
    """The limits of a login."""

    def __init__(self, read: Callable[[int], bytes], seconds: float) -> None:
        self._read, self._left = read, MOST_LOGIN_BYTES
        self._below: socket.socket | None = None
        self.late = False
        self._ending = threading.Lock()
        self._timer = threading.Timer(seconds, self._end)
        self._timer.daemon = True

    def begin(self, sock: socket.socket) -> None:
        """Count the time from now on: the connection is made, and nothing is read yet."""
        self._below = sock.dup()  # TLS takes `sock` over
        self._timer.start()

    def read(self, size: int) -> bytes:
        """Read so many bytes, if that is not too much for a login."""
        self._left -= size
        if self._left < 0:
            raise OSError("the server sends too much before the login is done")
        return self._read(size)

    def _end(self) -> None:
        with self._ending:
            if self._timer.finished.is_set():  # `close` was first: the connection is in use
                return
            self.late = True
            if self._below is not None:
                with contextlib.suppress(OSError):
                    self._below.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """The login has ended; `late` does not change any more."""
        with self._ending:
            self._timer.cancel()
            if self._below is not None:
                self._below.close()


class Received(socket.SocketIO):
    """The receiving side of a connection, with a least rate and a size of one answer.

    The wait for an answer's first byte does not count.
    """

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock, "r")
        self._limit = sock.gettimeout
        self.begin()

    def begin(self) -> None:
        """Count time and bytes again: a request is sent, and its answer is awaited."""
        self._waited: float | None = None
        self._came = 0
        self.taken()

    def taken(self) -> None:
        """What has come of the answer is not kept, and counts no more."""
        self._left = MOST_ANSWER_BYTES

    def readinto(self, buffer: Any) -> int | None:
        began = time.monotonic()
        size = super().readinto(buffer)
        self._left -= size or 0
        if self._left < 0:
            raise OSError(f"one answer has more than {MOST_ANSWER_BYTES:,} bytes")
        limit = self._limit()
        if limit is not None:
            self._waited = 0.0 if self._waited is None else self._waited + time.monotonic() - began
            self._came += size or 0
            if self._waited >= limit * SLOW_LIMITS:
                if self._came < self._waited * LEAST_PER_SECOND:
                    raise TimeoutError(f"timed out: fewer than {LEAST_PER_SECOND} bytes per second")
                self._waited, self._came = 0.0, 0
        return size
