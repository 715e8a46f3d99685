"""The connector of `driver: sqlalchemy`."""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from aetherflow.core.api import ColumnType, ConnectorError, ConnectorInit, Row, SqlDialect, SqlLoader, install_command
from aetherflow_builtins_db.connectors.common.pooled import (
    FIRST_PAUSE_SECONDS,
    LONGEST_PAUSE_SECONDS,
    VALUE_ERRORS,
    PooledBase,
)
from aetherflow_builtins_db.connectors.common.progress import Progress
from aetherflow_builtins_db.connectors.common.stops import StoppedError, Stops
from aetherflow_builtins_db.connectors.common.tls import forget_errors
from aetherflow_builtins_db.connectors.sqlalchemy.errors import failure_of
from aetherflow_builtins_db.connectors.sqlalchemy.loading import SqlAlchemyServer
from aetherflow_builtins_db.connectors.sqlalchemy.rows import SQLAlchemyRows, columns_of
from aetherflow_builtins_db.connectors.sqlalchemy.session import (
    can_reset,
    cancel,
    connect_args,
    set_up_sessions,
)
from aetherflow_builtins_db.connectors.sqlalchemy.settings import Config, Options
from aetherflow_builtins_db.connectors.sqlite3.rows import declared_columns
from aetherflow_builtins_db.connectors.sqlite3.sql import bindable
from aetherflow_builtins_db.contract import Params
from aetherflow_builtins_db.database import Database
from aetherflow_builtins_db.failures import PASSING, Failure
from aetherflow_builtins_db.files import database_file
from aetherflow_builtins_db.params import Lexis, translate

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine, TextClause
    from sqlalchemy.engine import URL
    from sqlalchemy.sql.compiler import IdentifierPreparer

_COMMITS_DDL = frozenset({"mysql", "mariadb", "oracle", "exasol"})
_LEXIS: dict[str, Lexis] = {
    "mysql": "mysql",
    "mariadb": "mysql",
    "oracle": "oracle",
    "mssql": "mssql",
    "sqlite": "sqlite",
    **dict.fromkeys(("postgresql", "duckdb"), "postgresql"),
}
_READ_ONLY = {
    "postgresql": "SET TRANSACTION READ ONLY",
    "mysql": "SET TRANSACTION READ ONLY",
    "mariadb": "SET TRANSACTION READ ONLY",
    "oracle": "SET TRANSACTION READ ONLY",
    "sqlite": "PRAGMA query_only = 1",
}


@dataclass(frozen=True)
class EngineDialect(SqlDialect):
    """A dialect whose names SQLAlchemy quotes."""

    preparer: "Callable[[], IdentifierPreparer] | None" = None

    def quote(self, *name: str) -> str:
        """Quote the parts of a name in the engine's way and join them with dots."""
        if self.preparer is None:
            return super().quote(*name)
        preparer = self.preparer()
        quoted = ".".join(map(preparer.quote_identifier, name))
        # the preparer doubles a percent sign for drivers whose markers begin with one; text() does that once more
        return quoted.replace("%%", "%") if preparer.dialect.paramstyle in {"format", "pyformat"} else quoted


