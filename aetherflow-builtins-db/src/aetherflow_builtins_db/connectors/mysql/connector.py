"""The connector of `driver: mysql`, for MySQL and MariaDB."""

import configparser
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar
from weakref import WeakKeyDictionary

from aetherflow.core.api import Column, ColumnType, ConnectorInit, CsvFormat, Row, SqlDialect, SqlLoader, TableColumn
from aetherflow_builtins_db.connectors.common.rows import CursorRows
from aetherflow_builtins_db.connectors.common.server import ServerBase
from aetherflow_builtins_db.connectors.common.settings import ServerConfig, ServerOptions, Ssl
from aetherflow_builtins_db.connectors.common.tls import differences_of_tls, is_local
from aetherflow_builtins_db.connectors.mysql import pymysql_parts
from aetherflow_builtins_db.connectors.mysql.errors import failure_of
from aetherflow_builtins_db.connectors.mysql.rows import MySQLCsv, MySQLRows
from aetherflow_builtins_db.connectors.mysql.types import columns_of, decoders
from aetherflow_builtins_db.contract import Params
from aetherflow_builtins_db.database import Database
from aetherflow_builtins_db.failures import LOST, PASSING, Failure
from aetherflow_builtins_db.params import percent_style
from aetherflow_builtins_db.statements import changes_rows

if TYPE_CHECKING:
    from pymysql.connections import Connection

    from aetherflow.core.api import Difference

_CSV_ROWS = 5000
_SSL = {"ssl_ca": "ca_file", "ssl_cert": "cert_file", "ssl_key": "key_file"}
_OWN_CHOICE = {"ssl", "ssl_disabled", "ssl_verify_cert", "ssl_verify_identity", "unix_socket"}
"""Arguments of PyMySQL that settle whether the server is checked."""
_URL_NAMES = {"charset", "collation", "unix_socket", *_SSL}


class Config(ServerConfig):
    """Address and account of a MySQL or MariaDB server."""

    SCHEMES: ClassVar = ("mysql", "mariadb")


class Options(ServerOptions):
    """The options of all database servers."""


