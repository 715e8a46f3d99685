"""What every SQL connector of this package offers, and all that its steps use."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol, Self, TypeAlias, runtime_checkable

from aetherflow_builtins_db.columns import Column

Params: TypeAlias = Mapping[str, Any] | None
"""Values of the `:name` markers of a query."""

Row: TypeAlias = tuple[Any, ...]


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


class SqlConnector(Protocol):
    """A database. Values reach it as parameters `:name` only; see `params` for the rules.

    Transactions: `script` runs several statements, or any with `before_commit`, in one transaction and undoes all of
    it if anything fails; a single statement is atomic by itself. `read`, `fetchall`, `fetchmany` and `stream` cannot
    change data: they are refused by the database. Session state (temporary tables, SET) is not carried from call to
    call on every driver, so nothing may rely on it.
    """

    def script(
        self, sql: str, params: Params = None, *, before_commit: Callable[[ScriptResult], None] | None = None
    ) -> ScriptResult:
        """Run one or more statements. If `before_commit` raises, nothing is committed."""
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


@runtime_checkable
class ArrowSource(Protocol):
    """A connector that can hand out Arrow itself."""

    def stream_arrow(self, sql: str, params: Params = None, *, batch_rows: int) -> ArrowRows | None:
        """Open a query; None if a column has a type whose Arrow form would differ from what `stream` yields."""
        ...
