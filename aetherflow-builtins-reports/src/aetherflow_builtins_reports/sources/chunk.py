from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import Any, NamedTuple, Protocol

from aetherflow_builtins_reports.cells.casting import MISSING_VALUE

CHUNK_ROWS = 500


class Chunk(NamedTuple):
    """Some rows, stored as columns of equal length."""

    columns: Sequence[Sequence[Any]]
    rows: int

    def part(self, start: int, count: int) -> "Chunk":
        return Chunk([column[start : start + count] for column in self.columns], count)


class Source(Protocol):
    """Rows that can be read once."""

    @property
    def names(self) -> list[str] | None:
        """Names of the columns; None if the source has none."""
        ...

    def chunks(self) -> Iterator[Chunk]: ...


def transposed(rows: Sequence[Sequence[Any]]) -> Chunk:
    """Rows as a chunk; fields that a short row lacks are MISSING_VALUE."""
    lengths = set(map(len, rows))
    if len(lengths) <= 1:
        return Chunk(list(zip(*rows, strict=True)), len(rows))
    return Chunk(list(zip_longest(*rows, fillvalue=MISSING_VALUE)), len(rows))
