"""Rewrites a sheet as a stream: merges the rows of the template and the rows of the blocks by row number."""

import re
from collections.abc import Callable, Iterator, Sequence

from aetherflow_builtins_reports.cells.rows import Markup
from aetherflow_builtins_reports.fill.block import Block
from aetherflow_builtins_reports.fill.formulas import SharedFormulas, stored_result
from aetherflow_builtins_reports.fill.row_patterns import Repeats
from aetherflow_builtins_reports.package.markup import whole
from aetherflow_builtins_reports.package.refs import MAX_ROW, cell_name
from aetherflow_builtins_reports.package.sheet_stream import Row, row_start
from aetherflow_builtins_reports.package.styles import DATE, DATETIME, TIME, Look, Styles

_BARE_ROWS = 500
_UNPLACED = re.compile(rb"""\A<(?:[\w.-]+:)?c(?=[\s/>])(?![^>]*\sr\s*=)""")
"""The start of a cell without a reference."""
_DATE_CODES = {"d": DATE, "s": DATETIME, "h": TIME}


class ColumnStyles:
    """The formats of a sheet's columns, which apply to cells that the XML does not contain."""

    def __init__(self, columns: Sequence[tuple[int, int, int]]) -> None:
        self._ranges = columns

    def of(self, column: int) -> int:
        return next((style for first, last, style in self._ranges if first <= column <= last), 0)


