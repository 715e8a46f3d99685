"""Open results of SQLAlchemy, and the types of their columns."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from aetherflow.core.api import Column, ColumnType, Row
from aetherflow_builtins_db.columns import UNKNOWN
from aetherflow_builtins_db.connectors.common.contract import ErrorMapping
from aetherflow_builtins_db.connectors.common.rows import OpenRows
from aetherflow_builtins_db.connectors.mysql import types as mysql_types
from aetherflow_builtins_db.connectors.postgres import types as postgres_types
from aetherflow_builtins_db.connectors.sqlalchemy.session import OWN_DRIVERS

if TYPE_CHECKING:
    from sqlalchemy import CursorResult


class SQLAlchemyRows(OpenRows):
    """The rows of one query, fetched on demand."""

    def __init__(
        self,
        connector: ErrorMapping,
        result: "CursorResult[Any]",
        columns: list[Column],
        fetch_size: int,
        release: Callable[[], object],
        driver: str,
    ) -> None:
        """`release` rolls back the transaction of the query and returns its connection to the pool."""
        super().__init__(columns)
        self.exact = self.exact and driver in OWN_DRIVERS
        self._connector, self._result, self._fetch_size = connector, result, fetch_size
        self._release: Callable[[], object] | None = release

    def batches(self) -> Iterator[list[Row]]:
        """The rows in lists of at most `fetch_size`."""
        parts = self._result.partitions(self._fetch_size)  # without a size, psycopg would return all rows at once
        while True:
            with self._connector.mapped("fetching rows", self.progress):
                batch = [tuple(row) for row in next(parts, ())]
            if not batch:
                return
            self.progress.rows += len(batch)
            yield batch

    def close(self) -> None:
        """End the query and its transaction."""
        release, self._release = self._release, None
        if release is not None:
            with suppress(Exception):
                self._result.close()
            release()


def columns_of(result: "CursorResult[Any]", driver: str, declared: list[ColumnType]) -> list[Column]:
    """The columns of a result; UNKNOWN where neither the driver's description nor `declared` gives a type."""
    cursor: Any = result.cursor
    description = cursor.description if cursor is not None else ()
    if driver == "psycopg":
        return [postgres_types.column_of(each) for each in description]
    if driver == "pymysql":
        return mysql_types.columns_of(cursor)
    types = declared if len(declared) == len(description) else [UNKNOWN] * len(description)
    return [Column(each[0], kind) for each, kind in zip(description, types, strict=True)]
