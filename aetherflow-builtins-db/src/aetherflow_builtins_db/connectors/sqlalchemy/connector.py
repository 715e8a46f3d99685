"""Any database that SQLAlchemy has a dialect for."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from aetherflow.core.api import ConnectorError, ConnectorInit, install_command
from aetherflow_builtins_db.columns import ColumnType
from aetherflow_builtins_db.connectors.common.base import SqlBase, step_name
from aetherflow_builtins_db.connectors.common.progress import Moved
from aetherflow_builtins_db.connectors.common.server import (
    DOUBT,
    FIRST_PAUSE_SECONDS,
    LONGEST_PAUSE_SECONDS,
    LOST,
    VALUE_ERRORS,
)
from aetherflow_builtins_db.connectors.sqlalchemy.rows import SQLAlchemyRows, SQLAlchemyTransaction, columns_of, run
from aetherflow_builtins_db.connectors.sqlalchemy.session import (
    cancel,
    connect_args,
    is_transient,
    note_server,
    was_interrupted,
)
from aetherflow_builtins_db.connectors.sqlalchemy.settings import Config, Options
from aetherflow_builtins_db.connectors.sqlite3.rows import declared_columns
from aetherflow_builtins_db.connectors.sqlite3.sql import bindable
from aetherflow_builtins_db.contract import Params, ScriptResult
from aetherflow_builtins_db.files import database_file
from aetherflow_builtins_db.params import Lexis, translate
from aetherflow_builtins_db.statements import changes_rows, keeps_session

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine, TextClause
    from sqlalchemy.engine import URL

_COMMITS_DDL = frozenset({"mysql", "mariadb", "oracle", "exasol"})
_LEXIS: dict[str, Lexis] = {"mysql": "mysql", "mariadb": "mysql", "oracle": "oracle"}
_READ_ONLY = {
    "postgresql": "SET TRANSACTION READ ONLY",
    "mysql": "SET TRANSACTION READ ONLY",
    "mariadb": "SET TRANSACTION READ ONLY",
    "oracle": "SET TRANSACTION READ ONLY",
    "sqlite": "PRAGMA query_only = 1",
}


class SQLAlchemyConnector(SqlBase[Config, Options]):
    """Any database with a SQLAlchemy dialect; its driver must be installed.

    For PostgreSQL, MySQL, Oracle, Exasol, DuckDB and SQLite the drivers of their own know more types and are faster.
    A reader's transaction is undone at its end, and read-only where the database has such: PostgreSQL, MySQL, MariaDB,
    Oracle, SQLite.

        resources:
          legacy:
            kind: db
            driver: sqlalchemy
            config: {url: "mssql+pyodbc://etl:{{env.MSSQL_PASSWORD}}@db.example.com/sales?driver=ODBC+Driver+18"}
    """

    requires = ("sqlalchemy",)

    HINTS = (
        (r"interrupt|user request|\b1317\b", "the run was being stopped"),
        (r"password|Access denied", "check the user and password in config.url"),
        (r"refused|resolve|Name or service|timed out|timeout expired|unable to open",
         "check config.url: its host, port and database"),
        (r"No module named|load plugin", "install the driver that config.url names"),
        (r"deadlock|serialize|Lock wait", "run the step again (retry:)"),
        (r"No space left|disk (is )?full|is full", "free disk space on the database server"),
        (r"no such table|does not exist|doesn't exist", "check the name of the table and its schema"),
        (r"no such column|Unknown column", "check the column's name"),
        (r"syntax", "check the SQL near the words quoted"),
        (r"read-?\s?only", "reading cannot change data; use db_execute"),
    )  # fmt: skip

    def __init__(self, init: ConnectorInit) -> None:
        super().__init__(init)
        self._lock = threading.Lock()
        self._engine: Engine | None = None
        self._used: dict[int, Connection] = {}
        self.read_only = self.conf.read_only
        scheme = self.conf.url.partition(":")[0].partition("+")[0]
        self.dialect = {"postgres": "postgresql"}.get(scheme, scheme)
        self.transactional_ddl = self.dialect not in _COMMITS_DDL
        self.lexis = _LEXIS.get(self.dialect, "standard")

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
                pool = {"poolclass": sqlalchemy.StaticPool}  # one connection, or every one has a database of its own
            engine = sqlalchemy.create_engine(
                url, pool_pre_ping=pooling.pre_ping, connect_args=connect_args(url, self.opts), **pool
            )
            self._listen(engine)
        except (sqlalchemy.exc.SQLAlchemyError, ImportError, ValueError, TypeError) as error:
            raise self.failed("reading config.url", error) from error
        return engine

    def _url(self) -> "URL":
        import sqlalchemy

        url = sqlalchemy.make_url(self.conf.url)
        if url.get_backend_name() == "sqlite" and url.database and not url.database.startswith((":memory:", "file:")):
            url = url.set(database=str(database_file(self, url.database)))
        return url

    def _listen(self, engine: "Engine") -> None:
        from sqlalchemy import event

        statements = list(self.opts.init_sql)
        if self.opts.statement_timeout and self.dialect in {"mysql", "mariadb"}:
            statements.append(f"SET SESSION max_statement_time = {self.opts.statement_timeout}")
        sqlite = self.dialect == "sqlite"

        @event.listens_for(engine, "connect")
        def _session(connection: Any, record: Any) -> None:
            if sqlite:
                connection.isolation_level = None  # BEGIN comes from us, before DDL too
            cursor = connection.cursor()
            for statement in statements:
                cursor.execute(statement)
            cursor.close()
            note_server(engine, connection, record.info)

        if sqlite:

            @event.listens_for(engine, "begin")
            def _begin(connection: "Connection") -> None:
                connection.exec_driver_sql("BEGIN")

    def _connect(self) -> "Connection":
        from sqlalchemy.exc import SQLAlchemyError

        engine, pause, most = self.engine(), FIRST_PAUSE_SECONDS, self.opts.connect_attempts
        for attempt in range(1, most + 1):
            try:
                with self.mapped(f"connecting to {self.address}"):
                    return engine.connect()
            except ConnectorError as error:
                cause = error.__cause__
                if not isinstance(cause, SQLAlchemyError) or not is_transient(cause):
                    raise
                if attempt == most:
                    count = f" (attempt {attempt} of {most})" if most > 1 else ""
                    raise self.failed(f"connecting to {self.address}", cause, count) from cause
            time.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
        raise AssertionError("unreachable")

    @contextmanager
    def _connection(self, *, keep: bool = True) -> "Iterator[Connection]":
        """A connection; its transaction is undone at the end unless it was committed.

        :param keep: whether its session is as it was in the end; if not, it is closed
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
                if not keep and self.dialect != "sqlite":
                    connection.detach()
            with suppress(Exception):
                connection.close()

    @property
    def address(self) -> str:
        """Where messages say that the database is; without the password."""
        try:
            url = self._url()
        except Exception:  # noqa: BLE001 - what is wrong with it, `engine` tells
            return "the database"
        host = f"{url.host}{f':{url.port}' if url.port else ''}/" if url.host else ""
        return f"{f'{url.username}@' if url.username else ''}{host}{url.database or ''}"

    @contextmanager
    def mapped(self, operation: str, moved: Moved | None = None) -> Iterator[None]:
        """SQLAlchemy's and the driver's errors inside become ours."""
        import sqlalchemy

        try:
            yield
        except (sqlalchemy.exc.SQLAlchemyError, ImportError, OSError, *VALUE_ERRORS) as error:
            raise self.failed(operation, error, str(moved or "")) from error

    def failed(self, operation: str, error: BaseException, detail: str = "") -> ConnectorError:
        """The driver's own words, without the SQL, parameters and links that SQLAlchemy adds; no password."""
        cause = getattr(error, "orig", None) or error
        found = super().failed(operation, Exception("interrupted") if was_interrupted(cause) else cause, detail)
        if getattr(error, "connection_invalidated", False):  # it is lost
            where = "" if self.address in str(found) else f" ({self.address})"
            found = ConnectorError(f"{found}{where}", fix=DOUBT if operation == "commit" else LOST)
        with suppress(Exception):
            password = self._url().password
            if password and str(password) in str(found):
                return ConnectorError(str(found).replace(str(password), "***"), fix=found.fix)
        return found

    def interrupt(self) -> None:
        """Stop everything that runs, where the driver can; called from another thread."""
        with self._lock:
            used = list(self._used.values())
        for connection in used:
            with suppress(Exception):  # it was closed in this moment
                cancel(self.engine(), connection)

    def close(self) -> None:
        """Close all connections; twice is fine."""
        with self._lock:
            engine, self._engine = self._engine, None
        if engine is not None:
            engine.dispose()

    def probe(self) -> None:
        """Connect and run SELECT 1, or what the dialect has for it."""
        try:
            with self._connection() as connection, self.mapped("asking for a sign of life"):
                connection.dialect.do_ping(connection.connection.dbapi_connection)  # type: ignore[arg-type]  # it is open
        finally:
            self.close()

    # The contract

    def quote(self, *name: str) -> str:
        """A name as the dialect writes it."""
        preparer = self.engine().dialect.identifier_preparer
        return ".".join(preparer.quote_identifier(part) for part in name)

    def markers(self, sql: str) -> "tuple[TextClause, list[str]]":
        """The SQL for SQLAlchemy, which would see `:name` inside quotes, too."""
        import sqlalchemy

        text, names = translate(
            sql, lambda name: f":{name}", lexis=self.lexis, escape=lambda piece: piece.replace(":", r"\:")
        )
        return sqlalchemy.text(text), names

    def script(
        self,
        sql: str,
        params: Params = None,
        *,
        before_commit: Callable[[ScriptResult], None] | None = None,
        allow_implicit_commit: bool = False,
    ) -> ScriptResult:
        """Run one or more statements in one transaction."""
        statements = self.statements(sql)
        self.check_script(statements, allow_implicit_commit=allow_implicit_commit)
        self.check_writable()
        translated = [(statement, *self.markers(statement)) for statement in statements]
        values = self.values(list(dict.fromkeys(name for *_, names in translated for name in names)), params)
        with self._connection(keep=all(map(keeps_session, statements))) as connection:
            affected = []
            for number, (statement, text, names) in enumerate(translated, 1):
                with self.mapped(step_name(number, len(statements))):
                    count = run(connection, text, {name: values[name] for name in names})
                affected.append(count if changes_rows(statement) else None)
            result = ScriptResult(tuple(affected))
            if before_commit:
                before_commit(result)
            with self.mapped("commit"):
                connection.commit()
        return result

    @contextmanager
    def transaction(self) -> Iterator["SQLAlchemyTransaction"]:
        """Several operations on one connection that come true together."""
        self.check_writable()
        with self._connection(keep=False) as connection:
            tx = SQLAlchemyTransaction(self, connection)
            yield tx
            with self.mapped("commit", tx.moved):
                connection.commit()

    def stream(self, sql: str, params: Params = None, *, fetch_size: int = 5000) -> "SQLAlchemyRows":
        """Open a query with a cursor on the server, where the driver has such."""
        self.check_query(sql)
        text, names = self.markers(sql)
        values = self.values(names, params)
        opened = self._connection()
        connection = opened.__enter__()
        try:
            with self.mapped("query"):
                declared = self._declared(connection, sql)
                if statement := _READ_ONLY.get(self.dialect):
                    connection.exec_driver_sql(statement)
                result = connection.execution_options(stream_results=True, max_row_buffer=fetch_size).execute(
                    text, values
                )
                columns = columns_of(result, connection.dialect.driver, declared)
            return SQLAlchemyRows(self, opened, connection, result, columns, fetch_size)
        except BaseException:
            self.end_reading(connection)
            opened.__exit__(None, None, None)
            raise

    def values(self, names: list[str], params: Params) -> dict[str, Any]:
        """The values of the parameters, in forms that the driver takes."""
        bound = self.bound(names, params)
        return bindable(bound) if self.dialect == "sqlite" else bound

    def _declared(self, connection: "Connection", sql: str) -> list[ColumnType]:
        if self.dialect != "sqlite":
            return []
        return declared_columns(connection.connection.driver_connection, sql)  # type: ignore[arg-type]  # sqlite3's

    def end_reading(self, connection: "Connection") -> None:
        """What belongs to the session and not to the transaction."""
        if self.dialect == "sqlite":
            with suppress(Exception):
                connection.exec_driver_sql("PRAGMA query_only = 0")
