"""Finds the places of targets: defined names, tables, cell references, and texts, in one pass over the sheets."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from html import unescape
from typing import Literal, TypeAlias

from aetherflow.core.api import StepInputError
from aetherflow_builtins_reports.errors import WorkbookError
from aetherflow_builtins_reports.fill.frames import Head
from aetherflow_builtins_reports.fill.sheet_writer import ColumnStyles, column_styles
from aetherflow_builtins_reports.package.refs import parse_cell, split_sheet
from aetherflow_builtins_reports.package.sheet_stream import Row
from aetherflow_builtins_reports.package.table_parts import tables_of
from aetherflow_builtins_reports.package.template import Template
from aetherflow_builtins_reports.package.workbook import Sheet

_SHARED, _FORMULA, _TAGS = re.compile(rb">\s*(\d+)\s*</"), re.compile(rb"<(?:\w+:)?f[\s>/]"), re.compile(rb"<[^>]*>")

Kind: TypeAlias = Literal["name", "cell", "text", "table"]


@dataclass(frozen=True, slots=True)
class Place:
    """A cell that was found."""

    sheet: Sheet
    row: int
    column: int
    kind: Kind
    has_header: bool = False
    """Whether the place is a table with a header."""


@dataclass(frozen=True, slots=True)
class Query:
    """What to look for: an anchor, a cell or a table, and optionally its sheet."""

    owner: str
    """Its name in messages: `target 'sales'`."""
    anchor: str | None
    cell: str | None
    sheet: str | None
    table: str | None = None


def normalised(text: str) -> str:
    """Text in the form in which anchors are compared: runs of blanks as one, case folded."""
    return " ".join(text.replace("\u00a0", " ").split()).casefold()


def find_places(template: Template, queries: Iterable[Query]) -> list[Place]:
    """The place of each query, in order; WorkbookError that names all queries without a place."""
    queries = list(queries)
    found: list[Place | None] = [_by_reference(template, query) for query in queries]
    open_queries = [query for query, place in zip(queries, found, strict=True) if place is None]
    texts = find_texts(template, [(query.anchor or "", query.sheet) for query in open_queries])
    missing = []
    for index, query in enumerate(queries):
        if found[index] is None:
            found[index] = texts.get((normalised(query.anchor or ""), query.sheet))
            if found[index] is None:
                where = f"sheet {query.sheet!r}" if query.sheet else "any sheet"
                missing.append(f"{query.owner}: anchor {query.anchor!r} is no defined name and no text on {where}")
    if missing:
        raise WorkbookError(
            f"{template.archive.name}: {'; '.join(missing)}",
            fix=f"the sheets are: {', '.join(template.workbook.sheet_names)}; an anchor is the whole text of a cell",
        )
    return [place for place in found if place is not None]


def _by_reference(template: Template, query: Query) -> Place | None:
    """The place of a table, a cell, a name, or an anchor that looks like a cell; None for a text to search."""
    if query.sheet is not None and query.anchor is not None:
        template.workbook.sheet(query.sheet)  # an unknown sheet is an error, not a wider search
    if query.table is not None:
        return _table(template, query, query.table)
    if query.cell is not None:
        return _cell(template, query, query.cell)
    anchor = query.anchor or ""
    place = named_place(template, anchor, query.sheet)
    if place is not None:
        return place
    sheet, ref = split_sheet(anchor)
    if parse_cell(ref) is None:
        return None
    if sheet is None and find_texts(template, [(anchor, query.sheet)]):
        return None  # KPI1 looks like a cell reference, but the workbook has a cell with this text
    return _cell(template, query, anchor)


def table_names(template: Template) -> list[str]:
    """The names of all tables, in the order of the sheets."""
    return [each.name for sheet in template.workbook.sheets for each in tables_of(template.archive, sheet.part)]


def table_place(template: Template, name: str) -> Place | None:
    """The top left cell of the table of that name; None if there is none."""
    for sheet in template.workbook.sheets:
        for table in tables_of(template.archive, sheet.part):
            if table.name.casefold() == name.casefold():
                return Place(sheet, table.area.top, table.area.left, "table", table.header_rows > 0)
    return None


def _table(template: Template, query: Query, name: str) -> Place:
    place = table_place(template, name)
    if place is not None and (query.sheet is None or query.sheet.casefold() == place.sheet.name.casefold()):
        return place
    found = f"; table {name!r} is on sheet {place.sheet.name!r}" if place else ""
    where = f" on sheet {query.sheet!r}" if query.sheet else ""
    raise WorkbookError(
        f"{query.owner}: {template.archive.name} has no table {name!r}{where}{found}",
        fix=f"its tables are: {', '.join(table_names(template)) or 'none'} (a table's name stands in Table Design)",
    )


def named_place(template: Template, name: str, sheet: str | None = None) -> Place | None:
    """The top left cell of a defined name's first area on an existing sheet; None if there is none.

    A name with the scope of `sheet` is preferred.
    """
    names = template.workbook.named(name)
    preferred = template.workbook.find_sheet(sheet) if sheet else None
    if preferred is not None:
        names.sort(key=lambda each: each.scope != preferred.index)
    for defined in names:
        for area_sheet, area in defined.areas():
            found = template.workbook.find_sheet(area_sheet)
            if found is not None:
                return Place(found, area.top, area.left, "name")
    return None


def value_place(template: Template, key: str) -> Place:
    """The place of a single value: a defined name or `Sheet!A1`. Texts are not searched: a header could be equal."""
    place = named_place(template, key)
    if place is not None:
        return place
    sheet, ref = split_sheet(key)
    if sheet is None or parse_cell(ref) is None:
        names = sorted({each.name for each in template.workbook.names if each.areas()})
        raise WorkbookError(
            f"{template.archive.name}: cells.{key} is no defined name",
            fix=f"its names are: {', '.join(names) or 'none'}; a cell is written Sheet1!A1",
        )
    return _cell(template, Query(f"cells.{key}", None, key, None), key)


def _cell(template: Template, query: Query, text: str) -> Place:
    named, ref = split_sheet(text)
    sheet, place = named or query.sheet, parse_cell(ref)
    if place is None:
        raise StepInputError(f"{query.owner}: {text!r} is no cell", fix="write A1 or 'My Sheet'!A1")
    if sheet is None:
        raise StepInputError(f"{query.owner}: cell {text!r} needs a sheet", fix=f"set sheet, or write Sheet1!{text}")
    return Place(template.workbook.sheet(sheet), *place, "cell")


def find_texts(template: Template, wanted: Iterable[tuple[str, str | None]]) -> dict[tuple[str, str | None], Place]:
    """The first cell with each wanted text, in the order of sheets and rows, by (normalised text, requested sheet)."""
    open_keys = {(normalised(text), sheet) for text, sheet in wanted}
    found: dict[tuple[str, str | None], Place] = {}
    if not open_keys:
        return found
    texts = {text for text, _ in open_keys}
    shared = {
        str(index): known
        for index, text in enumerate(template.shared_strings())
        if (known := normalised(text)) in texts
    }
    for sheet in template.workbook.sheets:
        keys = {key for key in open_keys if key[1] is None or key[1].casefold() == sheet.name.casefold()}
        if not keys or template.is_new(sheet):
            continue
        for row, column, text in _texts(template, sheet, shared, texts):
            for key in [key for key in keys if key[0] == text]:
                found[key] = Place(sheet, row, column, "text")
                keys.discard(key)
                open_keys.discard(key)
            if not keys:
                break
    return found


def _texts(
    template: Template, sheet: Sheet, shared: dict[str, str], wanted: set[str]
) -> Iterator[tuple[int, int, str]]:
    for row in template.rows(sheet):
        for cell in row.cells or ():
            if cell.has_content and (b"<" in cell.raw) and (text := _text(cell.raw, shared)) in wanted:
                yield row.number, cell.column, text


def _text(raw: bytes, shared: dict[str, str]) -> str | None:
    """The normalised text of a cell; None if it is no text, or a formula's result."""
    tag = raw[: raw.index(b">")]
    if b'"s"' in tag or b"'s'" in tag:
        found = _SHARED.search(raw)
        return shared.get(found.group(1).decode()) if found else None
    if (b"inlineStr" in tag or b'"str"' in tag or b"'str'" in tag) and not _FORMULA.search(raw):
        return normalised(unescape(_TAGS.sub(b"", raw).decode("utf-8", "replace")))
    return None


