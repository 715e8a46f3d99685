"""The connector of `driver: exasol`, and the mapping of Exasol's types."""

import datetime
import ssl
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, ClassVar

from pydantic import Field

from aetherflow.core.api import Column, ColumnType, Holds, PlainText, Row, SqlDialect
from aetherflow_builtins_db.columns import STRING, decimal_type
from aetherflow_builtins_db.connectors.common.rows import CursorRows
from aetherflow_builtins_db.connectors.common.server import ServerBase
from aetherflow_builtins_db.connectors.common.settings import ServerConfig, ServerOptions
from aetherflow_builtins_db.connectors.exasol.errors import failure_of
from aetherflow_builtins_db.connectors.exasol.literals import literal, sendable
from aetherflow_builtins_db.contract import Params
from aetherflow_builtins_db.failures import Failure
from aetherflow_builtins_db.params import translate

_PORT = 8563
_SILENCE_SECONDS = 30
"""Limit for silence: Exasol sends a feedback message every second while a statement runs."""
_INSTANT = "TIMESTAMP WITH LOCAL TIME ZONE"
_TYPES = {
    "BOOLEAN": ColumnType("bool"),
    "DOUBLE": ColumnType("float"),
    "DATE": ColumnType("date"),
    "TIMESTAMP": ColumnType("datetime"),
    _INSTANT: ColumnType("datetime", zoned=True),
}
_INT_DIGITS = 18
"""A DECIMAL of at most so many digits fits in 64 bits."""


class Config(ServerConfig):
    """Address, account and schema of an Exasol database."""

    SCHEMES: ClassVar = ("exa", "exasol")

    dsn: Annotated[str, Holds.HOST] | None = Field(
        None,
        min_length=1,
        description="Exasol's own form instead of host and port: `10.0.0.11..14/fingerprint:8563`.",
    )
    database_schema: PlainText | None = Field(
        None, min_length=1, alias="schema", description="The schema to open. `database` is the same."
    )

    @property
    def opened_schema(self) -> str:
        """The schema to open; empty for none."""
        return self.database_schema or self.place.get("database") or ""


class Options(ServerOptions):
    """Server options, and compression of the connection."""

    compression: bool = Field(False, description="Compress what goes over the network.")


