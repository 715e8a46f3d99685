"""Describes the content of a workbook, from LibreOffice's flat XML: one line of text for each place."""

import re
import xml.etree.ElementTree as ET
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

_WIDTH = 40
"""Number of columns that are compared."""
_LAST_ROWS = 400
"""A row that is repeated more often than this is the empty rest of a sheet."""
_LENGTH = re.compile(r"-?\d+(?:\.\d+)?(?=(?:in|cm|mm|pt)$)")
_SHAPE_KEYS = ("x", "y", "width", "height", "end-cell-address", "end-x", "end-y")
_ROWS = {"table-header-rows", "table-rows", "table-row-group"}
_COLUMNS = {"table-header-columns", "table-columns", "table-column-group"}

Entries = dict[str, str]


def entries(path: Path, new_rows: Mapping[str, Collection[int]]) -> Entries:
    """Place to its content. Formats of `new_rows`, given by sheet, are left out: the insertion does not set them."""
    root = ET.parse(path).getroot()
    book = _Book(root)
    found: Entries = {}
    body = next(each for each in root.iter() if _local(each.tag) == "spreadsheet")
    for element in body:
        match _local(element.tag):
            case "table":
                name = _get(element, "name")
                found |= _Table(book, name, frozenset(new_rows.get(name, ()))).entries(element)
            case "named-expressions":
                found |= {f"name {_get(each, 'name')}": _said(each) for each in element}
            case "database-ranges":
                found |= {f"range {_get(each, 'name')}": _said(each) for each in element}
            case "data-pilot-tables":
                found |= {f"pivot {_get(each, 'name')}": _said(each) for each in element}
    return found


def _local(tag: str) -> str:
    return tag.rpartition("}")[2]


def _get(element: ET.Element, name: str, default: str = "") -> str:
    return next((value for key, value in element.attrib.items() if _local(key) == name), default)


def _said(element: ET.Element, without: Collection[str] = ()) -> str:
    """An element as text, its attributes in order."""
    listed = sorted((_local(key), _length(value)) for key, value in element.attrib.items())
    own = " ".join(f"{key}={value!r}" for key, value in listed if key not in without)
    inner = "".join(_said(child, without) for child in element)
    text = (element.text or "").strip() + (element.tail or "").strip()
    return f"<{_local(element.tag)} {own}>{inner}{text}"


def _length(value: str) -> str:
    return _LENGTH.sub(lambda number: f"{float(number[0]):.2f}", value)


def _validation(element: ET.Element) -> str:
    """A validation as text, with relative rows resolved against LibreOffice's base cell."""
    base = int(re.sub(r".*\D", "", _get(element, "base-cell-address")) or 0)
    said = _said(element, {"name", "base-cell-address"})
    return re.sub(r"(?<=[A-Z])\d+(?=[\]:])", lambda row: f"[{int(row[0]) - base}]", said)


class _Book:
    """Definitions that cells refer to by name, such as styles and validations."""

    def __init__(self, root: ET.Element) -> None:
        self.styles: dict[str, str] = {}
        self.validations: dict[str, str] = {}
        for element in root.iter():
            match _local(element.tag):
                case "style" | "number-style" | "date-style" | "percentage-style" | "currency-style":
                    self.styles.setdefault(_get(element, "name"), _said(element, {"name", "data-style-name"}))
                case "content-validation":
                    self.validations[_get(element, "name")] = _validation(element)

    def height(self, style: str) -> str:
        """The height that a row style sets."""
        return self.styles.get(style, "")


