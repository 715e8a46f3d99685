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
    from aetherflow_builtins_db.connectors.duckdb import DuckDBConnector

MEGABYTES_PER_THREAD = 50
"""COPY gathers row groups, one or two for each thread."""
_PASSING = frozenset(
    {
        "SEQ_SCAN", "TABLE_SCAN", "READ_PARQUET", "PARQUET_SCAN", "READ_CSV", "READ_CSV_AUTO", "READ_JSON", "RANGE",
        "PROJECTION", "FILTER", "LIMIT", "STREAMING_LIMIT", "UNION", "UNNEST", "DUMMY_SCAN", "EMPTY_RESULT",
    }
)  # fmt: skip
"""Operators that keep no rows."""


@contextmanager
def lean(connector: "DuckDBConnector", sql: str, params: Params) -> Iterator[bool]:
    """Lower the limit for the time of the block; whether that was done."""
    chosen = any(name.lower() in {"memory_limit", "max_memory"} for name in connector.opts.pragmas)
    before = None if chosen or connector.is_busy else _lower(connector, sql, params)
    try:
        yield before is not None
    finally:
        if before is not None:
            _set(connector, before)


def _lower(connector: "DuckDBConnector", sql: str, params: Params) -> str | None:
    """The limit that held before; None if it still does."""
    import duckdb

    try:
        session, statement, values = connector.open_query(sql, params)
    except ConnectorError:  # which the query itself will tell
        return None
    try:
        plan = session.execute(f"EXPLAIN (FORMAT json) {statement.query}", values).fetchone()
        if plan is None or not set(_operators(json.loads(plan[1])[0])) <= _PASSING:
            return None
        found = session.execute("SELECT current_setting('memory_limit'), current_setting('threads')").fetchone()
        before, threads = found or ("", 0)
        session.execute(f"SET memory_limit = '{MEGABYTES_PER_THREAD * max(int(threads), 2)}MB'")
    except (duckdb.Error, ValueError, LookupError):  # a database in memory may hold more than that
        return None
    finally:
        connector.close_session(session)
    return str(before)


def _operators(node: dict[str, Any]) -> Iterator[str]:
    yield str(node["name"]).strip()
    for child in node.get("children", ()):
        yield from _operators(child)


def _set(connector: "DuckDBConnector", limit: str) -> None:
    import duckdb

    with suppress(duckdb.Error, ConnectorError):  # of a connection that is closed
        session = connector.open_session()
        try:
            session.execute(f"SET memory_limit = '{limit}'")
        finally:
            connector.close_session(session)
