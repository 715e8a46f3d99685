"""Shifts ranges in attributes and formulas in texts, in small parts and in the frames of a sheet."""

import re
from dataclasses import dataclass, replace

from aetherflow_builtins_reports.errors import WorkbookError
from aetherflow_builtins_reports.package.markup import Edits, Element, parse, whole
from aetherflow_builtins_reports.package.refs import MAX_ROW, Area, parse_area
from aetherflow_builtins_reports.shift.counted import COUNTED
from aetherflow_builtins_reports.shift.formulas import Growth, shift_formula
from aetherflow_builtins_reports.shift.moves import Moves, Shift
from aetherflow_builtins_reports.shift.pending import Pending

_GROWING = {
    "autoFilter", "sortState", "sortCondition", "conditionalFormatting", "dataValidation", "protectedRange",
    "ignoredError", "table", "nsvFilter",
}  # fmt: skip
"""Elements whose ranges are extended over rows inserted below their end; merged cells and links are not."""
_RANGES = {
    "dimension", "mergeCell", "hyperlink", "comment", "threadedComment", "selection", "cellWatch", "inputCells",
    "scenarios", "sheetPr", "singleXmlCell", "location", "webPublishItem", *_GROWING,
}  # fmt: skip
"""Elements that have a range of their own sheet in one of _RANGE_KEYS."""
_RANGE_KEYS = ("ref", "sqref", "r", "sourceRef", "activeCell", "syncRef")
_ELSEWHERE = {"dataRef", "worksheetSource", "rangeSet"}
"""Elements that name the sheet of their range."""
_FORMULA_TEXTS = {"formula", "formula1", "formula2", "f", "calculatedColumnFormula", "totalsRowFormula"}
_FORMULA_KEYS = {
    "hyperlink": ("location",),
    "controlPr": ("linkedCell", "listFillRange"),
    "formControlPr": ("fmlaLink", "fmlaRange", "fmlaGroup", "fmlaTxbx"),
    "parameter": ("cell",),
    "cameraTool": ("cellRange",),
    "sp": ("textlink",),
}
_GROWTH: dict[str, Growth] = {
    "conditionalFormatting": "absolute", "dataValidation": "absolute", "calculatedColumnFormula": "absolute",
    "totalsRowFormula": "ranges", "sparklineGroup": "all", "sparkline": "all", "chartSpace": "all", "tx": "ranges",
    "hyperlink": "none",
}  # fmt: skip
_WORDS = {
    "conditionalFormatting": "conditional format", "dataValidation": "validation", "sparkline": "sparkline",
    "hyperlink": "link", "chartSpace": "chart", "table": "table", "controlPr": "control", "formControlPr": "control",
    "dataRef": "consolidation", "worksheetSource": "pivot table's source", "location": "pivot table",
}  # fmt: skip
_PLAIN_NUMBER = re.compile(r"\s*[-+]?[\d.,]+(?:[eE][-+]?\d+)?\s*")


@dataclass(frozen=True, slots=True)
class _Context:
    growth: Growth
    where: str
    absolute_only: bool = False
    """Whether rows without a `$` stay: in a rule for whole columns they are relative to row 1, which does not move."""


def shift_marks(data: bytes, own_sheet: str | None, shift: Shift, where: str) -> bytes:
    """A part after the insertions; the same bytes if nothing in it moves."""
    edits = Edits(data)
    Marks(own_sheet, shift, where).move(parse(data), edits)
    return edits.apply()


