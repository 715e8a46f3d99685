"""The cells of new rows beside the data: height, formats and formulas are repeated from the row above."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from aetherflow_builtins_reports.cells.rows import Surroundings
from aetherflow_builtins_reports.escaping import escape
from aetherflow_builtins_reports.fill.row_formulas import RowFormula
from aetherflow_builtins_reports.package.markup import parse
from aetherflow_builtins_reports.package.refs import MAX_ROW, cell_name, letters, parse_area
from aetherflow_builtins_reports.package.sheet_stream import Cell, Row, row_start

_FORMULA = re.compile(rb"<(?:\w+:)?f[\s/>]")


@dataclass(frozen=True, slots=True)
class _Repeated:
    """A formula prepared for repetition."""

    attributes: str
    """Attributes that the formula requires on its cell."""
    markup: str
    """The XML of the formula, with `%s` for row numbers."""
    offsets: Sequence[int]
    """For each `%s`, the number to add to the row number."""


class RowPattern:
    """Repeats the formats and formulas of one row in rows below it; its texts and numbers are not repeated."""

    def __init__(self, row: Row | None, number: int, prefix: str, sheet: str) -> None:
        self._prefix = prefix
        self._cells: dict[int, tuple[str, _Repeated | None]] = {}
        start = row_start(row, prefix).decode() if row else f'<{prefix}row r="{number}">'
        self.start = start.replace("%", "%%").replace(f' r="{number}"', ' r="%s"', 1)
        """The start tag of a row, with `%s` for the row number."""
        for cell in (row.cells or ()) if row else ():
            formula = self._formula(cell, number, sheet)
            if formula is not None or cell.style:
                self._cells[cell.column] = (f' s="{cell.style}"' if cell.style else "", formula)

    def _formula(self, cell: Cell, number: int, sheet: str) -> _Repeated | None:
        if not _FORMULA.search(cell.raw):
            return None
        element = parse(cell.raw)
        formula = next((each for each in element.children if each.local == "f"), None)
        if formula is None or not formula.text.strip():
            return None
        start, offsets, attributes = f"<{self._prefix}f>", [], ""
        if formula.attributes.get("t", "normal") != "normal":
            area = parse_area(formula.attributes.get("ref", ""))
            if formula.attributes["t"] != "array" or area is None or area.top != area.bottom:
                return None
            # an array formula of a single row; Excel also writes one if a formula's result could be an array
            ends = [f"{letters(column)}%s" for column in sorted({area.left, area.right})]
            start, offsets = f'<{self._prefix}f t="array" ref="{":".join(ends)}">', [0] * len(ends)
            if "cm" in element.attributes:
                attributes = f' cm="{escape(element.attributes["cm"])}"'
        repeated = RowFormula(formula.text, number, f"'{sheet}'!{cell_name(number, cell.column)}")
        return _Repeated(
            attributes, f"{start}{escape(repeated.template)}</{self._prefix}f>", [*offsets, *repeated.offsets]
        )

    def pieces(self, columns: Iterable[int], *, formulas: bool) -> tuple[str, list[int]]:
        """The XML of the row's cells in `columns`, with `%s` for row numbers, and the number to add to each."""
        parts, offsets = [], []
        for column in columns:
            known = self._cells.get(column)
            if known is None:
                continue
            style, formula = known
            parts.append(f'<{self._prefix}c r="{letters(column)}%s"{style}')
            offsets.append(0)
            if formula is None or not formulas:
                parts.append("/>")
            else:
                parts.append(f"{formula.attributes}>{formula.markup}</{self._prefix}c>")
                offsets += formula.offsets
        return "".join(parts), offsets

    @property
    def columns(self) -> list[int]:
        """The columns in which the row has cells."""
        return sorted(self._cells)


@dataclass(slots=True)
class Repeat:
    """New rows that repeat the row above them."""

    first: int
    last: int
    filled: Sequence[tuple[int, int]]
    """(first, last) columns that targets fill; formulas are not repeated there."""
    pattern: RowPattern | None = None
    around: dict[tuple[int, int], Surroundings] = field(default_factory=dict)


class Repeats:
    """All repeated rows of one sheet. They must be requested from top to bottom."""

    def __init__(self, repeats: Sequence[Repeat], prefix: str, sheet: str) -> None:
        self._repeats = list(repeats)
        self._prefix = prefix
        self._sheet = sheet
        self._done = 0

    @property
    def next_row(self) -> int:
        """The next repeated row that was not written; MAX_ROW + 1 if there is none."""
        return max(self._repeats[0].first, self._done + 1) if self._repeats else MAX_ROW + 1

    def done(self, row: int) -> None:
        """Note that all rows up to this one were written."""
        self._done = row
        while self._repeats and self._repeats[0].last <= row:
            self._repeats.pop(0)

    def see(self, row: Row) -> None:
        """Note a row of the sheet before it is filled: it may be the pattern of the next repeated rows."""
        if self._repeats and row.number == self._repeats[0].first - 1:
            self._repeats[0].pattern = RowPattern(row, row.number, self._prefix, self._sheet)

    def alike(self, row: int) -> int:
        """How many rows, from this one on, are all repeated or all not repeated."""
        if not self._repeats:
            return MAX_ROW
        here = self._repeats[0]
        return here.first - row if row < here.first else here.last - row + 1

    def _at(self, row: int) -> Repeat | None:
        here = self._repeats[0] if self._repeats else None
        if here is None or row < here.first:
            return None
        if here.pattern is None:  # the template's XML does not contain the row above
            here.pattern = RowPattern(None, here.first - 1, self._prefix, self._sheet)
        return here

    def around(self, row: int, left: int, right: int) -> Surroundings | None:
        """The XML of a row beside the columns `left` to `right` of a block; None if the row is not repeated."""
        here = self._at(row)
        if here is None or here.pattern is None:
            return None
        found = here.around.get((left, right))
        if found is None:
            columns = here.pattern.columns
            before = self._pieces(here, here.pattern, [each for each in columns if each < left or right < left])
            behind = self._pieces(here, here.pattern, [each for each in columns if each > right >= left])
            found = here.around[left, right] = Surroundings(here.pattern.start, *before, *behind)
        return found

    @staticmethod
    def _pieces(repeat: Repeat, pattern: RowPattern, columns: Sequence[int]) -> tuple[str, list[int]]:
        parts, offsets = [], []
        for column in columns:
            taken = any(first <= column <= last for first, last in repeat.filled)
            text, more = pattern.pieces([column], formulas=not taken)
            parts.append(text)
            offsets += more
        return "".join(parts), offsets

    def start(self, row: int) -> str:
        """The start tag of a row."""
        here = self._at(row)
        return here.pattern.start % row if here and here.pattern else f'<{self._prefix}row r="{row}">'

    def cells(self, row: int, taken: set[int]) -> dict[int, str]:
        """The repeated cells of a row, by column, except in the columns `taken`."""
        here = self._at(row)
        if here is None or here.pattern is None:
            return {}
        found = {}
        for column in here.pattern.columns:
            if column not in taken:
                text, offsets = self._pieces(here, here.pattern, [column])
                found[column] = text % tuple(row + offset for offset in offsets)
        return found
