"""What readers hand to writers: rows with the place where each stands in its file."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

from aetherflow_builtins_db.contract import Row


@dataclass(slots=True)
class Batch:
    """Some rows of a file, and for each the number of its line (its row, in a Parquet file)."""

    rows: list[Row] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)

    def part(self, start: int, end: int) -> "Batch":
        """The rows from `start` to before `end`."""
        return Batch(self.rows[start:end], self.numbers[start:end])


@dataclass(frozen=True, slots=True)
class Reject:
    """A row that cannot be loaded, and why."""

    number: int
    reason: str
    column: str = ""
    record: Any = ""
    """The row itself: a tuple of values, or the text where not even its fields are known."""


OnReject: TypeAlias = Callable[[Reject], None]
"""Takes a row that cannot be loaded; raises when there are too many."""


class Reader(Protocol):
    """An open file of rows."""

    @property
    def names(self) -> list[str] | None:
        """Names of its columns; None where the file does not say them."""
        ...

    @property
    def unit(self) -> str:
        """What its numbers count: `line` or `row`."""
        ...

    def batches(self, size: int, on_reject: OnReject) -> Iterator[Batch]:
        """The rows, each as wide as `names`; None is null. Call it once."""
        ...
