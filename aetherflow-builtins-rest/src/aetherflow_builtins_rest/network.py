"""The network backend of httpcore: tracks open sockets, so that they can be interrupted and limited in time."""

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Iterable, Iterator
from typing import Any

import httpcore

READ_BYTES = 1 << 18
MOST_HEAD_BYTES = 2 * READ_BYTES
"""The most that may come before the end of an answer's head; h11 limits a head, but not how many interim ones come."""
LEAST_PER_SECOND, SLOW_TIMEOUTS = 16, 10
"""An answer that brings fewer bytes a second for so many read timeouts will never end; no single read notices that."""


class TooSlow(httpcore.ReadTimeout):
    """An answer came, but too slowly for too long."""


class Sockets(httpcore.NetworkBackend):
    """Opens connections. `interrupt` ends all of them from another thread; `deadline` limits the time of a block."""

    def __init__(self) -> None:
        self._inner = httpcore.SyncBackend()
        self._open: set[Stream] = set()
        self._lock = threading.Lock()
        self._bounds = threading.local()
        self.interrupts = 0
        """How often `interrupt()` was called."""

    @contextlib.contextmanager
    def deadline(self, seconds: float | None) -> Iterator[None]:
        """Limit the block: every read, write and connect of this thread ends when `seconds` have passed."""
        self._bounds.at = None if seconds is None else time.monotonic() + seconds
        try:
            yield
        finally:
            self._bounds.late = self.expired
            self._bounds.at = None

    @contextlib.contextmanager
    def head(self) -> Iterator[None]:
        """Limit the bytes that this thread receives in the block to those of an answer's head."""
        self._bounds.left = MOST_HEAD_BYTES
        try:
            yield
        finally:
            self._bounds.left = None

    def received(self, size: int) -> None:
        """Record bytes; RemoteProtocolError if a head is too long."""
        left: int | None = getattr(self._bounds, "left", None)
        if left is not None:
            self._bounds.left = left - size
            if left < size:
                raise httpcore.RemoteProtocolError(f"the head of the answer is longer than {MOST_HEAD_BYTES:,} bytes")

    @property
    def expired(self) -> bool:
        """Whether this thread's deadline has passed; after the block, whether it had passed when the block ended."""
        at: float | None = getattr(self._bounds, "at", None)
        return bool(getattr(self._bounds, "late", False)) if at is None else time.monotonic() >= at

    def bounded(self, timeout: float | None) -> float | None:
        """The timeout, limited to the time that is left until the deadline."""
        at: float | None = getattr(self._bounds, "at", None)
        if at is None:
            return timeout
        left = max(at - time.monotonic(), 0.001)  # 0 would mean non-blocking, which gives another error
        return left if timeout is None else min(timeout, left)

    def interrupt(self) -> None:
        """Shut all connections down: threads that use them get an error. Later requests open new connections."""
        self.interrupts += 1
        with self._lock:
            streams = list(self._open)
        for stream in streams:
            stream.shut_down()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        inner = self._inner.connect_tcp(host, port, self.bounded(timeout), local_address, socket_options)
        return self.watched(inner)

    def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[Any] | None = None
    ) -> httpcore.NetworkStream:
        """Open a connection to a Unix socket."""
        return self.watched(self._inner.connect_unix_socket(path, self.bounded(timeout), socket_options))

    def sleep(self, seconds: float) -> None:
        """Required by the interface for httpcore's own retries, which are off."""
        time.sleep(seconds)

    def watched(self, inner: httpcore.NetworkStream) -> "Stream":
        """A stream that is tracked until it is closed."""
        stream = Stream(inner, self)
        with self._lock:
            self._open.add(stream)
        return stream

    def forget(self, stream: "Stream") -> None:
        """Stop tracking a stream that was closed or wrapped in TLS."""
        with self._lock:
            self._open.discard(stream)


class Stream(httpcore.NetworkStream):
    def __init__(self, inner: httpcore.NetworkStream, owner: Sockets) -> None:
        self._inner = inner
        self._owner = owner
        self._at_once = 0
        self._waited = 0.0
        """Seconds in which the present part of an answer came; the wait for its first byte is none of them."""
        self._came: int | None = None
        """The bytes of that part; None: nothing has come since the last write."""

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Receive available bytes; for a large body more at a time than the 64 KiB that httpcore requests."""
        began = time.monotonic()
        data = self._inner.read(max(max_bytes, self._at_once), self._owner.bounded(timeout))
        self._at_once = READ_BYTES if len(data) >= max_bytes else 0
        self._owner.received(len(data))
        if timeout is not None:
            self._keep_pace(time.monotonic() - began, len(data), timeout * SLOW_TIMEOUTS)
        return data

    def _keep_pace(self, seconds: float, size: int, span: float) -> None:
        if self._came is None:
            seconds, self._waited, self._came = 0, 0, 0
        self._waited, self._came = self._waited + seconds, self._came + size
        if self._waited >= span:
            if self._came < self._waited * LEAST_PER_SECOND:
                raise TooSlow(f"fewer than {LEAST_PER_SECOND} bytes a second came for {span:g} s")
            self._waited, self._came = 0, 0

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send all bytes of the buffer."""
        self._came = None
        self._inner.write(buffer, self._owner.bounded(timeout))

    def close(self) -> None:
        self._owner.forget(self)
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        """Start TLS; the returned stream replaces this one."""
        inner = self._inner.start_tls(ssl_context, server_hostname, self._owner.bounded(timeout))
        self._owner.forget(self)
        return self._owner.watched(inner)

    def get_extra_info(self, info: str) -> Any:
        """Properties that httpcore queries: socket, addresses, readability."""
        return self._inner.get_extra_info(info)

    def shut_down(self) -> None:
        """Shut the socket down, so that a thread that reads from it gets an error."""
        found = self._inner.get_extra_info("socket")
        if isinstance(found, socket.socket):
            with contextlib.suppress(OSError):
                # not SSLSocket.shutdown, which would remove the TLS state that the reading thread uses
                socket.socket.shutdown(found, socket.SHUT_RDWR)
