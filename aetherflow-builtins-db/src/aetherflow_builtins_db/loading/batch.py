"""Reject and Reader: what file readers pass to a load."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from aetherflow.core.api import LoadBatch


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
