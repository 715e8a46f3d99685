"""The connector of `driver: sqlite3`, by Python's standard library."""

import sqlite3
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from itertools import islice
from typing import Annotated, Any, ClassVar, Self
from urllib.parse import unquote
from weakref import WeakSet

from pydantic import Field, model_validator

from aetherflow.core.api import (
    ColumnType,
    ConnectorConfig,
    ConnectorInit,
    ConnectorOptions,
    Flag,
    SqlDialect,
    SqlLoader,
    TableColumn,
    WritePath,
)
from aetherflow_builtins_db.connectors.common.arguments import IN_MAP, IN_URL
from aetherflow_builtins_db.connectors.common.base import SettingName, SqlBase, setting_literal
from aetherflow_builtins_db.connectors.common.time_limit import TimeLimit
from aetherflow_builtins_db.connectors.sqlite3.errors import failure_of
from aetherflow_builtins_db.connectors.sqlite3.rows import Sqlite3Rows, declared_columns, writes
from aetherflow_builtins_db.connectors.sqlite3.sql import bindable, split
from aetherflow_builtins_db.connectors.sqlite3.transaction import Sqlite3Transaction
from aetherflow_builtins_db.contract import Params
from aetherflow_builtins_db.database import Database
from aetherflow_builtins_db.failures import Failure, StatementTimeoutError
from aetherflow_builtins_db.files import cannot_create, create_private, database_file, is_memory, make_parents
from aetherflow_builtins_db.params import bind, translate
from aetherflow_builtins_db.rules import step_name
from aetherflow_builtins_db.statements import TRANSACTION_WORDS, changes_rows, words

_URL = "sqlite://"
_CHANGES = TRANSACTION_WORDS | {
    "INSERT", "UPDATE", "DELETE", "REPLACE", "CREATE", "DROP", "ALTER", "ATTACH", "DETACH", "VACUUM", "REINDEX",
    "ANALYZE", "SAVEPOINT", "RELEASE",
}  # fmt: skip
"""First words that a query must not have: the programs of these statements do not all begin a write transaction."""


class Config(ConnectorConfig):
    """Where the database is: `path`, or `url`."""

    path: WritePath | None = Field(
        None,
        min_length=1,
        description="Database file, relative to `<workspace.root>/<flow id>`; created if it is missing. "
        "`:memory:` (the default) lives as long as the run.",
    )
    url: Annotated[str, IN_URL] | None = Field(
        None,
        min_length=1,
        description="The same as a URL: `sqlite:///relative.db`, `sqlite:////absolute.db`, `sqlite://` for memory.",
    )
    read_only: Flag = Field(False, description="Open an existing file for reading only.")

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        _ = self.place
        return self

    @property
    def place(self) -> str:
        """The path from `path` or `url`; ValueError if they differ."""
        from_url = None if self.url is None else path_of_url(self.url)
        if self.path is not None and from_url is not None and self.path != from_url:
            raise ValueError("path and url are both given and differ")
        return self.path or from_url or ":memory:"


class Options(ConnectorOptions):
    """Time limits and PRAGMA settings of the connection."""

    busy_timeout_seconds: float = Field(
        10.0, ge=0, description="Seconds to wait for another process that writes, before it is an error."
    )
    statement_timeout: float = Field(0.0, ge=0, description="Seconds that one statement may run; 0 is no limit.")
    pragmas: Annotated[dict[SettingName, str | int | float | bool], IN_MAP] = Field(
        {}, description="PRAGMA settings at connect: `{foreign_keys: true, journal_mode: wal}`."
    )


def path_of_url(url: str) -> str:
    """The path in a SQLite URL; ValueError if it is no such URL."""
    if is_memory(url) or url == _URL:
        return ":memory:"
    if not url.startswith(f"{_URL}/"):
        raise ValueError("must be sqlite:///path or :memory:")
    return unquote(url.removeprefix(f"{_URL}/").partition("?")[0]) or ":memory:"


