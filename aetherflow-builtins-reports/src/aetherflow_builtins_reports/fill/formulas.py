"""Shared formulas (ECMA-376 18.3.1.40) whose first cell, which holds the text, is overwritten.

The other cells of the group then get the full formula; otherwise Excel would lose it.
"""

import re
from collections.abc import Sequence

from aetherflow_builtins_reports.errors import WorkbookError
from aetherflow_builtins_reports.package.markup import Element, parse
from aetherflow_builtins_reports.package.refs import cell_name
from aetherflow_builtins_reports.package.sheet_stream import Cell
from aetherflow_builtins_reports.shift.formulas import copy_formula
from aetherflow_builtins_reports.shift.references import FormulaError

_SHARED = b"shared"


def stored_result(prefix: str) -> re.Pattern[bytes]:
    """A pattern that matches a formula (group 1) and the stored result after it."""
    p = prefix.encode()
    return re.compile(rb"(</%sf>|<%sf\b[^>]*/>)\s*<%sv>[^<]*</%sv>" % (p, p, p, p))


class SharedFormulas:
    """Follows the groups of shared formulas through the rows of one sheet."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self.orphaned: dict[str, tuple[str, int, int]] = {}
        """Groups that lost their first cell: its formula, row and column."""

    def dropped(self, cell: Cell, row: int) -> None:
        """Note that a cell is overwritten or emptied."""
        formula = _formula(cell)
        if formula is not None and formula.text:
            self.orphaned[formula.attributes.get("si", "")] = (formula.text, row, cell.column)

    def concern(self, cells: Sequence[Cell]) -> bool:
        """Whether any cell has a shared formula, so that `kept` must be called."""
        return any(_SHARED in cell.raw for cell in cells)

    def kept(self, cell: Cell, row: int) -> bytes:
        """The XML of a cell that stays, with the full formula if its group lost the first cell."""
        formula = _formula(cell) if self.orphaned else None
        if formula is None or formula.text:
            return cell.raw
        found = self.orphaned.get(formula.attributes.get("si", ""))
        if found is None:
            return cell.raw
        text, origin_row, origin_column = found
        where = cell_name(row, cell.column)
        try:
            moved = copy_formula(text, row - origin_row, cell.column - origin_column)
        except FormulaError as error:
            raise WorkbookError(f"the shared formula of {where} loses its original: {error}") from error
        escaped = moved.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        new = f"<{self._prefix}f>{escaped}</{self._prefix}f>".encode()
        return cell.raw[: formula.start] + new + cell.raw[formula.end :]


def _formula(cell: Cell) -> Element | None:
    """The shared formula of a cell; None if it has none."""
    if _SHARED not in cell.raw or not re.search(rb"\bt\s*=\s*[\"']shared[\"']", cell.raw):
        return None
    return next((each for each in parse(cell.raw).children if each.local == "f"), None)
