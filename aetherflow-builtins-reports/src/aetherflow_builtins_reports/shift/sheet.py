"""Shifts one sheet as a stream: the frame before its rows, each row, and the frame after them."""

from aetherflow_builtins_reports.package.markup import Edits, parse
from aetherflow_builtins_reports.package.refs import quoted
from aetherflow_builtins_reports.package.sheet_stream import Row
from aetherflow_builtins_reports.package.workbook import Sheet
from aetherflow_builtins_reports.shift.marks import Marks
from aetherflow_builtins_reports.shift.moves import Shift
from aetherflow_builtins_reports.shift.rows import ShiftedRows


class ShiftedSheet:
    """Shifts the events of a SheetStream, in their order: of a sheet that gets rows or refers to one that does.

    Unchanged content is returned as the same bytes.
    """

    def __init__(self, shift: Shift, sheet: Sheet, prefix: str) -> None:
        self._shift = shift
        self._sheet = sheet
        self._prefix = prefix
        self._rows = ShiftedRows(shift, sheet.name, prefix)

    def head(self, raw: bytes) -> bytes:
        """Shift the frame before the rows, which ends with the start tag of `sheetData`."""
        closing = f"</{self._prefix}sheetData></{self._prefix}worksheet>".encode()
        return self._moved(raw + closing)[: -len(closing)]

    def row(self, row: Row) -> Row | None:
        """The shifted row; None if it is empty and pushed out of the sheet. WorkbookError if it has content."""
        return self._rows.row(row)

    def tail(self, raw: bytes) -> bytes:
        """Shift the frame after the rows, which starts with the end tag of `sheetData`."""
        opening = f"<{self._prefix}worksheet><{self._prefix}sheetData>".encode()
        return self._moved(opening + raw)[len(opening) :]

    def _moved(self, frame: bytes) -> bytes:
        edits = Edits(frame)
        Marks(self._sheet.name, self._shift, f"sheet {quoted(self._sheet.name)}").move(parse(frame), edits)
        return edits.apply()
