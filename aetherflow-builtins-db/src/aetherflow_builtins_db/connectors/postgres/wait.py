"""Limits the time that psycopg waits for the server: libpq has no limit once a connection is made.

This module overrides `Connection.wait`, the only private part of psycopg that this package uses; every call waits in
it. Tried with psycopg 3.2.13 to 3.3.9; `pyproject.toml` admits no later series. With any other version the connection
is psycopg's own, and `options.read_timeout` applies only to COPY … TO STDOUT.
"""

import fcntl
import functools
import os
import select
import socket
import struct
import termios
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from psycopg.abc import PQGen
    from psycopg.pq.abc import PGconn

_TRIED = frozenset({("3", "2"), ("3", "3")})
_READ, _WRITE = 1, 2
"""Bits by which psycopg's generators request and receive events (`psycopg.waiting.Wait` and `Ready`)."""
LEAST_PER_SECOND, SLOW_LIMITS = 16, 10
"""A server that sends fewer bytes a second for so many silence limits will never end."""
MOST_ANSWER_BYTES = 1 << 30
"""The most that one answer may have that libpq keeps in memory: as much as the largest value."""
_LOOK_EVERY = 64
"""Waits between two looks at how much has come; one wait brings some 16 KiB."""


class Wait:
    """The waiting for one answer, or for a COPY. What goes beyond a limit closes the connection: OperationalError.

    The error has the attribute `silent` if the server sent nothing or too little, `late` if the answer had no end.
    """

    def __init__(self, pgconn: "PGconn", silence: float | None, total: float | None = None) -> None:
        self._pgconn, self._silence, self._total = pgconn, silence, total
        self._began: float | None = None
        self._waited, self._came = 0.0, 0
        """Of the present part of the answer; the wait for its first byte does not count."""

    def poll(self, poll: "select.poll") -> list[tuple[int, int]]:
        """The events of the socket."""
        before = time.monotonic()
        found = poll.poll(None if self._silence is None else self._silence * 1000)
        if not found:
            raise self._error(f"the server has been silent for {self._silence:g} s", "silent")
        now = time.monotonic()
        if self._began is None:
            self._began = before
        elif self._silence is not None:
            self._keep_pace(found[0], now - before, self._silence * SLOW_LIMITS)
        if self._total is not None and now - self._began > self._total:
            raise self._error(f"the answer did not end within {self._total:g} s", "late")
        return found

    def _keep_pace(self, found: tuple[int, int], seconds: float, span: float) -> None:
        self._waited += seconds
        self._came += struct.unpack("i", fcntl.ioctl(found[0], termios.FIONREAD, bytes(4)))[0]
        if found[1] & select.POLLOUT:
            self._waited = 0.0
        if self._waited >= span:
            if self._came < self._waited * LEAST_PER_SECOND:
                raise self._error(f"the server sends fewer than {LEAST_PER_SECOND} bytes a second", "silent")
            self._waited, self._came = 0.0, 0

    def _error(self, text: str, kind: str) -> Exception:
        return _closed(self._pgconn, text, kind)


def _closed(pgconn: "PGconn", text: str, kind: str) -> Exception:
    """Close the connection; the error to raise."""
    import psycopg

    pgconn.finish()
    error = psycopg.OperationalError(text)
    setattr(error, kind, True)
    return error


def _bounded(gen: "PQGen[Any]", pgconn: "PGconn") -> "PQGen[Any]":
    """The same generator; OperationalError if one answer has more than MOST_ANSWER_BYTES."""
    looks = before = 0
    try:
        wanted = next(gen)
        while True:
            ready = yield wanted
            looks += 1
            if looks % _LOOK_EVERY == 0:
                before = before or _received(pgconn.socket)
                if _received(pgconn.socket) - before > MOST_ANSWER_BYTES:
                    raise _closed(pgconn, f"one answer has more than {MOST_ANSWER_BYTES:,} bytes", "endless")
            wanted = gen.send(ready)
    except StopIteration as ended:
        return ended.value


def _received(fd: int) -> int:
    """How many bytes the connection has received so far; 0 if that is not known, as of a Unix socket."""
    with socket.socket(fileno=os.dup(fd)) as same:
        try:
            return int(struct.unpack_from("Q", same.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 192), 128)[0])
        except (OSError, struct.error):
            return 0


@functools.cache
def connection_class() -> Any:
    """The class of psycopg connections with limits of every wait, in seconds, None is no limit.

    `silence_limit`: without a byte; `answer_limit`: until the end of an answer.
    """
    import psycopg

    if tuple(psycopg.__version__.split(".")[:2]) not in _TRIED:
        return psycopg.Connection

    class Patient(psycopg.Connection[Any]):
        silence_limit: float | None = None
        answer_limit: float | None = None

        def wait(self, gen: "PQGen[Any]", *args: Any, **kwargs: Any) -> Any:
            bounded = _bounded(gen, self.pgconn)
            if self.silence_limit is None and self.answer_limit is None:
                return super().wait(bounded, *args, **kwargs)
            return _wait(bounded, self.pgconn, self.silence_limit, self.answer_limit)

    return Patient


def _wait(gen: "PQGen[Any]", pgconn: "PGconn", silence: float | None, total: float | None) -> Any:
    poll, wait = select.poll(), Wait(pgconn, silence, total)
    try:
        wanted = next(gen)
        fd = pgconn.socket
        poll.register(fd, _events(wanted))
        while True:
            ((_, events),) = wait.poll(poll)
            ready = (_WRITE if events & select.POLLOUT else 0) | (_READ if events & ~select.POLLOUT else 0)
            wanted = gen.send(ready)
            poll.modify(fd, _events(wanted))
    except StopIteration as ended:
        return ended.value


def _events(wanted: int) -> int:
    return (select.POLLIN if wanted & _READ else 0) | (select.POLLOUT if wanted & _WRITE else 0)
