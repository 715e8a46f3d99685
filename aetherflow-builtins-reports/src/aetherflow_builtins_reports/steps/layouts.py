"""Computes the rows of a target's header and data, in rows of the template, and the rows to insert.

M: 1 if the anchor is a marker above the block. T: 1 if the template has a header. W: 1 if a header is written.
The block starts at r0 = anchor row + M; with H = max(T, W), data start at r0 + H.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from aetherflow.core.api import StepInputError
from aetherflow_builtins_reports.cells.casting import Dtype
from aetherflow_builtins_reports.errors import WorkbookError
from aetherflow_builtins_reports.fill.places import Place
from aetherflow_builtins_reports.fill.room import Room, SheetRoom
from aetherflow_builtins_reports.steps.fields import Target

_STYLE_OFFSET = 2


@dataclass(frozen=True, slots=True)
class Resolved:
    """The effective settings of a target, which depend on its step, its mode and its place."""

    insert: str
    header_mode: str
    marker: bool
    template_header: bool
    header: list[str] | None
    """The column names, if known; `header_mode` decides whether they are written."""
    types: tuple[list[Dtype], Dtype]
    clear_below: bool = False
    bold: bool = False
    autofilter: bool = False
    freeze: bool = False
    guarded: bool = True
    default_clear_width: Callable[[int, int], int] = field(default=max)
    """Computes the default of `header_clear_width` from the header's length and the block's width."""

    @property
    def writes_header(self) -> bool:
        return self.header_mode in {"override", "append"} and bool(self.header)


@dataclass(frozen=True, slots=True)
class Layout:
    """The place of a target's block. All row numbers are those of the template."""

    top: int
    header_rows: int
    style_row: int
    room: Room | None
    """The rows to insert; None if none are inserted."""
    header_moves_up: bool = False
    """Whether the header is written to the new rows, too, because the template has none."""
    kept: int = 0
    """Number of data rows that the template already has."""

    def header_row(self, sheet: SheetRoom) -> int:
        """The first row of the block in the filled sheet."""
        return sheet.start(self.top) if self.header_moves_up else sheet.row(self.top)

    def data_row(self, sheet: SheetRoom) -> int:
        """The first data row in the filled sheet; WorkbookError if another target inserts rows below the header."""
        row = self.header_row(sheet) + self.header_rows
        if self.kept and row != sheet.row(self.top + self.header_rows):
            owner = self.room.owner if self.room else "a target"
            raise WorkbookError(
                f"{owner}: another target puts rows between its header and row {self.top + self.header_rows} of sheet "
                f"{sheet.sheet.name!r}",
                fix="place both with insert: grow, or one below the other",
            )
        return row


def marks(target: Target, place: Place, *, region: bool = True) -> tuple[bool, bool]:
    """M and T of a target: as given, or by its place; both are false by default on a data sheet."""
    if place.kind == "table":
        return False, place.has_header
    marker = target.anchor_is_marker
    if marker is None:
        marker = region and target.anchor is not None and place.kind != "name"
    template_header = target.template_has_header
    if template_header is None:
        template_header = region and target.anchor is not None and marker
    return marker, template_header


def lay_out(target: Target, resolved: Resolved, place: Place, rows: int, width: int, kept: int = 1) -> Layout:
    """The layout for `rows` rows of data, of which the template already has `kept` if the target grows.

    StepInputError if `style_row_offset` contradicts `insert: grow`.
    """
    marker, template_header, written = resolved.marker, resolved.template_header, int(resolved.writes_header)
    top = place.row + marker
    header_rows = max(int(template_header), written)
    style_row = _style_row(target, place.row if marker else top)
    columns = (place.column, place.column + max(width, 1) - 1)
    if resolved.insert == "grow":
        first = top + header_rows
        if target.style_row_offset is not None and style_row != first:
            raise StepInputError(
                f"{target.owner}: with insert: grow the style row is the first row of data, row {first}; "
                f"style_row_offset names row {style_row}",
                fix="leave style_row_offset out",
            )
        room = Room(target.owner, first + kept, rows - kept, *columns, grow=True, first=first)
        return Layout(top, header_rows, first, room, kept=kept)
    if resolved.insert != "below":
        return Layout(top, header_rows, style_row, None)
    if template_header:
        return Layout(top, header_rows, style_row, Room(target.owner, top + 1, rows, *columns, grow=False))
    room = Room(target.owner, top, rows + written, *columns, grow=False)
    return Layout(top, header_rows, style_row, room, header_moves_up=True)


def _style_row(target: Target, base: int) -> int:
    return base + (_STYLE_OFFSET if target.style_row_offset is None else target.style_row_offset)