class SQLAlchemyConnector(PooledBase[Config, Options]):
    """Any database with a SQLAlchemy dialect; its driver must be installed.

    For PostgreSQL, MySQL, Oracle, Exasol, DuckDB and SQLite the native drivers know more types and are faster. The
    transaction of a query is rolled back at its end; it is read-only on PostgreSQL, MySQL, MariaDB, Oracle and SQLite.

        resources:
          legacy:
            kind: db
            driver: sqlalchemy
            config: {url: "mssql+pyodbc://etl:{{env.MSSQL_PASSWORD}}@db.example.com/sales?driver=ODBC+Driver+18"}
    """

    requires = ("sqlalchemy",)
    MAPPED_ERRORS = (*VALUE_ERRORS, OSError, ImportError)

    ADVICE: ClassVar = {
        Failure.NO_DRIVER: "install the driver that config.url names",
        Failure.CERTIFICATE: "check the certificates that config.url names",
        Failure.LOGIN: "check the user and password in config.url",
        **dict.fromkeys(
            (Failure.REFUSED, Failure.NO_HOST, Failure.NO_DATABASE, Failure.CONNECT_TIMEOUT),
            "check config.url: its host, port and database",
        ),
        Failure.CANNOT_OPEN: "check the file in config.url: its folder has to exist, and a relative one is under "
        "<workspace.root>/<flow id>",
        Failure.NO_TABLE: "check the name of the table and its schema",
    }

    def __init__(self, init: ConnectorInit) -> None:
        super().__init__(init)
        self._lock = threading.Lock()
        self._engine: Engine | None = None
        self._used: dict[int, Connection] = {}
        self._stops = Stops()
        self.read_only = self.conf.read_only
        scheme = self.conf.url.partition(":")[0].partition("+")[0]
        name = {"postgres": "postgresql"}.get(scheme, scheme)
        self.dialect = EngineDialect(
            name,
            "flow",
            lexis=_LEXIS.get(name, "standard"),
            transactional_ddl=name not in _COMMITS_DDL,
            preparer=lambda: self.engine().dialect.identifier_preparer,
        )

    # Connections

    def engine(self) -> "Engine":
        """SQLAlchemy's engine; made on first use."""
        with self._lock:
            if self._engine is None:
                self._engine = self._make_engine()
            return self._engine

    def _make_engine(self) -> "Engine":
        try:
            import sqlalchemy
        except ImportError as error:
            raise ConnectorError("sqlalchemy is not installed", fix=install_command("sqlalchemy")) from error
        try:
            url = self._url()
            pooling = self.opts.pooling
            pool: dict[str, Any] = {}
            if url.get_backend_name() != "sqlite":
                pool = {
                    "pool_size": pooling.size,
                    "max_overflow": pooling.max_overflow,
                    "pool_recycle": int(pooling.recycle_seconds),
                    "pool_timeout": self.opts.connect_timeout,
                }
            elif url.database in {None, "", ":memory:"}:
                pool = {"poolclass": sqlalchemy.StaticPool}  # every connection would have its own database in memory
            engine = sqlalchemy.create_engine(
                url, pool_pre_ping=pooling.pre_ping, connect_args=connect_args(url, self.opts), **pool
            )
            statements = list(self.opts.init_sql)
            if self.opts.statement_timeout and self.dialect.name in {"mysql", "mariadb"}:
                statements.append(f"SET SESSION max_statement_time = {self.opts.statement_timeout}")
            set_up_sessions(engine, statements)
        except (sqlalchemy.exc.SQLAlchemyError, ImportError, ValueError, TypeError) as error:
            raise self.failed("reading config.url", error) from error
        return engine

    def _url(self) -> "URL":
        import sqlalchemy

        url = sqlalchemy.make_url(self.conf.url)
        if url.get_backend_name() == "sqlite" and url.database and not url.database.startswith((":memory:", "file:")):
            url = url.set(database=str(database_file(self, url.database)))
        return url

    def _connect(self) -> "Connection":
        from sqlalchemy.exc import SQLAlchemyError

        engine, pause, most, since = self.engine(), FIRST_PAUSE_SECONDS, self.opts.connect_attempts, self._stops.count
        for attempt in range(1, most + 1):
            try:
                if self.dialect.name == "sqlite":
                    return engine.connect()
                return self._stops.opened(since, engine.connect, lambda connection: connection.close())
            except StoppedError:
                raise self.refuse(
                    f"interrupted while connecting to {self.address}", "the run was being stopped"
                ) from None
            except (SQLAlchemyError, *self.MAPPED_ERRORS) as error:
                failure = self.failure_of(error)
                again = failure in PASSING and isinstance(error, SQLAlchemyError)
                if attempt == most or not again or self._stops.count != since:
                    count = f" (attempt {attempt} of {most})" if again and most > 1 else ""
                    raise self.error_of(failure, f"connecting to {self.address}", error, count) from error
            self._stops.pause(pause, since)
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
        raise AssertionError("unreachable")

    @contextmanager
    def _connection(self, *, keep: bool = True) -> "Iterator[Connection]":
        """Lend a connection; at the end of the block its transaction is rolled back unless it was committed.

        :param keep: whether the block leaves the session unchanged; if not, the connection is closed afterwards
        """
        connection = self._connect()
        with self._lock:
            self._used[id(connection)] = connection
        try:
            yield connection
        finally:
            with self._lock:
                self._used.pop(id(connection), None)
            with suppress(Exception):
                if not (keep and can_reset(connection.dialect)) and self.dialect.name != "sqlite":
                    connection.detach()
            with suppress(Exception):
                connection.close()
            forget_errors()

    @property
    def address(self) -> str:
        """The address of the database in messages, without the password."""
        try:
            url = self._url()
        except Exception:  # noqa: BLE001 - `engine` reports what is wrong with the URL
            return "the database"
        host = f"{url.host}{f':{url.port}' if url.port else ''}/" if url.host else ""
        return f"{f'{url.username}@' if url.username else ''}{host}{url.database or ''}"

    def driver_errors(self) -> tuple[type[BaseException], ...]:
        """SQLAlchemy's base exception, which wraps the driver's."""
        from sqlalchemy.exc import SQLAlchemyError

        return (SQLAlchemyError,)

    def failure_of(self, error: BaseException) -> Failure:
        """Classify an error of SQLAlchemy or of its driver."""
        return failure_of(error, "" if self._engine is None else self._engine.dialect.driver)

    def message_of(self, error: object, failure: Failure) -> str:
        """The driver's message, without the SQL, parameters and links that SQLAlchemy adds."""
        if failure is Failure.INTERRUPTED:
            return "interrupted"
        return super().message_of(getattr(error, "orig", None) or error, failure)

    @property
    def password(self) -> str:
        """The password; it is masked in every message."""
        with suppress(Exception):  # `engine` reports what is wrong with the URL
            return str(self._url().password or "")
        return ""

    def interrupt(self) -> None:
        """End waits for a connection, cancel running statements if the driver can; called from another thread."""
        self._stops.add()
        with self._lock:
            used = list(self._used.values())
        for connection in used:
            with suppress(Exception):  # the connection may have been closed meanwhile
                cancel(self.engine(), connection)

    def close(self) -> None:
        """Close all connections; more calls have no effect."""
        with self._lock:
            engine, self._engine = self._engine, None
        if engine is not None:
            engine.dispose()

    def probe(self) -> None:
        """Connect and ping the database in the dialect's way; ConnectorError if that fails."""
        try:
            with self._connection() as connection, self.mapped("asking for a sign of life"):
                connection.dialect.do_ping(connection.connection.dbapi_connection)  # type: ignore[arg-type]  # it is open
        finally:
            self.close()

    # Scripts, transactions and results

    def markers(self, sql: str) -> "tuple[TextClause, list[str]]":
        """The SQL as TextClause, other colons escaped because SQLAlchemy ignores quotes; and its parameters' names."""
        import sqlalchemy

        text, names = translate(
            sql, lambda name: f":{name}", lexis=self.dialect.lexis, escape=lambda piece: piece.replace(":", r"\:")
        )
        return sqlalchemy.text(text), names

    def run(self, connection: "Connection", sql: "TextClause", values: Mapping[str, Any]) -> int | None:
        """Run a statement and consume its result; return the driver's row count."""
        result = connection.execute(sql, values)
        if not result.returns_rows:
            return int(result.rowcount)
        return sum(1 for _ in result)

    def run_many(self, connection: "Connection", sql: "TextClause", rows: Iterable[Mapping[str, Any]]) -> int:
        """Run a statement for every map of values."""
        fitting = bindable if self.dialect.name == "sqlite" else dict
        return max(connection.execute(sql, [fitting(row) for row in rows]).rowcount, 0)

    def fetch(
        self, connection: "Connection", sql: "TextClause", values: Mapping[str, Any]
    ) -> tuple[list[str], list[Row]]:
        """Run a query and fetch all of it."""
        result = connection.execute(sql, values)
        return list(result.keys()), [tuple(row) for row in result]

    @contextmanager
    def working(self, *, together: bool, keep: bool, progress: Progress | None = None) -> "Iterator[Connection]":
        """Lend a connection in a transaction; commit at the end of the block, roll back if it raises."""
        del together  # SQLAlchemy always begins a transaction
        with self._connection(keep=keep) as connection:
            yield connection
            with self.committing(progress):
                connection.commit()

    def stream(self, sql: str, params: Params = None, *, fetch_size: int = 5000) -> SQLAlchemyRows:
        """Open a query, with a server-side cursor if the driver has one."""
        self.check_query(sql)
        text, names = self.markers(sql)
        values = self.bound(names, params)
        with ExitStack() as opened:
            connection = opened.enter_context(self._connection())
            opened.callback(self._end_reading, connection)
            with self.mapped("query"):
                declared = self._declared(connection, sql)
                if statement := _READ_ONLY.get(self.dialect.name):
                    connection.exec_driver_sql(statement)
                result = connection.execution_options(stream_results=True, max_row_buffer=fetch_size).execute(
                    text, values
                )
                columns = columns_of(result, connection.dialect.driver, declared)
            return SQLAlchemyRows(self, result, columns, fetch_size, opened.pop_all().close, connection.dialect.driver)

    def loader(self, usual: SqlLoader) -> SqlLoader:
        """The usual one, with what SQLAlchemy's inspector tells about the table."""
        return SqlAlchemyServer(Database(self), usual.job, self.engine)

    def bound(self, names: list[str], params: Params) -> dict[str, Any]:
        """The values of the parameters, converted to types that the driver accepts."""
        values = super().bound(names, params)
        return bindable(values) if self.dialect.name == "sqlite" else values

    def _declared(self, connection: "Connection", sql: str) -> list[ColumnType]:
        if self.dialect.name != "sqlite":
            return []
        return declared_columns(connection.connection.driver_connection, sql)  # type: ignore[arg-type]  # sqlite3's

    def _end_reading(self, connection: "Connection") -> None:
        """Reset `query_only`, which belongs to the session and survives a rollback."""
        if self.dialect.name == "sqlite":
            with suppress(Exception):
                connection.exec_driver_sql("PRAGMA query_only = 0")
