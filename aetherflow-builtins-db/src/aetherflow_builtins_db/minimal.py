"""Connectors with only the documented minimum (`read`, `fetchall`, `fetchmany`, `execute`) as databases.

They know no transaction: each statement counts at once. What then cannot be promised is refused or said.
"""

import datetime
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from types import TracebackType
from typing import Any, Self

from aetherflow.core.api import (
    AetherflowError,
    Column,
    ColumnType,
    ConnectorError,
    Lack,
    Row,
    SqlConnector,
    SqlDialect,
    wrong_result,
)
from aetherflow_builtins_db.columns import UNKNOWN
from aetherflow_builtins_db.database import Database
from aetherflow_builtins_db.failures import one_line

READS = ("fetchmany", "fetchall", "read")
"""Methods that read, the best first."""
_STYLES = ("named", "pyformat", "qmark", "format", "numeric")
_KINDS: Mapping[type, ColumnType] = {
    bool: ColumnType("bool"),
    int: ColumnType("int"),
    float: ColumnType("float"),
    str: ColumnType("string"),
    bytes: ColumnType("bytes"),
    datetime.datetime: ColumnType("datetime"),
    datetime.date: ColumnType("date"),
    datetime.time: ColumnType("time"),
}


def database_over(connector: Any) -> Database:
    """The database of a connector: of one that implements SqlConnector, or has the documented minimum."""
    return Database(connector if isinstance(connector, SqlConnector) else MinimalConnector(connector))


def lacks_of(
    connector: type, *, writes: bool = False, makes: bool = False, undoes: Iterable[str] = ()
) -> Iterator[Lack]:
    """What a connector class lacks for a step.

    :param writes: whether the step changes data
    :param makes: whether it may make a table or columns
    :param undoes: what the step was asked for that needs a transaction that can be rolled back
    """
    if makes and not callable(getattr(connector, "column_for", None)):
        yield Lack("lacks column_for(): no table is made, and no column (create, on_schema_change)")
    if issubclass(connector, SqlConnector):
        return  # what it has not written is found without any step
    if not any(callable(getattr(connector, name, None)) for name in READS):
        yield Lack(
            f"is no SqlConnector, and lacks {', '.join(f'{name}()' for name in reversed(READS))}: nothing is read"
        )
        return
    if writes and not callable(getattr(connector, "execute", None)):
        yield Lack("lacks execute(): no data can be changed")
        return
    for asked in undoes:
        yield Lack(f"lacks transaction(): {asked}")
    if writes:
        yield Lack(
            "lacks transaction(): each statement counts at once, so what fails midway stays partly done", refused=False
        )
    elif not callable(getattr(connector, "fetchmany", None)):
        yield Lack("lacks fetchmany(): a result is read as a whole, into memory", refused=False)


def _is_table(names: Any, rows: Any) -> bool:
    texts = isinstance(names, Iterable) and not isinstance(names, str) and all(isinstance(each, str) for each in names)
    return texts and isinstance(rows, Iterable) and not isinstance(rows, str)


def needs_undo(expect_rows: Any) -> list[str]:
    """What a step that changes data needs a transaction for."""
    return [] if expect_rows is None else ["expect_rows could undo nothing"]


