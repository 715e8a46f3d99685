"""Blocks: rows for a rectangle of a sheet, and the state of writing them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from aetherflow.core.api import StepInputError
from aetherflow_builtins_reports.cells.casting import Conventions, Dtype
from aetherflow_builtins_reports.cells.columns import Column, ColumnEncoder
from aetherflow_builtins_reports.cells.rules import Counts
from aetherflow_builtins_reports.errors import WorkbookError
from aetherflow_builtins_reports.package.refs import MAX_COLUMN, MAX_ROW, Area
from aetherflow_builtins_reports.package.styles import Look
from aetherflow_builtins_reports.sources.chunk import Chunk


@dataclass
class Block:
    """Rows for one rectangle of one sheet. Where blocks overlap, the later one in the sheet's plan wins."""

    owner: str
    """Its name in messages: `target 'sales'`."""
    top: int
    left: int
    chunks: Iterator[Chunk]
    conventions: Conventions
    dtypes: Sequence[Dtype] = ()
    """Types of the columns, in their order; further columns have `default_dtype`."""
    default_dtype: Dtype = "none"
    counts: Counts = field(default_factory=Counts)
    styles: Sequence[int] | None = None
    """Format index by column, copied from a style row; None keeps the sheet's formats."""
    keep_number_formats: bool = False
    """Whether a number format of `styles` other than General is kept for dates."""
    look: Look = field(default_factory=Look)
    """Changes to the cells' formats."""
    clear_below: bool = False
    """Whether old rows directly below the block are emptied."""
    clear_through: int = 0
    """Last of the rows below the block that are always emptied; 0 for none."""
    fills_gaps: bool = False
    """Whether the cells that a short row lacks are emptied; otherwise they keep their values."""
    promised: int | None = None
    """The number of rows for which room was made; another number is an error. None if no room was made."""
    promised_by: str = ""
    follows: "Block | None" = None
    """The block below which this one starts; `top` is not valid before that block has ended."""
    max_columns: int | None = None
    max_rows: int | None = None
    on_rows: Callable[[int], None] | None = None

    written: int = 0
    width: int = 0
    cleared: int = 0
    """Number of old rows below the block that were emptied."""
    _columns: Sequence[Column] = ()
    _rows: int = 0
    _at: int = 0
    _encoders: list[ColumnEncoder] = field(default_factory=list)
    _ended: bool = False

    @property
    def next_row(self) -> int | None:
        """The sheet row that this block writes next; None at its end. Reading it may load the next chunk."""
        if self.follows is not None:
            if self.follows.next_row is not None:
                return None
            self.top, self.follows = self.follows.top + self.follows.written, None
        if self._at >= self._rows and not self._ended:
            self._load()
        return None if self._ended else self.top + self.written

    @property
    def area(self) -> Area | None:
        """The area written so far; None if nothing was written."""
        if not self.written or not self.width:
            return None
        return Area(self.top, self.left, self.top + self.written - 1, self.left + self.width - 1)

    def _load(self) -> None:
        chunk = next((chunk for chunk in self.chunks if chunk.rows), None)
        if chunk is None:
            if self.promised is not None and self.written < self.promised:
                raise self._broken_promise(f"there are {self.written}")
            self._ended = True
            return
        self._check(chunk)
        self.width = max(self.width, len(chunk.columns))
        while len(self._encoders) < len(chunk.columns):
            index = len(self._encoders)
            dtype = self.dtypes[index] if index < len(self.dtypes) else self.default_dtype
            self._encoders.append(ColumnEncoder(dtype, self.conventions, self.counts.column(index)))
        self._rows, self._at = chunk.rows, 0
        self._columns = self._encoded(chunk)
        if self.on_rows:
            self.on_rows(self.written + chunk.rows)

    def _encoded(self, chunk: Chunk) -> list[Column]:
        columns = [encoder.encode(values) for encoder, values in zip(self._encoders, chunk.columns, strict=False)]
        if not self.fills_gaps:
            return columns
        return [
            each._replace(kinds=["" if kind == "-" else kind for kind in each.kinds]) if "-" in each.kinds else each
            for each in columns
        ]

    def _broken_promise(self, found: str) -> StepInputError:
        return StepInputError(
            f"{self.owner}: room was made for {self.promised} rows, as {self.promised_by} says, and {found}; "
            "nothing was written",
            fix="leave row_count out, so that the rows are counted; a source must not change while it is read",
        )

    def _check(self, chunk: Chunk) -> None:
        width, rows = len(chunk.columns), self.written + chunk.rows
        if self.promised is not None and rows > self.promised:
            raise self._broken_promise("there are more")
        if self.max_columns is not None and width > self.max_columns:
            raise StepInputError(f"{self.owner}: {width} columns are more than max_cols ({self.max_columns})")
        if self.max_rows is not None and rows > self.max_rows:
            raise StepInputError(f"{self.owner}: there are more rows than max_rows ({self.max_rows})")
        if self.left + width - 1 > MAX_COLUMN:
            raise WorkbookError(f"{self.owner}: {width} columns do not fit: a sheet ends at column {MAX_COLUMN} (XFD)")
        if self.top + rows - 1 > MAX_ROW:
            raise WorkbookError(
                f"{self.owner}: the rows do not fit: a sheet ends at row {MAX_ROW}",
                fix="write fewer rows, or several sheets or files",
            )

    def take(self, most: int) -> tuple[Sequence[Column], int]:
        """Take up to `most` of the next rows: their columns and number. Only valid while `next_row` is not None."""
        left = self._rows - self._at
        if self._at == 0 and left <= most:
            columns, count = self._columns, left
        else:
            count = min(left, most)
            start, end = self._at, self._at + count
            columns = [
                column._replace(contents=column.contents[start:end], kinds=column.kinds[start:end])
                for column in self._columns
            ]
        self._at += count
        self.written += count
        return columns, count

    def take_row(self) -> list[tuple[str, str]]:
        """Take the next row: kind and content of each cell."""
        index = self._at
        self._at += 1
        self.written += 1
        return [column.cell(index) for column in self._columns]


def fixed(*rows: Sequence[Any]) -> Iterator[Chunk]:
    """The given rows, of equal length, as the chunks of a block."""
    if rows:
        yield Chunk(list(zip(*rows, strict=True)), len(rows))
