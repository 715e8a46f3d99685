"""What small parts and the frames of a sheet say about rows, moved: ranges in attributes, formulas in texts."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from xml.sax.saxutils import escape

from aetherflow_builtins_reports.package.markup import Edits, Element, parse
from aetherflow_builtins_reports.package.refs import MAX_ROW, Area, cell_name, parse_area, parse_cell
from aetherflow_builtins_reports.shift.formulas import Growth, shift_formula
from aetherflow_builtins_reports.shift.moves import Moves, Shift, moved_end, moved_row

_GROWING = {
    "autoFilter", "sortState", "sortCondition", "conditionalFormatting", "dataValidation", "protectedRange",
    "ignoredError", "table", "nsvFilter",
}  # fmt: skip
"""Elements whose ranges reach over rows that grow out of their end; merged cells and links do not."""
_RANGES = {
    "dimension", "mergeCell", "hyperlink", "comment", "threadedComment", "selection", "cellWatch", "inputCells",
    "scenarios", "singleXmlCell", "location", "webPublishItem", *_GROWING,
}  # fmt: skip
"""Elements that have a range of their own sheet in one of _RANGE_KEYS."""
_RANGE_KEYS = ("ref", "sqref", "r", "sourceRef", "activeCell")
_ELSEWHERE = {"dataRef", "worksheetSource", "rangeSet"}
"""Elements whose range is on the sheet that they name."""
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


def shift_marks(data: bytes, own_sheet: str | None, shift: Shift, where: str) -> bytes:
    """A part after the insertions; the same bytes if nothing in it moves."""
    edits = Edits(data)
    Marks(own_sheet, shift, where).move(parse(data), edits)
    return edits.apply()


class Marks:
    """Moves what is said in the tree of one part."""

    def __init__(self, own_sheet: str | None, shift: Shift, where: str) -> None:
        self._attributes: dict[int, tuple[Element, dict[str, str | None]]] = {}
        self._texts: dict[int, tuple[Element, str]] = {}
        self._removed: list[Element] = []
        self._own = own_sheet
        self._shift = shift
        self._moves = shift.of(own_sheet) or Moves([])
        self._where = where

    def move(self, root: Element, edits: Edits) -> None:
        """Change all that is below an element, and itself."""
        self._visit(root, _Context("ranges", self._where))
        gone = [(each.start, each.end) for each in self._removed]

        def stays(at: int) -> bool:
            return not any(start <= at < end for start, end in gone)

        for element, values in self._attributes.values():
            if stays(element.start):
                edits.set_attributes(element, **values)
        for element, text in self._texts.values():
            if stays(element.start):
                edits.replace(element.tag_end, element.inner_end, escape(text).encode())
        for element in self._removed:
            if not any(start < element.start < end for start, end in gone):
                edits.remove(element)

    def _set(self, element: Element, values: Mapping[str, str | None]) -> None:
        if values:
            self._attributes.setdefault(element.start, (element, {}))[1].update(values)

    def _visit(self, element: Element, context: _Context) -> bool:
        """Move an element; False if it has no place any more."""
        local = element.local
        context = self._inner(element, context)
        if not self._move_ranges(element, context):
            return False
        self._move_formulas(element, context)
        special = _SPECIAL.get(local)
        if special is not None:
            special(self, element)
        kept = [self._visit(child, context) for child in element.children]
        if all(kept):
            return True
        if not any(kept):
            return False
        for child, stays in zip(element.children, kept, strict=True):
            if not stays:
                self._removed.append(child)
        if "count" in element.attributes:
            self._set(element, {"count": str(sum(kept))})
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
            self._check_pivot(attributes["ref"], context)
        values: dict[str, str | None] = {}
        for key in _RANGE_KEYS:
            if key in attributes and parse_area(attributes[key].split(" ")[0]) is not None:
                new = moved_areas(attributes[key], self._moves, grow=local in _GROWING)
                if not new and local == "selection":
                    new = "A1"
                if not new:
                    return False
                values[key] = new
        self._set(element, values)
        return True

    def _move_text_range(self, element: Element, context: _Context) -> bool:
        if not self._moves or element.empty:
            return True
        new = moved_areas(element.text, self._moves, grow=context.growth == "absolute")
        if new != element.text:
            self._texts[element.start] = (element, new)
        return bool(new)

    def _move_elsewhere(self, element: Element) -> None:
        get = element.attributes.get
        if any(key.endswith(":id") for key in element.attributes):
            return  # in another workbook
        moves, ref = self._shift.of(get("sheet")), get("ref")
        if moves and ref:
            self._set(element, {"ref": moved_areas(ref, moves) or ref})

    def _check_pivot(self, ref: str, context: _Context) -> None:
        area = parse_area(ref)
        if area is not None and self._moves.inside(area.top, area.bottom):
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
                self._texts[element.start] = (element, new)
        changed: dict[str, str | None] = {}
        for key in _FORMULA_KEYS.get(local, ()):
            if attributes.get(key, "").strip():
                lead = "#" if attributes[key].startswith("#") else ""
                changed[key] = lead + self._formula(attributes[key].removeprefix("#"), context)
        if local == "cfvo" and "val" in attributes and not _PLAIN_NUMBER.fullmatch(attributes["val"]):
            changed["val"] = self._formula(attributes["val"], context)
        self._set(element, changed)

    def _formula(self, text: str, context: _Context) -> str:
        lead = text[: len(text) - len(text.lstrip("= "))]
        return lead + shift_formula(text[len(lead) :], self._own, self._shift, context.where, growth=context.growth)

    # What counts rows in another way

    def _move_breaks(self, element: Element) -> None:
        """Page breaks: the id of one is the row above it."""
        rows = element.local == "rowBreaks"
        for child in element.named("brk"):
            if not self._moves:
                continue
            id_, last = int(child.attributes.get("id", "0")), int(child.attributes.get("max", "0"))
            if rows:
                new = self._moves.row(id_ + 1)
                if new is None:
                    self._removed.append(child)
                elif new != id_ + 1:
                    self._set(child, {"id": str(new - 1)})
            elif 0 < last < MAX_ROW - 1:
                first = int(child.attributes.get("min", "0"))
                span = self._moves.span(first + 1, last + 1)
                if span is not None:
                    self._set(child, {**_minimum(child, span[0] - 1), "max": str(span[1] - 1)})

    def _move_view(self, element: Element) -> None:
        """What a window shows first: inserted rows are in sight, and frozen rows stay frozen."""
        self._move_panes(element)
        self._move_corner(element)

    def _move_corner(self, element: Element) -> None:
        corner = parse_cell(element.attributes.get("topLeftCell", ""))
        if corner is None or not self._moves:
            return
        new = (self._moves.row(corner[0] - 1) or 0) + 1 if corner[0] > 1 else 1
        if new <= MAX_ROW:
            self._set(element, {"topLeftCell": cell_name(new, corner[1])})

    def _move_panes(self, view: Element) -> None:
        pane = view.first("pane")
        if pane is None or not self._moves:
            return
        if pane.attributes.get("state") not in {"frozen", "frozenSplit"}:
            self._move_corner(pane)
            return
        corner = parse_cell(view.attributes.get("topLeftCell", ""))
        above = corner[0] - 1 if corner else 0
        try:
            rows = int(float(pane.attributes.get("ySplit", "0")))
        except ValueError:
            return
        shown = parse_cell(pane.attributes.get("topLeftCell", ""))
        new_above = self._moves.row(above) or 0 if above else 0
        new_last = self._moves.row(above + rows) if rows else new_above
        if new_last is None:
            return
        values: dict[str, str | None] = {}
        if rows:
            values["ySplit"] = str(new_last - new_above)
        if shown is not None:
            top = (self._moves.row(shown[0] - 1) or 0) + 1 if shown[0] > 1 else 1
            values["topLeftCell"] = cell_name(min(top, MAX_ROW), shown[1])
        self._set(pane, values)

    def _move_anchor(self, anchor: Element) -> None:
        """Where a control stands, if it moves with its cells."""
        if not self._moves or anchor.attributes.get("moveWithCells") not in {"1", "true"}:
            return
        ends = [_marker(anchor.first(name)) for name in ("from", "to")]
        (start, end) = ends
        if start is None or end is None:
            return
        new = moved_row(self._moves, start[0])
        sizes = anchor.attributes.get("sizeWithCells") in {"1", "true"}
        last = max(new, moved_end(self._moves, *end[:2])) if sizes else end[0] + new - start[0]
        for (_, _, element), row in ((start, new), (end, last)):
            self._texts[element.start] = (element, str(row))


def _marker(element: Element | None) -> tuple[int, int, Element] | None:
    """Row, offset in it, and the element that says the row."""
    row = element.first("row") if element is not None else None
    if element is None or row is None or not row.text.strip().isdecimal():
        return None
    offset = element.first("rowOff")
    return int(row.text), int(offset.text) if offset is not None else 0, row


def _minimum(element: Element, value: int) -> dict[str, str]:
    return {"min": str(value)} if "min" in element.attributes or value else {}


def _own_text(element: Element, local: str) -> str:
    child = element.first(local)
    return child.text.strip() if child is not None else ""


def moved_areas(text: str, moves: Moves, *, grow: bool = True) -> str:
    """A list of ranges after the insertions; those that are pushed out of the sheet are left out."""
    new = []
    for each in text.split():
        area = parse_area(each)
        moved: Area | None = moves.area(area, grow=grow) if area is not None else None
        if area is None or moved == area:
            new.append(each)
        elif moved is not None:
            new.append(str(moved))
    return " ".join(new)


_SPECIAL: dict[str, Callable[[Marks, Element], None]] = {
    "rowBreaks": Marks._move_breaks,
    "colBreaks": Marks._move_breaks,
    "anchor": Marks._move_anchor,
    "sheetView": Marks._move_view,
    "customSheetView": Marks._move_view,
}
