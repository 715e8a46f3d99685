"""smtplib's client with limits on a server that is slow or talks without end.

smtplib's own limit is for each read: a server that sends a byte a second, or one line after another, holds it for ever.
"""

import contextlib
import smtplib
import socket
import ssl
import threading
from collections.abc import Iterator
from typing import Any, BinaryIO

MOST_BYTES = 64 * 1024
"""The most that one answer may have; real ones have less than 4 KiB."""


class Line:
    """A connection below TLS. Another thread may cut it at any time."""

    def __init__(self, host: str, port: int, timeout: float) -> None:
        """Connect within `timeout` seconds; OSError if that fails."""
        self.port = port
        self.sock = socket.create_connection((host, port), timeout)
        self._same = self.sock.dup()
        """The same connection, which TLS does not take over."""

    def cut(self) -> None:
        """Shut the connection down, so that who waits on it gets an error."""
        with contextlib.suppress(OSError):
            self._same.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the connection and its copy; nothing is sent any more."""
        self.sock.close()
        self._same.close()


class PatientSmtp(smtplib.SMTP):
    """A client whose greeting and each answer take at most `timeout` seconds.

    A late answer is a TimeoutError, an endless one an OSError; the connection is closed then.

    TLS begins in the thread that uses the client: OpenSSL keeps an error until the next handshake of its thread, and
    Python 3.13 takes an old one for an error of this connection.
    """

    timeout: float

    def __init__(self, line: "Line", host: str, timeout: float, context: ssl.SSLContext | None) -> None:
        """Read the greeting; `context`: encrypt from the first byte."""
        self._context = context
        self._line = line
        super().__init__(host, line.port, timeout=timeout)

    def connect(self, host: str = "localhost", port: int = 0, source_address: Any = None) -> tuple[int, bytes]:
        """Begin on the line, and read the greeting."""
        del port, source_address
        self.sock, self.file = self._line.sock, None
        try:
            if self._context is not None:
                with self.in_time():
                    self.sock = self._context.wrap_socket(self._line.sock, server_hostname=host)
            return self.getreply()
        except BaseException:
            self.close()
            raise

    def getreply(self) -> tuple[int, bytes]:
        """Like smtplib's, in time and of at most `MOST_BYTES`."""
        if self.sock is None:
            return super().getreply()
        if self.file is None:
            self.file = _Bounded(self.sock.makefile("rb"))
        self.file.left = MOST_BYTES
        with self.in_time():
            return super().getreply()

    def close(self) -> None:
        """End the session and its line, without a word to the server."""
        super().close()
        self._line.close()

    @contextlib.contextmanager
    def in_time(self, more: float = 0) -> Iterator[None]:
        """Shut the line down if the block takes `more` seconds than `timeout`; it raises TimeoutError then."""
        late = threading.Event()

        def end() -> None:
            late.set()
            self._line.cut()

        timer = threading.Timer(self.timeout + more, end)
        timer.daemon = True
        timer.start()
        try:
            yield
        except (OSError, smtplib.SMTPException) as error:
            if late.is_set():
                raise TimeoutError("no answer in time") from error
            raise
        finally:
            timer.cancel()


class _Bounded:
    """The part of a file that smtplib uses, for `left` more bytes."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.left = 0

    def readline(self, limit: int) -> bytes:
        line = self._file.readline(limit)
        self.left -= len(line)
        if self.left < 0:
            raise OSError(f"an answer of more than {MOST_BYTES // 1024} KiB")
        return line

    def close(self) -> None:
        self._file.close()
