"""Less memory for DuckDB while it reads a large result: left alone it fills most of the machine with its cache.

The limit is the database's, not the session's. So it is lowered only if nobody else works on the connection, and for
queries that pass rows on as they come; what sorts, joins or counts may take what DuckDB takes.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from aetherflow.core.api import ConnectorError
from aetherflow_builtins_db.contract import Params

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from aetherflow_builtins_db.connectors.duckdb import DuckDBConnector

MEGABYTES_PER_THREAD = 60
_SETTINGS = ("memory_limit", "threads")
_GATHERED_ROWS = 2 * 122_880
"""COPY gathers whole row groups: one that a thread fills, one that waits to be written."""
_WIDTHS = {
    "BOOLEAN": 6, "TINYINT": 5, "UTINYINT": 5, "SMALLINT": 8, "USMALLINT": 8, "INTEGER": 10, "UINTEGER": 10,
    "FLOAT": 22, "DATE": 15, "VARCHAR": 28, "DOUBLE": 28, "BIGINT": 28, "UBIGINT": 28, "TIME": 24,
}  # fmt: skip
_WIDTH = 36
"""Bytes of a value and of its text, as they usually are; of all other types so many."""
_PASSING = frozenset(
    {
        "SEQ_SCAN", "TABLE_SCAN", "READ_PARQUET", "PARQUET_SCAN", "READ_CSV", "READ_CSV_AUTO", "READ_JSON", "RANGE",
        "PROJECTION", "FILTER", "LIMIT", "STREAMING_LIMIT", "UNION", "UNNEST", "DUMMY_SCAN", "EMPTY_RESULT",
    }
)  # fmt: skip
"""Operators that keep no rows."""


@contextmanager
def lean(connector: "DuckDBConnector", sql: str, params: Params) -> Iterator[bool]:
    """Lower the limits for the time of the block; whether that was done."""
    chosen = any(name.lower() in {"memory_limit", "max_memory", "threads"} for name in connector.opts.pragmas)
    before = None if chosen or connector.is_busy else _lower(connector, sql, params)
    try:
        yield before is not None
    finally:
        if before is not None:
            _restore(connector, before)


def _lower(connector: "DuckDBConnector", sql: str, params: Params) -> dict[str, str] | None:
    """The settings that held before; None if they still do."""
    import duckdb

    try:
        session, statement, values = connector.open_query(sql, params)
    except ConnectorError:  # which the query itself will tell
        return None
    try:
        plan = session.execute(f"EXPLAIN (FORMAT json) {statement.query}", values).fetchone()
        if plan is None or not set(_operators(json.loads(plan[1])[0])) <= _PASSING:
            return None
        kinds = session.sql(statement, params=values).types
        before = {name: _current(session, name) for name in _SETTINGS}
        threads = int(before["threads"])
        budget = MEGABYTES_PER_THREAD * max(threads, 2)
        each = _GATHERED_ROWS * sum(_WIDTHS.get(str(kind), _WIDTH) for kind in kinds) / 1e6
        session.execute(f"SET memory_limit = '{budget}MB'")
        session.execute(f"SET threads = {max(1, min(threads, int(budget / each)))}")
    except (duckdb.Error, ValueError, LookupError):  # a database in memory may hold more than that
        return None
    finally:
        connector.close_session(session)
    return before


def _operators(node: dict[str, Any]) -> Iterator[str]:
    yield str(node["name"]).strip()
    for child in node.get("children", ()):
        yield from _operators(child)


def _current(session: "DuckDBPyConnection", name: str) -> str:
    found = session.execute(f"SELECT current_setting('{name}')").fetchone()
    return "" if found is None else str(found[0])


def _restore(connector: "DuckDBConnector", before: dict[str, str]) -> None:
    import duckdb

    with suppress(duckdb.Error, ConnectorError):  # of a connection that is closed
        session = connector.open_session()
        try:
            for name, value in before.items():
                session.execute(f"RESET {name}")  # at first: what can be read is rounded
                if _current(session, name) != value:
                    session.execute(f"SET {name} = '{value}'")
        finally:
            connector.close_session(session)
