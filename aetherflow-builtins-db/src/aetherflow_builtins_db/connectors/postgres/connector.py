"""The connector of `driver: postgres`, and its transaction with COPY."""

import os
import socket
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from aetherflow.core.api import ColumnType, CsvFormat, Row, SqlDialect, SqlLoader, TableColumn
from aetherflow_builtins_db.connectors.common.base import setting_literal
from aetherflow_builtins_db.connectors.common.progress import Progress
from aetherflow_builtins_db.connectors.common.rows import CursorRows
from aetherflow_builtins_db.connectors.common.server import ServerBase
from aetherflow_builtins_db.connectors.common.settings import ServerConfig, ServerOptions
from aetherflow_builtins_db.connectors.common.tls import authorities, differences_of_tls, is_local
from aetherflow_builtins_db.connectors.common.transaction import PooledTransaction
from aetherflow_builtins_db.connectors.postgres.copy import PostgresArrow, PostgresCopy, arrow_safe, csv_query
from aetherflow_builtins_db.connectors.postgres.errors import failure_of, first_cause
from aetherflow_builtins_db.connectors.postgres.json_out import PostgresJson, json_query
from aetherflow_builtins_db.connectors.postgres.session import RESET, end_session, note_session
from aetherflow_builtins_db.connectors.postgres.types import SETTINGS, column_of, register_loaders
from aetherflow_builtins_db.connectors.postgres.wait import connection_class
from aetherflow_builtins_db.contract import Params
from aetherflow_builtins_db.database import Database
from aetherflow_builtins_db.failures import Failure
from aetherflow_builtins_db.params import percent_style
from aetherflow_builtins_db.statements import is_query

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import psycopg

    from aetherflow.core.api import Difference

_KEEPALIVE = {"keepalives_idle": 60, "keepalives_interval": 10, "keepalives_count": 6, "tcp_user_timeout": 120_000}
"""TCP keepalive: a vanished peer is noticed after two minutes; the system's default is two hours."""
_CAREFUL = {"require_auth": "!password,!md5"}
"""A server that asks for the password itself, or for its MD5, gets nothing."""
_REQUIRES_AUTH = 160_000
"""The first version of libpq that has `require_auth`."""
_SSL = {"ca_file": "sslrootcert", "cert_file": "sslcert", "key_file": "sslkey"}


def _libpq() -> int:
    import psycopg

    return psycopg.pq.version()


def _is_local(arguments: Mapping[str, Any]) -> bool:
    """Whether a connection stays on this machine; a service file may name any host."""
    if arguments.get("service") or os.environ.get("PGSERVICE"):
        return False
    return is_local(arguments.get("hostaddr") or arguments.get("host") or os.environ.get("PGHOST"))


class Config(ServerConfig):
    """Address and account of a PostgreSQL server."""

    SCHEMES: ClassVar = ("postgresql", "postgres")


class Options(ServerOptions):
    """The options of all database servers."""


