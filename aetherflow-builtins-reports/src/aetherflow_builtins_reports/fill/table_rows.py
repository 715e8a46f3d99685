"""A table of the template as a target: fills columns by name or position, and repeats calculated columns."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from aetherflow_builtins_reports.errors import WorkbookError
from aetherflow_builtins_reports.fill.block import Block
from aetherflow_builtins_reports.fill.formulas import SharedFormulas
from aetherflow_builtins_reports.fill.places import Place, style_row
from aetherflow_builtins_reports.fill.room import SheetRoom
from aetherflow_builtins_reports.fill.row_formulas import RowFormula
from aetherflow_builtins_reports.package.markup import parse
from aetherflow_builtins_reports.package.refs import Area, cell_name, quoted
from aetherflow_builtins_reports.package.table_parts import TablePart, tables_of
from aetherflow_builtins_reports.package.template import Template
from aetherflow_builtins_reports.package.workbook import Sheet
from aetherflow_builtins_reports.shift.formulas import shift_formula
from aetherflow_builtins_reports.shift.moves import Shift
from aetherflow_builtins_reports.sources.chunk import Chunk

_ARRAY = frozenset({"1", "true"})


@dataclass
class TableRows:
    """One table as a target."""

    owner: str
    sheet: Sheet
    table: TablePart
    calculated: dict[int, str]
    """Calculated columns, by index from 0: the formula of the first row of data."""
    bottom: int | None = None
    """The last row of the filled table, totals row included; None if the table ends with the data."""
    _formulas: dict[int, RowFormula] = field(default_factory=dict)
    _first_row: int = 0

    @classmethod
    def of(cls, template: Template, place: Place, owner: str) -> Self:
        """The table whose top left cell is `place`."""
        table = next(
            each
            for each in tables_of(template.archive, place.sheet.part)
            if (each.area.top, each.area.left) == (place.row, place.column)
        )
        return cls(owner, place.sheet, table, _calculated(template, place.sheet, table, owner))

    @property
    def kept(self) -> int:
        """Number of data rows in the template."""
        area = self.table.area
        return area.bottom - area.top + 1 - self.table.header_rows - self.table.totals_rows

    @property
    def width(self) -> int:
        return self.table.area.right - self.table.area.left + 1

    def sources(self, names: Sequence[str] | None, width: int) -> list[int | None]:
        """For each table column, the index of its data column, None for no data.

        Columns are matched by name if the table has all names of the data, otherwise by position. WorkbookError if the
        data do not fit.
        """
        columns = [each.casefold() for each in self.table.column_names]
        wanted = [each.casefold() for each in names or ()]
        free = [index for index in range(self.width) if index not in self.calculated]
        if wanted and len(set(wanted)) == len(wanted) and set(wanted) <= set(columns):
            clash = [self.table.column_names[index] for index in self.calculated if columns[index] in wanted]
            if clash:
                raise WorkbookError(
                    f"{self.owner}: table {self.table.name!r} calculates what the data have: {', '.join(clash)}",
                    fix="leave them out of the data, or remove the column's formula from the template",
                )
            return [wanted.index(name) if name in wanted else None for name in columns]
        if width > len(free):
            listed = ", ".join(self.table.column_names[index] for index in free)
            raise WorkbookError(
                f"{self.owner}: the data have {width} columns, table {self.table.name!r} takes {len(free)}: {listed}",
                fix="give the data as many columns, or the names of the table's",
            )
        found: list[int | None] = [None] * self.width
        for source, column in enumerate(free):
            found[column] = source
        return found

    def unknown(self, names: Sequence[str] | None) -> list[str]:
        """The names that are no columns of the table; empty if none of the names is one."""
        columns = {each.casefold() for each in self.table.column_names}
        unknown = [each for each in names or () if each.casefold() not in columns]
        return unknown if len(unknown) < len(names or ()) else []

    def warning(self, written: int) -> str:
        """A warning about empty rows in the filled table; empty text if there is none."""
        table, rows = self.table, max(written, 1)
        if self.bottom is None or self._first_row + rows == self.bottom:
            return ""
        empty = self.bottom - self._first_row - rows
        keeps = f"{self.owner}: table {table.name!r} keeps {empty} empty row{'s'[: empty - 1]} above its totals, for "
        if self.kept <= rows:
            return f"{keeps}more rows went in beside it; put the tables one below the other to avoid that"
        return (
            f"{keeps}the template holds {self.kept} rows of data; leave one there, and the table gets as many as there "
            "are"
        )

    def arranged(self, chunks: Iterator[Chunk], sources: Sequence[int | None]) -> Iterator[Chunk]:
        """The chunks with the table's columns, calculated ones included. Call it after `place` and `bind`."""
        row, most = self._first_row, max((each + 1 for each in sources if each is not None), default=0)
        for chunk in chunks:
            if len(chunk.columns) > most:
                found = len(chunk.columns)
                raise WorkbookError(
                    f"{self.owner}: there is a row of {found} values; table {self.table.name!r} takes {most}",
                    fix="give every row as many values as the table has columns that it does not calculate",
                )
            rows = range(row, row + chunk.rows)
            row += chunk.rows
            columns: list[Sequence[Any]] = []
            for index, source in enumerate(sources):
                if index in self._formulas:
                    columns.append(self._formulas[index].column(rows))
                elif source is None or source >= len(chunk.columns):
                    columns.append([None] * chunk.rows)
                else:
                    columns.append(chunk.columns[source])
            yield Chunk(columns, chunk.rows)

    def shrink(self, room: SheetRoom, rows: int) -> None:
        """Shorten ranges over the table if there are fewer rows than in the template; one row always stays."""
        area = self.table.area
        last = area.bottom - self.table.totals_rows
        room.shrink(area.top, last, last - self.kept + max(rows, 1))

    def place(self, block: Block, room: SheetRoom) -> None:
        """Set the place of the table from its block, and the rows that the block empties."""
        table = self.table
        self._first_row = block.top
        block.clear_through = room.row(table.area.bottom - table.totals_rows)
        if table.totals_rows:
            self.bottom = room.row(table.area.bottom)

    def bind(self, shift: Shift) -> None:
        """Shift the formulas of the calculated columns to the new place of the table."""
        top = self.table.area.top + self.table.header_rows
        for index, text in self.calculated.items():
            where = f"{quoted(self.sheet.name)}!{cell_name(top, self.table.area.left + index)}"
            moved = shift_formula(text, self.sheet.name, shift, where, growth="absolute")
            self._formulas[index] = RowFormula(moved, self._first_row, where)

    def area(self, top: int, data: Area) -> Area:
        """The range of the table after writing; `top` is its header's row, or its first row of data."""
        return Area(top, self.table.area.left, self.bottom or data.bottom, self.table.area.right)


def _calculated(template: Template, sheet: Sheet, table: TablePart, owner: str) -> dict[int, str]:
    """Formulas of the calculated columns."""
    found = {}
    for index, column in enumerate(table.columns):
        element = column.first("calculatedColumnFormula")
        if element is None:
            continue
        if element.attributes.get("array") in _ARRAY:
            raise WorkbookError(
                f"{owner}: column {column.attributes.get('name')!r} of table {table.name!r} holds an array formula, "
                "which cannot be filled",
                fix="write it as a plain formula in the template",
            )
        found[index] = element.text
    if found:
        # The formula in the table part has no defined origin for relative references; the cell's formula has one.
        top = table.area.top + table.header_rows
        row = style_row(template, sheet, top).row
        shared = SharedFormulas("")
        for cell in (row.cells or ()) if row else ():
            index = cell.column - table.area.left
            whole = shared.kept(cell, top)
            shared.dropped(cell, top)  # later cells of its group then get the full formula
            formula = parse(whole).first("f") if index in found else None
            if formula is not None and formula.text.strip():
                found[index] = formula.text
    return found
