"""Room for the rows of regions: how many rows go in where, told in rows of the template before the first is written."""

from dataclasses import dataclass

from aetherflow_builtins_reports.errors import WorkbookError
from aetherflow_builtins_reports.package.refs import MAX_ROW
from aetherflow_builtins_reports.package.workbook import Sheet
from aetherflow_builtins_reports.shift.moves import Insertion, Moves, Shrink


@dataclass(frozen=True, slots=True)
class Room:
    owner: str
    row: int
    """The row of the template that moves down, and all below it."""
    count: int
    left: int
    right: int
    grow: bool
    """Whether ranges that end above `row` reach over the new rows."""
    first: int = 0
    """The first row of data of a target that grows."""

    def fills(self, row: int) -> bool:
        """Whether new rows above a row of the template are among those that the target fills."""
        return self.row == row or (self.grow and self.first < row < self.row)


class SheetRoom:
    """The room on one sheet. Targets side by side, which need it at the same row, share it."""

    def __init__(self, sheet: Sheet) -> None:
        self.sheet = sheet
        self._wanted: list[Room] = []
        self._satisfied: list[Room] = []
        """Targets that could grow but have rows enough, beside which others may grow."""
        self._shrinks: list[Shrink] = []
        self._moves: Moves | None = None

    def need(self, room: Room) -> None:
        """Make room for a target."""
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
        """Let ranges that end with the rows of data from `first` to `last` end at `new_last`."""
        if new_last < last:
            self._shrinks.append(Shrink(first, last, new_last))
            self._moves = None

    @property
    def moves(self) -> Moves:
        """Where the rows of the template end up."""
        if self._moves is None:
            rows = sorted({room.row for room in self._wanted})
            self._moves = Moves([Insertion(row, self._count(row), self._grows(row)) for row in rows], self._shrinks)
        return self._moves

    def _count(self, row: int) -> int:
        return max((room.count for room in self._wanted if room.row == row), default=0)

    def _grows(self, row: int) -> bool:
        return any(room.grow for room in self._wanted if room.row == row)

    def row(self, number: int) -> int:
        """Where a row of the template ends up."""
        moved = self.moves.row(number)
        if moved is None:
            raise WorkbookError(
                f"sheet {self.sheet.name!r}: row {number} of the template would move below row {MAX_ROW}, the last one",
                fix="write fewer rows, or use mode: data_sheet",
            )
        return moved

    def start(self, row: int) -> int:
        """The first of the rows that go in above a row of the template; without such rows, where that row ends up."""
        return self.row(row) - self._count(row)

    @property
    def grown(self) -> list[tuple[int, int, list[tuple[int, int]]]]:
        """New rows that repeat the row above them: (first, last, the columns that targets fill)."""
        rows = sorted({room.row for room in self._wanted if room.grow})
        return [
            (
                self.start(row),
                self.row(row) - 1,
                [(each.left, each.right) for each in [*self._wanted, *self._satisfied] if each.fills(row)],
            )
            for row in rows
        ]
