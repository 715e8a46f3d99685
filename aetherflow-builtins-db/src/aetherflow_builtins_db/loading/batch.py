"""What sources of rows pass to a load."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias, runtime_checkable

from aetherflow.core.api import ColumnType, LoadBatch, LoadFile
from aetherflow_builtins_db.loading.profile import Texts

Streams: TypeAlias = Literal["csv", "arrow"]
"""What a loader takes beside files: the bytes of CSV, or the record batches of an ArrowFile."""


@runtime_checkable
class ArrowFile(LoadFile, Protocol):
    """Record batches in the place of a file."""

    failure: Exception | None
    """What ended the batches before their end."""
    record_reader: Any
    """A `pyarrow.RecordBatchReader`, to be read once."""


@dataclass(frozen=True, slots=True)
class Reject:
    """A row that cannot be loaded, and why."""

    number: int
    reason: str
    column: str = ""
    record: Any = ""
    """The row: a tuple of values, or its text if it could not be parsed."""


OnReject: TypeAlias = Callable[[Reject], None]
"""Called with each row that cannot be loaded; raises when there are too many."""


class Reader(Protocol):
    """An open file of rows."""

    @property
    def names(self) -> list[str] | None:
        """Names of its columns; None if the file has no header."""
        ...

    @property
    def unit(self) -> str:
        """What the numbers of a batch count: `line` or `row`."""
        ...

    def batches(self, size: int, on_reject: OnReject) -> Iterator[LoadBatch]:
        """Yield batches of `size` rows, each row as wide as `names`; None is null. Call it once."""
        ...


class RowSource(Protocol):
    """Where the rows of a load come from."""

    @property
    def format(self) -> str: ...
    @property
    def texts(self) -> Texts: ...
    def types(self) -> Mapping[str, ColumnType] | None:
        """By field: its type as far as the source tells it, else of kind `unknown`; None if it tells none."""
        ...

    def reader(
        self, *, keys: list[str] | None, width: int | None, every_key: bool = False
    ) -> AbstractContextManager[Reader]:
        """Open it for reading rows.

        :param keys: of JSON lines, the keys to read; None for all
        :param width: number of fields of a row if the source does not name them
        :param every_key: find the keys of JSON lines in all of them, not in the first alone
        """
        ...

    def file(self, *, streams: Streams | None) -> AbstractContextManager[LoadFile | None]:
        """What a loader may read by the database's own means; None if there is nothing such.

        :param streams: what the loader also takes that is no file on disk
        """
        ...

    def sha256(self) -> str:
        """What tells this content from another one, in hexadecimal."""
        ...
