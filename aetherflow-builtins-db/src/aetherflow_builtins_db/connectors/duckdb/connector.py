"""The connector of `driver: duckdb`."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING, Any, ClassVar

from aetherflow.core.api import (
    ColumnType,
    ConnectorError,
    ConnectorInit,
    CsvFormat,
    SqlDialect,
    SqlLoader,
    TableColumn,
    install_command,
)
from aetherflow_builtins_db.connectors.common.base import SqlBase, setting_literal
from aetherflow_builtins_db.connectors.common.time_limit import TimeLimit
from aetherflow_builtins_db.connectors.duckdb.errors import LeanMemoryError, failure_of
from aetherflow_builtins_db.connectors.duckdb.lines import DuckDBLines, open_lines
from aetherflow_builtins_db.connectors.duckdb.memory import PRAGMAS, Memory, lean, memory_of
from aetherflow_builtins_db.connectors.duckdb.rows import (
    DuckDBArrowRows,
    DuckDBRows,
    arrow_safe,
    column_of,
    open_rows,
)
from aetherflow_builtins_db.connectors.duckdb.settings import Config, Options
from aetherflow_builtins_db.connectors.duckdb.transaction import DuckDBTransaction, run
from aetherflow_builtins_db.contract import Params
from aetherflow_builtins_db.database import Database
from aetherflow_builtins_db.failures import DatabaseError, Failure
from aetherflow_builtins_db.files import cannot_create, database_file, is_memory, make_parents, make_private
from aetherflow_builtins_db.params import bind, translate
from aetherflow_builtins_db.rules import step_name

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection, Statement

_READS = frozenset({"SELECT", "EXPLAIN", "PRAGMA", "CALL", "MULTI", "RELATION"})


class DuckDBConnector(SqlBase[Config, Options]):
    """A DuckDB database.

    One connection stays open for the run, so that `:memory:` lasts. Every call uses its own session on it:
    temporary tables and SET end with the script that made them, readers see only committed data, and calls from
    several threads are independent of each other. Reading runs in a read-only transaction. `db_extract` needs little
    memory if the query does not sort, join or aggregate, no other session of this process uses the database at the
    same time, and `options.pragmas` sets neither `memory_limit` nor `threads`.

        resources:
          warehouse:
            kind: db
            driver: duckdb
            config: {path: warehouse.duckdb}
    """

    requires = ("duckdb",)
    dialect = SqlDialect("duckdb", "flow", lexis="postgresql")

    MAPPED_ERRORS = (OSError,)
    ADVICE: ClassVar = {
        Failure.LOCKED: "another process has the database open; wait for it, or set read_only: true in both",
        Failure.BAD_ADDRESS: "read_only needs a file: set config.path",
        Failure.MODES_DIFFER: "two resources open this file differently; give both the same read_only",
        Failure.CANNOT_OPEN: "check config.path; it is relative to <workspace.root>/<flow id>",
        Failure.WRONG_FILE: "check config.path: the file is of another kind or version",
        Failure.NO_TABLE: "check the name; SHOW TABLES lists what the database holds",
        Failure.NO_EXTENSION: "add it to options.extensions",
        Failure.READ_ONLY: "writing needs db_execute and a resource without read_only",
        Failure.DISK_FULL: "free disk space",
        Failure.OUT_OF_MEMORY: "raise options.pragmas.memory_limit, or set temp_directory there",
    }

    @classmethod
    def database_file(cls, config: Mapping[str, Any]) -> str | None:
        """The path, unless the database is in memory."""
        path = config.get("path")
        return path if isinstance(path, str) and not is_memory(path) else None

    def __init__(self, init: ConnectorInit) -> None:
        super().__init__(init)
        self._lock = threading.RLock()
        self._root: DuckDBPyConnection | None = None
        self._sessions: set[DuckDBPyConnection] = set()
        self.memory = Memory()
        self.limit = TimeLimit(self.opts.statement_timeout)

    # Connection and sessions

    def connect(self) -> "DuckDBPyConnection":
        """The connection that all sessions share."""
        with self._lock:
            if self._root is None:
                self._root = self._open()
            return self._root

    @property
    def root(self) -> "DuckDBPyConnection | None":
        """The shared connection, None if it is not open."""
        return self._root

    def _open(self) -> "DuckDBPyConnection":
        try:
            import duckdb
        except ImportError as error:
            raise ConnectorError("duckdb is not installed", fix=install_command("duckdb")) from error
        path, new_file = self.conf.path, None
        try:
            if not is_memory(path):
                file = database_file(self, path)
                path = str(file)
                if not self.conf.read_only:
                    make_parents(file)
                    new_file = None if file.exists() else file
            root = duckdb.connect(path, read_only=self.conf.read_only)
            if new_file:
                make_private(new_file)
        except (duckdb.Error, OSError) as error:
            raise self.failed(f"opening {path}", error) from error
        try:
            root.execute("SET arrow_large_buffer_size = true")  # allows more than 2 GiB of text in one batch
            for name in self.opts.extensions:
                self._load_extension(root, name)
            if self.ctx and self.ctx.settings.mode == "enterprise":  # SQL cannot set it again: some run programs
                root.execute("SET allow_community_extensions = false")
        except duckdb.Error as error:
            root.close()
            raise self.failed("loading an extension", error) from error
        self.memory = memory_of(path)
        return root

    def _load_extension(self, root: "DuckDBPyConnection", name: str) -> None:
        import duckdb

        try:
            root.execute(f"LOAD {name}")
        except duckdb.Error:
            root.execute(f"INSTALL {name}; LOAD {name}")

    def open_session(self) -> "DuckDBPyConnection":
        """Open a session; the caller must pass it to `close_session`."""
        import duckdb

        root = self.connect()
        with self.mapped("opening a session"):
            session = self.memory.open_session(root)
        try:
            # With replacements, `SELECT * FROM rows` would read a Python variable of that name in this process.
            session.execute("SET python_enable_replacements = false")
            for name, value in self.opts.pragmas.items():
                session.execute(f"SET {name} = {setting_literal(value)}")
        except duckdb.Error as error:
            self.close_session(session)
            raise self.failed("setting options.pragmas", error) from error
        with self._lock:
            self._sessions.add(session)
        return session

    def close_session(self, session: "DuckDBPyConnection") -> None:
        """Roll back the session's open transaction and close it; idempotent."""
        with self._lock:
            self._sessions.discard(session)
        self.memory.forget((session,))
        session.close()

    @contextmanager
    def lean(self, sql: str, params: Params = None) -> Iterator[bool]:
        """Lower DuckDB's memory limit while this query is read; yields whether the limit was lowered."""
        possible = not any(name.lower() in PRAGMAS for name in self.opts.pragmas)
        try:
            self.connect()
        except ConnectorError:  # the query itself will raise it again
            possible = False
        with lean(self, self.memory, sql, params) if possible else nullcontext(False) as is_lean:
            yield is_lean

    def driver_errors(self) -> tuple[type[BaseException], ...]:
        import duckdb

        return (duckdb.Error,)

    def failure_of(self, error: BaseException) -> Failure:
        """Classify an error of DuckDB."""
        return failure_of(error)

    def failed(self, operation: str, error: BaseException, detail: str = "") -> DatabaseError:
        """Convert DuckDB's error; NeedsMemoryError if memory ran out under the lowered limit."""
        found = super().failed(operation, error, detail)
        if self.memory.is_lean_here and found.failure is Failure.OUT_OF_MEMORY:
            return LeanMemoryError(str(found), fix=found.fix, failure=found.failure)
        return found

    def is_missing(self) -> bool:
        """Whether the database is a file that does not exist yet."""
        return not is_memory(self.conf.path) and not database_file(self, self.conf.path).exists()

    def probe(self) -> None:
        """Open the database read-only and run SELECT 1. A missing file is not created, only its folder is checked."""
        import duckdb

        path = self.conf.path
        if not is_memory(path):
            file = database_file(self, path)
            if not file.exists() and not self.conf.read_only:
                if (reason := cannot_create(file)) is not None:
                    raise self.refuse(f"opening {file} failed: {reason}", "check config.path and its permissions")
                return
            path = str(file)
        try:
            with duckdb.connect(path, read_only=not is_memory(path)) as connection:
                connection.execute("SELECT 1")
        except (duckdb.Error, OSError) as error:
            raise self.failed(f"opening {path}", error) from error

    def interrupt(self) -> None:
        """Stop every running query; called from another thread."""
        with self._lock:
            sessions = list(self._sessions)
        for session in sessions:
            with suppress(Exception):  # the session may have been closed meanwhile
                session.interrupt()

    def close(self) -> None:
        """Close all sessions and the connection; idempotent. The data of `:memory:` is lost."""
        with self._lock:
            sessions, self._sessions = self._sessions, set()
            root, self._root = self._root, None
        if root is not None:
            self.memory.restore(root)  # another resource may have the same database open
        self.memory.forget(sessions)
        for each in (*sessions, root):
            if each is not None:
                each.close()

    # Scripts, transactions and results

    @contextmanager
    def running(
        self, sql: str, params: Params, *, together: bool, allow_implicit_commit: bool
    ) -> Iterator[list[int | None]]:
        """Run the statements of a script, several in one transaction."""
        del allow_implicit_commit  # DuckDB's DDL is transactional
        session = self.open_session()
        try:
            statements, values = self._parse(session, sql, params)
            self.check_script([statement.query for statement in statements])
            together = together or len(statements) > 1
            if together:
                with self.mapped("begin"):
                    session.begin()
            affected = []
            for number, statement in enumerate(statements, 1):
                with self.mapped(step_name(number, len(statements))), self.limit.on(session.interrupt):
                    affected.append(run(session, statement, values))
            yield affected
            if together:
                with self.mapped("commit"):
                    session.commit()
        finally:
            self.close_session(session)  # rolls back a transaction that was not committed

    @contextmanager
    def transaction(self) -> Iterator["DuckDBTransaction"]:
        """Several operations in one session: committed at the end of the block, rolled back if it raises."""
        session = self.open_session()
        try:
            with self.mapped("begin"):
                session.begin()
            yield DuckDBTransaction(self, session)
            with self.mapped("commit"):
                session.commit()
        finally:
            self.close_session(session)  # rolls back a transaction that was not committed

    def loader(self, usual: SqlLoader) -> SqlLoader:
        """DuckDB's own readers of CSV and Parquet."""
        from aetherflow_builtins_db.connectors.duckdb.loading import DuckDBServer  # few runs load

        return DuckDBServer(Database(self), usual.job)

    def column_for(self, name: str, column_type: ColumnType, *, nullable: bool, key: bool) -> TableColumn:
        """The column of DuckDB for values of the type."""
        from aetherflow_builtins_db.connectors.duckdb.loading import column_for  # few runs make tables

        del key
        return column_for(name, column_type, nullable=nullable)

    def stream(self, sql: str, params: Params = None, *, fetch_size: int = 5000) -> DuckDBRows:
        """Open a query in a read-only transaction of its own."""
        return open_rows(self, sql, params, fetch_size)

    def stream_arrow(self, sql: str, params: Params = None, *, batch_rows: int) -> DuckDBArrowRows | None:
        """Open a query as Arrow; None if a column's Arrow form would differ from the values of `stream`."""
        session, statement, values = self.open_query(sql, params)
        opened = None
        try:
            with self.mapped("query"):
                relation = session.sql(statement, params=values)
            kinds = [str(kind) for kind in relation.types]
            if all(map(arrow_safe, kinds)):
                columns = [column_of(name, kind) for name, kind in zip(relation.columns, kinds, strict=True)]
                opened = DuckDBArrowRows(self, session, columns, relation, batch_rows)
        finally:
            if opened is None:
                self.close_session(session)
        return opened

    def stream_csv(self, sql: str, params: Params = None, *, dialect: CsvFormat) -> DuckDBLines | None:
        """Open a query as CSV that DuckDB formats; None if the bytes could differ from DelimitedWriter's."""
        return open_lines(self, sql, params, dialect) if dialect.is_common else None

    def open_query(self, sql: str, params: Params) -> "tuple[DuckDBPyConnection, Statement, dict[str, Any]]":
        """Open a session with a read-only transaction; return it with the statement and its values.

        ConnectorError unless the SQL is one statement that reads. The caller must pass the session to `close_session`.
        """
        session = self.open_session()
        try:
            statements, values = self._parse(session, sql, params)
            if len(statements) != 1:
                raise self.refuse(f"a query is one statement, not {len(statements)}", "use db_execute for scripts")
            if statements[0].type.name not in _READS:
                raise self.refuse(
                    f"reading takes no {statements[0].type.name} statement", "use db_execute to change data"
                )
            with self.mapped("begin"):
                session.execute("BEGIN TRANSACTION READ ONLY")
        except BaseException:
            self.close_session(session)
            raise
        return session, statements[0], values

    def parse_one(self, session: "DuckDBPyConnection", sql: str, params: Params) -> "tuple[Statement, dict[str, Any]]":
        """Parse SQL that must be one statement; return it and the values of its parameters."""
        statements, values = self._parse(session, sql, params)
        if len(statements) != 1:
            raise self.refuse(f"one statement is wanted here, not {len(statements)}")
        return statements[0], values

    def _parse(
        self, session: "DuckDBPyConnection", sql: str, params: Params
    ) -> "tuple[list[Statement], dict[str, Any]]":
        translated, names = translate(sql, lambda name: f"${name}", lexis="postgresql")
        values = bind(names, params)
        with self.mapped("reading the SQL"):
            return session.extract_statements(translated), values