class Sqlite3Connector(SqlBase[Config, Options]):
    """A SQLite database.

    One connection serves the whole run, so that `:memory:` lasts; threads use it one after another. Reading cannot
    change data.

        resources:
          orders:
            kind: db
            driver: sqlite3
            config: {path: orders.db}
    """

    requires = ("sqlite3",)
    dialect = SqlDialect("sqlite", "flow", lexis="sqlite")

    MAPPED_ERRORS = (OverflowError, StatementTimeoutError)
    ADVICE: ClassVar = {
        Failure.LOCKED: "another process is writing; wait for it, or raise options.busy_timeout_seconds",
        Failure.CANNOT_OPEN: "check config.path; it is relative to <workspace.root>/<flow id>",
        Failure.WRONG_FILE: "check config.path: the file is no SQLite database",
        Failure.READ_ONLY: "writing needs db_execute and a resource without read_only",
        Failure.NO_TABLE: "check the name and config.path: SQLite makes a new, empty file where none is",
        Failure.NO_TRANSACTION: "run this statement in a db_execute of its own: a script is one transaction",
        Failure.SEVERAL_STATEMENTS: "use db_execute for scripts",
        Failure.BAD_PARAMETER: "SQLite takes text, numbers, bytes, dates and null",
        Failure.DISK_FULL: "free disk space",
    }

    @classmethod
    def database_file(cls, config: Mapping[str, Any]) -> str | None:
        """The path, also out of the url, unless the database is in memory."""
        path, url = config.get("path"), config.get("url")
        if not isinstance(path, str) and isinstance(url, str):
            path = path_of_url(url)
        return path if isinstance(path, str) and not is_memory(path) else None

    def __init__(self, init: ConnectorInit) -> None:
        super().__init__(init)
        self.lock = threading.RLock()
        self.limit = TimeLimit(self.opts.statement_timeout)
        self._connection: sqlite3.Connection | None = None
        self._reading: WeakSet[Sqlite3Rows] = WeakSet()

    def driver_errors(self) -> tuple[type[BaseException], ...]:
        """The exceptions of Python's module."""
        return (sqlite3.Error, sqlite3.Warning)

    def failure_of(self, error: BaseException) -> Failure:
        """Classify an error of sqlite3."""
        return failure_of(error)

    # Connection

    def connect(self) -> sqlite3.Connection:
        with self.lock:
            if self._connection is None:
                self._connection = self._open()
            return self._connection

    def _open(self) -> sqlite3.Connection:
        target, uri = self.conf.place, False
        try:
            if not is_memory(target):
                file = database_file(self, target)
                target = str(file)
                if self.conf.read_only:
                    target, uri = f"{file.as_uri()}?mode=ro", True
                else:
                    make_parents(file)
                    create_private(file)
            connection = sqlite3.connect(
                target,
                uri=uri,
                timeout=self.opts.busy_timeout_seconds,
                isolation_level=None,  # this connector begins and ends transactions, not the driver
                check_same_thread=False,
            )
        except (sqlite3.Error, OSError) as error:
            raise self.failed(f"opening {target}", error) from error
        if self.conf.read_only:  # ATTACH would create a file
            connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
        try:
            connection.execute("SELECT count(*) FROM sqlite_master")  # fails at once for a file of another kind
            for name, value in self.opts.pragmas.items():
                connection.execute(f"PRAGMA {name} = {setting_literal(value)}")
        except sqlite3.Error as error:
            connection.close()
            raise self.failed(f"opening {target}", error) from error
        return connection

    def is_missing(self) -> bool:
        """Whether the database is a file that does not exist yet."""
        path = self.conf.place
        return not is_memory(path) and not database_file(self, path).exists()

    def probe(self) -> None:
        """Open the database read-only and read its schema; of a missing file only the folder is checked."""
        target = self.conf.place
        if is_memory(target):
            return
        file = database_file(self, target)
        if not file.exists() and not self.conf.read_only:
            if (reason := cannot_create(file)) is not None:
                raise self.refuse(f"opening {file} failed: {reason}", "check config.path and its permissions")
            return
        try:
            connection = sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True, timeout=self.opts.busy_timeout_seconds)
            try:
                connection.execute("SELECT count(*) FROM sqlite_master")  # SELECT 1 would not read the file
            finally:
                connection.close()
        except sqlite3.Error as error:
            raise self.failed(f"opening {file}", error) from error

    def interrupt(self) -> None:
        """Stop the running query; called from another thread, so it must not wait for the lock."""
        connection = self._connection
        if connection is not None:
            try:
                connection.interrupt()
            except sqlite3.Error:  # the connection may have been closed meanwhile
                pass

    def close(self) -> None:
        """Close the connection; idempotent. A query that runs is ended; the data of `:memory:` is lost."""
        while not self.lock.acquire(timeout=0.1):
            self.interrupt()  # that of a step that was given up: it began just after the step had been interrupted
        try:
            connection, self._connection = self._connection, None
            if connection is not None:
                connection.close()
        finally:
            self.lock.release()

    # Scripts, transactions and results

    def statements(self, sql: str) -> list[str]:
        """The statements of a script, split where `sqlite3.complete_statement` finds an end."""
        return split(sql)

    @contextmanager
    def running(
        self, sql: str, params: Params, *, together: bool, allow_implicit_commit: bool
    ) -> Iterator[list[int | None]]:
        """Run the statements of a script, several in one transaction."""
        del allow_implicit_commit  # SQLite's DDL is transactional
        translated, names = translate(sql, lambda name: f":{name}", lexis="sqlite")
        values = bindable(bind(names, params))
        statements = split(translated)
        self.check_script(statements)
        together = together or len(statements) > 1
        if together:
            self._refuse_no_ops(statements)
        with self._working(together=together) as connection:
            yield [
                self.run(connection, statement, values, step_name(number, len(statements)))
                for number, statement in enumerate(statements, 1)
            ]

    @contextmanager
    def transaction(self) -> Iterator["Sqlite3Transaction"]:
        """Several operations: committed at the end of the block, rolled back if it raises. Other threads wait."""
        with self._working(together=True) as connection:
            yield Sqlite3Transaction(self, connection)

    @contextmanager
    def _working(self, *, together: bool) -> Iterator[sqlite3.Connection]:
        with self.lock:
            connection = self.connect()
            try:
                if together:
                    self.run(connection, "BEGIN IMMEDIATE", {}, "begin")
                yield connection
                if together:
                    self.run(connection, "COMMIT", {}, "commit")
            finally:
                if connection.in_transaction:  # an error occurred, and SQLite has not rolled back by itself
                    connection.rollback()

    def loader(self, usual: SqlLoader) -> SqlLoader:
        """One prepared INSERT for all rows of a batch."""
        from aetherflow_builtins_db.connectors.sqlite3.loading import SqliteServer  # few runs load

        return SqliteServer(Database(self), usual.job)

    def column_for(self, name: str, column_type: ColumnType, *, nullable: bool, key: bool) -> TableColumn:
        """The column of SQLite for values of the type."""
        from aetherflow_builtins_db.connectors.sqlite3.loading import column_for  # few runs make tables

        del key
        return column_for(name, column_type, nullable=nullable)

    def stream(self, sql: str, params: Params = None, *, fetch_size: int = 5000) -> Sqlite3Rows:
        """Open a query on a new cursor, after its program has shown that it only reads."""
        translated, names = translate(sql, lambda name: f":{name}", lexis="sqlite")
        values = bindable(bind(names, params))
        if (first := next(words(translated, "sqlite"), "")) in _CHANGES:
            raise self.refuse(f"reading takes no {first} statement", "use db_execute to change data")
        with self.lock:
            connection = self.connect()
            with self.mapped("query"), self._describing(connection) as describing:
                declared = declared_columns(describing, sql)
            cursor = connection.cursor()
            try:
                with self.mapped("query"), self.limit.on(connection.interrupt):
                    if first not in ("", "EXPLAIN") and writes(connection, translated, values):
                        raise self.refuse("the query would change the database", "use db_execute to change data")
                    cursor.execute(translated, values)
                if cursor.description is None:
                    raise self.refuse("the SQL returns no rows", "use db_execute to change data")
                self._reading.add(opened := Sqlite3Rows(self, cursor, declared, fetch_size))
                return opened
            except BaseException:
                cursor.close()
                raise

    @contextmanager
    def _describing(self, connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
        """The connection for `declared_columns`; while a query is open, whose subqueries a view would end, another."""
        if all(each.is_closed for each in self._reading):
            yield connection
        elif is_memory(self.conf.place):
            with closing(sqlite3.connect(":memory:")) as copy:
                connection.backup(copy)
                yield copy
        else:
            with closing(self._open()) as other:
                yield other

    def run(
        self, connection: sqlite3.Connection, statement: str, values: Mapping[str, Any], operation: str
    ) -> int | None:
        """Run a statement and consume its result; return the number of changed rows, None if it changes none."""
        with self.mapped(operation):
            with self.limit.on(connection.interrupt):
                cursor = connection.execute(statement, values)
                while cursor.fetchmany(1000):  # RETURNING: without fetching, the statement stays unfinished
                    pass
            if not changes_rows(statement, "sqlite"):
                return None
            # Not cursor.rowcount: Python does not recognize an INSERT after a WITH clause.
            (count,) = connection.execute("SELECT changes()").fetchone()
            return int(count)

    def _refuse_no_ops(self, statements: list[str]) -> None:
        for statement in statements:
            if {"PRAGMA", "FOREIGN_KEYS"} <= set(islice(words(statement, "sqlite"), 4)):
                raise self.refuse(
                    "PRAGMA foreign_keys does nothing inside a transaction, and a script is one",
                    "set it under options.pragmas of the resource",
                )
