"""The arithmetic of inserted rows: new row numbers on one sheet, and for a whole workbook."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

from aetherflow_builtins_reports.errors import WorkbookError
from aetherflow_builtins_reports.package.refs import MAX_ROW, Area
from aetherflow_builtins_reports.package.workbook import Sheet, Workbook

_LISTED_WARNINGS = 5


@dataclass(frozen=True, slots=True)
class Insertion:
    """`count` new rows are inserted above template row `row`."""

    row: int
    count: int
    grow: bool = False
    """Whether references that end at the row above, the style row, are extended to the last new row."""


@dataclass(frozen=True, slots=True)
class Shrink:
    """A block of data, header included, that becomes shorter: its end moves from row `last` to `new_last`."""

    first: int
    last: int
    new_last: int


class Moves:
    """The insertions and shrinks of one sheet, in any order. All given row numbers are those of the template."""

    def __init__(self, insertions: Sequence[Insertion], shrinks: Sequence[Shrink] = ()) -> None:
        self.insertions = tuple(sorted((each for each in insertions if each.count > 0), key=lambda each: each.row))
        self._rows = [each.row for each in self.insertions]
        self._totals = [0, *accumulate(each.count for each in self.insertions)]
        self._grown = {each.row - 1 for each in self.insertions if each.grow}
        self._shrunk = {each.last: each for each in shrinks}

    def __bool__(self) -> bool:
        return bool(self.insertions or self._shrunk)

    @property
    def first(self) -> int:
        """The first row that moves or follows emptied rows; MAX_ROW + 1 if there is none."""
        return min([*self._rows[:1], *(each + 1 for each in self._shrunk)], default=MAX_ROW + 1)

    def row(self, number: int) -> int | None:
        """The new number of a row; None if it is pushed out of the sheet."""
        moved = number + self._totals[bisect_right(self._rows, number)]
        return moved if moved <= MAX_ROW else None

    @property
    def any_grows(self) -> bool:
        """Whether any insertion extends references."""
        return bool(self._grown)

    def grows(self, row: int) -> bool:
        """Whether a row is the last row of a block that becomes longer or shorter."""
        return row in self._grown or row in self._shrunk

    def span(self, top: int, bottom: int, *, grow: bool = True) -> tuple[int, int] | None:
        """The new rows of a range, None if it is pushed out of the sheet; `grow`: its end follows the data's end."""
        if top == 1 and bottom == MAX_ROW:
            return top, bottom  # whole columns stay whole
        shrunk = self._shrunk.get(bottom) if grow else None
        if shrunk is not None and shrunk.first <= top <= shrunk.new_last:
            bottom = shrunk.new_last
        first = self.row(top)
        if first is None:
            return None
        last = self.row(bottom + 1) if grow and bottom in self._grown else self.row(bottom)
        if grow and bottom in self._grown:
            last = last - 1 if last is not None else None
        return first, last or MAX_ROW

    def area(self, area: Area, *, grow: bool = True) -> Area | None:
        """The new place of an area; None if it is pushed out of the sheet."""
        rows = self.span(area.top, area.bottom, grow=grow)
        return Area(rows[0], area.left, rows[1], area.right) if rows else None

    def changes(self, top: int, bottom: int) -> bool:
        """Whether a range of rows moves or changes its length."""
        return self.span(top, bottom) != (top, bottom)

    def inside(self, top: int, bottom: int) -> bool:
        """Whether rows are inserted between the rows of a range."""
        return any(top < row <= bottom for row in self._rows)


def moved_row(moves: Moves, row: int) -> int:
    """The new number of a row, both counted from 0; the last row of the sheet if it is pushed out."""
    return (moves.row(row + 1) or MAX_ROW) - 1


def moved_end(moves: Moves, row: int, offset: int) -> int:
    """Like `moved_row`, for a lower edge: with offset 0 it is the lower edge of the row above and moves with that."""
    return moved_row(moves, row - 1) + 1 if row and not offset else moved_row(moves, row)


class Shift:
    """The insertions of a whole workbook. `moves` maps the parts of its sheets to their Moves."""

    def __init__(self, workbook: Workbook, moves: Mapping[str, Moves]) -> None:
        self.workbook = workbook
        self.name = workbook.archive.name
        self.sheets: list[Sheet] = [sheet for sheet in workbook.sheets if moves.get(sheet.part)]
        """The sheets whose rows change."""
        self._by_name = {sheet.name.casefold(): moves[sheet.part] for sheet in self.sheets}
        self._index = {sheet.name.casefold(): sheet.index for sheet in workbook.sheets}
        self._warned: dict[str, list[str]] = {}
        self.lowest = min((each.first - 1 for each in self._by_name.values()), default=MAX_ROW + 1)
        """The lowest row number that can be affected; numbers below it are safe in every formula."""

        self.any_grows = any(each.any_grows for each in self._by_name.values())
        """Whether any range can be extended."""

    def __bool__(self) -> bool:
        return bool(self.sheets)

    def of(self, sheet: str | None) -> Moves | None:
        """The moves of a sheet, by its name in any case; None if its rows do not change."""
        return self._by_name.get(sheet.casefold()) if sheet is not None else None

    def is_sheet(self, name: str) -> bool:
        """Whether the workbook has a sheet of that name."""
        return name.casefold() in self._index

    def between(self, first: str, last: str) -> list[Moves]:
        """The moves of all changed sheets from `first` to `last`, in the order of the workbook."""
        ends = [self._index.get(each.casefold(), -1) for each in (first, last)]
        return [self._by_name[sheet.name.casefold()] for sheet in self.sheets if min(ends) <= sheet.index <= max(ends)]

    def error(self, where: str, what: str, fix: str = "") -> WorkbookError:
        """A WorkbookError about a place that cannot be adapted, for the caller to raise."""
        return WorkbookError(f"{self.name}: {where}: {what}", fix=fix)

    def warn(self, what: str, where: str) -> None:
        """Collect a warning about a place that may be wrong after the shift."""
        places = self._warned.setdefault(what, [])
        if where not in places:
            places.append(where)

    @property
    def warnings(self) -> list[str]:
        """The collected warnings, one line per kind, each with its first places."""
        lines = []
        for what, places in self._warned.items():
            more = f" and {len(places) - _LISTED_WARNINGS} more" if len(places) > _LISTED_WARNINGS else ""
            lines.append(f"{what}: {', '.join(places[:_LISTED_WARNINGS])}{more}")
        return lines
