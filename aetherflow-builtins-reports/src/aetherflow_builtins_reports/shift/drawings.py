"""Moves pictures, charts and shapes: they move and stretch with their cells, or stay, by their `editAs`."""

from collections.abc import Callable

from aetherflow_builtins_reports.package.markup import Edits, Element, parse
from aetherflow_builtins_reports.package.template import Template
from aetherflow_builtins_reports.shift.heights import RowHeights
from aetherflow_builtins_reports.shift.marks import Marks
from aetherflow_builtins_reports.shift.moves import Moves, Shift, moved_end, moved_row


def shift_drawing(data: bytes, own_sheet: str | None, shift: Shift, where: str, template: Template) -> bytes:
    """A drawing part after the insertions."""
    root, edits = parse(data), Edits(data)
    Marks(own_sheet, shift, where).move(root, edits)
    moves = shift.of(own_sheet)
    sheet = template.workbook.find_sheet(own_sheet) if own_sheet else None
    if moves and sheet is not None:
        known: list[RowHeights] = []

        def heights() -> RowHeights:
            if not known:
                known.append(RowHeights.read(template, sheet))
            return known[0]

        for element in root.walk():
            if element.local in {"twoCellAnchor", "oneCellAnchor"}:
                _move_anchor(edits, element, moves, heights)
    return edits.apply()


def _move_anchor(edits: Edits, anchor: Element, moves: Moves, heights: Callable[[], RowHeights]) -> None:
    start, end = (_marker(anchor.first(name)) for name in ("from", "to"))
    if start is None:
        return
    (row, offset, row_element, offset_element) = start
    behaviour = anchor.attributes.get("editAs", "twoCell") if end is not None else "oneCell"
    new = moved_row(moves, row)
    if end is None:
        _put(edits, row_element, row, new)
        return
    last, last_offset, last_element, last_offset_element = end
    new_last = max(new, moved_end(moves, last, last_offset))
    if behaviour == "twoCell" or (behaviour == "oneCell" and new_last - last == new - row):
        _put(edits, row_element, row, new)
        _put(edits, last_element, last, new_last)
    elif new_last != last:
        old_heights = heights()
        new_heights = old_heights.moved(moves)
        position, height = old_heights.top(row) + offset, old_heights.top(last) + last_offset
        height -= position
        if behaviour == "oneCell":
            _put(edits, row_element, row, new)
            position = new_heights.top(new) + offset
        else:
            new, new_offset = new_heights.find(position)
            _put(edits, row_element, row, new)
            _put(edits, offset_element, offset, new_offset)
        new_last, new_last_offset = new_heights.find(position + height)
        _put(edits, last_element, last, new_last)
        _put(edits, last_offset_element, last_offset, new_last_offset)


def _marker(element: Element | None) -> tuple[int, int, Element, Element | None] | None:
    row = element.first("row") if element is not None else None
    if element is None or row is None:
        return None
    offset = element.first("rowOff")
    try:
        return int(row.text), int(offset.text) if offset is not None else 0, row, offset
    except ValueError:
        return None


def _put(edits: Edits, element: Element | None, old: int, new: int) -> None:
    if element is not None and old != new and not element.empty:
        edits.replace(element.tag_end, element.inner_end, str(new).encode())