class Marks:
    """Shifts the ranges and formulas in the tree of one part."""

    def __init__(self, own_sheet: str | None, shift: Shift, where: str) -> None:
        self._pending = Pending()
        self._own = own_sheet
        self._shift = shift
        self._moves = shift.of(own_sheet) or Moves([])
        self._where = where

    def move(self, root: Element, edits: Edits) -> None:
        """Add the changes for an element and all elements below it to `edits`."""
        self._visit(root, _Context("ranges", self._where))
        self._pending.apply(edits)

    def _visit(self, element: Element, context: _Context) -> bool:
        """Shift an element; False if its range was pushed out of the sheet."""
        local = element.local
        context = self._inner(element, context)
        if not self._move_ranges(element, context):
            return False
        self._move_formulas(element, context)
        if local in COUNTED and self._moves:
            COUNTED[local](element, self._moves, self._pending)
        if local == "filters":
            return True  # the filters of a pivot table have a range without meaning
        kept = [self._visit(child, context) for child in element.children]
        if all(kept):
            return True
        lost = {child.local for child, stays in zip(element.children, kept, strict=True) if not stays}
        if not any(kept) or "sqref" in lost:
            return False
        for child, stays in zip(element.children, kept, strict=True):
            if not stays:
                self._pending.remove(child)
        if "count" in element.attributes:
            self._pending.set(element, {"count": str(sum(kept))})
        return True

    def _inner(self, element: Element, context: _Context) -> _Context:
        local = element.local
        if local in _WORDS:
            place = element.attributes.get("sqref") or element.attributes.get("ref") or _own_text(element, "sqref")
            named = f"{self._where}, {_WORDS[local]}{f' at {place}' if place else ''}"
            context = replace(context, where=named)
        growth = _GROWTH.get(local, context.growth)
        if local == "sparkline":
            cell = parse_area(_own_text(element, "sqref"))
            growth = "others" if cell and self._moves.grows(cell.bottom) else growth
        if local in {"conditionalFormatting", "dataValidation"} and self._moves.row(1) != 1:
            areas = map(parse_area, (element.attributes.get("sqref") or _own_text(element, "sqref")).split())
            whole = any(area is not None and (area.top, area.bottom) == (1, MAX_ROW) for area in areas)
            context = replace(context, absolute_only=whole)
        return replace(context, growth=growth)

    # Ranges

    def _move_ranges(self, element: Element, context: _Context) -> bool:
        local, attributes = element.local, element.attributes
        if local == "sqref" and "!" not in element.text:
            return self._move_text_range(element, context)
        if local in _ELSEWHERE:
            self._move_elsewhere(element)
        if local not in _RANGES or not self._moves:
            return True
        if local == "location" and "ref" in attributes:
            self._check_pivot(element, context)
        values: dict[str, str | None] = {}
        for key in _RANGE_KEYS:
            if key in attributes and parse_area(attributes[key].split(" ")[0]) is not None:
                new = moved_areas(attributes[key], self._moves, grow=local in _GROWING)
                if not new and local == "selection":
                    new = "A1"
                if not new:
                    return False
                values[key] = new
        self._pending.set(element, values)
        return True

    def _move_text_range(self, element: Element, context: _Context) -> bool:
        if not self._moves or element.empty:
            return True
        new = moved_areas(element.text, self._moves, grow=context.growth == "absolute")
        if new != element.text:
            self._pending.write(element, new)
        return bool(new)

    def _move_elsewhere(self, element: Element) -> None:
        get = element.attributes.get
        if any(key.endswith(":id") for key in element.attributes):
            return  # the range is in another workbook
        moves, ref = self._shift.of(get("sheet")), get("ref")
        if moves and ref:
            self._pending.set(element, {"ref": moved_areas(ref, moves) or ref})

    def _check_pivot(self, location: Element, context: _Context) -> None:
        area = parse_area(location.attributes.get("ref", ""))
        filters = whole(location.attributes.get("rowPageCount", "0"))
        above = filters + 1 if filters else 0  # the page filters and a blank row
        if area is not None and self._moves.inside(area.top - above, area.bottom):
            raise self._shift.error(
                context.where,
                "rows cannot go in within a pivot table; Excel refuses that as well",
                "insert above or below it, or put it on another sheet",
            )

    # Formulas

    def _move_formulas(self, element: Element, context: _Context) -> None:
        local, attributes = element.local, element.attributes
        text = element.text
        wanted = local in _FORMULA_TEXTS or (local == "sqref" and "!" in text)
        if wanted and text.strip() and not element.empty and not element.children:
            new = self._formula(text, context)
            if new != text:
                self._pending.write(element, new)
        changed: dict[str, str | None] = {}
        for key in _FORMULA_KEYS.get(local, ()):
            if attributes.get(key, "").strip():
                lead = "#" if attributes[key].startswith("#") else ""
                try:
                    changed[key] = lead + self._formula(attributes[key].removeprefix("#"), context)
                except WorkbookError:
                    if key != "location":  # the location of a link may be any text
                        raise
        if local == "cfvo" and "val" in attributes and not _PLAIN_NUMBER.fullmatch(attributes["val"]):
            changed["val"] = self._formula(attributes["val"], context)
        self._pending.set(element, changed)

    def _formula(self, text: str, context: _Context) -> str:
        lead = text[: len(text) - len(text.lstrip("= "))]
        growth, absolute = context.growth, context.absolute_only
        formula = text[len(lead) :]
        return lead + shift_formula(
            formula, self._own, self._shift, context.where, growth=growth, absolute_only=absolute
        )


def _own_text(element: Element, local: str) -> str:
    child = element.first(local)
    return child.text.strip() if child is not None else ""


def moved_areas(text: str, moves: Moves, *, grow: bool = True) -> str:
    """A space-separated list of ranges after the insertions, without ranges that were pushed out of the sheet."""
    new = []
    for each in text.split():
        area = parse_area(each)
        moved: Area | None = moves.area(area, grow=grow) if area is not None else None
        if area is None or moved == area:
            new.append(each)
        elif moved is not None:
            new.append(str(moved))
    return " ".join(new)
