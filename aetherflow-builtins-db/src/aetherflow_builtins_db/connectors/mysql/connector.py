"""MySQL and MariaDB, by PyMySQL."""

import socket
import ssl
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar
from weakref import WeakKeyDictionary

from aetherflow.core.api import ConnectorInit
from aetherflow_builtins_db.connectors.common.server import ServerBase
from aetherflow_builtins_db.connectors.common.settings import ServerConfig, ServerOptions, Ssl
from aetherflow_builtins_db.connectors.mysql.rows import MySQLCsv, MySQLRows
from aetherflow_builtins_db.connectors.mysql.types import column_of, decoders
from aetherflow_builtins_db.contract import Params, Row
from aetherflow_builtins_db.dialect import Dialect
from aetherflow_builtins_db.params import percent_style
from aetherflow_builtins_db.statements import changes_rows

if TYPE_CHECKING:
    from pymysql.connections import Connection

_KEEPALIVE = ((socket.TCP_KEEPIDLE, 60), (socket.TCP_KEEPINTVL, 10), (socket.TCP_KEEPCNT, 6))
"""A peer that has vanished is noticed after two minutes; by default a system takes two hours."""
_LOST = frozenset((number,) for number in (0, 1053, 1927, 2003, 2006, 2013, 2014, 2055))
_URL_NAMES = {"charset", "collation", "unix_socket", "ssl_ca", "ssl_cert", "ssl_key"}


class Config(ServerConfig):
    """Where the server is and who asks."""

    SCHEMES: ClassVar = ("mysql", "mariadb")


class Options(ServerOptions):
    """How the connection behaves."""


