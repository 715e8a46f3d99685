"""Lowers DuckDB's memory limit while a large result is read: by default its cache grows to most of the machine's RAM.

`memory_limit` and `threads` belong to the database, not to a session. They are lowered only while one session is open,
and only for streaming queries: sorts, joins and aggregates keep DuckDB's own limit. When another session opens, the
previous limits are restored.
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
"""Memory per thread and column while reading: one or two blocks of the file, and a vector."""
_MOST_THREADS = 4
"""More threads would wait for the one thread that writes the file."""
_SETTINGS = ("memory_limit", "threads")
PRAGMAS = frozenset({*_SETTINGS, "max_memory"})
"""Pragmas of the user that rule out lower limits."""
_PASSING = frozenset(
    {
        "SEQ_SCAN", "TABLE_SCAN", "READ_PARQUET", "PARQUET_SCAN", "READ_CSV", "READ_CSV_AUTO", "READ_JSON", "RANGE",
        "PROJECTION", "FILTER", "LIMIT", "STREAMING_LIMIT", "UNION", "UNNEST", "DUMMY_SCAN", "EMPTY_RESULT",
    }
)  # fmt: skip
"""Plan operators that stream: they hold no rows back."""


class Memory:
    """The limits and open sessions of one database, shared by all connectors of this process. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._open: set[DuckDBPyConnection] = set()
        self._owner: int | None = None
        self._before: dict[str, str] | None = None

    def open_session(self, root: "DuckDBPyConnection") -> "DuckDBPyConnection":
        """Open a session. Unless it is the only one and belongs to the claiming thread, restore the previous limits."""
        with self._lock:
            if self._open or self._owner != threading.get_ident():
                self._restore(root)
            session = root.cursor()
            self._open.add(session)
        return session

    def forget(self, sessions: Iterable["DuckDBPyConnection"]) -> None:
        """Remove sessions from the count of open ones; call this before they are closed."""
        with self._lock:
            self._open.difference_update(sessions)

    @property
    def is_lean_here(self) -> bool:
        """Whether the current thread holds the claim."""
        return self._owner == threading.get_ident()

    def claim(self) -> bool:
        """Claim the right to lower the limits for this thread; True if it was given, and `release` must follow."""
        with self._lock:
            if self._owner is not None or self._open:
                return False
            self._owner = threading.get_ident()
            return True

    def lower(self, session: "DuckDBPyConnection", columns: int) -> bool:
        """Lower the limits if this session is the only one; return whether they were lowered."""
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
            except duckdb.Error:  # the data of a database in memory may exceed the limit
                self._restore(session)
                return False
            return True

    def restore(self, root: "DuckDBPyConnection") -> None:
        """Restore the previous limits; no effect if they were not lowered."""
        with self._lock:
            self._restore(root)

    def release(self, root: "DuckDBPyConnection | None") -> None:
        """Restore the previous limits and give up the claim; `root` is None if the database is closed."""
        with self._lock:
            if root is not None:
                self._restore(root)
            self._owner = self._before = None

    def _restore(self, connection: "DuckDBPyConnection") -> None:
        import duckdb

        before, self._before = self._before, None
        if before is None:
            return
        with suppress(duckdb.Error), connection.cursor() as session:  # the connection may have been closed meanwhile
            for name, value in before.items():
                session.execute(f"RESET {name}")  # RESET comes first: the value that can be read is rounded
                if _current(session, name) != value:
                    session.execute(f"SET {name} = '{value}'")


_KNOWN: WeakValueDictionary[str, Memory] = WeakValueDictionary()
_KNOWN_LOCK = threading.Lock()


def memory_of(path: str) -> Memory:
    """The Memory of the database at `path`; a new one for `:memory:`, which cannot be opened twice."""
    if path == ":memory:":  # `:memory:name` is shared, too
        return Memory()
    with _KNOWN_LOCK:
        return _KNOWN.setdefault(os.path.realpath(path), Memory())


@contextmanager
def lean(sessions: Sessions, memory: Memory, sql: str, params: Params) -> Iterator[bool]:
    """Lower the limits for the block if the query streams; yields whether they were lowered."""
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
    except ConnectorError:  # the query itself will raise it again
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
