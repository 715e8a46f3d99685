"""COPY … TO STDOUT by psycopg's libpq layer.

psycopg's own `cursor.copy()` costs more CPU per row than the server needs to make one; asking libpq directly costs a
fifth of that. Waiting is done outside of it, so other threads run and can cancel.
"""

import select
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import psycopg
    from psycopg.pq.abc import PGconn, PGresult

BLOCK_BYTES = 2**18
"""COPY gives one row at a time; so many bytes, or a little more, are handed on at once."""


def copy_out(connection: "psycopg.Connection[Any]", sql: str) -> Iterator[tuple[int, bytes]]:
    """Run a COPY statement; number of rows and their bytes, several rows at a time. Raises psycopg's errors."""
    pgconn = connection.pgconn
    socket = select.poll()
    socket.register(pgconn.socket, select.POLLIN)
    _start(pgconn, socket, sql)
    get, gathered, rows = pgconn.get_copy_data, bytearray(), 0
    while True:
        size, data = get(1)
        if size > 0:
            gathered += data  # at once: keeping the views that libpq gives costs more than copying them
            rows += 1
            if len(gathered) >= BLOCK_BYTES:
                yield rows, bytes(gathered)
                gathered.clear()
                rows = 0
        elif size == 0:
            socket.poll()
            pgconn.consume_input()
        else:
            break
    _end(pgconn, socket)
    yield rows, bytes(gathered)


def _start(pgconn: "PGconn", socket: select.poll, sql: str) -> None:
    from psycopg.pq import ExecStatus

    pgconn.send_query(sql.encode())
    while pgconn.flush():
        select.select([], [pgconn.socket], [])
    result = _result(pgconn, socket)
    if result is None or result.status != ExecStatus.COPY_OUT:
        _raise(pgconn, socket, result)


def _end(pgconn: "PGconn", socket: select.poll) -> None:
    from psycopg.pq import ExecStatus

    result = _result(pgconn, socket)
    if result is None or result.status != ExecStatus.COMMAND_OK:
        _raise(pgconn, socket, result)
    while _result(pgconn, socket) is not None:
        pass


def _result(pgconn: "PGconn", socket: select.poll) -> "PGresult | None":
    while pgconn.is_busy():
        socket.poll()
        pgconn.consume_input()
    return pgconn.get_result()


def _raise(pgconn: "PGconn", socket: select.poll, result: "PGresult | None") -> None:
    import psycopg
    from psycopg.pq import DiagnosticField

    if result is None:
        raise psycopg.OperationalError("the connection is lost")
    state = result.error_field(DiagnosticField.SQLSTATE) or b""
    text = result.error_message.decode("utf-8", "replace").removeprefix("ERROR:").strip()
    while pgconn.socket >= 0 and _result(pgconn, socket) is not None:
        pass
    try:
        kind = psycopg.errors.lookup(state.decode())
    except KeyError:
        kind = psycopg.DatabaseError
    raise kind(text)
