"""The vertical position of rows on a sheet, in EMU (English Metric Units), before and after insertions."""

from aetherflow_builtins_reports.package.markup import parse
from aetherflow_builtins_reports.package.refs import MAX_ROW
from aetherflow_builtins_reports.package.sheet_stream import Row
from aetherflow_builtins_reports.package.template import Template
from aetherflow_builtins_reports.package.workbook import Sheet
from aetherflow_builtins_reports.shift.moves import Moves

_UNITS_PER_POINT = 12_700
_DEFAULT_POINTS = 15.0


class RowHeights:
    """The row heights of one sheet in EMU; rows are counted from 0, as in drawings."""

    def __init__(self, default: int, own: dict[int, int]) -> None:
        self._default = default
        self._own = dict(sorted(own.items()))

    @classmethod
    def read(cls, template: Template, sheet: Sheet) -> "RowHeights":
        """The heights of a sheet of the template."""
        stream, events = template.events(sheet)
        head = next(events)
        closing = f"</{stream.prefix}sheetData></{stream.prefix}worksheet>".encode()
        properties = parse(head.raw + closing).first("sheetFormatPr")
        default = _height(properties.attributes, "defaultRowHeight", "zeroHeight") if properties else None
        rows = ((row.number, _height(row.attributes, "ht", "hidden")) for row in events if isinstance(row, Row))
        own = {number - 1: height for number, height in rows if height is not None}
        return cls(_units(_DEFAULT_POINTS) if default is None else default, own)

    def moved(self, moves: Moves) -> "RowHeights":
        """The heights after rows of the default height were inserted."""
        new = {number: moves.row(row + 1) for row, number in ((row, row) for row in self._own)}
        return RowHeights(self._default, {moved - 1: self._own[row] for row, moved in new.items() if moved is not None})

    def top(self, row: int) -> int:
        own = [height for number, height in self._own.items() if number < row]
        return (row - len(own)) * self._default + sum(own)

    def find(self, position: int) -> tuple[int, int]:
        """The row at a position, and the distance of the position from the row's top."""
        row = at = 0
        for number, height in self._own.items():
            plain = (number - row) * self._default
            if at + plain > position:
                break
            at, row = at + plain, number
            if at + height > position:
                return row, position - at
            at, row = at + height, number + 1
        if self._default <= 0:
            return min(row, MAX_ROW - 1), 0
        rows, rest = divmod(position - at, self._default)
        return min(row + rows, MAX_ROW - 1), rest


def _height(attributes: dict[str, str], key: str, hidden: str) -> int | None:
    if attributes.get(hidden) in {"1", "true"}:
        return 0
    return _units(float(attributes[key])) if key in attributes else None


def _units(points: float) -> int:
    return round(points * _UNITS_PER_POINT)
