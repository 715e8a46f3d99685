"""What every SQL connector of this package offers, and all that its steps use."""

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
    """The little memory of `LeanSource.lean` was not enough for the query."""


@dataclass(frozen=True, slots=True)
class ScriptResult:
    """What a script did: for every statement the number of rows that it changed, None where it changes no rows."""

    affected: tuple[int | None, ...]

    @property
    def affected_rows(self) -> int | None:
        """Sum of the known numbers; None if no statement changes rows."""
        known = [count for count in self.affected if count is not None]
        return sum(known) if known else None


class Rows(Protocol):
    """The open result of one query. Nothing is held but the batch in hand; close it, or use it in a `with` block."""

    @property
    def columns(self) -> Sequence[Column]:
        """From the driver's metadata; of kind `unknown` where it says nothing."""
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
    """The open result of one query as Arrow record batches: the short way into Parquet."""

    @property
    def columns(self) -> Sequence[Column]: ...
    def record_batches(self) -> Iterator[Any]: ...
    def close(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Transaction(Protocol):
    """Several operations on one connection that come true together, or not at all.

    It ends with its `with` block: committed, or undone if the block raises. Nothing of it is seen outside before. Where
    the database commits by itself at DDL (`transactional_ddl` of the connector says so), DDL in it commits what came
    before.
    """

    @property
    def raw(self) -> Any:
        """The driver's own connection, with the transaction open: for COPY, LOAD DATA and the like."""
        ...

    def execute(self, sql: str, params: Params = None) -> int | None:
        """Run one statement; the number of rows that it changed, None if it changes none."""
        ...

    def executemany(self, sql: str, rows: Iterable[Mapping[str, Any]]) -> int:
        """Run one statement for every map of values; the number of rows changed by all of them."""
        ...

    def read(self, sql: str, params: Params = None) -> tuple[list[str], list[Row]]:
        """Names of the columns and all rows of a query, which sees what the transaction did."""
        ...

    def failed(self, operation: str, error: BaseException) -> ConnectorError:
        """The driver's error in our words, for work on `raw`; raise it `from error`."""
        ...

    def limited(self) -> AbstractContextManager[None]:
        """Work on `raw` that is one statement: `statement_timeout` holds for it, where the database has none itself."""
        ...


@runtime_checkable
class CopyTransaction(Protocol):
    """A transaction on a server that takes rows as a stream of bytes: PostgreSQL's COPY … FROM STDIN."""

    def copy_in(self, sql: str, blocks: Iterable[bytes]) -> int:
        """Run a COPY statement with these bytes; the number of rows that came in."""
        ...


class SqlConnector(Protocol):
    """A database. Values reach it as parameters `:name` only; see `params` for the rules.

    Transactions: `script` runs several statements, or any with `before_commit`, in one transaction and undoes all of
    it if anything fails; a single statement is atomic by itself. `read`, `fetchall`, `fetchmany` and `stream` cannot
    change data: they are refused by the database. Session state (temporary tables, SET) is not carried from call to
    call on every driver, so nothing may rely on it.
    """

    dialect: str
    """Whose SQL it speaks: sqlite, duckdb, postgresql, mysql, mariadb, oracle, exasol, or SQLAlchemy's name."""
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

        Where DDL is not transactional, a statement that would commit changes made before it is refused, unless
        `allow_implicit_commit`. DDL at the start of a script is no such statement.
        """
        ...

    def statements(self, sql: str) -> list[str]:
        """The statements of a script, as they are written."""
        ...

    def check_script(self, statements: list[str], *, allow_implicit_commit: bool = True) -> None:
        """Refuse an empty script, and one that would end the transaction that all of it runs in."""
        ...

    def transaction(self) -> AbstractContextManager[Transaction]:
        """A transaction on a connection of its own."""
        ...

    def executemany(self, sql: str, rows: Iterable[Mapping[str, Any]]) -> int:
        """Run one statement for every map of values, in one transaction; the number of rows changed."""
        ...

    def quote(self, *name: str) -> str:
        """A name as it is written in SQL: `quote("sales", "Order")`."""
        ...

    def ping(self) -> bool:
        """Whether the database answers; a lost connection is opened anew."""
        ...

    def execute(self, sql: str, params: Params = None) -> int:
        """Run one or more statements; rows changed, or -1 where that is unknown."""
        ...

    def read(self, sql: str, params: Params = None) -> tuple[list[str], list[Row]]:
        """Names of the columns and all rows of a query."""
        ...

    def fetchall(self, sql: str, params: Params = None) -> tuple[list[str], list[Row]]:
        """The same as `read`."""
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
        """Stop what is running; called from another thread."""
        ...

    def close(self) -> None: ...


class FileBlocks(Protocol):
    """The open result of one query as the bytes of a file, made by the database itself."""

    @property
    def columns(self) -> Sequence[Column]: ...
    @property
    def rows(self) -> int | None:
        """Rows in the bytes so far; None if that is known at the end only, after which it is a number."""
        ...

    def blocks(self) -> Iterator[bytes | memoryview]:
        """The bytes; call it once."""
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
        """Open a query as CSV without header, byte for byte what `DelimitedWriter` makes of `stream`; None if it would
        not be, or cannot be promised.
        """
        ...


@runtime_checkable
class LeanSource(Protocol):
    """A connector whose database works in this process, and would fill its memory."""

    def lean(self, sql: str, params: Params = None) -> AbstractContextManager[bool]:
        """Little memory while this query is read, if it is one that needs little; whether it is so.

        Where it was not enough after all, what fails in the block is NeedsMemoryError: read it again without.
        """
        ...


@runtime_checkable
class ArrowSource(Protocol):
    """A connector that can hand out Arrow itself."""

    def stream_arrow(self, sql: str, params: Params = None, *, batch_rows: int) -> ArrowRows | None:
        """Open a query; None if a column has a type whose Arrow form would differ from what `stream` yields."""
        ...
