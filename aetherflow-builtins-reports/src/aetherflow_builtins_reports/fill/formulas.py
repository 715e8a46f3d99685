"""Shared formulas whose first cell is overwritten: the others get the formula in full, or Excel would lose it."""

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
    """Matches a formula, group 1, with its stored result behind it."""
    p = prefix.encode()
    return re.compile(rb"(</%sf>|<%sf\b[^>]*/>)\s*<%sv>[^<]*</%sv>" % (p, p, p, p))


class SharedFormulas:
    """Follows the groups of shared formulas through the rows of one sheet."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self.orphaned: dict[str, tuple[str, int, int]] = {}
        """Groups without their first cell: its formula, and its row and column."""

    def dropped(self, cell: Cell, row: int) -> None:
        """A cell is overwritten or emptied."""
        formula = _formula(cell)
        if formula is not None and formula.text:
            self.orphaned[formula.attributes.get("si", "")] = (formula.text, row, cell.column)

    def concern(self, cells: Sequence[Cell]) -> bool:
        """Whether a row holds cells of a group that lost its first one."""
        return any(_SHARED in cell.raw for cell in cells)

    def kept(self, cell: Cell, row: int) -> bytes:
        """A cell that stays, with its formula in full if its group lost the first one."""
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