class ExasolConnector(ServerBase[Config, Options]):
    """An Exasol database, by pyexasol, whose telemetry is off.

    Rows are fetched in parts from a result on the server. Exasol has no read-only transactions: when reading, the
    connector refuses statements other than queries by their first word, and rolls the transaction back. The session's
    time zone is UTC. DDL is part of a transaction. Names without quotes are upper case. The connector writes the values
    of parameters into the SQL as literals.

        resources:
          dwh:
            kind: db
            driver: exasol
            config: {host: exasol.example.com, schema: sales, user: etl, password: "{{env.EXASOL_PASSWORD}}"}
            options: {statement_timeout: 3600}
    """

    requires = ("pyexasol",)
    dialect = SqlDialect("exasol", "flow")
    EXTRA = "exasol"

    ADVICE: ClassVar = {
        Failure.CERTIFICATE: "check config.ssl: its mode and ca_file, or give the fingerprint in dsn",
        Failure.BAD_ADDRESS: "check config.host, config.port and config.dsn",
        Failure.NO_TABLE: "check the name and the schema: config.schema",
        Failure.DUPLICATE_COLUMN: "name the columns apart: SELECT a.id AS a_id",
        Failure.BAD_PARAMETER: "parameters are text, numbers, dates and null",
    }
    PASSING: ClassVar = frozenset({Failure.REFUSED})

    def driver_errors(self) -> tuple[type[BaseException], ...]:
        """The exceptions of pyexasol and of its WebSocket library."""
        import pyexasol
        import websocket

        return (pyexasol.ExaError, websocket.WebSocketException)

    @property
    def address(self) -> str:
        """The cluster's address in messages."""
        return self.conf.dsn or super().address

    def connect_arguments(self) -> dict[str, Any]:
        from pyexasol.data_types import convert_websocket_to_python

        def value_of(value: Any, kind: dict[str, Any]) -> Any:
            found: Any = convert_websocket_to_python(value, kind)  # type: ignore[no-untyped-call]
            zoned = kind["type"] == _INSTANT or kind.get("withLocalTimeZone")
            if zoned and isinstance(found, datetime.datetime):
                return found.replace(tzinfo=datetime.UTC)
            return found

        place = self.conf.place
        arguments: dict[str, Any] = {
            "dsn": self.conf.dsn or f"{place.get('host', 'localhost')}:{place.get('port', _PORT)}",
            "user": place.get("user"),
            "password": place.get("password"),
            "schema": self.conf.opened_schema,
            "connection_timeout": self.opts.connect_timeout,
            "socket_timeout": self.silence_limit or _SILENCE_SECONDS,
            "query_timeout": round(self.opts.statement_timeout),
            "compression": self.opts.compression,
            "fetch_mapper": value_of,
            "verbose_error": False,
            "client_name": "aetherflow",
        }
        if (wanted := self.conf.ssl) is not None:
            arguments["encryption"] = wanted.mode != "disable"
            verified = wanted.mode.startswith("verify")
            options: dict[str, Any] = {"cert_reqs": ssl.CERT_REQUIRED if verified else ssl.CERT_NONE}
            if wanted.mode == "verify-ca":
                options["check_hostname"] = False
            if wanted.ca_file:
                options["ca_certs"] = self.file(wanted.ca_file)
            if wanted.cert_file:
                options["certfile"] = self.file(wanted.cert_file)
                options["keyfile"] = self.file(wanted.key_file) if wanted.key_file else None
            if arguments["encryption"]:
                arguments["websocket_sslopt"] = options
        return arguments | self.opts.connect_args

    def open(self) -> Any:
        """Connect and set up the session; telemetry of the driver is disabled first."""
        import pyexasol
        from exasol.telemetry import client as telemetry

        telemetry.disable()  # type: ignore[no-untyped-call]
        connection: Any = pyexasol.connect(**self.connect_arguments())
        try:
            for statement in ("ALTER SESSION SET TIME_ZONE = 'UTC'", *self.opts.init_sql):
                connection.execute(statement)
        except BaseException:
            connection.close(disconnect=False)
            raise
        return connection

    def failure_of(self, error: BaseException) -> Failure:
        """Classify an error of pyexasol."""
        return failure_of(error)

    def message_of(self, error: object, failure: Failure) -> str:
        """The server's message, without the context that pyexasol adds."""
        return super().message_of(getattr(error, "message", error), failure)

    def shut(self, connection: Any) -> None:
        """Close, without waiting for an answer."""
        connection.close(disconnect=False)

    def check(self, connection: Any) -> None:
        connection.execute("SELECT 1").close()

    def cancel(self, connection: Any) -> None:
        """Send abortQuery; the running statement then fails."""
        connection.abort_query()

    def markers(self, sql: str) -> tuple[str, list[str]]:
        """The unchanged SQL: `run` and `fetch` insert the values as literals."""
        _text, names = translate(sql, str)
        return sql, names

    def begin(self, connection: Any, *, read_only: bool) -> None:
        """Turn autocommit off, which starts a transaction."""
        del read_only
        connection.set_autocommit(False)

    def commit(self, connection: Any) -> None:
        """COMMIT and turn autocommit on again, if a transaction was begun."""
        if not connection.attr.get("autocommit", True):
            connection.commit()
            connection.set_autocommit(True)

    def rollback(self, connection: Any) -> None:
        """ROLLBACK and turn autocommit on again, if a transaction was begun."""
        if not connection.attr.get("autocommit", True):
            connection.rollback()
            connection.set_autocommit(True)

    def _execute(self, connection: Any, sql: str, values: Mapping[str, Any]) -> Any:
        text, _names = translate(sql, lambda name: literal(values[name]))
        return connection.execute(text)

    def run(self, connection: Any, sql: str, values: Mapping[str, Any]) -> int | None:
        """Run a statement; return the server's row count."""
        statement = self._execute(connection, sql, values)
        count = int(statement.rowcount() or 0)
        statement.close()
        return count

    def run_many(self, connection: Any, sql: str, rows: Iterable[Mapping[str, Any]]) -> int:
        """Run a prepared statement with every map of values; return the row count."""
        order: list[str] = []

        def mark(name: str) -> str:
            order.append(name)
            return "?"

        text, _names = translate(sql, mark)
        data = [tuple(sendable(row[name]) for name in order) for row in rows]
        if not data:
            return 0
        statement = connection.create_prepared_statement(text)
        try:
            statement.execute_prepared(data)
            return int(statement.rowcount() or 0)
        finally:
            statement.close()

    def fetch(self, connection: Any, sql: str, values: Mapping[str, Any]) -> tuple[list[str], list[Row]]:
        """Run a query and fetch all of it."""
        statement = self._execute(connection, sql, values)
        return list(statement.column_names()), statement.fetchall()

    def stream(self, sql: str, params: Params = None, *, fetch_size: int = 5000) -> CursorRows:
        """Open a query; closing the result rolls its transaction back."""
        self.check_query(sql)
        text, names = self.markers(sql)
        values = self.bound(names, params)
        connection = self.acquire()
        try:
            with self.mapped("query"):
                self.begin(connection, read_only=True)
                statement = self._execute(connection, text.strip().rstrip(";"), values)
                if statement.result_type != "resultSet":
                    raise self.refuse("the SQL returns no rows", "use db_execute to change data")
                columns = [column_of(name, kind) for name, kind in statement.columns().items()]
        except BaseException:
            self.give_back(connection)
            raise
        return CursorRows(self, connection, statement, columns, fetch_size)


def column_of(name: str, kind: Mapping[str, Any]) -> Column:
    """A column from its description in the WebSocket protocol."""
    if kind["type"] == "DECIMAL":
        precision, scale = int(kind.get("precision", 18)), int(kind.get("scale", 0))
        whole = scale == 0 and precision <= _INT_DIGITS
        return Column(name, ColumnType("int") if whole else decimal_type(precision, scale))
    if kind.get("withLocalTimeZone"):
        return Column(name, _TYPES[_INSTANT])
    return Column(name, _TYPES.get(kind["type"], STRING))