class PostgresConnector(ServerBase[Config, Options]):
    """A PostgreSQL database, by psycopg 3.

    Reading runs in a read-only transaction with a server-side cursor: a result is never in memory as a whole.
    The session's time zone is UTC. DDL is part of a transaction.

        resources:
          sales:
            kind: db
            driver: postgres
            config: {host: db.example.com, database: sales, user: etl, password: "{{env.SALES_PASSWORD}}", ssl: true}
            options: {statement_timeout: 600}
    """

    requires = ("psycopg",)
    dialect = SqlDialect("postgresql", "flow", lexis="postgresql")
    EXTRA = "postgres"

    ADVICE: ClassVar = {
        Failure.NOT_ADMITTED: "the server does not let this user in from here: ask its administrator",
        Failure.NO_TABLE: "check the table's name and schema; options.init_sql can set search_path",
        Failure.NO_FUNCTION: "check the types: add casts such as :n::int",
        Failure.NO_TRANSACTION: "run this statement in a db_execute of its own",
        Failure.BAD_PARAMETER: "parameters are text, numbers, bytes, dates, lists and null",
    }

    @classmethod
    def differences(cls, config: Mapping[str, Any], options: Mapping[str, Any], version: str) -> "Iterator[Difference]":
        """Whether the server is checked."""
        del version
        return differences_of_tls(config, options)

    def driver_errors(self) -> tuple[type[BaseException], ...]:
        import psycopg

        return (psycopg.Error,)

    def connect_arguments(self) -> dict[str, Any]:
        place = dict(self.conf.place)
        arguments: dict[str, Any] = {"application_name": "aetherflow", **_KEEPALIVE, **place.pop("query", {})}
        if "database" in place:
            place["dbname"] = place.pop("database")
        arguments |= place
        if ssl := self.conf.ssl:
            arguments["sslmode"] = ssl.mode
            for name, ours in _SSL.items():
                if value := getattr(ssl, name):
                    arguments[ours] = self.file(value)
        arguments["connect_timeout"] = max(round(self.opts.connect_timeout), 2)  # libpq takes no less
        arguments |= self.opts.connect_args
        if not _is_local(arguments):
            arguments.setdefault("sslmode", "verify-full")
        if str(arguments.get("sslmode")).startswith("verify"):
            arguments.setdefault("sslrootcert", authorities())
        return _CAREFUL | arguments if _libpq() >= _REQUIRES_AUTH else arguments

    def open(self) -> Any:
        """Connect and set up the session."""
        # prepare_threshold=None: prepared statements would remain in the sessions of a pooler such as PgBouncer.
        connection = connection_class().connect(**self.connect_arguments(), autocommit=True, prepare_threshold=None)
        try:
            connection.silence_limit = connection.answer_limit = self.opts.connect_timeout
            register_loaders(connection)
            self._set_up(connection)
            note_session(connection)
            self._wait_as_usual(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _set_up(self, connection: Any, before: str = "") -> None:
        settings: dict[str, Any] = dict(SETTINGS)
        if self.opts.statement_timeout:
            settings["statement_timeout"] = max(round(self.opts.statement_timeout * 1000), 1)
        if self.read_only:
            settings["default_transaction_read_only"] = "on"
        settings["client_encoding"] = "UTF8"
        connection.execute(
            before + "".join(f"SET {name} = {setting_literal(value)};" for name, value in settings.items())
        )
        for statement in self.opts.init_sql:
            connection.execute(statement)

    def reset(self, connection: Any) -> None:
        """Roll back and make the session as new, in one round trip."""
        self._set_up(connection, f"ROLLBACK; {RESET}; ")

    def check(self, connection: Any) -> None:
        """Run SELECT 1; the server must answer within `connect_timeout`."""
        connection.silence_limit = connection.answer_limit = self.opts.connect_timeout
        connection.execute("SELECT 1")
        self._wait_as_usual(connection)

    def _wait_as_usual(self, connection: Any) -> None:
        connection.silence_limit, connection.answer_limit = self.silence_limit, self.opts.answer_limit

    def cancel(self, connection: "psycopg.Connection[Any]") -> None:
        """Ask the server to stop the query."""
        connection.cancel_safe(timeout=5)

    def break_off(self, connection: "psycopg.Connection[Any]") -> None:
        """Shut the socket down; libpq then reports a closed connection."""
        with socket.socket(fileno=os.dup(connection.fileno())) as same:
            same.shutdown(socket.SHUT_RDWR)

    def end_session(self, connection: Any) -> None:
        """Call pg_terminate_backend over a second connection, if that server has the session."""
        if connection.begun is not None:
            with connection_class().connect(**self.connect_arguments(), autocommit=True) as other:
                other.silence_limit = other.answer_limit = self.opts.connect_timeout
                end_session(other, connection)

    def failure_of(self, error: BaseException) -> Failure:
        """Classify an error of psycopg."""
        return failure_of(error)

    def message_of(self, error: object, failure: Failure) -> str:
        """The driver's message on one line; of a chain of errors, the message of the first."""
        return super().message_of(first_cause(error) if isinstance(error, BaseException) else error, failure)

    def markers(self, sql: str) -> tuple[str, list[str]]:
        return percent_style(sql, "postgresql")

    def begin(self, connection: "psycopg.Connection[Any]", *, read_only: bool) -> None:
        connection.execute("BEGIN READ ONLY" if read_only else "BEGIN")

    def commit(self, connection: "psycopg.Connection[Any]") -> None:
        """COMMIT. Raises InFailedSqlTransaction for a failed transaction, which PostgreSQL would silently roll back."""
        import psycopg

        if connection.info.transaction_status == psycopg.pq.TransactionStatus.INERROR:
            raise psycopg.errors.InFailedSqlTransaction("a statement failed before, so everything was undone")
        connection.commit()

    def run(self, connection: "psycopg.Connection[Any]", sql: str, values: Mapping[str, Any]) -> int | None:
        """Run a statement; return the server's row count."""
        with connection.cursor() as cursor:
            cursor.execute(sql, dict(values) or None)
            return cursor.rowcount

    def run_many(self, connection: "psycopg.Connection[Any]", sql: str, rows: Iterable[Mapping[str, Any]]) -> int:
        """Run a statement for every map of values."""
        with connection.cursor() as cursor:
            cursor.executemany(sql, list(rows))
            return max(cursor.rowcount, 0)

    def fetch(
        self, connection: "psycopg.Connection[Any]", sql: str, values: Mapping[str, Any]
    ) -> tuple[list[str], list[Row]]:
        """Run a query and fetch all of it."""
        with connection.cursor() as cursor:
            cursor.execute(sql, dict(values) or None)
            return [column.name for column in cursor.description or ()], cursor.fetchall()

    def transaction_on(self, connection: Any, progress: Progress) -> "PostgresTransaction":
        """A transaction that also offers COPY."""
        return PostgresTransaction(self, connection, progress)

    def loader(self, usual: SqlLoader) -> SqlLoader:
        """COPY, and a swap of tables for `replace`."""
        from aetherflow_builtins_db.connectors.postgres.loading import PostgresServer  # few runs load

        return PostgresServer(Database(self), usual.job)

    def column_for(self, name: str, column_type: ColumnType, *, nullable: bool, key: bool) -> TableColumn:
        """The column of PostgreSQL for values of the type."""
        from aetherflow_builtins_db.connectors.postgres.making import column_for  # few runs make tables

        del key
        return column_for(name, column_type, nullable=nullable)

    def stream(self, sql: str, params: Params = None, *, fetch_size: int = 5000) -> CursorRows:
        """Open a query with a server-side cursor, in its own read-only transaction."""
        self.check_query(sql)
        text, names = self.markers(sql)
        values = self.bound(names, params)
        connection = self.acquire()
        # DECLARE accepts queries only; the results of SHOW and EXPLAIN are short enough for a client-side cursor.
        cursor = connection.cursor("aetherflow") if is_query(sql, "postgresql") else connection.cursor()
        try:
            with self.mapped("query"):
                self.begin(connection, read_only=True)
                cursor.execute(text, values or None)
                columns = [column_of(each) for each in cursor.description or ()]
        except BaseException:
            CursorRows(self, connection, cursor, [], fetch_size).close()
            raise
        return CursorRows(self, connection, cursor, columns, fetch_size)

    def stream_csv(self, sql: str, params: Params = None, *, dialect: CsvFormat) -> PostgresCopy | None:
        """Open a query as CSV that the server formats; None if the bytes could differ from DelimitedWriter's."""
        if not dialect.is_common:
            return None
        signs = (dialect.delimiter, dialect.quotechar, dialect.null_value)
        delimiter, quote, null = map(setting_literal, signs)
        options = f"FORMAT csv, DELIMITER {_escaped(delimiter)}, QUOTE {quote}, NULL {null}"
        return self._copy(sql, params, options, csv_query)

    def stream_json(self, sql: str, params: Params = None) -> PostgresJson | None:
        """Open a query as JSON lines; None if the bytes could differ from `write_jsonl`'s."""
        copy = self._copy(sql, params, "FORMAT text", json_query)
        return None if copy is None else PostgresJson(copy)

    def stream_arrow(self, sql: str, params: Params = None, *, batch_rows: int) -> PostgresArrow | None:
        """Open a query as Arrow; None if a column's Arrow form would differ from the values of `stream`."""
        del batch_rows  # pyarrow forms batches from blocks of bytes

        def query(
            connection: "psycopg.Connection[Any]", text: str, described: "Sequence[psycopg.Column]"
        ) -> str | None:
            columns = [column_of(each) for each in described]
            return text if arrow_safe(connection, columns, [each.type_code for each in described]) else None

        copy = self._copy(sql, params, "FORMAT csv", query)
        return None if copy is None else PostgresArrow(copy)

    def _copy(
        self,
        sql: str,
        params: Params,
        options: str,
        query: "Callable[[psycopg.Connection[Any], str, Sequence[psycopg.Column]], str | None]",
    ) -> PostgresCopy | None:
        self.check_query(sql)
        (statement,) = self.statements(sql)
        if not is_query(statement, "postgresql"):
            return None
        text, names = self.markers(statement)
        values = self.bound(names, params)
        connection, opened = self.acquire(), None
        try:
            with self.mapped("query"):
                self.begin(connection, read_only=True)
                with connection.cursor("aetherflow") as cursor:  # DECLARE describes the columns and computes no row
                    cursor.execute(text, values or None)
                    described = list(cursor.description or ())
            if (wanted := query(connection, text, described)) is not None:
                columns = [column_of(each) for each in described]
                opened = PostgresCopy(self, connection, columns, f"COPY (\n{wanted}\n) TO STDOUT ({options})", values)
        finally:
            if opened is None:
                self.give_back(connection)
        return opened


def _escaped(literal: str) -> str:
    return "E'\\t'" if literal == "'\t'" else literal


class PostgresTransaction(PooledTransaction):
    """A transaction that can also load rows with COPY FROM STDIN."""

    def copy_in(self, sql: str, blocks: Iterable[bytes | memoryview]) -> int:
        """Run COPY … FROM STDIN with these bytes; return the number of copied rows."""
        with self._connector.mapped("copy", self.progress), self.raw.cursor() as cursor:
            with cursor.copy(sql) as copy:
                for block in blocks:
                    copy.write(block)
                    self.progress.bytes += len(block)
            return max(int(cursor.rowcount), 0)
