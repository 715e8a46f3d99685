"""Moves elements with their own row numbering: page breaks, first visible rows, anchors of controls."""

from collections.abc import Callable
from typing import TypeAlias

from aetherflow_builtins_reports.package.markup import Element, whole
from aetherflow_builtins_reports.package.refs import MAX_ROW, cell_name, parse_cell
from aetherflow_builtins_reports.shift.moves import Moves, moved_end, moved_row
from aetherflow_builtins_reports.shift.pending import Pending

_YES = {"1", "true"}
_FROZEN = {"frozen", "frozenSplit"}


def _move_row_breaks(breaks: Element, moves: Moves, pending: Pending) -> None:
    """Move row breaks: the id of a break is the row above it, but it moves with the row below it."""
    for each in breaks.named("brk"):
        row = whole(each.attributes.get("id", "0")) + 1
        new = moves.row(row)
        if new is None:
            pending.remove(each)
        elif new != row:
            pending.set(each, {"id": str(new - 1)})


def _move_column_breaks(breaks: Element, moves: Moves, pending: Pending) -> None:
    """Move column breaks that are limited to some rows."""
    for each in breaks.named("brk"):
        first, last = whole(each.attributes.get("min", "0")), whole(each.attributes.get("max", "0"))
        span = moves.span(first + 1, last + 1) if 0 < last < MAX_ROW - 1 else None
        if span is not None:
            lower = {"min": str(span[0] - 1)} if span[0] - 1 != first else {}
            pending.set(each, {**lower, "max": str(span[1] - 1)})


def _move_view(view: Element, moves: Moves, pending: Pending) -> None:
    """Move the first visible row, so that inserted rows are visible, and the number of frozen rows."""
    _move_corner(view, moves, pending)
    pane = view.first("pane")
    if pane is None:
        return
    _move_corner(pane, moves, pending)
    split = pane.attributes.get("ySplit", "")
    if pane.attributes.get("state") not in _FROZEN or not split.isdecimal():
        return
    corner = parse_cell(view.attributes.get("topLeftCell", ""))
    above = corner[0] - 1 if corner else 0  # rows above the frozen ones, which cannot be scrolled to
    last, new_above = moves.row(above + whole(split)), moves.row(above) if above else 0
    if last is not None and new_above is not None:
        pending.set(pane, {"ySplit": str(last - new_above)})


def _move_corner(element: Element, moves: Moves, pending: Pending) -> None:
    corner = parse_cell(element.attributes.get("topLeftCell", ""))
    if corner is None or corner[0] == 1:
        return
    above = moves.row(corner[0] - 1)
    if above is not None and above < MAX_ROW:
        pending.set(element, {"topLeftCell": cell_name(above + 1, corner[1])})


def _move_anchor(anchor: Element, moves: Moves, pending: Pending) -> None:
    """Move the anchor of a control that moves with its cells."""
    start, end = _marker(anchor.first("from")), _marker(anchor.first("to"))
    if start is None or end is None or anchor.attributes.get("moveWithCells") not in _YES:
        return
    new = moved_row(moves, start[0])
    sizes = anchor.attributes.get("sizeWithCells") in _YES
    last = max(new, moved_end(moves, end[0], end[1])) if sizes else end[0] + new - start[0]
    pending.write(start[2], str(new))
    pending.write(end[2], str(last))


def _marker(element: Element | None) -> tuple[int, int, Element] | None:
    """Row from 0, offset in it, and the element with the row; None if they are missing."""
    row = element.first("row") if element is not None else None
    if element is None or row is None or not row.text.strip().isdecimal():
        return None
    offset = element.first("rowOff")
    return whole(row.text), whole(offset.text) if offset is not None else 0, row


Move: TypeAlias = Callable[[Element, Moves, Pending], None]
COUNTED: dict[str, Move] = {
    "rowBreaks": _move_row_breaks,
    "colBreaks": _move_column_breaks,
    "sheetView": _move_view,
    "customSheetView": _move_view,
    "anchor": _move_anchor,
}
"""Functions by the local name of the element."""
