"""The sockets under the client: known to the connector, so that it can end what runs on them, and bound in time."""

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Iterable, Iterator
from typing import Any

import httpcore

READ_BYTES = 1 << 18


class Sockets(httpcore.NetworkBackend):
    """Opens connections; `interrupt()` ends all of them from another thread, `deadline()` bounds a block in time."""

    def __init__(self) -> None:
        self._inner = httpcore.SyncBackend()
        self._open: set[Stream] = set()
        self._lock = threading.Lock()
        self._bounds = threading.local()
        self.interrupts = 0
        """How often `interrupt()` was called."""

    @contextlib.contextmanager
    def deadline(self, seconds: float | None) -> Iterator[None]:
        """While the block runs, no read, write or connect of this thread takes longer than what is left of it."""
        self._bounds.at = None if seconds is None else time.monotonic() + seconds
        try:
            yield
        finally:
            self._bounds.late = self.expired
            self._bounds.at = None

    @property
    def expired(self) -> bool:
        """Whether the deadline of this thread has passed, or had when the block ended."""
        at: float | None = getattr(self._bounds, "at", None)
        return bool(getattr(self._bounds, "late", False)) if at is None else time.monotonic() >= at

    def bounded(self, timeout: float | None) -> float | None:
        """The timeout, cut to what is left until the deadline."""
        at: float | None = getattr(self._bounds, "at", None)
        if at is None:
            return timeout
        left = max(at - time.monotonic(), 0.001)  # 0 would mean: do not wait at all, which is another error
        return left if timeout is None else min(timeout, left)

    def interrupt(self) -> None:
        """End what runs on any of the connections: its thread gets an error. The next request opens a new one."""
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
        """Open a connection to a socket file."""
        return self.watched(self._inner.connect_unix_socket(path, self.bounded(timeout), socket_options))

    def sleep(self, seconds: float) -> None:
        """Wait; asked for by httpcore's own retries, which are off."""
        time.sleep(seconds)

    def watched(self, inner: httpcore.NetworkStream) -> "Stream":
        """A stream that is known here until it is closed."""
        stream = Stream(inner, self)
        with self._lock:
            self._open.add(stream)
        return stream

    def forget(self, stream: "Stream") -> None:
        """A stream was closed, or wrapped into TLS."""
        with self._lock:
            self._open.discard(stream)


class Stream(httpcore.NetworkStream):
    def __init__(self, inner: httpcore.NetworkStream, owner: Sockets) -> None:
        self._inner = inner
        self._owner = owner
        self._at_once = 0

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Receive what is there; of a large body more at a time than the 64 KiB that httpcore asks for."""
        data = self._inner.read(max(max_bytes, self._at_once), self._owner.bounded(timeout))
        self._at_once = READ_BYTES if len(data) >= max_bytes else 0
        return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send all of the bytes."""
        self._inner.write(buffer, self._owner.bounded(timeout))

    def close(self) -> None:
        self._owner.forget(self)
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        """Turn the connection into a TLS one."""
        inner = self._inner.start_tls(ssl_context, server_hostname, self._owner.bounded(timeout))
        self._owner.forget(self)
        return self._owner.watched(inner)

    def get_extra_info(self, info: str) -> Any:
        """What httpcore asks for: socket, addresses, whether it is readable."""
        return self._inner.get_extra_info(info)

    def shut_down(self) -> None:
        """End the connection under whoever reads from it."""
        found = self._inner.get_extra_info("socket")
        if isinstance(found, socket.socket):
            with contextlib.suppress(OSError):
                # not SSLSocket.shutdown, which would take its state away from the thread that reads
                socket.socket.shutdown(found, socket.SHUT_RDWR)
