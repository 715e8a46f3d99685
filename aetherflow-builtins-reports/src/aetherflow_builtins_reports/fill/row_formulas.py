"""Copies a formula to other rows: references without `$` move with the row."""

from collections.abc import Sequence

from aetherflow_builtins_reports.cells.casting import Formula
from aetherflow_builtins_reports.errors import WorkbookError
from aetherflow_builtins_reports.shift.references import FormulaError, Point, pieces


class RowFormula:
    """A formula (without `=`) of one row, to be copied to other rows; WorkbookError if it cannot be read."""

    def __init__(self, text: str, row: int, where: str) -> None:
        self.offsets: list[int] = []
        """For each `%s` in `template`, the number to add to the row number."""
        parts = []
        try:
            for piece in pieces(text):
                if isinstance(piece, str):
                    parts.append(piece.replace("%", "%%"))
                    continue
                parts += [piece.prefix.replace("%", "%%"), self._point(piece.first, row)]
                if piece.last is not None:
                    parts += [":", piece.last_prefix.replace("%", "%%"), self._point(piece.last, row)]
        except FormulaError as error:
            raise WorkbookError(f"{where}: {error}", fix="write the formula in another way") from error
        self.template = "".join(parts)
        """The formula with `%s` in place of relative row numbers."""

    def _point(self, point: Point, row: int) -> str:
        if not point.row or point.fixed:
            return str(point)
        self.offsets.append(point.row - row)
        return f"{point.column}%s"

    def column(self, rows: Sequence[int]) -> list[Formula]:
        """The formula copied to each of the rows."""
        if not self.offsets:
            return [Formula(self.template % ())] * len(rows)
        return [Formula(self.template % tuple(row + offset for offset in self.offsets)) for row in rows]
