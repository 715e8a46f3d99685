"""Open results and transactions of SQLAlchemy."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from aetherflow.core.api import ConnectorError
from aetherflow_builtins_db.columns import UNKNOWN, Column, ColumnType
from aetherflow_builtins_db.connectors.common.base import OpenRows
from aetherflow_builtins_db.connectors.common.progress import Moved
from aetherflow_builtins_db.connectors.common.transaction import parts
from aetherflow_builtins_db.connectors.mysql import types as mysql_types
from aetherflow_builtins_db.connectors.postgres import types as postgres_types
from aetherflow_builtins_db.contract import Params, Row
from aetherflow_builtins_db.statements import changes_rows

if TYPE_CHECKING:
    from sqlalchemy import Connection, CursorResult, TextClause

    from aetherflow_builtins_db.connectors.sqlalchemy.connector import SQLAlchemyConnector


class SQLAlchemyTransaction:
    """See `contract.Transaction`; `raw` is SQLAlchemy's connection."""

    def __init__(self, connector: "SQLAlchemyConnector", connection: "Connection") -> None:
        self._connector = connector
        self.raw = connection
        self.moved = Moved()

    def execute(self, sql: str, params: Params = None) -> int | None:
        """Run one statement."""
        text, names = self._connector.markers(sql)
        with self._connector.mapped("statement", self.moved):
            count = run(self.raw, text, self._connector.values(names, params))
        return count if changes_rows(sql) else None

    def executemany(self, sql: str, rows: Iterable[Mapping[str, Any]]) -> int:
        """Run one statement for every map of values."""
        text, _names = self._connector.markers(sql)
        count = 0
        for some in parts(map(dict, rows)):
            with self._connector.mapped("statement", self.moved):
                count += max(self.raw.execute(text, some).rowcount, 0)
            self.moved.rows += len(some)
        return count

    def read(self, sql: str, params: Params = None) -> tuple[list[str], list[Row]]:
        """Names of the columns and all rows of a query."""
        text, names = self._connector.markers(sql)
        with self._connector.mapped("query", self.moved):
            result = self.raw.execute(text, self._connector.values(names, params))
            return list(result.keys()), [tuple(row) for row in result]

    def failed(self, operation: str, error: BaseException) -> ConnectorError:
        """The driver's error in our words."""
        return self._connector.failed(operation, error, str(self.moved))

    @contextmanager
    def limited(self) -> Iterator[None]:
        """Nothing to do: the database itself keeps the limit, where it has one."""
        yield


class SQLAlchemyRows(OpenRows):
    """The rows of one query, fetched as they are wanted."""

    exact = False

    def __init__(
        self,
        connector: "SQLAlchemyConnector",
        opened: Any,
        connection: "Connection",
        result: "CursorResult[Any]",
        columns: list[Column],
        fetch_size: int,
    ) -> None:
        super().__init__(columns)
        self._connector, self._opened, self._connection = connector, opened, connection
        self._result, self._fetch_size = result, fetch_size

    def batches(self) -> Iterator[list[Row]]:
        """The rows in lists of at most `fetch_size`."""
        parts = self._result.partitions(self._fetch_size)  # without the number psycopg would hand out all at once
        while True:
            with self._connector.mapped("fetching rows", self.moved):
                batch = [tuple(row) for row in next(parts, ())]
            if not batch:
                return
            self.moved.rows += len(batch)
            yield batch

    def close(self) -> None:
        """End the query and its transaction."""
        opened, self._opened = self._opened, None
        if opened is not None:
            with suppress(Exception):
                self._result.close()
            self._connector.end_reading(self._connection)
            opened.__exit__(None, None, None)


def run(connection: "Connection", text: "TextClause", values: Mapping[str, Any]) -> int | None:
    """Run a statement to its end; its count of rows."""
    result = connection.execute(text, values)
    if not result.returns_rows:
        return int(result.rowcount)
    return sum(1 for _ in result)


def columns_of(result: "CursorResult[Any]", driver: str, declared: list[ColumnType]) -> list[Column]:
    """Columns with types where the driver's description is understood; the values tell the rest."""
    cursor: Any = result.cursor
    description = cursor.description if cursor is not None else ()
    if driver == "psycopg":
        return [postgres_types.column_of(each) for each in description]
    if driver == "pymysql":
        fields = getattr(getattr(cursor, "_result", None), "fields", None) or ()
        if len(fields) == len(description):
            return [mysql_types.column_of(field) for field in fields]
    types = declared if len(declared) == len(description) else [UNKNOWN] * len(description)
    return [Column(each[0], kind) for each, kind in zip(description, types, strict=True)]
