"""The limits of a login: its time, and how much the server may send."""

import contextlib
import socket
import threading
from collections.abc import Callable

MOST_LOGIN_BYTES = 1 << 20
"""The most that a server may send until the login is done; real ones send less than 4 KiB."""


class LoginLimits:
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
