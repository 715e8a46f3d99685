"""Shifts the references of formulas, and copies formulas to other cells. Unreadable formulas are errors."""

import re
from typing import Literal, TypeAlias

from aetherflow_builtins_reports.package.refs import MAX_COLUMN, MAX_ROW, letters, number
from aetherflow_builtins_reports.shift.aggregates import added_up
from aetherflow_builtins_reports.shift.moves import Moves, Shift
from aetherflow_builtins_reports.shift.references import FormulaError, Point, Reference, pieces

Growth: TypeAlias = Literal["ranges", "all", "absolute", "others", "none"]
"""Which references are extended over rows that are inserted below their end: `ranges`: ranges and aggregated cells;
`all`: also all single cells (charts); `absolute`: ranges whose last row has a `$` (formulas that exist per row);
`others`: ranges of other sheets (formulas in the style row); `none`: none."""

_NUMBER = re.compile(r"\d+")
_INDIRECT = re.compile(r"\bINDIRECT\(", re.IGNORECASE)
_SHEET = re.compile(r"(?:'((?:[^']|'')+)'|([^'!]+))!")
_LOST = "#REF!"


def shift_formula(
    text: str,
    own_sheet: str | None,
    shift: Shift,
    where: str = "a formula",
    *,
    growth: Growth = "ranges",
    absolute_only: bool = False,
) -> str:
    """A formula (without `=`) after the insertions; WorkbookError that names `where` if it cannot be adapted safely.

    `own_sheet` is the sheet of references without one. With `absolute_only`, rows without `$` stay: in a defined name
    they are relative to the cell that uses the name.
    """
    if _INDIRECT.search(text):
        shift.warn("INDIRECT makes its reference out of text, which stays as it is", where)
    elif not may_change(text, own_sheet, shift):
        return text
    try:
        parts = pieces(text)
    except FormulaError as error:
        raise shift.error(
            where, str(error), "write the formula in another way, or move it to a sheet of its own"
        ) from error
    mover = _Mover(own_sheet, shift, where, growth, absolute_only)
    mover.added_up = added_up(parts) if shift.any_grows else set()
    moved = "".join(part if isinstance(part, str) else mover.moved(part, index) for index, part in enumerate(parts))
    return moved.replace(f"{_LOST}#", _LOST) if _LOST in moved else moved


def may_change(text: str, own_sheet: str | None, shift: Shift, reach: int = 0) -> bool:
    """A fast check: False if no reference of the formula, or of its copies up to `reach` rows below, can change."""
    if "!" not in text and shift.of(own_sheet) is None:
        return False
    return any(int(digits) + reach >= shift.lowest for digits in _NUMBER.findall(text))


def copy_formula(text: str, rows: int, columns: int) -> str:
    """A formula copied by `rows` down and `columns` right: references without `$` move, and wrap at the sheet's edges.

    FormulaError if it cannot be read.
    """

    def copied(point: Point) -> Point:
        row, column = point.row, point.column
        if row and not point.fixed:
            row = (row - 1 + rows) % MAX_ROW + 1
        if column and not column.startswith("$"):
            column = letters((number(column) - 1 + columns) % MAX_COLUMN + 1)
        return Point(column, point.fixed, row)

    def one(part: str | Reference) -> str:
        if isinstance(part, str):
            return part
        last = copied(part.last) if part.last else None
        return str(Reference(part.prefix, copied(part.first), last, part.last_prefix))

    return "".join(map(one, pieces(text)))


class _Mover:
    """Shifts the references of one formula."""

    def __init__(self, own_sheet: str | None, shift: Shift, where: str, growth: Growth, absolute_only: bool) -> None:
        self._own = own_sheet
        self._shift = shift
        self._where = where
        self._growth = growth
        self._absolute_only = absolute_only
        self.added_up: set[int] = set()
        """Indexes of the parts that are single cells and count as ranges."""
        self._as_range = False

    def moved(self, reference: Reference, index: int) -> str:
        self._as_range = index in self.added_up
        if not reference.first.row:
            return str(reference)  # whole columns
        moves, several = self._moves(reference.prefix)
        if not moves:
            return str(reference)
        new = self._range(reference, moves[0])
        if several and any(self._range(reference, each) != str(reference) for each in moves):
            raise self._shift.error(
                self._where,
                f"{reference} reaches over several sheets, and rows go into one of them only",
                "name each sheet in the formula, or insert no rows above the cells that it reads",
            )
        return str(reference) if several else new

    def _moves(self, prefix: str) -> tuple[list[Moves], bool]:
        """The moves of the sheets that a prefix names, and whether it names several sheets."""
        if not prefix:
            own = self._shift.of(self._own)
            return ([own] if own else []), False
        # the sheets of Jan:Mar!A1 and of 'Jan 1:Mar 1'!A1; a range over sheets cannot hold another workbook
        found = _SHEET.fullmatch(prefix)
        name = (found[1].replace("''", "'") if found[1] else found[2]) if found else prefix.strip("'!")
        name = name.removeprefix("[0]")
        if "[" in name:
            return [], False
        first, colon, last = name.partition(":")
        if not colon:
            own = self._shift.of(name)
            return ([own] if own else []), False
        last = last.strip("'")
        if self._shift.is_sheet(first):
            return self._shift.between(first, last), True
        if self._shift.of(last) or self._shift.of(self._own):
            raise self._shift.error(self._where, f"a range between {first} and another sheet cannot be moved")
        return [], True

    def _range(self, reference: Reference, moves: Moves) -> str:
        first, last = reference.first, reference.last or reference.first
        fixed = [point for point in (first, last) if point.fixed or not self._absolute_only]
        if not fixed:
            return str(reference)
        if len(fixed) == 1 and reference.last is not None:
            return self._half(reference, moves)
        low, high = sorted((first, last), key=lambda point: point.row)
        rows = moves.span(low.row, high.row, grow=self._grows(reference, high, moves))
        if rows is None:
            return _LOST  # without its sheet, which LibreOffice would not read
        points = [Point(low.column, low.fixed, rows[0]), Point(high.column, high.fixed, rows[1])]
        if low is reference.last:
            points.reverse()
        single = reference.last is None and rows[0] == rows[1]
        end = None if single else points[1]
        return str(Reference(reference.prefix, points[0], end, reference.last_prefix))

    def _half(self, reference: Reference, moves: Moves) -> str:
        """A range in a defined name of which only one end has a `$`."""
        ends = []
        for point in (reference.first, reference.last or reference.first):
            row = moves.row(point.row) if point.fixed else point.row
            if row is None:
                return _LOST  # without its sheet, which LibreOffice would not read
            ends.append(Point(point.column, point.fixed, row))
        return str(Reference(reference.prefix, ends[0], ends[1], reference.last_prefix))

    def _grows(self, reference: Reference, last: Point, moves: Moves) -> bool:
        if self._growth == "none" or not moves.grows(last.row):
            return False
        if self._growth == "others" and moves is self._shift.of(self._own):
            return False
        if self._growth == "absolute" and not last.fixed:
            return False
        if reference.loose:
            raise self._shift.error(
                self._where,
                f"{reference} is one end of a range whose other end is computed, so how far it should grow is unknown",
                "write both ends of the range as cells, or use insert: below",
            )
        return self._growth == "all" or self._as_range or reference.last is not None
