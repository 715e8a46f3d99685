"""Adapts parts that depend on filled cells: resizes tables, and makes pivot tables refresh when opened."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from aetherflow_builtins_reports.errors import WorkbookError
from aetherflow_builtins_reports.package.markup import Edits, Element, parse
from aetherflow_builtins_reports.package.refs import Area, parse_area
from aetherflow_builtins_reports.package.table_parts import TablePart, tables_of
from aetherflow_builtins_reports.package.template import Template
from aetherflow_builtins_reports.package.workbook import Sheet
from aetherflow_builtins_reports.shift.moves import Shift


@dataclass(frozen=True, slots=True)
class Filled:
    """A target that was written, with its place."""

    owner: str
    sheet: Sheet
    header_row: int | None
    """The row of the block's header, whether written or the template's; None without a header."""
    header: Sequence[str] | None
    """The texts of the header if it was written; otherwise None."""
    data: Area
    """The area of the data; it has at least one row, even without data."""
    rows: int
    """Number of rows of data."""
    shrinks: bool
    """Whether old rows below the data were emptied."""
    table_part: str = ""
    """The part of the table, if the target is a table; otherwise empty."""
    table_area: Area | None = None

    @property
    def area(self) -> Area:
        top = self.data.top if self.header_row is None else self.header_row
        return Area(top, self.data.left, self.data.bottom, self.data.right)

    def under(self, source: Area) -> Area | None:
        """The new extent of a range that starts with the block's header; None for any other range."""
        inside = self.data.left <= source.left and source.right <= self.data.right
        if not inside or self.header_row != source.top:
            return None
        bottom = self.data.bottom if self.shrinks else max(self.data.bottom, source.bottom)
        return Area(source.top, source.left, bottom, source.right)


class Dependents:
    """Changes the tables and pivot caches of a template."""

    def __init__(self, template: Template, changed: dict[str, bytes], shift: Shift) -> None:
        self._template = template
        self._shift = shift
        self.changed = changed
        """Changed parts by name; initially those in which rows were shifted."""
        self._resized: set[str] = set()
        """Casefolded names of the tables over filled cells."""

    def _read(self, part: str) -> bytes:
        return self.changed.get(part) or self._template.archive.read(part)

    def _tables(self, sheet: Sheet) -> Iterator[TablePart]:
        return tables_of(self._template.archive, sheet.part, self._read)

    def covers(self, filled: Filled) -> bool:
        """Whether a table overlaps the block."""
        return any(table.area.meets(filled.area) for table in self._tables(filled.sheet))

    def resize_tables(self, filled: Filled) -> None:
        """Resize the tables that start with the block's header to the block; WorkbookError if one cannot be."""
        for table in self._tables(filled.sheet):
            if table.part == filled.table_part:
                self._resized.add(table.name.casefold())
                self.changed[table.part] = table.resized(filled.table_area or table.area, has_data=filled.rows > 0)
                continue
            if not table.area.meets(filled.area):
                continue
            self._resized.add(table.name.casefold())
            new = filled.under(table.area)
            if new is not None:
                self._check_header(filled, table)
                if table.totals_rows and filled.data.bottom >= table.area.bottom:
                    raise WorkbookError(
                        f"{filled.owner}: the rows reach the totals row of table {table.name!r} (row "
                        f"{table.area.bottom})",
                        fix=f"set table: {table.name} instead of an anchor, so that the totals row moves",
                    )
            area = table.area if new is None or table.totals_rows else new
            if area != table.area or (table.waits and filled.rows):
                self.changed[table.part] = table.resized(area, has_data=filled.rows > 0)

    @staticmethod
    def _check_header(filled: Filled, table: TablePart) -> None:
        if filled.header is None:
            return
        wanted = table.column_names
        start = table.area.left - filled.data.left
        written = [str(each) for each in filled.header[start : start + len(wanted)]]
        if [each.casefold() for each in wanted] != [each.casefold() for each in written]:
            raise WorkbookError(
                f"{filled.owner}: its header {written} is not that of table {table.name!r}, {wanted}; Excel would call "
                "the workbook damaged",
                fix="give the data the names of the table's columns, or set header_mode: template and "
                "template_has_header: true",
            )

    def refresh_pivots(self, filled: Sequence[Filled]) -> None:
        """Make pivot caches over filled cells refresh on load, and adapt their source ranges to the data."""
        archive, workbook = self._template.archive, self._template.workbook
        for relation in workbook.relations:
            if relation.kind != "pivotCacheDefinition" or relation.target not in archive:
                continue
            data = self._read(relation.target)
            root = parse(data, 3)
            cache = root.first("cacheSource")
            source = cache.first("worksheetSource") if cache else None
            if source is None:
                continue
            edits, touched = Edits(data), False
            for each in filled:
                if self._source_meets(source, each):
                    touched = True
                    self._extend(edits, source, each)
            if touched:
                edits.set_attributes(root, refreshOnLoad="1")
                self.changed[relation.target] = edits.apply()

    @staticmethod
    def _extend(edits: Edits, source: Element, filled: Filled) -> None:
        area = parse_area(source.attributes.get("ref", ""))
        new = filled.under(area) if area else None
        if new is not None and new != area:
            edits.set_attributes(source, ref=str(new))

    def _source_meets(self, source: Element, filled: Filled) -> bool:
        sheet, name = source.attributes.get("sheet"), source.attributes.get("name")
        area = parse_area(source.attributes.get("ref", ""))
        if area is not None and sheet is not None:
            return sheet.casefold() == filled.sheet.name.casefold() and area.meets(filled.area)
        if name is None:
            return False
        if name.casefold() in self._resized:
            return True
        return any(
            each_sheet.casefold() == filled.sheet.name.casefold() and self._moved(each_sheet, each).meets(filled.area)
            for defined in self._template.workbook.named(name)
            for each_sheet, each in defined.areas()
        )

    def _moved(self, sheet: str, area: Area) -> Area:
        """The area of the template after the shift."""
        moves = self._shift.of(sheet)
        return (moves.area(area) if moves else None) or area