class _Table:
    """Describes one sheet."""

    def __init__(self, book: _Book, name: str, new_rows: frozenset[int]) -> None:
        self._book = book
        self._name = name
        self._new_rows = new_rows
        self._row = 0
        self._columns: list[str] = []
        self._found: Entries = {}

    def entries(self, table: ET.Element) -> Entries:
        """Place to content, for everything on the sheet."""
        self._put("", "print ranges", _get(table, "print-ranges"))
        for column in _inside(table, "table-column", _COLUMNS):
            count = min(int(_get(column, "number-columns-repeated", "1")), _WIDTH)
            self._columns += [_get(column, "default-cell-style-name", "Default")] * count
        for row, header in _rows(table, header=False):
            self._add_row(row, header=header)
        for element in table:
            match _local(element.tag):
                case "conditional-formats":
                    for each in element:
                        self._put("", f"conditional format {_get(each, 'target-range-address')}", _said(each))
                case "sparkline-groups":
                    for each in (each for each in element.iter() if _local(each.tag) == "sparkline"):
                        self._put("", f"sparkline {_get(each, 'cell-address')}", _said(each))
                case "named-expressions":
                    for each in element:
                        self._put("", f"name {_get(each, 'name')}", _said(each))
                case "shapes":
                    for each in element:
                        self._shape(each, "")
        return self._found

    def _put(self, place: str, what: str, said: str) -> None:
        if said:
            key = f"{self._name}!{place} {what}".strip()
            while key in self._found:
                key += " again"
            self._found[key] = said

    def _add_row(self, row: ET.Element, *, header: bool) -> None:
        count = int(_get(row, "number-rows-repeated", "1"))
        if count > _LAST_ROWS:
            self._row += count
            return
        for _ in range(count):
            self._row += 1
            if self._row not in self._new_rows:
                look = self._book.height(_get(row, "style-name"))
                self._put(str(self._row), "row", f"{look} {_get(row, 'visibility')}")
            if header:
                self._put(str(self._row), "repeated in print", "yes")
            self._add_cells(row)

    def _add_cells(self, row: ET.Element) -> None:
        column = 0
        for cell in row:
            for _ in range(min(int(_get(cell, "number-columns-repeated", "1")), _WIDTH - column)):
                self._cell(cell, column, _get(row, "default-cell-style-name"))
                column += 1

    def _cell(self, cell: ET.Element, column: int, row_style: str) -> None:
        place = f"{_letters(column)}{self._row}"
        plain = {"style-name", "number-columns-repeated", "content-validation-name", "calcext:value-type"}
        values = {key: value for key, value in cell.attrib.items() if _local(key) not in plain}
        texts = []
        for child in cell:
            if _local(child.tag) in {"p", "detective"}:
                texts.append(_said(child, {"style-name"}))
            elif _local(child.tag) == "annotation":
                self._put(place, "comment", "".join(child.itertext()))
            else:
                self._shape(child, place)
        if _local(cell.tag) == "covered-table-cell":
            self._put(place, "covered", "yes")
        elif values or texts:
            self._put(place, "cell", " ".join(f"{_local(k)}={v!r}" for k, v in sorted(values.items())) + "".join(texts))
        validation = _get(cell, "content-validation-name")
        if validation:
            self._put(place, "validation", self._book.validations[validation])
        if self._row not in self._new_rows:
            style = _get(cell, "style-name") or row_style or self._columns[column]
            look = self._book.styles.get(style, style)
            self._put(place, "look", "" if style == "Default" else look)

    def _shape(self, shape: ET.Element, place: str) -> None:
        name = _get(shape, "name") or _get(shape, "control") or _local(shape.tag)
        known = {_local(key): value for key, value in shape.attrib.items()}
        said = " ".join(f"{key}={_length(known[key])}" for key in _SHAPE_KEYS if key in known)
        self._put("", f"shape {name}", f"in {place or 'no cell'} {said}")
        number = 0
        for part in shape.iter():
            listed = [
                f"{_local(key)}={value}"
                for key, value in sorted(part.attrib.items())
                if key.endswith(("cell-range-address", "cell-address", "update-of-ranges"))
            ]
            if listed and part is not shape:
                number += 1
                self._put("", f"shape {name} {_local(part.tag)} {number}", " ".join(listed))


def _inside(parent: ET.Element, local: str, groups: Collection[str]) -> Iterator[ET.Element]:
    for child in parent:
        if _local(child.tag) == local:
            yield child
        elif _local(child.tag) in groups:
            yield from _inside(child, local, groups)


def _rows(parent: ET.Element, *, header: bool) -> Iterator[tuple[ET.Element, bool]]:
    for child in parent:
        local = _local(child.tag)
        if local == "table-row":
            yield child, header
        elif local in _ROWS:
            yield from _rows(child, header=header or local == "table-header-rows")


def _letters(column: int) -> str:
    text = ""
    column += 1
    while column:
        column, rest = divmod(column - 1, 26)
        text = chr(65 + rest) + text
    return text
