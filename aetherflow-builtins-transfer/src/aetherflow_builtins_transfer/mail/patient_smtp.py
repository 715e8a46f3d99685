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


class PatientSmtp(smtplib.SMTP):
    """A client whose connection, greeting and each answer take at most `timeout` seconds.

    A late answer is a TimeoutError, an endless one an OSError; the connection is closed then.
    """

    timeout: float

    def __init__(self, host: str, port: int, timeout: float, context: ssl.SSLContext | None) -> None:
        """Connect; `context`: encrypt from the first byte."""
        self._context = context
        self._line: socket.socket | None = None
        """The connection below TLS; another thread may shut it down."""
        super().__init__(host, port, timeout=timeout)

    def connect(self, host: str = "localhost", port: int = 0, source_address: Any = None) -> tuple[int, bytes]:
        """Connect and read the greeting."""
        sock = socket.create_connection((host, port), self.timeout, source_address)
        self._line = sock.dup()
        self.sock, self.file = sock, None
        try:
            if self._context is not None:
                with self.in_time():
                    self.sock = self._context.wrap_socket(sock, server_hostname=host)
            return self.getreply()
        except BaseException:
            self.close()
            raise

    def getreply(self) -> tuple[int, bytes]:
        """Read one answer."""
        if self.sock is None:
            return super().getreply()
        if self.file is None:
            self.file = _Bounded(self.sock.makefile("rb"))
        self.file.left = MOST_BYTES
        with self.in_time():
            return super().getreply()

    def close(self) -> None:
        """Close the connection."""
        super().close()
        if self._line is not None:
            self._line.close()

    def cut(self) -> None:
        """Shut the connection down, so that another thread that waits on it gets an error."""
        if self._line is not None:
            with contextlib.suppress(OSError):
                self._line.shutdown(socket.SHUT_RDWR)

    @contextlib.contextmanager
    def in_time(self, more: float = 0) -> Iterator[None]:
        """Shut the line down if the block takes `more` seconds than `timeout`; it raises TimeoutError then."""
        late = threading.Event()

        def end() -> None:
            late.set()
            self.cut()

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
