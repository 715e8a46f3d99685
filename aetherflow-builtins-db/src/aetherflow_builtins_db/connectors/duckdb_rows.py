"""Open results of DuckDB, and what its types are here."""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from aetherflow_builtins_db.columns import STRING, Column, ColumnType
from aetherflow_builtins_db.connectors.base import OpenRows
from aetherflow_builtins_db.contract import Row

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection, DuckDBPyRelation

    from aetherflow_builtins_db.connectors.duckdb import DuckDBConnector

_INT, _FLOAT, _DATETIME = ColumnType("int"), ColumnType("float"), ColumnType("datetime")
_TYPES = {
    "BOOLEAN": ColumnType("bool"),
    **dict.fromkeys(("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT"), _INT),
    **dict.fromkeys(("UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "UHUGEINT"), _INT),
    **dict.fromkeys(("FLOAT", "DOUBLE"), _FLOAT),
    **dict.fromkeys(("VARCHAR", "UUID", "JSON", '"NULL"', "NULL"), STRING),
    **dict.fromkeys(("TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS"), _DATETIME),
    "TIMESTAMP WITH TIME ZONE": ColumnType("datetime", zoned=True),
    "BLOB": ColumnType("bytes"),
    "DATE": ColumnType("date"),
    "TIME": ColumnType("time"),
}
"""HUGEINT is int, because sum() of integers yields it; a value beyond 64 bits is an error when it is written."""
_DECIMAL = re.compile(r"DECIMAL\((\d+),(\d+)\)")


def column_of(name: str, duckdb_type: str) -> Column:
    """A column by the name of its DuckDB type; what has no counterpart (lists, structs, intervals) is text."""
    if found := _DECIMAL.fullmatch(duckdb_type):
        return Column(name, ColumnType("decimal", int(found.group(1)), int(found.group(2))))
    return Column(name, _TYPES.get(duckdb_type, STRING))


def arrow_safe(duckdb_type: str) -> bool:
    """Whether the Arrow form of the type says the same as its Python value."""
    return duckdb_type in _TYPES or duckdb_type.startswith("ENUM(") or bool(_DECIMAL.fullmatch(duckdb_type))


class DuckDBRows(OpenRows):
    """The rows of one query, fetched as they are wanted."""

    def __init__(
        self, connector: "DuckDBConnector", session: "DuckDBPyConnection", columns: list[Column], fetch_size: int
    ) -> None:
        super().__init__(columns)
        self._connector = connector
        self._session = session
        self._fetch_size = fetch_size

    def batches(self) -> Iterator[list[Row]]:
        """The rows in lists of at most `fetch_size`."""
        import duckdb

        while True:
            try:
                with self._connector.limit.on(self._session.interrupt):
                    batch = self._session.fetchmany(self._fetch_size)
            except duckdb.Error as error:
                raise self._connector.failed("fetching rows", error) from error
            if not batch:
                return
            yield batch

    def close(self) -> None:
        """End the session of the query."""
        self._connector.close_session(self._session)


class DuckDBArrowRows(OpenRows):
    """The record batches of one query, computed as they are wanted."""

    def __init__(
        self,
        connector: "DuckDBConnector",
        session: "DuckDBPyConnection",
        columns: list[Column],
        relation: "DuckDBPyRelation",
        batch_rows: int,
    ) -> None:
        super().__init__(columns)
        self._connector = connector
        self._session = session
        self._relation = relation
        self._batch_rows = batch_rows

    def record_batches(self) -> Iterator[Any]:
        """Record batches of at most `batch_rows` rows."""
        return record_batches(self._connector, self._session, self._relation, self._batch_rows)

    def close(self) -> None:
        """End the session of the query."""
        self._connector.close_session(self._session)


def record_batches(
    connector: "DuckDBConnector", session: "DuckDBPyConnection", relation: "DuckDBPyRelation", batch_rows: int
) -> Iterator[Any]:
    """Run the query of a relation: record batches of at most so many rows, computed as they are wanted."""
    import duckdb

    try:
        with connector.limit.counting(session.interrupt) as clock:
            with clock.running():
                reader = relation.to_arrow_reader(batch_rows)
            while True:
                with clock.running():
                    batch = next(reader, None)
                if batch is None:
                    return
                yield batch
    except (duckdb.Error, OSError) as error:  # pyarrow passes a failed query on as an OSError
        raise connector.failed("fetching rows", error) from error
