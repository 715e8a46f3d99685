"""The interface of all SQL connectors of this package; steps use nothing else."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol, Self, TypeAlias, runtime_checkable

from aetherflow.core.api import ConnectorError
from aetherflow_builtins_db.columns import Column
from aetherflow_builtins_db.dialect import Dialect
from aetherflow_builtins_db.failures import DatabaseError

Params: TypeAlias = Mapping[str, Any] | None
"""Values of the `:name` markers of a query."""

Row: TypeAlias = tuple[Any, ...]


class NeedsMemoryError(DatabaseError):
    """The query needs more memory than the lowered limit of `LeanSource.lean` allows."""


@dataclass(frozen=True, slots=True)
class ScriptResult:
    """The result of a script: per statement the number of changed rows, None if it is no change of rows."""

    affected: tuple[int | None, ...]

    @property
    def affected_rows(self) -> int | None:
        """Sum of the known counts; None if no statement changes rows."""
        known = [count for count in self.affected if count is not None]
        return sum(known) if known else None


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
        """The rows in lists of at most `fetch_size`; call it once."""
        ...

    def close(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class ArrowRows(Protocol):
    """The open result of one query as Arrow record batches."""

    @property
    def columns(self) -> Sequence[Column]: ...
    def record_batches(self) -> Iterator[Any]: ...
    def close(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Transaction(Protocol):
    """Several operations on one connection that take effect together or not at all.

    The end of its `with` block commits it; an exception rolls it back. Other sessions see nothing of it before the
    commit. If the connector's `transactional_ddl` is false, DDL commits all operations before it.
    """

    @property
    def raw(self) -> Any:
        """The driver's own connection with the open transaction, for COPY, LOAD DATA and the like."""
        ...

    def execute(self, sql: str, params: Params = None) -> int | None:
        """Run one statement; return the number of changed rows, None if it is no change of rows."""
        ...

    def executemany(self, sql: str, rows: Iterable[Mapping[str, Any]]) -> int:
        """Run one statement for every map of values; return the total number of changed rows."""
        ...

    def read(self, sql: str, params: Params = None) -> tuple[list[str], list[Row]]:
        """Column names and all rows of a query, which sees the transaction's own changes."""
        ...

    def failed(self, operation: str, error: BaseException) -> ConnectorError:
        """Convert a driver's error from work on `raw`; raise it `from error`."""
        ...

    def limited(self) -> AbstractContextManager[None]:
        """Apply `statement_timeout` to a block of work on `raw`, if the database itself has no such limit."""
        ...


@runtime_checkable
class CopyTransaction(Protocol):
    """A transaction that loads rows from a stream of bytes: PostgreSQL's COPY … FROM STDIN."""

    def copy_in(self, sql: str, blocks: Iterable[bytes]) -> int:
        """Run a COPY statement with these bytes; return the number of copied rows."""
        ...


class SqlConnector(Protocol):
    """A database. Values are passed as parameters `:name` only; the module `params` has the rules.

    Transactions: `script` runs several statements, or any number with `before_commit`, in one transaction and rolls all
    of it back if anything fails; a single statement is atomic by itself. `read`, `fetchall`, `fetchmany` and `stream`
    cannot change data. Not every driver keeps session state (temporary tables, SET) from one call to the next, so
    callers must not rely on it.
    """

    dialect: str
    """Its SQL dialect: sqlite, duckdb, postgresql, mysql, mariadb, oracle, exasol, or SQLAlchemy's name of it."""
    transactional_ddl: bool
    """Whether CREATE, ALTER and DROP are part of a transaction; else the database commits before and after them."""

    def script(
        self,
        sql: str,
        params: Params = None,
        *,
        before_commit: Callable[[ScriptResult], None] | None = None,
        allow_implicit_commit: bool = False,
    ) -> ScriptResult:
        """Run one or more statements. If `before_commit` raises, nothing is committed.

        If DDL is not transactional, a statement that would commit earlier changes is refused, unless
        `allow_implicit_commit` is true. DDL at the start of a script is allowed.
        """
        ...

    def statements(self, sql: str) -> list[str]:
        """The statements of a script, each with its original text."""
        ...

    def check_script(self, statements: list[str], *, allow_implicit_commit: bool = True) -> None:
        """Raise ConnectorError for an empty script and for statements that would end the script's transaction."""
        ...

    def transaction(self) -> AbstractContextManager[Transaction]:
        """A transaction on a connection that no other call uses."""
        ...

    def executemany(self, sql: str, rows: Iterable[Mapping[str, Any]]) -> int:
        """Run one statement for every map of values, in one transaction; return the number of changed rows."""
        ...

    def quote(self, *name: str) -> str:
        """Quote the parts of a name for SQL and join them with dots: `quote("sales", "Order")`."""
        ...

    def ping(self) -> bool:
        """Whether the database answers; a lost connection is opened again."""
        ...

    def execute(self, sql: str, params: Params = None) -> int:
        """Run one or more statements; return the number of changed rows, -1 if it is unknown."""
        ...

    def read(self, sql: str, params: Params = None) -> tuple[list[str], list[Row]]:
        """Names of the columns and all rows of a query."""
        ...

    def fetchall(self, sql: str, params: Params = None) -> tuple[list[str], list[Row]]:
        """The same as `read`, under its name in the public connector API."""
        ...

    def fetchmany(
        self, sql: str, params: Params = None, *, fetch_size: int = 5000
    ) -> tuple[list[str], Iterator[Row], list[type]]:
        """Names of the columns, an iterator over the rows, and the Python type of each column."""
        ...

    def stream(self, sql: str, params: Params = None, *, fetch_size: int = 5000) -> Rows:
        """Open a query whose result may be larger than memory."""
        ...

    def interrupt(self) -> None:
        """Cancel all running statements; called from another thread."""
        ...

    def close(self) -> None: ...


class FileBlocks(Protocol):
    """The open result of one query as the bytes of a file that the database itself formats."""

    @property
    def columns(self) -> Sequence[Column]: ...
    @property
    def rows(self) -> int | None:
        """Number of rows in the blocks yielded so far; None if the database tells it only at the end."""
        ...

    def blocks(self) -> Iterator[bytes | memoryview]:
        """Yield the bytes; call it once."""
        ...

    def close(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


@runtime_checkable
class CsvSource(Protocol):
    """A connector whose database writes CSV."""

    def stream_csv(self, sql: str, params: Params = None, *, dialect: Dialect) -> FileBlocks | None:
        """Open a query as CSV without a header, byte for byte what `DelimitedWriter` makes of `stream`.

        None if the bytes would differ, or could.
        """
        ...


@runtime_checkable
class LeanSource(Protocol):
    """A connector whose database runs inside this process and can limit the memory of a query."""

    def lean(self, sql: str, params: Params = None) -> AbstractContextManager[bool]:
        """Lower the memory limit while this query is read, if it streams; yields whether the limit was lowered.

        If the lowered limit is not enough, reading raises NeedsMemoryError: run the query again outside the block.
        """
        ...


@runtime_checkable
class ArrowSource(Protocol):
    """A connector that returns results as Arrow."""

    def stream_arrow(self, sql: str, params: Params = None, *, batch_rows: int) -> ArrowRows | None:
        """Open a query; None if a column's Arrow form would differ from the values that `stream` yields."""
        ...
