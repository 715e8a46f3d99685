"""Shifts the rows of a sheet: row numbers, cell addresses, and formulas."""

import re
from dataclasses import dataclass

from aetherflow_builtins_reports.escaping import escape, unescape
from aetherflow_builtins_reports.package.markup import Edits, Element, parse
from aetherflow_builtins_reports.package.refs import Area, cell_name, parse_area, parse_cell, quoted
from aetherflow_builtins_reports.package.sheet_stream import Row
from aetherflow_builtins_reports.shift.formulas import Growth, copy_formula, may_change, shift_formula
from aetherflow_builtins_reports.shift.moves import Moves, Shift
from aetherflow_builtins_reports.shift.references import FormulaError

_ODD = (b"<!--", b"<![CDATA[", b"<?")
_ROW_NUMBER = re.compile(rb"""(\sr\s*=\s*["'])\d+(?=["'])""")


@dataclass(frozen=True, slots=True)
class _Shared:
    """The first cell of a group of shared formulas."""

    text: str
    row: int
    column: int
    expanded: bool
    """Whether each cell of the group gets the full formula."""


class ShiftedRows:
    """Shifts the rows of one sheet, which must be given in their order."""

    def __init__(self, shift: Shift, sheet: str, prefix: str) -> None:
        self._shift = shift
        self._sheet = sheet
        self._moves = shift.of(sheet) or Moves([])
        self._shared: dict[str, _Shared] = {}
        self._expanding = False
        p = re.escape(prefix).encode()
        self._cell = re.compile(rb"<%sc(?=[\s/>])[^>]*?(?:/>|>.*?</%sc\s*>)" % (p, p), re.DOTALL)
        self._address = re.compile(rb"""(<%sc(?:\s[^>]*?)?\sr\s*=\s*["'])([A-Za-z]{1,3})\d+(?=["'])""" % p)
        self._formula_start = b"<" + prefix.encode() + b"f"
        self._plain_formula = re.compile(rb"<%sf>([^<]*)</%sf>" % (p, p))

    def row(self, row: Row) -> Row | None:
        """The shifted row; None if it is empty and pushed out of the sheet. WorkbookError if it has content."""
        new = self._moves.row(row.number)
        if new is None:
            self._refuse_lost(row)
            return None
        if new == row.number and self._formula_start not in row.raw:
            return row
        if not self._moves and not self._expanding and b"!" not in row.raw:
            return row
        raw = row.raw if new == row.number else self._renumbered(row, new)
        cells = self._cells(row)
        changed = [self._moved_cell(cell, row.number, column, new) for column, cell in cells]
        if all(one is cell for one, (_, cell) in zip(changed, cells, strict=True)):
            return row if new == row.number else Row(new, row.attributes | {"r": str(new)}, raw, row.cells)
        parts, at = [], 0
        for (_, cell), one in zip(cells, changed, strict=True):
            start = raw.index(cell, at)
            parts += [raw[at:start], one]
            at = start + len(cell)
        details = row.cells
        if details is not None:
            details = [cell._replace(raw=one) for cell, one in zip(details, changed, strict=True)]
        return Row(new, row.attributes | {"r": str(new)}, b"".join([*parts, raw[at:]]), details)

    def _refuse_lost(self, row: Row) -> None:
        if re.search(rb"<(?:\w+:)?(?:f|v|is)[\s/>]", row.raw):
            raise self._shift.error(
                f"{quoted(self._sheet)}, row {row.number}",
                "it would move past the last row of a sheet",
                "insert fewer rows, or keep what stands far below in another sheet",
            )

    def _renumbered(self, row: Row, new: int) -> bytes:
        end = row.raw.index(b">")
        head = _ROW_NUMBER.sub(rb"\g<1>%d" % new, row.raw[:end], count=1)
        if "r" not in row.attributes:
            head += b' r="%d"' % new
        return head + row.raw[end:]

    def _cells(self, row: Row) -> list[tuple[int, bytes]]:
        """Column and XML of each cell."""
        if row.cells is not None:
            return [(cell.column, cell.raw) for cell in row.cells]
        if any(mark in row.raw for mark in _ODD):
            found = [row.raw[each.start : each.end] for each in parse(row.raw).named("c")]
        else:
            found = self._cell.findall(row.raw)
        cells, column = [], 0
        for raw in found:
            address = self._address.match(raw)
            place = parse_cell(f"{address[2].decode()}1") if address else None
            column = place[1] if place else column + 1
            cells.append((column, raw))
        return cells

    # A cell

    def _moved_cell(self, raw: bytes, row: int, column: int, new: int) -> bytes:
        moved = raw
        if self._formula_start in raw:
            moved = self._moved_formula(raw, row, column)
        address = self._address.match(moved) if new != row else None
        if address is None:
            return moved
        return b"%s%d%s" % (moved[: address.end(2)], new, moved[address.end() :])

    def _moved_formula(self, raw: bytes, row: int, column: int) -> bytes:
        where = f"{quoted(self._sheet)}!{cell_name(row, column)}"
        plain = self._plain_formula.search(raw)
        if plain is not None and b"&#" not in plain[1]:
            text = unescape(plain[1].decode("utf-8"))
            new = self._shifted(text, where, row)
            return raw if new == text else raw[: plain.start(1)] + escape(new).encode() + raw[plain.end(1) :]
        formula = next((each for each in parse(raw).children if each.local == "f"), None)
        if formula is None:
            return raw
        match formula.attributes.get("t"):
            case "shared":
                return self._moved_shared(raw, formula, where, row, column)
            case "dataTable":
                self._check_data_table(formula, where)
                return raw
        edits = Edits(raw)
        if formula.text.strip():
            new = self._shifted(formula.text, where, row)
            if new != formula.text:
                edits.replace(formula.tag_end, formula.inner_end, escape(new).encode())
        if "ref" in formula.attributes:
            self._move_array(edits, formula, where)
        changed = edits.apply()
        return raw if changed == raw else changed

    def _shifted(self, text: str, where: str, row: int) -> str:
        growth: Growth = "others" if self._moves.grows(row) else "ranges"
        return shift_formula(text, self._sheet, self._shift, where, growth=growth)

    def _move_array(self, edits: Edits, formula: Element, where: str) -> None:
        area = parse_area(formula.attributes["ref"])
        if area is None or not self._moves:
            return
        if self._moves.inside(area.top, area.bottom) and not self._spills(edits.data):
            raise self._shift.error(
                where,
                f"rows cannot go in within its array formula, which covers {area}",
                "give each row a formula of its own, or insert above or below the array",
            )
        new = self._moves.area(area, grow=False)
        if new is not None and new != area:
            edits.set_attributes(formula, ref=str(new))

    @staticmethod
    def _spills(cell: bytes) -> bool:
        """Whether the cell has a dynamic array formula, whose size results from its calculation."""
        return re.match(rb"""<[^>]*\scm\s*=""", cell) is not None

    def _check_data_table(self, formula: Element, where: str) -> None:
        """Refuse a data table (what-if analysis) if a part of it would move: its cells look like plain numbers."""
        area = parse_area(formula.attributes.get("ref", ""))
        inputs = [parse_cell(formula.attributes.get(key, "")) for key in ("r1", "r2")]
        rows = [(area.top, area.bottom)] if area else []
        rows += [(place[0], place[0]) for place in inputs if place is not None]
        if any(self._moves.changes(top, bottom) for top, bottom in rows):
            raise self._shift.error(
                where,
                "the data table (what-if analysis) there would have to move, which is not supported",
                "put it on another sheet, or above the rows that are inserted",
            )

    # Shared formulas

    def _moved_shared(self, raw: bytes, formula: Element, where: str, row: int, column: int) -> bytes:
        group = formula.attributes.get("si", "")
        if formula.text.strip():
            area = parse_area(formula.attributes.get("ref", "")) or Area(row, column, row, column)
            self._shared[group] = first = _Shared(formula.text, row, column, self._must_expand(formula.text, area))
        elif group in self._shared:
            first = self._shared[group]
        elif not self._moves:
            return raw
        else:
            raise self._shift.error(where, "its shared formula has no original above it", "save the workbook in Excel")
        if not first.expanded and row < self._moves.first and not self._moves.grows(row):
            return raw  # in a row that grows, formulas must be complete, as new rows repeat them
        try:
            text = copy_formula(first.text, row - first.row, column - first.column)
        except FormulaError as error:
            raise self._shift.error(where, str(error), "write the formula in another way") from error
        kept = {key: value for key, value in formula.attributes.items() if key not in {"t", "ref", "si"}}
        edits = Edits(raw)
        edits.replace(formula.start, formula.end, _formula(formula.name, kept, self._shifted(text, where, row)))
        return edits.apply()

    def _must_expand(self, text: str, area: Area) -> bool:
        """Whether the cells of a group need full formulas: some cells move, or cells that they refer to."""
        if area.bottom >= self._moves.first or may_change(text, self._sheet, self._shift, area.bottom - area.top):
            self._expanding = True
            return True
        return False


def _formula(name: str, attributes: dict[str, str], text: str) -> bytes:
    listed = "".join(f' {key}="{escape(value).replace(chr(34), "&quot;")}"' for key, value in attributes.items())
    return f"<{name}{listed}>{escape(text)}</{name}>".encode()
