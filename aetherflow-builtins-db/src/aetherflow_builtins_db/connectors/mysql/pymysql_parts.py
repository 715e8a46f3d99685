"""All uses of PyMySQL's private names; no other module may use them.

Why: the public cursor description has neither the character set nor the sign of a column, which tell bytes from text
and BIGINT from BIGINT UNSIGNED; PyMySQL reads rows with two calls per cell, which is most of the time of an extract;
its timeouts cannot be changed after the login, and are for each read, so that a server which sends a byte a second
holds it for ever; it sends passwords to any server; it reads all certificates for a server that it does not check.
Tried with pymysql 1.2.0 to 1.2.4; `pyproject.toml` admits no other series: 1.1 goes on without TLS if none is offered.

Without these names, that is with any other version, only the public interface is used: unclear column types are
derived from the values, rows come from `fetchmany`, DelimitedWriter makes the CSV, a login may take as long as a
statement, and a vanished server is noticed only when the operating system notices it.
"""

import functools
import io
import socket
import ssl
import struct
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

from aetherflow_builtins_db.connectors.mysql.limits import Login, Received

_TRIED = ((1, 2),)
_CLEAR = (b"mysql_clear_password", b"mysql_old_password")
"""Plugins that give the password to the server, or a form of it that can be reversed."""
_KEEPALIVE = ((socket.TCP_KEEPIDLE, 60), (socket.TCP_KEEPINTVL, 10), (socket.TCP_KEEPCNT, 6))
"""TCP keepalive in seconds: a vanished peer is noticed after two minutes; the system's default is two hours."""
MOST_COLUMNS = 4096
"""Of a table of MySQL; a column that is only announced takes sixteen times its bytes."""
_BUFFER = 2**18
_RESET_CONNECTION = 0x1F
"""COM_RESET_CONNECTION of the protocol: MySQL 5.7, MariaDB 10.2."""
_MOST_OF_ROW = 253
"""What a row's packet begins with at most, if it is looked at here."""
NONSENSE = (AssertionError, IndexError, KeyError, struct.error)
"""What PyMySQL raises for bytes that are no packet of MySQL, beside errors of values."""
Cell: TypeAlias = tuple[str | None, Callable[[Any], Any] | None]
"""The encoding of a column's text, None for bytes; and the function that converts it, None for no conversion."""


def are_known() -> bool:
    """Whether the private names of the installed PyMySQL are known."""
    import pymysql

    return pymysql.VERSION[:2] in _TRIED


@functools.cache
def _result_class() -> Any:
    """The class of results that are not too wide, read bits right, and give the server no file of its choice."""
    import pymysql
    from pymysql.constants import CR, FIELD_TYPE, FLAG

    class Result(pymysql.connections.MySQLResult):
        fields: list[Any]
        converters: list[Cell]

        def _get_descriptions(self) -> None:
            if (self.field_count or 0) > MOST_COLUMNS:
                raise pymysql.InternalError(f"a result of {self.field_count} columns")
            super()._get_descriptions()  # type: ignore[misc]
            for at, field in enumerate(self.fields):
                if field.type_code == FIELD_TYPE.BIT and field.flags & FLAG.BINARY:
                    self.converters[at] = None, functools.partial(_computed_bits, field.name, field.length)

        def _read_load_local_packet(self, first_packet: Any) -> None:
            # The server names a file, and may do so after any statement. It gets what is offered, whatever it names.
            del first_packet
            connection: Any = self.connection
            blocks, connection.offered = connection.offered, None
            if blocks is None:
                connection._force_close()
                text = "the server asks for a file: nothing was sent"
                raise pymysql.OperationalError(CR.CR_SSL_CONNECTION_ERROR, text)
            try:
                for block in blocks:
                    connection.write_packet(block)
            finally:
                if connection._sock is not None:  # the connection is not lost
                    connection.write_packet(b"")  # the end
                    answer = connection._read_packet()
            self._read_ok_packet(answer)  # type: ignore[attr-defined]  # not in the stubs

    return Result


def _computed_bits(name: str, length: int, data: bytes) -> int:
    """The number of a BIT that is no column of a table; DataError if it could be two.

    MariaDB sends that of an expression as digits, and that of a UNION as a column's: in bytes.
    """
    number = int.from_bytes(data, "big")
    if not data.isdigit():
        return number
    if number >> length or len(data) != (length + 7) // 8:
        return int(data)
    import pymysql

    raise pymysql.DataError(f"the server sends {name} as {data!r} for {number} and for {int(data)}: write `{name} + 0`")


@functools.cache
def unchecked_class() -> Any:
    """The class of connections that read no certificates for a server which they do not check: PyMySQL reads all.

    Results are of our class.
    """
    import pymysql

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE

    class Unchecked(pymysql.connections.Connection):
        def _create_ssl_ctx(self, sslp: Any) -> ssl.SSLContext:
            return super()._create_ssl_ctx(sslp) if sslp else context  # type: ignore[misc]

        def _read_query_result(self, unbuffered: bool = False) -> Any:
            # As PyMySQL's own, but for the class of the result.
            self._result: Any = None
            result: Any = _result_class()(self)
            (result.init_unbuffered_query if unbuffered else result.read)()
            self._result = result
            if result.server_status is not None:
                self.server_status = result.server_status
            return result.affected_rows

    return Unchecked


