"""Waiting for PostgreSQL, not for ever: libpq itself has no limit once a connection is made."""

import datetime
import functools
import select
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from psycopg.abc import PQGen
    from psycopg.pq.abc import PGconn

_READ, _WRITE = 1, 2
"""What psycopg's generators wait for and hear of, as bits."""


def first_cause(error: BaseException) -> BaseException:
    """Of errors that came out of each other the one that says that the server was silent; else the error itself.

    psycopg ends a COPY by a message to the server, and tells how that failed.
    """
    seen: BaseException | None = error
    while seen is not None:
        if getattr(seen, "silent", False):
            return seen
        seen = seen.__context__
    return error


def wait_for(poll: "select.poll", pgconn: "PGconn", seconds: float | None) -> list[tuple[int, int]]:
    """What is ready on the one socket; psycopg.OperationalError, and a closed connection, if the server is silent."""
    found = poll.poll(None if seconds is None else seconds * 1000)
    if not found:
        import psycopg

        pgconn.finish()
        error = psycopg.OperationalError(f"the server has been silent for {seconds:g} s")
        error.silent = True  # type: ignore[attr-defined]
        raise error
    return found


@functools.cache
def patient() -> Any:
    """Psycopg's own connection, which waits for the server as long as `silence_limit` says."""
    import psycopg

    class Patient(psycopg.Connection[Any]):
        silence_limit: float | None = None
        session = 0
        begun: datetime.datetime | None = None

        def __init__(self, pgconn: "PGconn", *args: Any, **kwargs: Any) -> None:
            super().__init__(pgconn, *args, **kwargs)
            self.session = pgconn.backend_pid  # which a lost connection does not tell

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
