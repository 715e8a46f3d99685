"""What a connector of kind `db` may be able to do beyond its contract: each capability is one group of methods."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, Protocol, Self, TypeAlias, runtime_checkable

from aetherflow.core.base.errors import ConnectorError
from aetherflow.core.contracts.kinds.sql import Column

CsvQuoting: TypeAlias = Literal["minimal", "all", "none", "nonnumeric"]


@dataclass(frozen=True, slots=True)
class CsvFormat:
    """How a delimited file is written."""

    delimiter: str = ","
    quotechar: str = '"'
    escapechar: str | None = None
    doublequote: bool = True
    quoting: CsvQuoting = "minimal"
    linefeed: str = "\n"
    null_value: str = ""
    encoding: str = "utf-8"
    include_header: bool = True

    @property
    def is_common(self) -> bool:
        r"""Whether databases can write it: UTF-8, `\n`, minimal quoting with doubled quotes, and ASCII signs."""
        plain = self.encoding.lower().replace("_", "-") in {"utf-8", "utf8"} and self.linefeed == "\n"
        doubled = self.doublequote and self.escapechar is None and self.quoting == "minimal"
        return plain and doubled and (self.delimiter + self.quotechar + self.null_value).isascii()


class CsvBlocks(Protocol):
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

    def close(self) -> None:
        """End the query, also in the middle of its result; may be called twice."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


@runtime_checkable
class CsvSource(Protocol):
    """A database that writes CSV: `db_extract` writes its bytes to the file."""

    def stream_csv(self, sql: str, params: Any = None, *, dialect: CsvFormat) -> CsvBlocks | None:
        """Open a query as CSV without a header, byte for byte what `db_extract` makes of the rows of `stream`.

        None if the bytes would differ, or could.
        """
        ...


@runtime_checkable
class JsonSource(Protocol):
    """A database that writes JSON lines: `db_extract` writes its bytes to the file."""

    def stream_json(self, sql: str, params: Any = None) -> CsvBlocks | None:
        """Open a query as JSON lines, byte for byte what `db_extract` makes of the rows of `stream`.

        None if the bytes would differ, or could.
        """
        ...


class ArrowRows(Protocol):
    """The open result of one query as Arrow record batches."""

    @property
    def columns(self) -> Sequence[Column]: ...
    def record_batches(self) -> Iterator[Any]:
        """Yield `pyarrow.RecordBatch` objects; call it once."""
        ...

    def close(self) -> None:
        """End the query, also in the middle of its result; may be called twice."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


@runtime_checkable
class ArrowSource(Protocol):
    """A database that returns results as Arrow: `db_extract` writes them to Parquet."""

    def stream_arrow(self, sql: str, params: Any = None, *, batch_rows: int) -> ArrowRows | None:
        """Open a query; None if a column's Arrow form would differ from the values that `stream` yields."""
        ...


class NeedsMemoryError(ConnectorError):
    """The query needs more memory than the lowered limit of `LeanSource.lean` allows."""


@runtime_checkable
class LeanSource(Protocol):
    """A database that runs inside this process and can limit the memory of a query."""

    def lean(self, sql: str, params: Any = None) -> AbstractContextManager[bool]:
        """Lower the memory limit while this query is read, if it streams; yields whether the limit was lowered.

        If the lowered limit is not enough, reading raises NeedsMemoryError: the step reads again outside the block.
        """
        ...


@dataclass(frozen=True, slots=True)
class ScriptResult:
    """The result of a script: per statement the number of changed rows, None if it is no change of rows."""

    affected: tuple[int | None, ...]

    @property
    def affected_rows(self) -> int | None:
        """Sum of the known counts; None if no statement changes rows."""
        known = [count for count in self.affected if count is not None]
        return sum(known) if known else None


@runtime_checkable
class ScriptRunner(Protocol):
    """A database with statements that no transaction may hold (VACUUM), or that splits scripts in a way of its own.

    Without this capability a script is split by the rules of the dialect, and runs in one `transaction`.
    """

    def statements(self, sql: str) -> list[str]:
        """The statements of a script, each with its original text."""
        ...

    def script(
        self,
        sql: str,
        params: Any = None,
        *,
        before_commit: Callable[[ScriptResult], None] | None = None,
        allow_implicit_commit: bool = False,
    ) -> ScriptResult:
        """Run one or more statements: several, or any number with `before_commit`, in one transaction.

        If one fails or `before_commit` raises, nothing is committed. Where DDL is not transactional, a statement that
        would commit earlier changes is refused, unless `allow_implicit_commit` is true. ConnectorError for an empty
        script, and for a statement that starts or ends a transaction.
        """
        ...


@runtime_checkable
class LateDatabase(Protocol):
    """A database that is created by its first use: a dry run does not open one that is missing."""

    def is_missing(self) -> bool:
        """Whether it does not exist yet; creates nothing."""
        ...
