"""Edits the XML before and after the rows of a sheet: frozen panes, filter, merged cells, columns."""

from collections.abc import Sequence
from dataclasses import dataclass

from aetherflow_builtins_reports.package.markup import DOCUMENT_RELS, MAIN, Edits, after, parse, start_tag
from aetherflow_builtins_reports.package.refs import Area, cell_name, parse_area

_BEFORE_VIEWS = ("sheetPr", "dimension")
_BEFORE_FILTER = ("sheetData", "sheetCalcPr", "sheetProtection", "protectedRanges", "scenarios")


@dataclass(frozen=True, slots=True)
class Freeze:
    """Frozen panes, given by the first cell that scrolls."""

    row: int
    column: int


def new_frame(inner_head: bytes = b"") -> tuple[bytes, bytes]:
    """The XML before and after the rows of a new sheet."""
    head = (
        f'<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n<worksheet xmlns="{MAIN}" xmlns:r="{DOCUMENT_RELS}">'
    )
    return head.encode() + inner_head + b"<sheetData>", b"</sheetData></worksheet>"


class Head:
    """The XML of a sheet before its rows."""

    def __init__(self, raw: bytes, prefix: str) -> None:
        self._prefix = prefix
        self._raw = raw
        closing = f"</{prefix}sheetData></{prefix}worksheet>".encode()
        self._root = parse(raw + closing)
        self._edits = Edits(raw + closing)
        self._closing = len(closing)

    @property
    def columns(self) -> list[dict[str, str]]:
        """Attributes of the `<col>` elements."""
        listed = self._root.first("cols")
        return [each.attributes for each in listed.children] if listed else []

    def forget_dimension(self) -> None:
        """Remove `dimension`, the range of used cells: it is optional and would be wrong."""
        for element in self._root.named("dimension"):
            self._edits.remove(element)

    def freeze(self, freeze: Freeze) -> None:
        """Freeze the panes above and left of a cell."""
        pane = self._pane(freeze)
        views = self._root.first("sheetViews")
        view = views.first("sheetView") if views else None
        if view is None:
            p = self._prefix
            new = f'<{p}sheetViews><{p}sheetView workbookViewId="0">'.encode() + pane
            self._edits.insert(after(self._root, _BEFORE_VIEWS), new + f"</{p}sheetView></{p}sheetViews>".encode())
            return
        for child in view.children:
            if child.local in {"pane", "selection"}:
                self._edits.remove(child)
        if view.empty:
            self._edits.append(view, pane)
        else:
            self._edits.insert(view.tag_end, pane)

    def _pane(self, freeze: Freeze) -> bytes:
        across, down = freeze.column - 1, freeze.row - 1
        active = "bottomRight" if across and down else "bottomLeft" if down else "topRight"
        attributes = {
            **({"xSplit": str(across)} if across else {}),
            **({"ySplit": str(down)} if down else {}),
            "topLeftCell": cell_name(freeze.row, freeze.column),
            "activePane": active,
            "state": "frozen",
        }
        selection = start_tag(f"{self._prefix}selection", {"pane": active}, empty=True)
        return start_tag(f"{self._prefix}pane", attributes, empty=True) + selection

    def changed(self) -> bytes:
        """The frame with all changes."""
        return self._edits.apply()[: -self._closing]


class Tail:
    """The XML of a sheet after its rows; it starts with the end tag of `sheetData`."""

    def __init__(self, raw: bytes, prefix: str) -> None:
        self._prefix = prefix
        opening = f"<{prefix}worksheet><{prefix}sheetData>".encode()
        self._opening = len(opening)
        self._root = parse(opening + raw)
        self._edits = Edits(opening + raw)

    @property
    def merged(self) -> list[Area]:
        listed = self._root.first("mergeCells")
        found = [parse_area(each.attributes.get("ref", "")) for each in listed.children] if listed else []
        return [area for area in found if area is not None]

    def repeat_merged(self, rows: Sequence[tuple[int, int]]) -> None:
        """Merge cells in new rows, given as (first, last), like in the row above them."""
        listed = self._root.first("mergeCells")
        new = [
            Area(number, merged.left, number, merged.right)
            for first, last in rows
            for merged in self.merged
            if merged.top == merged.bottom == first - 1
            for number in range(first, last + 1)
        ]
        if listed is not None and new:
            tags = [start_tag(f"{self._prefix}mergeCell", {"ref": str(area)}, empty=True) for area in new]
            self._edits.append(listed, b"".join(tags), count=str(len(listed.children) + len(new)))

    def set_filter(self, area: Area) -> None:
        """Put a filter over a range. It replaces an existing one, whose conditions would hide new rows."""
        new = start_tag(f"{self._prefix}autoFilter", {"ref": str(area)}, empty=True)
        old = self._root.first("autoFilter")
        if old is not None:
            self._edits.replace(old.start, old.end, new)
        else:
            self._edits.insert(after(self._root, _BEFORE_FILTER), new)

    def changed(self) -> bytes:
        """The frame with all changes."""
        return self._edits.apply()[self._opening :]


def columns_markup(widths: Sequence[tuple[float | None, int]]) -> bytes:
    """The `<cols>` element of a new sheet, from (width in characters, format index) by column; may be empty."""
    listed = b""
    for number, (width, style) in enumerate(widths, 1):
        attributes = {"min": str(number), "max": str(number)}
        if width is not None:
            attributes |= {"width": f"{width:g}", "customWidth": "1"}
        elif style:
            attributes |= {"width": "9.140625"}
        if style:
            attributes["style"] = str(style)
        if len(attributes) > 2:
            listed += start_tag("col", attributes, empty=True)
    return b"<cols>" + listed + b"</cols>" if listed else b""
