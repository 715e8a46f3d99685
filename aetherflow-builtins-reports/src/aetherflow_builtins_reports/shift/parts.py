"""Shifts all other parts that refer to rows: names, tables, charts, drawings, comments, pivot tables.

Parts are found through relationships; parts of unknown kinds are left unchanged.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from aetherflow_builtins_reports.package.markup import MarkupError
from aetherflow_builtins_reports.package.refs import quoted
from aetherflow_builtins_reports.package.relations import relations
from aetherflow_builtins_reports.package.template import Template
from aetherflow_builtins_reports.package.workbook import Sheet
from aetherflow_builtins_reports.shift.drawings import shift_drawing
from aetherflow_builtins_reports.shift.formulas import Growth, shift_formula
from aetherflow_builtins_reports.shift.marks import shift_marks
from aetherflow_builtins_reports.shift.moves import Shift
from aetherflow_builtins_reports.shift.vml import shift_vml

_MARKED = {
    "table", "comments", "threadedComment", "pivotTable", "queryTable", "tableSingleCells", "namedSheetView",
    "ctrlProp", "chart", "chartEx", "chartUserShapes", "pivotCacheDefinition", "connections",
}  # fmt: skip
"""Kinds of relationships whose parts hold ranges and formulas in elements that `marks` handles."""
_LEADING = {"drawing", "chart", "chartEx", "chartsheet", "dialogsheet"}
"""Kinds whose parts have relationships to further parts."""
_PRINT_TITLES = "_xlnm.print_titles"


@dataclass(frozen=True, slots=True)
class _Place:
    """A part, its kind, and the sheet that it belongs to."""

    part: str
    kind: str
    sheet: str | None


def shifted_parts(template: Template, shift: Shift) -> dict[str, bytes]:
    """The changed small parts by name. Defined names are changed in `template.workbook`; sheets are not included."""
    _shift_names(template, shift)
    archive = template.archive
    changed: dict[str, bytes] = {}
    for place in _places(template):
        if place.part in changed or place.part not in archive:
            continue
        data = archive.read(place.part)
        try:
            new = _shifted(template, shift, place, data)
        except MarkupError as error:
            raise archive.error(f"cannot be read: part {place.part}: {error}") from error
        if new != data:
            changed[place.part] = new
    return changed


def sheets_that_follow(template: Template, shift: Shift) -> list[Sheet]:
    """The unchanged sheets that may refer to changed ones; they must be read through a ShiftedSheet, too."""
    names = {part for sheet in shift.sheets for part in _spellings(sheet.name)}
    if not all(name.isascii() for name in names):
        names = {"!"}  # the byte pattern ignores case for ASCII letters only
    pattern = re.compile("|".join(map(re.escape, names)).encode() + rb"|\w:'?[^!<>]{1,40}!", re.IGNORECASE)
    return [
        sheet
        for sheet in template.workbook.sheets
        if sheet not in shift.sheets and not template.is_new(sheet) and _mentions(template, sheet, pattern)
    ]


def _spellings(name: str) -> set[str]:
    """All spellings of a sheet's name and `!` in the XML of a part."""
    found = set()
    for each in (name, name.replace("'", "''")):
        for apostrophe in ("'", "&apos;", "&#39;"):
            text = each.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("'", apostrophe)
            found |= {f"{text}!", f"{text}'!", f"{text}&apos;!", f"{text}&#39;!"}
    return found


def _mentions(template: Template, sheet: Sheet, pattern: re.Pattern[bytes]) -> bool:
    kept = b""
    for block in template.archive.stream(sheet.part):
        text = kept + block
        if pattern.search(text):
            return True
        kept = text[-400:]
    return False


def _shift_names(template: Template, shift: Shift) -> None:
    workbook = template.workbook
    for index, name in enumerate(workbook.names):
        growth: Growth = "none" if name.name.casefold() == _PRINT_TITLES else "ranges"
        where = f"the name {name.name}"
        new = shift_formula(name.text, None, shift, where, growth=growth, absolute_only=True)
        if new != name.text:
            workbook.set_name(index, new)


def _places(template: Template) -> Iterator[_Place]:
    """Every part that may refer to rows, once for each part with a relationship to it."""
    archive, workbook = template.archive, template.workbook
    sheets = {sheet.part: sheet for sheet in workbook.sheets}
    for relation in workbook.relations:
        if not relation.external:
            yield _Place(relation.target, relation.kind, None)
    waiting: list[tuple[str, str | None]] = [(sheet.part, sheet.name) for sheet in workbook.sheets]
    waiting += [(each.target, None) for each in workbook.relations if each.kind in _LEADING and not each.external]
    seen = set()
    while waiting:
        part, sheet = waiting.pop()
        if part in seen:
            continue
        seen.add(part)
        for relation in relations(archive, part):
            if relation.external or relation.target in sheets:
                continue
            yield _Place(relation.target, relation.kind, sheet)
            if relation.kind in _LEADING:
                waiting.append((relation.target, sheet))


def _shifted(template: Template, shift: Shift, place: _Place, data: bytes) -> bytes:
    where = f"sheet {quoted(place.sheet)}" if place.sheet else place.part
    if place.kind == "drawing":
        return shift_drawing(data, place.sheet, shift, where, template)
    if place.kind == "vmlDrawing":
        return shift_vml(data, place.sheet, shift, where)
    if place.kind in _MARKED:
        return shift_marks(data, place.sheet, shift, where)
    return data
