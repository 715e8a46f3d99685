"""Open results of SQLite, and their types: columns have declared types, but their values may have any type."""

import re
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from aetherflow.core.api import Column, ColumnType, Row, StepInputError
from aetherflow_builtins_db.columns import STRING, UNKNOWN, decimal_type
from aetherflow_builtins_db.connectors.common.rows import OpenRows
from aetherflow_builtins_db.connectors.sqlite3.contract import OneConnection
from aetherflow_builtins_db.connectors.sqlite3.errors import failure_of
from aetherflow_builtins_db.failures import Failure
from aetherflow_builtins_db.params import translate
from aetherflow_builtins_db.statements import is_query

_PROBE = "aetherflow_column_types"
_DECIMAL = re.compile(r"(?:DECIMAL|NUMERIC|NUMBER)\s*\(\s*(\d+)\s*(?:,\s*(\d+)\s*)?\)")
_RULES: tuple[tuple[str, ColumnType], ...] = (
    (r"BOOL", ColumnType("bool")),
    (r"TIMESTAMPTZ|WITH TIME ZONE", ColumnType("datetime", zoned=True)),
    (r"DATETIME|TIMESTAMP", ColumnType("datetime")),
    (r"DATE$", ColumnType("date")),
    (r"TIME$", ColumnType("time")),
    (r"INT", ColumnType("int")),
    (r"CHAR|CLOB|TEXT|JSON|UUID", STRING),
    (r"REAL|FLOA|DOUB", ColumnType("float")),
)


def declared_type(declaration: str) -> ColumnType:
    """The type for a declaration; UNKNOWN if the values decide (NUMERIC, BLOB, and no declaration included)."""
    text = declaration.strip().upper()
    if found := _DECIMAL.fullmatch(text):
        with suppress(StepInputError):  # SQLite accepts and ignores DECIMAL(99,50)
            return decimal_type(int(found.group(1)), int(found.group(2) or 0))
        return UNKNOWN
    return next((kind for pattern, kind in _RULES if re.search(pattern, text)), UNKNOWN)


def declared_columns(connection: sqlite3.Connection, sql: str) -> list[ColumnType]:
    """The declared types of a query's columns; an empty list if they cannot be found out.

    Python's module does not return them, so they are read from a temporary view over the query. The view is never
    selected from, so nothing is computed. Views take no parameters; NULL replaces them and changes no declaration.
    """
    if not is_query(sql, "sqlite"):
        return []
    text, _names = translate(sql, lambda _name: "NULL", lexis="sqlite")
    connection.execute(f"DROP VIEW IF EXISTS temp.{_PROBE}")  # of a query that was stopped just here
    try:
        connection.execute(f"CREATE TEMP VIEW {_PROBE} AS {text}")
    except sqlite3.Error as error:
        if failure_of(error) is Failure.INTERRUPTED:
            raise
        return []  # the query itself reports a better error
    try:
        rows = connection.execute(f"PRAGMA temp.table_info({_PROBE})").fetchall()
    except sqlite3.Error as error:
        if failure_of(error) is Failure.INTERRUPTED:
            raise
        rows = []
    finally:
        connection.execute(f"DROP VIEW temp.{_PROBE}")
    return [declared_type(row[2]) for row in rows]


def writes(connection: sqlite3.Connection, sql: str, values: Mapping[str, Any]) -> bool:
    """Whether a statement would begin a write transaction, by its program.

    `PRAGMA query_only` is no way to refuse it: changing it aborts subqueries of every open statement.
    """
    given = connection.text_factory
    connection.text_factory = lambda raw: raw.decode(errors="replace")  # a program shows BLOBs of the query as text
    try:
        program = connection.execute(f"EXPLAIN {sql}", values).fetchall()
    finally:
        connection.text_factory = given
    return any(code == "SqlExec" or (code == "Transaction" and mode != 0) for _, code, _, mode, *_ in program)


class Sqlite3Rows(OpenRows):
    """The rows of one query, fetched on demand."""

    def __init__(
        self, connector: OneConnection, cursor: sqlite3.Cursor, declared: list[ColumnType], fetch_size: int
    ) -> None:
        names = [column[0] for column in cursor.description]
        types = declared if len(declared) == len(names) else [UNKNOWN] * len(names)
        super().__init__([Column(name, kind) for name, kind in zip(names, types, strict=True)])
        self.exact = self.is_closed = False
        self._connector, self._cursor, self._fetch_size = connector, cursor, fetch_size

    def batches(self) -> Iterator[list[Row]]:
        """The rows in lists of at most `fetch_size`."""
        while True:
            connector, cursor = self._connector, self._cursor
            with connector.mapped("fetching rows"), connector.lock, connector.limit.on(cursor.connection.interrupt):
                batch = cursor.fetchmany(self._fetch_size)
            if not batch:
                return
            yield batch

    def close(self) -> None:
        with self._connector.lock:
            self._cursor.close()
        self.is_closed = True
