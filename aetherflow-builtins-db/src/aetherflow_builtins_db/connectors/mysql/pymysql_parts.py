"""All that this package uses of PyMySQL's private parts; nothing else may.

Why: PyMySQL tells neither the character set nor the sign of a column, which tell bytes from text and 64 bits from 65;
its own reading of rows takes two calls for every cell, which is most of the time of an extract; and what limits a login
limits every later statement, too. Tried with pymysql 1.1.0 to 1.2.4; `pyproject.toml` admits no later series.

Without these parts, or with any other version, the public way is taken: columns without a sure type get one from
their values, rows come from `fetchmany`, CSV is made by our own writer, a login may take as long as a statement, and
a server that vanished is noticed when the system does.
"""

import socket
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

_TRIED = ((1, 1), (1, 2))
_KEEPALIVE = ((socket.TCP_KEEPIDLE, 60), (socket.TCP_KEEPINTVL, 10), (socket.TCP_KEEPCNT, 6))
"""A peer that has vanished is noticed after two minutes; by default a system takes two hours."""
Cell: TypeAlias = tuple[str | None, Callable[[Any], Any] | None]
"""Encoding of a column's text, None for bytes; what makes its value of that, None if nothing does."""


def are_known() -> bool:
    """Whether this PyMySQL is one whose private parts are known."""
    import pymysql

    return pymysql.VERSION[:2] in _TRIED


def fields(cursor: Any) -> Sequence[Any]:
    """The descriptions of a result's columns: `type_code`, `length`, `scale`, `flags`, `charsetnr`; none if unknown.

    The cursor may be one that SQLAlchemy has made.
    """
    return (are_known() and getattr(getattr(cursor, "_result", None), "fields", None)) or ()


def cells(connection: Any) -> list[Cell]:
    """How the text of each column becomes its value."""
    return list(connection._result.converters)


def packets(connection: Any) -> Iterator[bytes]:
    """The rows of an unbuffered query as the server sends them."""
    result, read = connection._result, connection._read_packet
    while True:
        packet = read()
        if result._check_packet_is_eof(packet):
            result.unbuffered_active = False
            return
        yield packet.get_all_data()


def forget_rest(connection: Any, cursor: Any) -> None:
    """Before an unbuffered query is given up with its connection: else PyMySQL would read all that is left of it."""
    cursor.connection = None
    if (result := connection._result) is not None:
        result.unbuffered_active = False


def limit_silence(connection: Any, read: float | None, write: float | None) -> None:
    """Seconds that the server may stay silent from now on."""
    if are_known():
        connection._read_timeout, connection._write_timeout = read, write


def keep_alive(connection: Any) -> None:
    """Have the system ask whether the peer is still there."""
    sock = connection._sock if are_known() else None
    if isinstance(sock, socket.socket) and sock.family != socket.AF_UNIX:
        for name, value in _KEEPALIVE:
            sock.setsockopt(socket.IPPROTO_TCP, name, value)


def break_off(connection: Any) -> None:
    """Wake whoever waits for the server on this connection, with an error."""
    if are_known():
        connection._sock.shutdown(socket.SHUT_RDWR)
    else:
        connection.close()
