"""COPY … TO STDOUT by psycopg's libpq layer.

psycopg's own `cursor.copy()` takes more CPU per row than the server needs to produce it; calling libpq directly takes
a fifth of that. Waiting uses `poll` without the GIL, so that other threads run and can cancel.
"""

import select
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from aetherflow_builtins_db.connectors.postgres.wait import Wait

if TYPE_CHECKING:
    import psycopg
    from psycopg.pq.abc import PGconn, PGresult

BLOCK_BYTES = 2**20
"""Least size of a block. libpq returns one row at a time; rows are joined to blocks of this size or a little more."""


class _Line:
    """The connection while a COPY runs on it."""

    def __init__(self, connection: "psycopg.Connection[Any]") -> None:
        self.pgconn: PGconn = connection.pgconn
        self._patience = Wait(self.pgconn, getattr(connection, "silence_limit", None))
        self._poll = select.poll()
        self._socket = self.pgconn.socket

    def send(self, sql: str) -> None:
        self.pgconn.send_query(sql.encode())
        while self.pgconn.flush():
            self._wait(select.POLLIN | select.POLLOUT)
            self.pgconn.consume_input()
        self._poll.register(self._socket, select.POLLIN)

    def receive(self) -> None:
        """Wait until data arrives and read it into libpq's buffer."""
        self._patience.poll(self._poll)
        self.pgconn.consume_input()

    def result(self) -> "PGresult | None":
        """The next result of the statement, None after the last."""
        while self.pgconn.is_busy():
            self.receive()
        return self.pgconn.get_result()

    def _wait(self, events: int) -> None:
        self._poll.register(self._socket, events)
        self._patience.poll(self._poll)


def copy_out(connection: "psycopg.Connection[Any]", sql: str) -> Iterator[tuple[int, bytes]]:
    """Run a COPY statement and yield blocks: the number of rows and their bytes. Raises psycopg's errors."""
    line = _Line(connection)
    _start(line, sql)
    get, gathered, rows = line.pgconn.get_copy_data, bytearray(), 0
    while True:
        size, data = get(1)
        if size > 0:
            gathered += data  # copied at once: keeping libpq's views costs more
            rows += 1
            if len(gathered) >= BLOCK_BYTES:
                yield rows, bytes(gathered)
                gathered.clear()
                rows = 0
        elif size == 0:
            line.receive()
        else:
            break
    _end(line)
    yield rows, bytes(gathered)


def _start(line: _Line, sql: str) -> None:
    from psycopg.pq import ExecStatus

    line.send(sql)
    result = line.result()
    if result is None or result.status != ExecStatus.COPY_OUT:
        _raise(line, result)


def _end(line: _Line) -> None:
    from psycopg.pq import ExecStatus

    result = line.result()
    if result is None or result.status != ExecStatus.COMMAND_OK:
        _raise(line, result)
    while line.result() is not None:
        pass


def _raise(line: _Line, result: "PGresult | None") -> None:
    import psycopg
    from psycopg.pq import DiagnosticField

    if result is None:
        raise psycopg.OperationalError("the connection is lost")
    state = result.error_field(DiagnosticField.SQLSTATE) or b""
    text = result.error_message.decode("utf-8", "replace").removeprefix("ERROR:").strip()
    with suppress(psycopg.Error):  # the connection may be lost; the first error is the one to raise
        while line.result() is not None:
            pass
    try:
        kind = psycopg.errors.lookup(state.decode())
    except KeyError:
        kind = psycopg.OperationalError if not state else psycopg.DatabaseError
    raise kind(text)