class MySQLConnector(ServerBase[Config, Options]):
    """A MySQL or MariaDB database, by PyMySQL.

    Reading runs in a read-only transaction and is not buffered, so that a result is never in memory as a whole. The
    session's time zone is UTC, so TIMESTAMP columns are instants. CREATE, ALTER and DROP commit at once: a script that
    has them behind a change is refused unless it says that this is meant.

        resources:
          shop:
            kind: db
            driver: mysql
            config: {host: db.example.com, database: shop, user: etl, password: "{{env.SHOP_PASSWORD}}", ssl: true}
            options: {statement_timeout: 600}
    """

    requires = ("pymysql",)
    dialect = "mysql"
    transactional_ddl = False
    lexis = "mysql"
    EXTRA = "mysql"

    HINTS = (
        (r"\b1045\b|Access denied for user .*password", "check config.user and config.password"),
        (r"\b1049\b", "check config.database"),
        (r"\b1044\b|\b1142\b|command denied", "the user lacks the right: GRANT it, or use another user"),
        (r"Name or service not known|getaddrinfo|name resolution", "check config.host"),
        (r"Connection refused", "check config.host and config.port, and that the server runs"),
        (r"\b2013\b.*timed out|\b2006\b.*timed out",
         "look at the server and the network, or raise options.read_timeout; then run the step again"),
        (r"\b(2006|2014|2055)\b|\b2013\b.*during query",
         "the connection was lost: look at the server's log, then run the step again"),
        (r"certificate|CERTIFICATE|SSL is required|\b3159\b", "check config.ssl: its mode and ca_file"),
        (r"max_statement_time|maximum statement execution",
         "raise options.statement_timeout, or make the query faster"),
        (r"timed out", "check config.host and the network, or raise options.connect_timeout"),
        (r"\b1040\b|Too many connections", "wait for other clients, or lower options.pool"),
        (r"\b1317\b|interrupted", "the run was being stopped"),
        (r"\b1213\b|Deadlock found", "another transaction held what this one wanted: run the step again (retry:)"),
        (r"\b1205\b|Lock wait timeout", "another transaction holds a lock: run the step again (retry:)"),
        (r"\b1020\b", "another transaction changed the same rows: run the step again (retry:)"),
        (r"\b1146\b|doesn't exist", "check the table's name and config.database"),
        (r"\b1054\b|Unknown column", "check the column's name"),
        (r"\b1064\b|SQL syntax", "check the SQL near the words quoted"),
        (r"\b1792\b|READ ONLY transaction", "reading cannot change data; use db_execute"),
        (r"\b(1021|1114|1030)\b|No space left|Disk full|is full", "free disk space on the database server"),
        (r"\b(1048|1050|1062|1136|1264|1265|1292|1364|1366|1406|1451|1452|4025)\b|already exists|Duplicate entry",
         "the data or the table stand against it"),
        (r"no attribute|no default type converter|not supported|encode",
         "parameters are text, numbers, bytes, dates and null"),
        (r"\b(2006|2013|2014|2055)\b|Lost connection|gone away|Connection reset|Broken pipe|read of closed",
         "the connection was lost: look at the server's log, then run the step again"),
    )  # fmt: skip

    def __init__(self, init: ConnectorInit) -> None:
        super().__init__(init)
        self._statement_timeout_ms = round(self.opts.statement_timeout * 1000)
        self._places: WeakKeyDictionary[Connection[Any], tuple[Any, ...] | None] = WeakKeyDictionary()

    def driver_errors(self) -> tuple[type[BaseException], ...]:
        """PyMySQL's exceptions."""
        import pymysql

        return (pymysql.MySQLError,)

    def connect_arguments(self) -> dict[str, Any]:
        """The arguments of pymysql.connect."""
        from pymysql.constants import CLIENT

        place = dict(self.conf.place)
        query = place.pop("query", {})
        if unknown := sorted(set(query) - _URL_NAMES):
            raise ValueError(f"options of the url that PyMySQL does not have: {', '.join(unknown)}")
        arguments: dict[str, Any] = {"host": "localhost", "charset": "utf8mb4", **query, **place}
        # The login, too, ends at some time; `open` sets what holds after it.
        arguments |= dict.fromkeys(("connect_timeout", "read_timeout", "write_timeout"), self.opts.connect_timeout)
        # FOUND_ROWS: an UPDATE counts the rows that it meets, as everywhere else.
        arguments |= {"client_flag": CLIENT.FOUND_ROWS, "conv": decoders(), "autocommit": True}
        if self.conf.ssl is not None:
            arguments |= self._ssl(self.conf.ssl)
        return arguments | self.opts.connect_args

    def _ssl(self, wanted: Ssl) -> dict[str, Any]:
        if wanted.mode == "disable":
            return {"ssl_disabled": True}
        if wanted.mode == "prefer":
            return {}
        context = ssl.create_default_context(cafile=self.file(wanted.ca_file) if wanted.ca_file else None)
        context.check_hostname = wanted.mode == "verify-full"
        context.verify_mode = ssl.CERT_REQUIRED if wanted.mode.startswith("verify") else ssl.CERT_NONE
        if wanted.cert_file:
            context.load_cert_chain(
                self.file(wanted.cert_file), self.file(wanted.key_file) if wanted.key_file else None
            )
        return {"ssl": context}

    def open(self) -> "Connection[Any]":
        """Connect and set up the session."""
        import pymysql

        connection = pymysql.connect(**self.connect_arguments())
        try:
            self._is_mariadb = "MariaDB" in str(connection.get_server_info())  # type: ignore[no-untyped-call]
            self.dialect = "mariadb" if self._is_mariadb else "mysql"
            statements = list(self.opts.init_sql)
            if self._statement_timeout_ms and self._is_mariadb:
                statements.append(f"SET SESSION max_statement_time = {self._statement_timeout_ms / 1000}")
            elif self._statement_timeout_ms:
                statements.append(f"SET SESSION max_execution_time = {self._statement_timeout_ms}")
            if self.read_only:
                statements.append("SET SESSION TRANSACTION READ ONLY")
            statements.append("SET SESSION time_zone = '+00:00'")  # last: TIMESTAMP values are read as UTC
            with connection.cursor() as cursor:
                for statement in statements:
                    cursor.execute(statement)
            self._places[connection] = self._place_of(connection)
            self._wait_as_usual(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _place_of(self, connection: Any) -> tuple[Any, ...] | None:
        """Which server it is, of those that one address may lead to.

        None if it does not tell, or if something between counts sessions in its own way.
        """
        try:
            with connection.cursor() as cursor:
                cursor.execute("SELECT connection_id(), @@hostname, @@port, @@server_id")
                number, *place = cursor.fetchone() or (None,)
                return tuple(place) if number == connection.thread_id() else None
        except self.driver_errors() as error:
            if self.is_lost(error):
                raise
            return None

    def _wait_as_usual(self, connection: Any) -> None:
        given = self.opts.connect_args
        connection._read_timeout = given.get("read_timeout", self.silence_limit)
        connection._write_timeout = given.get("write_timeout", self.silence_limit)
        if isinstance(connection._sock, socket.socket) and connection._sock.family != socket.AF_UNIX:
            for name, value in _KEEPALIVE:
                connection._sock.setsockopt(socket.IPPROTO_TCP, name, value)

    def is_transient(self, error: BaseException) -> bool:
        """The server is starting or full, nobody listens yet, or the login was broken off."""
        text = str(error)
        return any(word in text for word in ("refused", "EOF", "reset")) or bool({1040, 2013} & set(error.args[:1]))

    def shut(self, connection: "Connection[Any]") -> None:
        """Close the socket; what the server still wanted to send is not read."""
        connection.close()

    def check(self, connection: Any) -> None:
        """Ping, within the time that a new connection may take."""
        connection._read_timeout = self.opts.connect_timeout
        connection.ping(reconnect=False)
        self._wait_as_usual(connection)

    def cancel(self, connection: "Connection[Any]") -> None:
        """KILL QUERY, over a connection of its own."""
        self._kill("QUERY", connection)

    def end_session(self, connection: "Connection[Any]") -> None:
        """KILL CONNECTION, likewise."""
        self._kill("CONNECTION", connection)

    def _kill(self, what: str, connection: Any) -> None:
        import pymysql

        if (place := self._places.get(connection)) is None:
            return
        with pymysql.connect(**self.connect_arguments()) as killer, killer.cursor() as cursor:
            # Behind a balancer this may be another server, where the number is somebody else's.
            if self._place_of(killer) == place:
                cursor.execute(f"KILL {what} {int(connection.thread_id())}")

    def break_off(self, connection: Any) -> None:
        """Shut the socket down."""
        connection._sock.shutdown(socket.SHUT_RDWR)

    def is_lost(self, error: BaseException) -> bool:
        """PyMySQL's own numbers for that, and what the server says as it ends a session."""
        return super().is_lost(error) or (isinstance(error, self.driver_errors()) and error.args[:1] in _LOST)

    def markers(self, sql: str) -> tuple[str, list[str]]:
        """`%(name)s`."""
        return percent_style(sql, "mysql")

    def quote(self, *name: str) -> str:
        """A name between backticks."""
        return ".".join("`" + part.replace("`", "``") + "`" for part in name)

    def begin(self, connection: "Connection[Any]", *, read_only: bool) -> None:
        """START TRANSACTION."""
        with connection.cursor() as cursor:
            cursor.execute("START TRANSACTION READ ONLY" if read_only else "START TRANSACTION")

    def go_on(self, connection: Any, sql: str) -> None:
        """Behind CREATE and the like, which commit: else whatever follows would commit by itself.

        No START TRANSACTION: that would give back the locks of LOCK TABLES.
        """
        from pymysql.constants import SERVER_STATUS

        if not changes_rows(sql):
            connection.ping(reconnect=False)  # PyMySQL does not look at the status behind a result, which ANALYZE has
        if not connection.server_status & SERVER_STATUS.SERVER_STATUS_IN_TRANS:
            connection.autocommit(False)

    def release(self, connection: Any) -> None:
        """A session in which `go_on` had to work is closed: the next call wants one that commits by itself."""
        if connection.autocommit_mode:
            super().release(connection)
        else:
            self.discard(connection)

    def run(self, connection: "Connection[Any]", sql: str, values: Mapping[str, Any]) -> int | None:
        """Run a statement to its end; its count of rows."""
        from pymysql.cursors import SSCursor

        with connection.cursor(SSCursor) as cursor:
            cursor.execute(sql, dict(values) or None)
            fetched = 0
            while batch := cursor.fetchmany(1000):
                fetched += len(batch)
            # RETURNING gives the rows themselves.
            return fetched if cursor.description else cursor.rowcount

    def run_many(self, connection: "Connection[Any]", sql: str, rows: Iterable[Mapping[str, Any]]) -> int:
        """Run a statement for every map of values; PyMySQL makes one INSERT of many."""
        with connection.cursor() as cursor:
            return int(cursor.executemany(sql, list(rows)) or 0)

    def fetch(self, connection: "Connection[Any]", sql: str, values: Mapping[str, Any]) -> tuple[list[str], list[Row]]:
        """Run a query and fetch all of it."""
        with connection.cursor() as cursor:
            cursor.execute(sql, dict(values) or None)
            return [each[0] for each in cursor.description or ()], list(cursor.fetchall())

    def stream(self, sql: str, params: Params = None, *, fetch_size: int = 5000) -> MySQLRows:
        """Open an unbuffered query in a read-only transaction of its own."""
        from pymysql.cursors import SSCursor

        self.check_query(sql)
        text, names = self.markers(sql)
        values = self.bound(names, params)
        connection = self.acquire()
        try:
            with self.mapped("query"):
                self.begin(connection, read_only=True)
                cursor = connection.cursor(SSCursor)
                cursor.execute(text, values or None)
                columns = [column_of(field) for field in connection._result.fields or ()]
        except BaseException:
            self.give_back(connection)
            raise
        return MySQLRows(self, connection, cursor, columns, fetch_size)

    def stream_csv(self, sql: str, params: Params = None, *, dialect: Dialect) -> MySQLCsv | None:
        """Open a query as CSV; None if its bytes could differ from those that our own writer makes of `stream`."""
        if not dialect.is_common or dialect.null_value:
            return None
        return MySQLCsv(self.stream(sql, params), dialect)
