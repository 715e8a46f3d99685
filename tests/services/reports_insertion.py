"""Inserts blank rows into a workbook file with the package under test, without filling it."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from aetherflow_builtins_reports.package.sheet_stream import Frame
from aetherflow_builtins_reports.package.template import Template
from aetherflow_builtins_reports.package.workbook import Sheet
from aetherflow_builtins_reports.package.writer import ArchiveWriter
from aetherflow_builtins_reports.shift.moves import Insertion, Moves, Shift
from aetherflow_builtins_reports.shift.parts import sheets_that_follow, shifted_parts
from aetherflow_builtins_reports.shift.sheet import ShiftedSheet


def insert_rows(source: Path, target: Path, insertions: Mapping[str, Sequence[Insertion]]) -> list[str]:
    """Insert rows, given by sheet name; returns the warnings. Drops calcChain, which only speeds up Excel."""
    with Template(source, source.name) as template, target.open("wb") as file:
        workbook = template.workbook
        shift = Shift(workbook, {workbook.sheet(name).part: Moves(each) for name, each in insertions.items()})
        changed = shifted_parts(template, shift)
        for sheet in [*shift.sheets, *sheets_that_follow(template, shift)]:
            changed[sheet.part] = _moved_sheet(template, shift, sheet)
        changed[workbook.part] = workbook.changed()
        writer = ArchiveWriter(file)
        for info in template.archive.infos:
            if info.filename in changed:
                writer.add(info.filename, changed[info.filename])
            else:
                writer.copy(template.archive, info)
        writer.close()
        return shift.warnings


def _moved_sheet(template: Template, shift: Shift, sheet: Sheet) -> bytes:
    stream, events = template.events(sheet)
    moved, parts = None, []
    for event in events:
        if moved is None:
            moved = ShiftedSheet(shift, sheet, stream.prefix)
            assert isinstance(event, Frame)
            parts.append(moved.head(event.raw))
        elif isinstance(event, Frame):
            parts.append(moved.tail(event.raw))
        else:
            row = moved.row(event)
            parts.append(row.raw if row else b"")
    return b"".join(parts)
