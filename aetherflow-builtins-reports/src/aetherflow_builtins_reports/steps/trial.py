"""Tries to insert one row per target and discards the result, to find references that cannot be adapted early."""

from collections.abc import Sequence
from typing import Any

from aetherflow_builtins_reports.fill.places import Query, find_places
from aetherflow_builtins_reports.fill.room import SheetRoom
from aetherflow_builtins_reports.fill.table_rows import TableRows
from aetherflow_builtins_reports.package.sheet_stream import Row
from aetherflow_builtins_reports.package.template import Template
from aetherflow_builtins_reports.package.workbook import Sheet
from aetherflow_builtins_reports.shift.moves import Shift
from aetherflow_builtins_reports.shift.parts import sheets_that_follow, shifted_parts
from aetherflow_builtins_reports.shift.sheet import ShiftedSheet
from aetherflow_builtins_reports.steps.fields import Target
from aetherflow_builtins_reports.steps.layouts import Resolved, lay_out, marks


def try_targets(template: Template, targets: Sequence[Target]) -> tuple[list[dict[str, Any]], list[str]]:
    """The places of the targets, and warnings; WorkbookError if a target could not be filled."""
    places = find_places(
        template, [Query(each.owner, each.anchor, each.cell, each.sheet, each.table) for each in targets]
    )
    rooms: dict[str, SheetRoom] = {}
    layouts = []
    for target, place in zip(targets, places, strict=True):
        room = rooms.setdefault(place.sheet.part, SheetRoom(place.sheet))
        resolved = Resolved(target.effective_insert, "template", *marks(target, place), None, ([], "none"))
        kept = TableRows.of(template, place, target.owner).kept if place.kind == "table" else 1
        layouts.append(lay_out(target, resolved, place, kept + 1, 1, kept))
        if layouts[-1].room is not None:
            room.need(layouts[-1].room)
    for place, layout in zip(places, layouts, strict=True):
        layout.data_row(rooms[place.sheet.part])
    found = [
        {
            "name": target.name,
            "sheet": place.sheet.name,
            "start_cell": [layout.top, place.column],
            "insert": target.effective_insert,
        }
        for target, place, layout in zip(targets, places, layouts, strict=True)
    ]
    return found, _try_shift(template, Shift(template.workbook, {part: room.moves for part, room in rooms.items()}))


def _try_shift(template: Template, shift: Shift) -> list[str]:
    if shift:
        shifted_parts(template, shift)
        for sheet in [*shift.sheets, *sheets_that_follow(template, shift)]:
            _try_sheet(template, shift, sheet)
    return shift.warnings


def _try_sheet(template: Template, shift: Shift, sheet: Sheet) -> None:
    stream, events = template.events(sheet)
    head = next(events)
    moved = ShiftedSheet(shift, sheet, stream.prefix)
    moved.head(head.raw)
    for event in events:
        if isinstance(event, Row):
            moved.row(event)
        else:
            moved.tail(event.raw)