@dataclass(frozen=True, slots=True)
class StyleRow:
    """A row of the template whose formats are copied; `row` is None if the template does not contain it."""

    row: Row | None
    columns: ColumnStyles

    def samples(self, first: int) -> int:
        """Number of adjacent cells, from column `first` on, that hold a value and no formula."""
        cells = (self.row.cells or ()) if self.row else ()
        known = {cell.column for cell in cells if cell.has_content and not _FORMULA.search(cell.raw)}
        return next(index for index in range(len(known) + 1) if first + index not in known)

    def formats(self, first: int, width: int) -> list[int]:
        """Format indexes of `width` cells, from column `first` on."""
        known = {cell.column: cell.style for cell in self.row.cells or ()} if self.row else {}
        fallback = self.row.style if self.row else None
        return [
            known.get(column, self.columns.of(column) if fallback is None else fallback)
            for column in range(first, first + width)
        ]


def style_row(template: Template, sheet: Sheet, number: int) -> StyleRow:
    """The formats of one row of a sheet."""
    if template.is_new(sheet):
        return StyleRow(None, ColumnStyles([]))
    stream, events = template.events(sheet, number)
    head = next(events)
    columns = column_styles(Head(head.raw, stream.prefix).columns)
    for event in events:
        if isinstance(event, Row) and event.number >= number:
            return StyleRow(event if event.number == number else None, columns)
    return StyleRow(None, columns)
