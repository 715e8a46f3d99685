"""Stand-ins for the drivers of SQL Server and Oracle, which DuckDB executes what sqlglot has read for.

They test that the statements can be read in the language of the server, and what they do. They do not test the servers'
types, locks or versions: hints and LOCK TABLE have no effect here.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from types import ModuleType
from typing import Any, Self

import duckdb
import pytest
import sqlglot

_BROKEN = "read by sqlglot, but not part of the language: "


def translated(sql: str, dialect: str) -> tuple[Any, str]:
    """The statement as sqlglot reads it, and for DuckDB; ValueError if the server would not understand it."""
    read: Any
    (read,) = sqlglot.parse(sql, read=dialect)
    kinds = sqlglot.exp
    if isinstance(read, kinds.Command):
        raise ValueError(f"sqlglot cannot read {sql}")
    if dialect == "tsql":
        if isinstance(read, kinds.Create) and (read.expression or "TEMPORARY" in sql):
            raise ValueError(_BROKEN + "CREATE TABLE … AS, CREATE TEMPORARY TABLE")
        if isinstance(read, kinds.Delete | kinds.Update) and read.this.alias:
            raise ValueError(_BROKEN + "an alias behind DELETE FROM or UPDATE")
        if isinstance(read, kinds.Merge) and not sql.endswith(";"):
            raise ValueError(_BROKEN + "MERGE without a semicolon")
    if isinstance(read, kinds.Drop):
        read.set("purge", None)  # which DuckDB does not know
    return read, read.sql(dialect="duckdb")


class Server:
    """A database of the stand-in: its connections are sessions of one DuckDB in memory."""

    def __init__(self, dialect: str, error: type[Exception], given: Mapping[str, Any], ignored: Sequence[str]) -> None:
        self.dialect, self.error = dialect, error
        self.given, self.ignored = given, tuple(ignored)
        self.db = duckdb.connect(config={"threads": 1, "async_threads": 0})
        self.db.execute("CREATE SCHEMA dbo")
        self.statements: list[str] = []
        self.fails_at: tuple[str, ...] = ()
        """Statements that begin so fail, as all do whose connection is lost."""

    def connect(self) -> "Session":
        return Session(self)


class Session:
    """A connection of DB-API 2.0."""

    autocommit = False
    call_timeout = 0
    outputtypehandler: Any = None

    def __init__(self, server: Server) -> None:
        self.server = server
        self.db = server.db.cursor()
        self.db.execute("SET schema = 'dbo'")
        self._is_open = False

    def cursor(self) -> "Cursor":
        return Cursor(self)

    def begin(self) -> None:
        if not self._is_open:
            self.db.execute("BEGIN")
            self._is_open = True

    def commit(self) -> None:
        if self._is_open:
            self.db.execute("COMMIT")
            self._is_open = False

    def rollback(self) -> None:
        if self._is_open:
            self.db.execute("ROLLBACK")
            self._is_open = False

    def ping(self) -> None:
        pass

    def close(self) -> None:
        self.rollback()
        self.db.close()

    def add_output_converter(self, _kind: int, _convert: Any) -> None:
        pass


class Cursor:
    """A cursor of DB-API 2.0 with the parameters of pyodbc (a sequence) and of python-oracledb (a map)."""

    arraysize = prefetchrows = 100

    def __init__(self, session: Session) -> None:
        self._session = session
        self._rows: Iterator[tuple[Any, ...]] = iter(())
        self.description: list[tuple[Any, ...]] | None = None
        self.rowcount = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        pass

    def execute(self, sql: str, values: Any = None) -> "Cursor":
        server, db = self._session.server, self._session.db
        server.statements.append(sql)
        self.description, self._rows, self.rowcount = None, iter(()), -1
        if sql.startswith(server.fails_at or ("\0",)):
            raise server.error("08S01", "the connection was lost")
        for part, answer in server.given.items():
            if part in sql:
                self._answer([("answer", "VARCHAR")], [(answer,)])
                return self
        if sql.startswith(server.ignored):
            return self
        try:
            read, text = translated(sql, server.dialect)
            commits = server.dialect == "oracle" and isinstance(read, sqlglot.exp.Create | sqlglot.exp.Drop)
            if commits:
                self._session.commit()
            self._session.begin()
            try:
                found = db.execute(text, values or None)
            except duckdb.Error:
                if commits:
                    self._session.rollback()
                raise
            if commits:
                self._session.commit()
        except (ValueError, duckdb.Error, sqlglot.errors.SqlglotError) as error:
            raise server.error("42000", str(error)) from error
        if isinstance(read, sqlglot.exp.Query) and not read.find(sqlglot.exp.Into):
            self._answer([(each[0], str(each[1])) for each in found.description or ()], found.fetchall())
        elif isinstance(read, sqlglot.exp.DML) and (count := found.fetchone()) is not None:
            self.rowcount = int(count[0])
        return self

    def executemany(self, sql: str, rows: Sequence[Any]) -> None:
        total = 0
        for row in rows:
            self.execute(sql, row)
            total += self.rowcount
        self.rowcount = total

    def _answer(self, columns: Sequence[tuple[str, str]], rows: Sequence[tuple[Any, ...]]) -> None:
        if self._session.server.dialect == "oracle":
            self.description = [_oracle_column(name, kind) for name, kind in columns]
        else:
            self.description = [
                (name, int if "INT" in kind else str, None, None, 10, 0, True) for name, kind in columns
            ]
        self._rows = iter(rows)
        self.rowcount = len(rows)

    def fetchone(self) -> Any:
        return next(self._rows, None)

    def fetchmany(self, size: int | None = None) -> list[Any]:
        return [row for _, row in zip(range(size or self.arraysize), self._rows, strict=False)]

    def fetchall(self) -> list[Any]:
        return list(self._rows)

    def __iter__(self) -> Iterator[Any]:
        return self._rows

    def nextset(self) -> bool:
        return False

    def setinputsizes(self, _sizes: Any) -> None:
        pass

    def close(self) -> None:
        pass


def _oracle_column(name: str, kind: str) -> tuple[Any, ...]:
    import oracledb

    if "INT" in kind:
        return (name.upper(), oracledb.DB_TYPE_NUMBER, None, None, 18, 0, True)
    return (name.upper(), oracledb.DB_TYPE_VARCHAR, None, None, None, None, True)


def sql_server(monkeypatch: pytest.MonkeyPatch) -> Server:
    """Let `mssql+pyodbc` connect to a stand-in."""
    module: Any = ModuleType("pyodbc")
    module.paramstyle, module.version, module.apilevel = "qmark", "5.2.0", "2.0"
    module.Error = type("Error", (Exception,), {})
    for name in ("InterfaceError", "DatabaseError"):
        setattr(module, name, type(name, (module.Error,), {}))
    for name in ("DataError", "OperationalError", "IntegrityError", "InternalError", "ProgrammingError"):
        setattr(module, name, type(name, (module.DatabaseError,), {}))
    module.NotSupportedError, module.Cursor = module.DatabaseError, Cursor
    for name in ("WVARCHAR", "WLONGVARCHAR", "VARCHAR", "VARBINARY", "TYPE_TIMESTAMP", "DECIMAL", "INTEGER", "CHAR"):
        setattr(module, f"SQL_{name}", 12)
    given = {"SERVERPROPERTY": "16.0.1000.6", "schema_name()": "dbo"}
    server = Server("tsql", module.ProgrammingError, given, ())
    module.connect = lambda *_given, **_named: server.connect()
    monkeypatch.setitem(sys.modules, "pyodbc", module)
    return server


def oracle(monkeypatch: pytest.MonkeyPatch) -> Server:
    """Let python-oracledb connect to a stand-in."""
    import oracledb

    server = Server("oracle", oracledb.DatabaseError, {}, ("ALTER SESSION", "SET TRANSACTION", "LOCK TABLE"))
    monkeypatch.setattr(oracledb, "connect", lambda **_named: server.connect())
    return server