@functools.cache
def _limited_class() -> Any:
    """The class of connections whose greeting and login take at most `connect_timeout` seconds together."""
    import pymysql
    from pymysql.constants import CR

    class Limited(unchecked_class()):  # type: ignore[misc]  # made on use
        _login: Login
        _line: "Received | None" = None
        offered: "Iterator[bytes] | None" = None

        def connect(self, sock: Any = None) -> None:
            seconds = self.connect_timeout or 0.0
            self._login = Login(super()._read_bytes, seconds)
            self._read_bytes = self._login.read
            try:
                super().connect(sock)
            except (*NONSENSE, TypeError, ValueError) as odd:
                raise pymysql.OperationalError(CR.CR_SERVER_LOST, "the server does not speak MySQL's protocol") from odd
            except pymysql.MySQLError as error:
                if not self._login.late:
                    raise
                text = f"the login was not done within {seconds:g} s: {error.args[-1]}"
                raise pymysql.OperationalError(CR.CR_SERVER_LOST, text) from TimeoutError(text)
            finally:
                del self._read_bytes
                self._login.close()
            if self._login.late:  # its last answer came when the time was over
                self._force_close()
                text = f"the login was not done within {seconds:g} s"
                raise pymysql.OperationalError(CR.CR_SERVER_LOST, text) from TimeoutError(text)

        def _get_server_information(self) -> Any:
            self._login.begin(vars(self)["_sock"])
            return super()._get_server_information()

        def _write_bytes(self, data: bytes) -> None:
            super()._write_bytes(data)
            if self._line is not None:
                self._line.begin()

    return Limited


@functools.cache
def connection_class() -> Any:
    """The class of connections that never give the password away: see the errors in it."""
    import pymysql
    from pymysql.constants import CR

    def refusal(what: str) -> pymysql.OperationalError:
        return pymysql.OperationalError(CR.CR_SSL_CONNECTION_ERROR, f"the server {what}: nothing was sent")

    class Careful(_limited_class()):  # type: ignore[misc]  # made on use
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
            return super()._process_auth(plugin_name, *rest)

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
    result, read, line = connection._result, connection._read_packet, connection._line
    while True:
        packet = read()
        line.taken()
        if result._check_packet_is_eof(packet):
            result.unbuffered_active = False
            return
        yield packet.get_all_data()
        yield from _received(connection)
        line.taken()


def _received(connection: Any) -> Iterator[bytes]:
    """The row packets that have come already, up to one that PyMySQL has to look at; it takes a while for each."""
    import pymysql
    from pymysql.constants import CR

    try:
        block = connection._rfile.peek()
    except OSError as error:
        connection._force_close()
        text = f"Lost connection to MySQL server during query ({error})"
        raise pymysql.OperationalError(CR.CR_SERVER_LOST, text) from error
    at, size, number = 0, len(block), connection._next_seq_id
    while at + 4 < size:
        length = block[at] | block[at + 1] << 8 | block[at + 2] << 16
        end = at + 4 + length
        # whole, next in turn, a row: 254 and 255 begin the end and an error, or a value of eight bytes' length
        if end > size or not length or block[at + 3] != number or block[at + 4] > _MOST_OF_ROW:
            break
        yield block[at + 4 : end]
        at, number = end, (number + 1) % 256
    connection._rfile.read(at)
    connection._next_seq_id = number


def load_local(cursor: Any, sql: str, values: Sequence[Any] | None, blocks: Iterator[bytes]) -> tuple[int, int]:
    """Run LOAD DATA LOCAL with these blocks as the file; the numbers of rows and of warnings."""
    cursor.connection.offered = blocks
    try:
        rows = cursor.execute(sql, values)
    finally:
        cursor.connection.offered = None
    return rows, cursor.warning_count


def reset(connection: Any) -> str:
    """Let the server make the session as new; returns the assignments with which PyMySQL begins one."""
    connection._execute_command(_RESET_CONNECTION, b"")
    connection._read_ok_packet()
    collation = f" COLLATE {connection.collation}" if connection.collation else ""
    variables = [f"NAMES {connection.charset}{collation}"]
    if connection.autocommit_mode is not None:
        variables.append(f"autocommit = {int(connection.autocommit_mode)}")
    if connection.sql_mode is not None:
        variables.append(f"sql_mode = {connection.escape(connection.sql_mode)}")
    if connection.init_command is not None:
        with connection.cursor() as cursor:
            cursor.execute(connection.init_command)
    return ", ".join(variables)


def tells_status(connection: Any) -> bool:
    """Whether the answer to the last statement had the server's status; that of a result set is not read."""
    return are_known() and connection._result is not None and connection._result.server_status is not None


def taken(connection: Any) -> None:
    """What has come of the answer is not kept."""
    if are_known():
        connection._line.taken()


def forget_rest(connection: Any, cursor: Any) -> None:
    """Call this before closing a connection in the middle of a result: otherwise PyMySQL reads all remaining rows."""
    cursor.connection = None
    if (result := connection._result) is not None:
        result.unbuffered_active = False


def limit_silence(connection: Any, read: float | None, write: float | None) -> None:
    """Set the read and write timeouts of an open connection, in seconds; None is no limit."""
    if are_known():
        connection._read_timeout, connection._write_timeout = read, write


def keep_pace(connection: Any) -> None:
    """Give a server up that drips its answers; nothing that it has sent may be unread."""
    if are_known():
        connection._line = Received(connection._sock)
        connection._sock._io_refs += 1  # as `makefile` counts
        connection._rfile = io.BufferedReader(connection._line, _BUFFER)


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