class MySQLConnector(ServerBase[Config, Options]):
    """A MySQL or MariaDB database, by PyMySQL.

    Reading runs in a read-only transaction and is not buffered: a result is never in memory as a whole. The session's
    time zone is UTC, so TIMESTAMP columns are instants. CREATE, ALTER and DROP commit at once: a script that has one
    after a change of rows is refused, unless `allow_implicit_commit` is true.

        resources:
          shop:
            kind: db
            driver: mysql
            config: {host: db.example.com, database: shop, user: etl, password: "{{env.SHOP_PASSWORD}}", ssl: true}
            options: {statement_timeout: 600}
    """

    requires = ("pymysql",)
    dialect = SqlDialect("mysql", "flow", ("`", "`"), "mysql", transactional_ddl=False)
    EXTRA = "mysql"

    ADVICE: ClassVar = {
        Failure.NO_TABLE: "check the table's name and config.database",
        Failure.BAD_PARAMETER: "parameters are text, numbers, bytes, dates and null",
    }
    MAPPED_ERRORS: ClassVar = (*ServerBase.MAPPED_ERRORS, *pymysql_parts.NONSENSE)
    PASSING: ClassVar = PASSING | {Failure.SILENT}

    def __init__(self, init: ConnectorInit) -> None:
        super().__init__(init)
        self._statement_timeout_ms = round(self.opts.statement_timeout * 1000)
        self._places: WeakKeyDictionary[Connection[Any], tuple[Any, ...] | None] = WeakKeyDictionary()

    @classmethod
    def differences(cls, config: Mapping[str, Any], options: Mapping[str, Any], version: str) -> "Iterator[Difference]":
        """Whether the server is checked."""
        del version
        return differences_of_tls(config, options)

    def driver_errors(self) -> tuple[type[BaseException], ...]:
        import pymysql

        return (pymysql.MySQLError,)

    def connect_arguments(self) -> dict[str, Any]:
        from pymysql.constants import CLIENT

        place = dict(self.conf.place)
        query = place.pop("query", {})
        if unknown := sorted(set(query) - _URL_NAMES):
            raise ValueError(f"options of the url that PyMySQL does not have: {', '.join(unknown)}")
        arguments: dict[str, Any] = {"host": "localhost", "charset": "utf8mb4", **query, **place}
        # During login the server may be silent for connect_timeout only; `open` sets the limit that applies later.
        silence = self.opts.connect_timeout if pymysql_parts.are_known() else self.silence_limit
        arguments |= {"connect_timeout": self.opts.connect_timeout, "read_timeout": silence, "write_timeout": silence}
        # FOUND_ROWS: an UPDATE counts the matched rows, as other databases do, not only those that differ afterwards.
        flags = CLIENT.FOUND_ROWS | (CLIENT.LOCAL_FILES if pymysql_parts.are_known() else 0)
        arguments |= {"client_flag": flags, "conv": decoders(), "autocommit": True}
        more, wanted = dict(self.opts.connect_args), self.conf.ssl
        given = {**arguments, **more}
        if wanted is None and not given.keys() & _OWN_CHOICE and not is_local(given["host"]):
            # PyMySQL would encrypt if the server offers it, and would check nothing, not even with an `ssl_ca`.
            wanted = Ssl(**{ours: given[name] for name, ours in _SSL.items() if name in given})
            more = {name: value for name, value in more.items() if name not in _SSL}
            arguments = {name: value for name, value in arguments.items() if name not in _SSL}
        return {**arguments, **(self._ssl(wanted) if wanted is not None else {}), **more}

    def _ssl(self, wanted: Ssl) -> dict[str, Any]:
        if wanted.mode == "disable":
            return {"ssl_disabled": True}
        if wanted.mode == "prefer":
            return {}
        context = self.tls_context(wanted)
        context.check_hostname = wanted.mode == "verify-full"
        return {"ssl": context}

    def open(self, client_flag: int = 0, **changed: Any) -> "Connection[Any]":
        """Connect and set up the session; with one more of PyMySQL's flags, and other arguments than the resource's."""
        arguments = self.connect_arguments() | changed
        arguments["client_flag"] |= client_flag
        try:
            connection: Connection[Any] = pymysql_parts.connection_class()(**arguments)
        except configparser.Error:  # its text has a line of the file
            message = f"{arguments.get('read_default_file')} is not an option file of MySQL"
            raise self.refuse(message, "correct options.connect_args.read_default_file") from None
        try:
            self._is_mariadb = "MariaDB" in str(connection.get_server_info())  # type: ignore[no-untyped-call]
            self.dialect = replace(self.dialect, name="mariadb" if self._is_mariadb else "mysql")
            self._set_up(connection)
            self._places[connection] = self._place_of(connection)
            self._wait_as_usual(connection)
            pymysql_parts.keep_alive(connection)
            pymysql_parts.keep_pace(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _set_up(self, connection: "Connection[Any]", before: str = "") -> None:
        """Set the session's variables; `before` has assignments that come before `init_sql`."""
        variables = ["time_zone = '+00:00'"]  # after init_sql: TIMESTAMP values are read as UTC
        if self._statement_timeout_ms and self._is_mariadb:
            variables.insert(0, f"max_statement_time = {self._statement_timeout_ms / 1000}")
        elif self._statement_timeout_ms:
            variables.insert(0, f"max_execution_time = {self._statement_timeout_ms}")
        if before and not self.opts.init_sql:
            variables.insert(0, before)
        statements = [f"SET {before}"] if before and self.opts.init_sql else []
        statements += self.opts.init_sql
        if self.read_only:
            statements.append("SET SESSION TRANSACTION READ ONLY")
        with connection.cursor() as cursor:
            for statement in [*statements, f"SET {', '.join(variables)}"]:
                cursor.execute(statement)

    def reset(self, connection: "Connection[Any]") -> None:
        """Make the session as new, which rolls back, too, and set it up again."""
        self._set_up(connection, pymysql_parts.reset(connection))

    def give_back(self, connection: Any, *, keep: bool = True) -> None:
        """Close a connection that cannot be reset: of an unknown version of PyMySQL, or with autocommit off."""
        super().give_back(connection, keep=keep and connection.autocommit_mode and pymysql_parts.are_known())

    def _place_of(self, connection: Any) -> tuple[Any, ...] | None:
        """The identity of the server: one address may lead to several.

        None if the server does not tell it, or if a proxy between numbers sessions differently.
        """
        try:
            with connection.cursor() as cursor:
                cursor.execute("SELECT connection_id(), @@hostname, @@port, @@server_id")
                number, *place = cursor.fetchone() or (None,)
                return tuple(place) if number == connection.thread_id() else None
        except self.driver_errors() as error:
            if failure_of(error) in LOST:
                raise
            return None

    def _wait_as_usual(self, connection: Any) -> None:
        given = self.opts.connect_args
        limits = (given.get(name, self.silence_limit) for name in ("read_timeout", "write_timeout"))
        pymysql_parts.limit_silence(connection, *limits)

    def failure_of(self, error: BaseException) -> Failure:
        """Classify an error of PyMySQL."""
        return failure_of(error)

    def shut(self, connection: "Connection[Any]") -> None:
        """Close the socket without reading what the server still sends."""
        connection.close()

    def check(self, connection: Any) -> None:
        """Ping the server; it must answer within `connect_timeout`."""
        pymysql_parts.limit_silence(connection, self.opts.connect_timeout, self.opts.connect_timeout)
        connection.ping(reconnect=False)
        self._wait_as_usual(connection)

    def cancel(self, connection: "Connection[Any]") -> None:
        """Send KILL QUERY over a second connection."""
        self._kill("QUERY", connection)

    def end_session(self, connection: "Connection[Any]") -> None:
        self._kill("CONNECTION", connection)

    def _kill(self, what: str, connection: Any) -> None:
        if (place := self._places.get(connection)) is None:
            return
        with pymysql_parts.connection_class()(**self.connect_arguments()) as killer, killer.cursor() as cursor:
            # Behind a load balancer this may be another server, where the id belongs to a different session.
            if self._place_of(killer) == place:
                cursor.execute(f"KILL {what} {int(connection.thread_id())}")

    def break_off(self, connection: Any) -> None:
        pymysql_parts.break_off(connection)

    def markers(self, sql: str) -> tuple[str, list[str]]:
        return percent_style(sql, "mysql")

    def begin(self, connection: "Connection[Any]", *, read_only: bool) -> None:
        with connection.cursor() as cursor:
            cursor.execute("START TRANSACTION READ ONLY" if read_only else "START TRANSACTION")

    def restart_transaction(self, connection: Any, sql: str) -> None:
        """Turn autocommit off after a statement that commits implicitly, such as CREATE.

        Without this every later statement would commit by itself. START TRANSACTION would release LOCK TABLES.
        """
        from pymysql.constants import SERVER_STATUS

        if not pymysql_parts.tells_status(connection) and not changes_rows(sql, "mysql"):
            # PyMySQL does not read the server status after a result set, and ANALYZE returns one.
            connection.ping(reconnect=False)
        if not connection.server_status & SERVER_STATUS.SERVER_STATUS_IN_TRANS:
            connection.autocommit(False)

    def run(self, connection: "Connection[Any]", sql: str, values: Mapping[str, Any]) -> int | None:
        """Run a statement and consume its result; return the row count."""
        from pymysql.cursors import SSCursor

        with connection.cursor(SSCursor) as cursor:
            cursor.execute(sql, dict(values) or None)
            fetched = 0
            while batch := cursor.fetchmany(1000):
                fetched += len(batch)
                pymysql_parts.taken(connection)
            # RETURNING: the result is the changed rows.
            return fetched if cursor.description else cursor.rowcount

    def run_many(self, connection: "Connection[Any]", sql: str, rows: Iterable[Mapping[str, Any]]) -> int:
        """Run a statement for every map of values; PyMySQL combines INSERTs into multi-row statements."""
        with connection.cursor() as cursor:
            return int(cursor.executemany(sql, list(rows)) or 0)

    def fetch(self, connection: "Connection[Any]", sql: str, values: Mapping[str, Any]) -> tuple[list[str], list[Row]]:
        """Run a query and fetch all of it."""
        with connection.cursor() as cursor:
            cursor.execute(sql, dict(values) or None)
            return [each[0] for each in cursor.description or ()], list(cursor.fetchall())

    def loader(self, usual: SqlLoader) -> SqlLoader:
        """Multi-row INSERTs, and a swap of tables for `replace`."""
        from aetherflow_builtins_db.connectors.mysql.loading import MySqlServer  # few runs load

        return MySqlServer(Database(self), usual.job)

    def column_for(self, name: str, column_type: ColumnType, *, nullable: bool, key: bool) -> TableColumn:
        """The column of MySQL or MariaDB for values of the type."""
        from aetherflow_builtins_db.connectors.mysql.making import column_for  # few runs make tables

        return column_for(name, column_type, nullable=nullable, key=key)

    def stream(self, sql: str, params: Params = None, *, fetch_size: int = 5000) -> MySQLRows | CursorRows:
        """Open an unbuffered query in a read-only transaction of its own."""
        rows = MySQLRows if pymysql_parts.are_known() else CursorRows
        return rows(self, *self._open_query(sql, params), fetch_size)

    def stream_csv(self, sql: str, params: Params = None, *, dialect: CsvFormat) -> MySQLCsv | None:
        """Open a query as CSV; None if the bytes could differ from those that DelimitedWriter makes of `stream`."""
        if not dialect.is_common or dialect.null_value or not pymysql_parts.are_known():
            return None
        return MySQLCsv(MySQLRows(self, *self._open_query(sql, params), _CSV_ROWS), dialect)

    def _open_query(self, sql: str, params: Params) -> "tuple[Connection[Any], Any, list[Column]]":
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
                if cursor.description is None:
                    raise self.refuse("the query gave no result", "run it in a db_execute, or look at the server")
                return connection, cursor, columns_of(cursor)
        except BaseException:
            self.give_back(connection)
            raise