class MinimalConnector(SqlConnector[Any, Any]):
    """A connector with the documented minimum, as SqlConnector."""

    def __init__(self, plain: Any) -> None:
        self.plain = plain
        self.name, self.kind, self.driver = (str(getattr(plain, name, "?")) for name in ("name", "kind", "driver"))
        found = getattr(plain, "dialect", None)
        name = found if isinstance(found, str) else self.driver
        style: Any = getattr(plain, "paramstyle", "named")
        self.dialect = SqlDialect(name, style if style in _STYLES else "named", transactions=False)

    def _call(self, operation: str, work: Callable[[], Any]) -> Any:
        try:
            return work()
        except AetherflowError:
            raise
        except Exception as error:
            text = ": ".join(filter(None, (type(error).__name__, one_line(str(error)))))
            message = f"resource {self.name} ({self.kind}:{self.driver}): {operation} failed: {text}"
            raise ConnectorError(message, fix="look at the SQL, and at the connector's own documentation") from error

    def stream(self, sql: str, params: Any = None, *, fetch_size: int = 5000) -> "MinimalRows":
        """Open a query by `fetchmany`, else by `fetchall` or `read`, which hold all rows in memory."""
        way = next((name for name in READS if callable(getattr(self.plain, name, None))), "read")
        more = {"fetch_size": fetch_size} if way == "fetchmany" else {}
        opened = self._call("query", lambda: getattr(self.plain, way)(sql, params or {}, **more))
        if not (isinstance(opened, tuple | list) and len(opened) > 1 and _is_table(opened[0], opened[1])):
            raise wrong_result(self.plain, way, opened, "the names of the columns, and the rows")
        names, rows, *types = opened
        kinds = [_KINDS.get(each, UNKNOWN) for each in (types[0] if types else ())] or [UNKNOWN] * len(names)
        columns = [Column(str(name), kind) for name, kind in zip(names, kinds, strict=True)]
        return MinimalRows(self, way, columns, iter(rows), fetch_size)

    @contextmanager
    def transaction(self) -> "Iterator[MinimalTransaction]":
        """No transaction: every statement is committed as it is executed."""
        yield MinimalTransaction(self)

    def run(self, sql: str, params: Any) -> int | None:
        """Execute one statement; the number of changed rows, None if it is unknown."""
        execute = getattr(self.plain, "execute", None)
        if not callable(execute):
            cls = type(self.plain)
            raise ConnectorError(
                f"resource {self.name} ({self.kind}:{self.driver}): the class {cls.__name__} lacks execute(), so no "
                "data can be changed",
                fix=f"add it to {cls.__module__}.{cls.__qualname__}",
            )
        count = self._call("statement", lambda: execute(sql, params or {}))
        return count if isinstance(count, int) and count >= 0 else None

    def ping(self) -> bool:
        """Whether `SELECT 1` is answered."""
        try:
            return bool(Database(self).read("SELECT 1 AS one")[1])
        except AetherflowError:
            return False

    def interrupt(self) -> None:
        """Interrupt the connector, if it can be."""
        interrupt = getattr(self.plain, "interrupt", None)
        if callable(interrupt):
            interrupt()


class MinimalRows:
    """The rows of a query; nobody guarantees that they have the types of their columns."""

    exact = False

    def __init__(
        self, connector: MinimalConnector, way: str, columns: list[Column], rows: Iterator[Any], size: int
    ) -> None:
        self.columns = columns
        self._connector, self._way, self._rows, self._size = connector, way, rows, size

    def batches(self) -> Iterator[list[Row]]:
        call, width = self._connector._call, len(self.columns)
        while batch := call("query", lambda: [tuple(row) for row in islice(self._rows, self._size)]):
            if (wrong := next((row for row in batch if len(row) != width), None)) is not None:
                expected = f"rows of {width} values, and one has {len(wrong)}"
                raise wrong_result(self._connector.plain, self._way, wrong, expected)
            yield batch

    def close(self) -> None:
        close = getattr(self._rows, "close", None)
        if callable(close):
            close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class MinimalTransaction:
    """Single statements, each committed by itself."""

    def __init__(self, connector: MinimalConnector) -> None:
        self._connector = connector

    def execute(self, sql: str, params: Any = None) -> int | None:
        return self._connector.run(sql, params)

    def executemany(self, sql: str, rows: Iterable[Any]) -> int:
        return sum(self._connector.run(sql, row) or 0 for row in rows)

    def read(self, sql: str, params: Any = None) -> tuple[list[str], list[Row]]:
        with self._connector.stream(sql, params) as opened:
            return [column.name for column in opened.columns], [row for batch in opened.batches() for row in batch]
