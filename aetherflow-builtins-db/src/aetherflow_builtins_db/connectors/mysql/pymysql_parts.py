"""All uses of PyMySQL's private names; no other module may use them.

Why: the public cursor description has neither the character set nor the sign of a column, which tell bytes from text
and BIGINT from BIGINT UNSIGNED; PyMySQL reads rows with two calls per cell, which is most of the time of an extract;
its timeouts cannot be changed after the login; and it sends a password to whoever asks for it.
Tried with pymysql 1.2.0 to 1.2.4; `pyproject.toml` admits no other series: 1.1 goes on without TLS if the server does
not offer it.

Without these names, that is with any other version, only the public interface is used: unclear column types are
derived from the values, rows come from `fetchmany`, DelimitedWriter makes the CSV, a login may take as long as a
statement, and a vanished server is noticed only when the operating system notices it.
"""

import functools
import socket
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

_TRIED = ((1, 2),)
_CLEAR = (b"mysql_clear_password", b"mysql_old_password")
"""Plugins that give the password to the server, or a form of it that can be reversed."""
_KEEPALIVE = ((socket.TCP_KEEPIDLE, 60), (socket.TCP_KEEPINTVL, 10), (socket.TCP_KEEPCNT, 6))
"""TCP keepalive in seconds: a vanished peer is noticed after two minutes; the system's default is two hours."""
Cell: TypeAlias = tuple[str | None, Callable[[Any], Any] | None]
"""The encoding of a column's text, None for bytes; and the function that converts it, None for no conversion."""


def are_known() -> bool:
    """Whether the private names of the installed PyMySQL are known."""
    import pymysql

    return pymysql.VERSION[:2] in _TRIED


@functools.cache
def connection_class() -> Any:
    """The class of connections that never give the password away: see the errors in it."""
    import pymysql
    from pymysql.constants import CR

    def refusal(what: str) -> pymysql.OperationalError:
        return pymysql.OperationalError(CR.CR_SSL_CONNECTION_ERROR, f"the server {what}: nothing was sent")

    class Careful(pymysql.connections.Connection):
        # The key with which PyMySQL encrypts a password that goes over an open line. It takes that of the server.
        @property
        def server_public_key(self) -> Any:
            return self._own_key

        @server_public_key.setter
        def server_public_key(self, key: Any) -> None:
            if hasattr(self, "_own_key"):
                raise refusal("wants the password without TLS, encrypted with a key that it sends itself")
            self._own_key = key

        def _process_auth(self, plugin_name: bytes, *rest: Any) -> Any:
            if plugin_name in _CLEAR or (plugin_name == b"dialog" and not vars(self).get("_secure")):
                raise refusal(f"wants the password by {plugin_name.decode()}")
            return super()._process_auth(plugin_name, *rest)  # type: ignore[misc]

    return Careful


def fields(cursor: Any) -> Sequence[Any]:
    """The descriptions of a result's columns: `type_code`, `length`, `scale`, `flags`, `charsetnr`; none if unknown.

    The cursor may also come from SQLAlchemy.
    """
    return (are_known() and getattr(getattr(cursor, "_result", None), "fields", None)) or ()


def cells(connection: Any) -> list[Cell]:
    """Encoding and conversion of each column of the current result."""
    return list(connection._result.converters)


def packets(connection: Any) -> Iterator[bytes]:
    """Yield the raw row packets of an unbuffered query."""
    result, read = connection._result, connection._read_packet
    while True:
        packet = read()
        if result._check_packet_is_eof(packet):
            result.unbuffered_active = False
            return
        yield packet.get_all_data()


def forget_rest(connection: Any, cursor: Any) -> None:
    """Call this before closing a connection in the middle of a result: otherwise PyMySQL reads all remaining rows."""
    cursor.connection = None
    if (result := connection._result) is not None:
        result.unbuffered_active = False


def limit_silence(connection: Any, read: float | None, write: float | None) -> None:
    """Set the read and write timeouts of an open connection, in seconds; None is no limit."""
    if are_known():
        connection._read_timeout, connection._write_timeout = read, write


def keep_alive(connection: Any) -> None:
    """Turn TCP keepalive on; no effect on a Unix socket."""
    sock = connection._sock if are_known() else None
    if isinstance(sock, socket.socket) and sock.family != socket.AF_UNIX:
        for name, value in _KEEPALIVE:
            sock.setsockopt(socket.IPPROTO_TCP, name, value)


def break_off(connection: Any) -> None:
    """Make a thread that waits for the server on this connection fail."""
    if are_known():
        connection._sock.shutdown(socket.SHUT_RDWR)
    else:
        connection.close()
