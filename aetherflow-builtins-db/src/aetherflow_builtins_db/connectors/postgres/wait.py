"""Limits the time that psycopg waits for the server: libpq has no limit once a connection is made.

This module overrides `Connection.wait`, the only private part of psycopg that this package uses; every call waits in
it. Tried with psycopg 3.2.13 to 3.3.9; `pyproject.toml` admits no later series. With any other version the connection
is psycopg's own, and `options.read_timeout` applies only to COPY … TO STDOUT.
"""

import functools
import select
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from psycopg.abc import PQGen
    from psycopg.pq.abc import PGconn

_TRIED = frozenset({("3", "2"), ("3", "3")})
_READ, _WRITE = 1, 2
"""Bits by which psycopg's generators request and receive events (`psycopg.waiting.Wait` and `Ready`)."""


def wait_for(poll: "select.poll", pgconn: "PGconn", seconds: float | None) -> list[tuple[int, int]]:
    """Poll the socket; if the server is silent for `seconds`, close the connection and raise OperationalError.

    The error has the attribute `silent`.
    """
    found = poll.poll(None if seconds is None else seconds * 1000)
    if not found:
        import psycopg

        pgconn.finish()
        error = psycopg.OperationalError(f"the server has been silent for {seconds:g} s")
        error.silent = True  # type: ignore[attr-defined]
        raise error
    return found


@functools.cache
def connection_class() -> Any:
    """The class of psycopg connections whose `silence_limit` (seconds, None is no limit) limits every wait."""
    import psycopg

    if tuple(psycopg.__version__.split(".")[:2]) not in _TRIED:
        return psycopg.Connection

    class Patient(psycopg.Connection[Any]):
        silence_limit: float | None = None

        def wait(self, gen: "PQGen[Any]", *args: Any, **kwargs: Any) -> Any:
            if self.silence_limit is None:
                return super().wait(gen, *args, **kwargs)
            return _wait(gen, self.pgconn, self.silence_limit)

    return Patient


def _wait(gen: "PQGen[Any]", pgconn: "PGconn", seconds: float) -> Any:
    poll = select.poll()
    try:
        wanted = next(gen)
        socket = pgconn.socket
        poll.register(socket, _events(wanted))
        while True:
            ((_, events),) = wait_for(poll, pgconn, seconds)
            ready = (_WRITE if events & select.POLLOUT else 0) | (_READ if events & ~select.POLLOUT else 0)
            wanted = gen.send(ready)
            poll.modify(socket, _events(wanted))
    except StopIteration as ended:
        return ended.value


def _events(wanted: int) -> int:
    return (select.POLLIN if wanted & _READ else 0) | (select.POLLOUT if wanted & _WRITE else 0)
