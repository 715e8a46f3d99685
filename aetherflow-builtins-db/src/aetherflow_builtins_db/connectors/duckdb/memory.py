"""Less memory for DuckDB while it reads a large result: left alone it fills most of the machine with its cache.

The limit is the database's, not the session's. So it is lowered only while nobody else works on the database, and for
queries that pass rows on as they come; what sorts, joins or counts may take what DuckDB takes. As soon as another
session opens, the usual limits hold again.
"""

import json
import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from aetherflow.core.api import ConnectorError
from aetherflow_builtins_db.connectors.duckdb.contract import Sessions
from aetherflow_builtins_db.contract import Params

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

MEGABYTES = 64
_COLUMN_MEGABYTES = 0.75
"""What one thread keeps of one column while it reads: a block of the file or two, and a vector."""
_MOST_THREADS = 4
"""More would wait for the one thread that writes the file."""
_SETTINGS = ("memory_limit", "threads")
PRAGMAS = frozenset({*_SETTINGS, "max_memory"})
"""Settings of the user's that forbid to change the limits."""
_PASSING = frozenset(
    {
        "SEQ_SCAN", "TABLE_SCAN", "READ_PARQUET", "PARQUET_SCAN", "READ_CSV", "READ_CSV_AUTO", "READ_JSON", "RANGE",
        "PROJECTION", "FILTER", "LIMIT", "STREAMING_LIMIT", "UNION", "UNNEST", "DUMMY_SCAN", "EMPTY_RESULT",
    }
)  # fmt: skip
"""Operators that keep no rows."""


class Memory:
    """The limits of one database, and who works on it: all connectors of this process that have its file open."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._open: set[DuckDBPyConnection] = set()
        self._owner: int | None = None
        self._before: dict[str, str] | None = None

    def open_session(self, root: "DuckDBPyConnection") -> "DuckDBPyConnection":
        """A new session. If it is not the one that is to be lean, the limits are as usual from here on."""
        with self._lock:
            if self._open or self._owner != threading.get_ident():
                self._restore(root)
            session = root.cursor()
            self._open.add(session)
        return session

    def forget(self, sessions: Iterable["DuckDBPyConnection"]) -> None:
        """Count these sessions no longer; call it before they are closed."""
        with self._lock:
            self._open.difference_update(sessions)

    @property
    def is_lean_here(self) -> bool:
        """Whether it is this thread whose query is to be lean."""
        return self._owner == threading.get_ident()

    def claim(self) -> bool:
        """Whether this thread may lower the limits; then it calls `release` at the end."""
        with self._lock:
            if self._owner is not None or self._open:
                return False
            self._owner = threading.get_ident()
            return True

    def lower(self, session: "DuckDBPyConnection", columns: int) -> bool:
        """Lower the limits, if this session is the only one; whether that was done."""
        import duckdb

        with self._lock:
            if self._open != {session}:
                return False
            self._before = {name: _current(session, name) for name in _SETTINGS}
            share = columns * _COLUMN_MEGABYTES
            threads = max(1, min(int(self._before["threads"]), _MOST_THREADS, int(MEGABYTES / 2 / share)))
            try:
                session.execute(f"SET memory_limit = '{max(MEGABYTES, int(2 * share))}MB'")
                session.execute(f"SET threads = {threads}")
            except duckdb.Error:  # a database in memory may hold more than that
                self._restore(session)
                return False
            return True

    def restore(self, root: "DuckDBPyConnection") -> None:
        """Restore the usual limits; without effect if they hold already."""
        with self._lock:
            self._restore(root)

    def release(self, root: "DuckDBPyConnection | None") -> None:
        """Restore the usual limits and let another query claim them; `root` is None if the database is closed."""
        with self._lock:
            if root is not None:
                self._restore(root)
            self._owner = self._before = None

    def _restore(self, connection: "DuckDBPyConnection") -> None:
        import duckdb

        before, self._before = self._before, None
        if before is None:
            return
        with suppress(duckdb.Error), connection.cursor() as session:  # it was closed in this moment
            for name, value in before.items():
                session.execute(f"RESET {name}")  # at first: what can be read is rounded
                if _current(session, name) != value:
                    session.execute(f"SET {name} = '{value}'")


_KNOWN: WeakValueDictionary[str, Memory] = WeakValueDictionary()
_KNOWN_LOCK = threading.Lock()


def memory_of(path: str) -> Memory:
    """The limits of the database at `path`; new ones for `:memory:`, which nobody else can open."""
    if path == ":memory:":  # `:memory:name` is shared, too
        return Memory()
    with _KNOWN_LOCK:
        return _KNOWN.setdefault(os.path.realpath(path), Memory())


@contextmanager
def lean(sessions: Sessions, memory: Memory, sql: str, params: Params) -> Iterator[bool]:
    """Lower the limits for the time of the block; whether that was done."""
    is_lean = False
    if memory.claim():
        try:
            is_lean = _lower(sessions, memory, sql, params)
            if is_lean:
                yield True
        finally:
            memory.release(sessions.root)
    if not is_lean:
        yield False


def _lower(sessions: Sessions, memory: Memory, sql: str, params: Params) -> bool:
    import duckdb

    try:
        session, statement, values = sessions.open_query(sql, params)
    except ConnectorError:  # which the query itself will tell
        return False
    try:
        plan = session.execute(f"EXPLAIN (FORMAT json) {statement.query}", values).fetchone()
        if plan is None or not set(_operators(json.loads(plan[1])[0])) <= _PASSING:
            return False
        return memory.lower(session, len(session.sql(statement, params=values).types))
    except (duckdb.Error, ValueError, LookupError):
        return False
    finally:
        sessions.close_session(session)


def _operators(node: dict[str, Any]) -> Iterator[str]:
    yield str(node["name"]).strip()
    for child in node.get("children", ()):
        yield from _operators(child)


def _current(session: "DuckDBPyConnection", name: str) -> str:
    found = session.execute(f"SELECT current_setting('{name}')").fetchone()
    return "" if found is None else str(found[0])
