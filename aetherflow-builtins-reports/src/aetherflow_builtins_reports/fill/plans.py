"""The plans of sheets and targets."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from aetherflow_builtins_reports.fill.block import Block
from aetherflow_builtins_reports.fill.dependents import Filled
from aetherflow_builtins_reports.fill.frames import Freeze
from aetherflow_builtins_reports.fill.table_rows import TableRows
from aetherflow_builtins_reports.package.refs import Area
from aetherflow_builtins_reports.package.workbook import Sheet


@dataclass(slots=True)
class TargetPlan:
    """The plan of one target; `filled` and `occupied` are valid when its rows have been written."""

    owner: str
    sheet: Sheet
    data: Block
    header: Sequence[str] | None
    header_row: int | None
    wants_filter: bool = False
    guarded: bool = True
    """Whether the target must not overlap other guarded targets."""
    table: TableRows | None = None
    """The table, if the target is one."""

    @property
    def filled(self) -> Filled:
        block = self.data
        right = block.left + max(block.width, 1) - 1
        area = Area(block.top, block.left, block.top + max(block.written, 1) - 1, right)
        shrinks = block.clear_below or block.clear_through > 0
        filled = Filled(self.owner, self.sheet, self.header_row, self.header, area, block.written, shrinks)
        if self.table is None:
            return filled
        return replace(
            filled, table_part=self.table.table.part, table_area=self.table.area(filled.area.top, filled.data)
        )

    @property
    def occupied(self) -> Area:
        """The area of header and data for the overlap check."""
        filled = self.filled.area
        rows = self.data.written + (self.header_row is not None)
        return Area(filled.top, filled.left, filled.top + max(0, rows - 1), filled.right)


@dataclass(slots=True)
class SheetPlan:
    """The changes to one sheet."""

    sheet: Sheet
    blocks: list[Block] = field(default_factory=list)
    """The blocks; where two overlap, the later one wins."""
    targets: list[TargetPlan] = field(default_factory=list)
    freeze: Freeze | None = None
    inner_head: bytes = b""
    """XML of a new sheet before its rows."""
