"""One sheet moved as a stream: the frame before its rows, each row, the frame behind them."""

from aetherflow_builtins_reports.package.markup import Edits, parse
from aetherflow_builtins_reports.package.refs import quoted
from aetherflow_builtins_reports.package.sheet_stream import Row
from aetherflow_builtins_reports.package.workbook import Sheet
from aetherflow_builtins_reports.shift.marks import Marks
from aetherflow_builtins_reports.shift.moves import Shift
from aetherflow_builtins_reports.shift.rows import ShiftedRows


class ShiftedSheet:
    """Moves what a SheetStream reads from a sheet, in its order: one that gets rows, or one that refers to such a one.

    What does not change comes back as the same bytes.
    """

    def __init__(self, shift: Shift, sheet: Sheet, prefix: str) -> None:
        self._shift = shift
        self._sheet = sheet
        self._prefix = prefix
        self._rows = ShiftedRows(shift, sheet.name, prefix)

    def head(self, raw: bytes) -> bytes:
        """The frame before the rows, which ends with the start tag of the rows section."""
        closing = f"</{self._prefix}sheetData></{self._prefix}worksheet>".encode()
        return self._moved(raw + closing)[: -len(closing)]

    def row(self, row: Row) -> Row | None:
        """A row where it belongs now; None if it is pushed out of the sheet, which only an empty one may be."""
        return self._rows.row(row)

    def tail(self, raw: bytes) -> bytes:
        """The frame behind the rows, which begins with the end tag of the rows section."""
        opening = f"<{self._prefix}worksheet><{self._prefix}sheetData>".encode()
        return self._moved(opening + raw)[len(opening) :]

    def _moved(self, frame: bytes) -> bytes:
        edits = Edits(frame)
        Marks(self._sheet.name, self._shift, f"sheet {quoted(self._sheet.name)}").move(parse(frame), edits)
        return edits.apply()
