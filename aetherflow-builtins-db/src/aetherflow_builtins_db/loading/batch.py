"""Batch, Reject and Reader: what file readers pass to a load."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

from aetherflow_builtins_db.contract import Row


@dataclass(slots=True)
class Batch:
    """Rows of a file, and for each its line number (in a Parquet file, its row number), from 1."""

    rows: list[Row] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)

    def part(self, start: int, end: int) -> "Batch":
        """The rows from `start` up to, but not including, `end`."""
        return Batch(self.rows[start:end], self.numbers[start:end])


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

    def batches(self, size: int, on_reject: OnReject) -> Iterator[Batch]:
        """Yield batches of `size` rows, each row as wide as `names`; None is null. Call it once."""
        ...
