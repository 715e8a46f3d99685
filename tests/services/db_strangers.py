"""Connectors of strangers: views of ours that show published names only, one of its own, and minimal ones."""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Self

from aetherflow.core.api import (
    ArrowSource,
    BulkLoader,
    Column,
    ConnectorBase,
    ConnectorConfig,
    ConnectorError,
    ConnectorInit,
    ConnectorOptions,
    CsvSource,
    JsonSource,
    LateDatabase,
    LeanSource,
    Row,
    Rows,
    ScriptRunner,
    SqlConnector,
    SqlDialect,
    SqlTransaction,
    TableMaker,
)

CAPABILITIES = (ArrowSource, BulkLoader, CsvSource, JsonSource, LateDatabase, LeanSource, ScriptRunner, TableMaker)
METHODS = {
    name for capability in CAPABILITIES for name in vars(capability) if not name.startswith("_")
}  # fmt: skip


class _PublishedTransaction:
    """The published operations of a transaction."""

    def __init__(self, inner: SqlTransaction) -> None:
        self.execute, self.executemany, self.read = inner.execute, inner.executemany, inner.read


class Published(SqlConnector[Any, Any]):
    """A connector of ours behind its contract: every other name raises AttributeError."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.name, self.kind, self.driver = inner.name, inner.kind, inner.driver

    @property
    def dialect(self) -> SqlDialect:  # type: ignore[override]  # MariaDB's is known when it is connected
        found: SqlDialect = self._inner.dialect
        return found

    @contextmanager
    def transaction(self) -> Iterator[SqlTransaction]:
        with self._inner.transaction() as tx:
            yield _PublishedTransaction(tx)

    def stream(self, sql: str, params: Any = None, *, fetch_size: int = 5000) -> Rows:
        opened: Rows = self._inner.stream(sql, params, fetch_size=fetch_size)
        return opened

    def ping(self) -> bool:
        return bool(self._inner.ping())

    def interrupt(self) -> None:
        self._inner.interrupt()


def published(inner: Any) -> Any:
    """A connector that has the published names of `inner` and no other; one that is no SqlConnector stays."""
    if not isinstance(inner, SqlConnector):
        return inner
    own = {name: getattr(inner, name) for name in METHODS if hasattr(inner, name)}
    methods = {name: staticmethod(method) for name, method in own.items()}
    return type("Published", (Published,), methods)(inner)


class PlaceConfig(ConnectorConfig):
    path: str


class NoOptions(ConnectorOptions):
    pass


class Tiny(SqlConnector[PlaceConfig, NoOptions]):
    """A stranger's SQLite: the primitives, and nothing else. Its driver takes question marks."""

    dialect = SqlDialect("tiny", "qmark")

    def _open(self) -> sqlite3.Connection:
        return sqlite3.connect(self.conf.path, isolation_level=None, check_same_thread=False)

    @contextmanager
    def transaction(self) -> Iterator["TinyTransaction"]:
        db = self._open()
        try:
            db.execute("BEGIN IMMEDIATE")
            yield TinyTransaction(db)
            db.execute("COMMIT")
        finally:
            db.close()

    def stream(self, sql: str, params: Any = None, *, fetch_size: int = 5000) -> "TinyRows":
        return TinyRows(self._open(), sql, params, fetch_size)

    def ping(self) -> bool:
        return True

    def interrupt(self) -> None:
        pass


def _told(error: sqlite3.Error) -> ConnectorError:
    return ConnectorError(f"tiny: {error}", fix="look at the SQL")


class TinyTransaction:
    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def execute(self, sql: str, params: Any = None) -> int | None:
        try:
            return self._db.execute(sql, params or ()).rowcount
        except sqlite3.Error as error:
            raise _told(error) from error

    def executemany(self, sql: str, rows: Iterable[Any]) -> int:
        try:
            return self._db.executemany(sql, rows).rowcount
        except sqlite3.Error as error:
            raise _told(error) from error

    def read(self, sql: str, params: Any = None) -> tuple[list[str], list[Row]]:
        cursor = self._db.execute(sql, params or ())
        return [each[0] for each in cursor.description], cursor.fetchall()


class TinyRows:
    exact = False

    def __init__(self, db: sqlite3.Connection, sql: str, params: Any, size: int) -> None:
        self._db, self._size = db, size
        try:
            self._cursor = db.execute(sql, params or ())
        except sqlite3.Error as error:
            db.close()
            raise _told(error) from error
        self.columns: Sequence[Column] = [Column(each[0]) for each in self._cursor.description]

    def batches(self) -> Iterator[list[Row]]:
        while batch := self._cursor.fetchmany(self._size):
            yield batch

    def close(self) -> None:
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()


class Reading(ConnectorBase[PlaceConfig, NoOptions]):
    """The documented minimum for reading."""

    def __init__(self, init: ConnectorInit) -> None:
        super().__init__(init)
        self._db = sqlite3.connect(self.conf.path, isolation_level=None, check_same_thread=False)

    def read(self, sql: str, params: Any = None) -> tuple[list[str], list[Row]]:
        cursor = self._db.execute(sql, params)
        return [each[0] for each in cursor.description or ()], cursor.fetchall()

    def fetchall(self, sql: str, params: Any = None) -> tuple[list[str], list[Row]]:
        return self.read(sql, params)

    def close(self) -> None:
        self._db.close()


class Minimal(Reading):
    """The documented minimum: `read`, `fetchall`, `fetchmany`, `execute`."""

    def fetchmany(
        self, sql: str, params: Any = None, *, fetch_size: int = 5000, sample_size: int = 200
    ) -> tuple[list[str], Iterator[Row], list[type]]:
        cursor = self._db.execute(sql, params)
        del sample_size
        rows = iter(lambda: cursor.fetchmany(fetch_size), [])
        names = [each[0] for each in cursor.description]
        return names, (row for batch in rows for row in batch), [object for _ in names]

    def execute(self, sql: str, params: Any = None) -> int:
        return self._db.execute(sql, params).rowcount


class Unwritten(SqlConnector[PlaceConfig, NoOptions]):
    """It lacks `stream` and `ping`."""

    dialect = SqlDialect("unwritten")

    @contextmanager
    def transaction(self) -> Iterator[TinyTransaction]:
        yield TinyTransaction(sqlite3.connect(":memory:"))

    def interrupt(self) -> None:
        pass
