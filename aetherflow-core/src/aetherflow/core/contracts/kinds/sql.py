"""The contract of a connector of kind `db`: a SQL database."""

import datetime
import decimal
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, Protocol, Self, TypeAlias

from aetherflow.core.base.errors import ConnectorError
from aetherflow.core.contracts.connector import ConfigT, ConnectorBase, OptionsT

Row: TypeAlias = tuple[Any, ...]
"""A row: one value for each column, None for null."""

ColumnKind: TypeAlias = Literal[
    "unknown", "bool", "int", "float", "decimal", "string", "bytes", "date", "datetime", "time"
]
MAX_DECIMAL_DIGITS = 38
"""Digits of Arrow's 128-bit decimal."""

_PYTHON_TYPES: dict[ColumnKind, type] = {
    "unknown": object,
    "bool": bool,
    "int": int,
    "float": float,
    "decimal": decimal.Decimal,
    "string": str,
    "bytes": bytes,
    "date": datetime.date,
    "datetime": datetime.datetime,
    "time": datetime.time,
}
_SIMPLE_NAMES: dict[ColumnKind, str] = {
    "bool": "bool",
    "int": "int",
    "float": "float",
    "decimal": "float",
    "date": "date",
    "datetime": "datetime",
}


# Columns and rows


@dataclass(frozen=True, slots=True)
class ColumnType:
    """A type that every driver's types map to. Lists, structs and JSON are `string`: their text is JSON."""

    kind: ColumnKind
    precision: int = MAX_DECIMAL_DIGITS
    """Total digits of a decimal."""
    scale: int = 0
    """Digits of a decimal after the point."""
    zoned: bool = False
    """Whether a datetime is an instant; instants are stored in UTC."""

    def __str__(self) -> str:
        if self.kind == "decimal":
            return f"decimal({self.precision},{self.scale})"
        return "datetime(utc)" if self.zoned else self.kind

    @property
    def python_type(self) -> type:
        """The Python type of a value."""
        return _PYTHON_TYPES[self.kind]

    @property
    def simple_name(self) -> str:
        """One of bool, int, float, date, datetime, string. A decimal is `float` here; times and bytes are `string`."""
        return _SIMPLE_NAMES.get(self.kind, "string")


UNKNOWN_TYPE = ColumnType("unknown")


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a result. A step derives the type of an `unknown` one from the first rows."""

    name: str
    type: ColumnType = UNKNOWN_TYPE
    warning: str = ""
    """A known loss in its values, and the remedy; a step that writes the column logs it."""


class Rows(Protocol):
    """The open result of one query, which holds one batch at a time. Close it, or use it in a `with` block."""

    @property
    def columns(self) -> Sequence[Column]:
        """From the driver's metadata; of kind `unknown` where they give no type."""
        ...

    @property
    def exact(self) -> bool:
        """Whether the database guarantees that every value is of its column's type."""
        ...

    def batches(self) -> Iterator[list[Row]]:
        """The rows in lists of at most `fetch_size`; call it once. Raises ConnectorError."""
        ...

    def close(self) -> None:
        """End the query, also in the middle of its result; may be called twice."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


# The database


ParamStyle: TypeAlias = Literal["flow", "named", "pyformat", "qmark", "format", "numeric"]
Lexis: TypeAlias = Literal["standard", "mysql", "oracle", "postgresql", "mssql", "sqlite"]


@dataclass(frozen=True)
class SqlDialect:
    """What the steps must know of a database's SQL to write statements for it."""

    name: str
    """`postgresql`, `firebird`, …: SQLAlchemy's name of the dialect, if it has one."""
    paramstyle: ParamStyle = "named"
    """The markers that `execute`, `executemany`, `read` and `stream` get, by PEP 249: `named` (`:name`) and `pyformat`
    (`%(name)s`) with maps; `qmark` (`?`), `format` (`%s`) and `numeric` (`:1`) with sequences. Steps translate `:name`
    of a flow to it, and refuse values that are missing, left over, or of no SQL type. `flow`: the connector does all
    this itself."""
    quotes: tuple[str, str] = ('"', '"')
    """Signs around a quoted name; the second one is doubled inside."""
    lexis: Lexis = "standard"
    """The rules for text, names and comments, by which scripts are split into statements and markers are found:
    `postgresql` and `mssql` have comments within comments, `mssql` and `sqlite` names in square brackets. With
    `standard`, a script that has a comment within a comment is refused, as nobody can tell where it ends."""
    transactional_ddl: bool = True
    """Whether CREATE, ALTER and DROP are part of a transaction; else the database commits before and after them."""
    transactions: bool = True
    """Whether a transaction can be rolled back. If not, every statement counts at once: loads and scripts are not whole
    or nothing, and steps say so."""

    def quote(self, *name: str) -> str:
        """Quote the parts of a name and join them with dots: `quote("sales", "Order")`."""
        begin, end = self.quotes
        return ".".join(begin + part.replace(end, end * 2) + end for part in name)


class SqlTransaction(Protocol):
    """Several operations on one connection that take effect together or not at all.

    The end of its `with` block commits it; an exception rolls it back. Other sessions see nothing of it before the
    commit. Where DDL is not transactional, it commits all operations before it. Errors are ConnectorErrors.
    """

    def execute(self, sql: str, params: Any = None) -> int | None:
        """Run one statement; return the number of changed rows, None if it is no change of rows."""
        ...

    def executemany(self, sql: str, rows: Iterable[Any]) -> int:
        """Run one statement for the parameters of every row; return the total number of changed rows.

        `rows` may be more than fit in memory, and is read once.
        """
        ...

    def read(self, sql: str, params: Any = None) -> tuple[list[str], list[Row]]:
        """Column names and all rows of a query, which sees the transaction's own changes."""
        ...


class SqlConnector(ConnectorBase[ConfigT, OptionsT], ABC):
    """A SQL database. `db_fetch_small`, `db_extract`, `db_execute`, `db_load` and `db_check` need nothing else.

    Every call may come from another thread; two calls do not share a transaction. A driver's error is raised as a
    ConnectorError of one line that names the resource, with the driver's error as its cause and a `fix`. What a session
    holds (temporary tables, SET) may be gone with the next call. `probe` asks by `ping`, unless it is overridden.

    Capabilities say what the database can do beyond this: CsvSource, JsonSource, ArrowSource, LeanSource,
    ScriptRunner, BulkLoader, TableMaker, LateDatabase. A connector has one by having its method.
    """

    dialect: SqlDialect
    """What the steps must know of its SQL; an attribute of the class, or set when the connector is built."""

    @abstractmethod
    def transaction(self) -> AbstractContextManager[SqlTransaction]:
        """A transaction on a connection that no other call uses; ConnectorError if none can be opened."""

    @abstractmethod
    def stream(self, sql: str, params: Any = None, *, fetch_size: int = 5000) -> Rows:
        """Open one query that only reads, with a result that may be larger than memory; it changes nothing.

        Several results may be open at once, and a transaction beside them.
        """

    @abstractmethod
    def ping(self) -> bool:
        """Whether the database answers; a lost connection is opened again. Raises nothing."""

    @abstractmethod
    def interrupt(self) -> None:
        """Cancel all running statements, which raise ConnectorError; called from another thread, at any time.

        Returns at once. Calls after it work again.
        """

    def probe(self) -> None:
        """Raises ConnectorError if the database does not answer."""
        if not self.ping():
            text = f"resource {self.name} ({self.kind}:{self.driver}): the database does not answer"
            raise ConnectorError(text, fix="check config of the resource, and that the server runs")