class SheetWriter:
    """Merges blocks into the rows of a sheet."""

    def __init__(
        self,
        prefix: str,
        styles: Styles,
        columns: ColumnStyles,
        write: Callable[[bytes], None],
        *,
        drop_results: bool = False,
        repeats: Repeats | None = None,
    ) -> None:
        self._markup = Markup(prefix)
        self._prefix = prefix
        self._styles = styles
        self._columns = columns
        self._write = write
        self._memo: dict[tuple[int, str, Look, bool], int] = {}
        self._shared = SharedFormulas(prefix)
        self._results = stored_result(prefix) if drop_results else None
        self._repeats = repeats or Repeats([], prefix, "")

    def merge(self, rows: Iterator[Row], blocks: Sequence[Block]) -> None:
        following = next(rows, None)
        while True:
            starts = [(block.next_row, block) for block in blocks]
            open_starts = [(row, block) for row, block in starts if row is not None]
            block_row = min((row for row, _ in open_starts), default=MAX_ROW + 1)
            template_row = following.number if following is not None else MAX_ROW + 1
            repeated_row = self._repeats.next_row
            if min(block_row, template_row, repeated_row) > MAX_ROW:
                return
            if following is not None and template_row < min(block_row, repeated_row):
                self._template_row(following, blocks)
                following = next(rows, None)
                continue
            if repeated_row < block_row:
                self._bare_rows(repeated_row, min(block_row, template_row) - repeated_row)
                continue
            here = [block for row, block in open_starts if row == block_row]
            if len(here) == 1 and template_row > block_row:
                others = min((row for row, _ in open_starts if row != block_row), default=MAX_ROW + 1)
                self._rows(here[0], block_row, min(others, template_row) - block_row)
            else:
                taken = following if template_row == block_row else None
                self._merged_row(block_row, taken, here, blocks)
                if taken is not None:
                    following = next(rows, None)

    def _without_results(self, raw: bytes) -> bytes:
        return raw if self._results is None else self._results.sub(rb"\1", raw)

    # New rows

    def _rows(self, block: Block, row: int, most: int) -> None:
        columns, count = block.take(min(most, self._repeats.alike(row)))
        around = self._repeats.around(row, block.left, block.left + len(columns) - 1)
        text = self._markup.rows(
            row, block.left, columns, count, lambda kind, index: self._new_style(block, kind, index), around
        )
        self._write(text.encode("utf-8"))
        self._repeats.done(row + count - 1)

    def _bare_rows(self, row: int, most: int) -> None:
        """Write new rows without data of a block: only repeated formats and formulas."""
        count = min(most, self._repeats.alike(row))
        around = self._repeats.around(row, 1, 0)
        for first in range(row, row + count, _BARE_ROWS):
            some = min(_BARE_ROWS, row + count - first)
            self._write(self._markup.rows(first, 1, (), some, lambda *_: 0, around).encode("utf-8"))
        self._repeats.done(row + count - 1)

    def _new_style(self, block: Block, kind: str, index: int) -> int:
        if block.styles is None and not kind and block.look == Look():
            return 0  # a blank cell has the format of its column anyway
        return self._style(block, kind, index, None)

    def _style(self, block: Block, kind: str, index: int, base: int | None) -> int:
        """The format of a cell; `base` is the template's format there, None if only the column has one."""
        if block.styles is not None:
            base = block.styles[index] if index < len(block.styles) else 0
        elif base is None:
            base = self._columns.of(block.left + index)
        key = (base, kind, block.look, block.keep_number_formats)
        found = self._memo.get(key)
        if found is None:
            found = base
            if kind in _DATE_CODES:
                found = self._styles.with_date(found, _DATE_CODES[kind], keep=block.keep_number_formats)
            found = self._styles.derive(found, block.look)
            self._memo[key] = found
        return found

    # Rows of the template

    def _template_row(self, row: Row, blocks: Sequence[Block]) -> None:
        self._repeats.see(row)
        cleared = self._stale_columns(row, blocks)
        if cleared:
            self._write_row(row.number, row, {}, cleared)
        elif self._shared.orphaned and row.cells is not None and self._shared.concern(row.cells):
            self._write_row(row.number, row, {}, set())
        else:
            self._write(self._without_results(row.raw))

    @staticmethod
    def _stale_columns(row: Row, blocks: Sequence[Block]) -> set[int]:
        """Columns in which the row directly follows a finished block and is a remainder of an older, longer one."""
        found: set[int] = set()
        for block in blocks:
            if block.next_row is not None or row.cells is None or not block.width:
                continue
            follows = block.clear_below and row.number == block.top + block.written + block.cleared
            if not follows and not block.top + block.written <= row.number <= block.clear_through:
                continue
            columns = range(block.left, block.left + block.width)
            stale = {cell.column for cell in row.cells if cell.column in columns and cell.has_content}
            if stale:
                found |= stale
                block.cleared += 1
        return found

    def _merged_row(self, number: int, row: Row | None, here: Sequence[Block], blocks: Sequence[Block]) -> None:
        new: dict[int, str] = {}
        known = {cell.column: cell.style for cell in row.cells or ()} if row else {}
        row_style = row.style if row else None
        for block in blocks:  # in this order: the later block wins
            if block not in here:
                continue
            for index, (kind, content) in enumerate(block.take_row()):
                if kind == "-":
                    continue
                column = block.left + index
                style = self._style(block, kind, index, known.get(column, row_style))
                if not kind and column not in known and block.styles is None:
                    style = 0
                new[column] = self._markup.cell(number, column, kind, content, style)
        self._write_row(number, row, new, set())

    def _write_row(self, number: int, row: Row | None, new: dict[int, str], cleared: set[int]) -> None:
        parts = {column: text.encode("utf-8") for column, text in new.items()}
        if row is None:
            for column, text in self._repeats.cells(number, set(new)).items():
                parts[column] = text.encode("utf-8")
        else:
            self._repeats.see(row)
        for cell in (row.cells or ()) if row else ():
            if cell.column in parts:
                self._shared.dropped(cell, number)
            elif cell.column in cleared:
                self._shared.dropped(cell, number)
                parts[cell.column] = self._markup.cell(number, cell.column, "", "", cell.style).encode()
            else:
                kept = self._without_results(self._shared.kept(cell, number))
                # a cell before it may go: without a reference it would then count as that one
                parts[cell.column] = _UNPLACED.sub(rb'\g<0> r="%s"' % cell_name(number, cell.column).encode(), kept)
        start = row_start(row, self._prefix) if row else self._repeats.start(number).encode("utf-8")
        body = b"".join(parts[column] for column in sorted(parts))
        self._write(start + body + f"</{self._prefix}row>".encode())
        self._repeats.done(number)


def column_styles(columns: Sequence[dict[str, str]]) -> ColumnStyles:
    """The formats of columns, from the attributes of `<col>` elements."""
    ranges = [
        (whole(each.get("min", "")), whole(each.get("max", "")), whole(each.get("style", "0"))) for each in columns
    ]
    return ColumnStyles([each for each in ranges if each[2]])
