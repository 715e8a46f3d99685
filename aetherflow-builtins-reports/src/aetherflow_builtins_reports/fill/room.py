"""Room for the rows of regions: how many rows are inserted where. It is known before the first row is written."""

from dataclasses import dataclass

from aetherflow_builtins_reports.errors import WorkbookError
from aetherflow_builtins_reports.package.refs import MAX_ROW
from aetherflow_builtins_reports.package.workbook import Sheet
from aetherflow_builtins_reports.shift.moves import Insertion, Moves, Shrink


@dataclass(frozen=True, slots=True)
class Room:
    """Rows to insert for one target. All row numbers are those of the template."""

    owner: str
    row: int
    """The rows are inserted above this one."""
    count: int
    left: int
    right: int
    grow: bool
    """Whether ranges that end above `row` are extended over the new rows."""
    first: int = 0
    """The first row of data, if `grow`."""

    def fills(self, row: int) -> bool:
        """Whether the target fills new rows that are inserted above a row of the template."""
        return self.row == row or (self.grow and self.first < row < self.row)


class SheetRoom:
    """The room on one sheet. Targets side by side that insert at the same row share the new rows."""

    def __init__(self, sheet: Sheet) -> None:
        self.sheet = sheet
        self._wanted: list[Room] = []
        self._satisfied: list[Room] = []
        """Targets that could grow but need no new rows; others beside them may grow."""
        self._shrinks: list[Shrink] = []
        self._moves: Moves | None = None

    def need(self, room: Room) -> None:
        """Make room for a target; WorkbookError if another target inserts rows above the same cells."""
        if room.count < 1:
            if room.grow:
                self._satisfied.append(room)
            return
        for other in self._wanted:
            if other.row == room.row and other.left <= room.right and room.left <= other.right:
                raise WorkbookError(
                    f"{room.owner} and {other.owner} both put rows above row {room.row} of sheet {self.sheet.name!r}",
                    fix="give each a place of its own in the template, with a row between them",
                )
        self._wanted.append(room)
        self._moves = None

    def shrink(self, first: int, last: int, new_last: int) -> None:
        """Shorten ranges that end with the data rows `first` to `last` so that they end at `new_last`."""
        if new_last < last:
            self._shrinks.append(Shrink(first, last, new_last))
            self._moves = None

    @property
    def moves(self) -> Moves:
        """The row movements on this sheet."""
        if self._moves is None:
            rows = sorted({room.row for room in self._wanted})
            self._moves = Moves([Insertion(row, self._count(row), self._grows(row)) for row in rows], self._shrinks)
        return self._moves

    def _count(self, row: int) -> int:
        return max((room.count for room in self._wanted if room.row == row), default=0)

    def _grows(self, row: int) -> bool:
        return any(room.grow for room in self._wanted if room.row == row)

    def row(self, number: int) -> int:
        """The new number of a row of the template; WorkbookError if it would be past the last row."""
        moved = self.moves.row(number)
        if moved is None:
            raise WorkbookError(
                f"sheet {self.sheet.name!r}: row {number} of the template would move below row {MAX_ROW}, the last one",
                fix="write fewer rows, or use mode: data_sheet",
            )
        return moved

    def start(self, row: int) -> int:
        """The first new row above a row of the template; without new rows there, the row's own new number."""
        return self.row(row) - self._count(row)

    @property
    def grown(self) -> list[tuple[int, int, list[tuple[int, int]]]]:
        """New rows that repeat the row above them, as (first, last, column ranges that targets fill)."""
        rows = sorted({room.row for room in self._wanted if room.grow})
        return [
            (
                self.start(row),
                self.row(row) - 1,
                [(each.left, each.right) for each in [*self._wanted, *self._satisfied] if each.fills(row)],
            )
            for row in rows
        ]
