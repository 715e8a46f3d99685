"""What is to be done with a sheet: its blocks, its targets, the room for them."""

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
    """One target: its blocks are those that carry its rows; areas are known once they were written."""

    owner: str
    sheet: Sheet
    data: Block
    header: Sequence[str] | None
    header_row: int | None
    wants_filter: bool = False
    guarded: bool = True
    """Whether it may not overlap other guarded targets."""
    table: TableRows | None = None
    """The table that it is."""

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
        """Rows of header and data, as the overlap guard counts them."""
        filled = self.filled.area
        rows = self.data.written + (self.header_row is not None)
        return Area(filled.top, filled.left, filled.top + max(0, rows - 1), filled.right)


@dataclass(slots=True)
class SheetPlan:
    """What happens to one sheet."""

    sheet: Sheet
    blocks: list[Block] = field(default_factory=list)
    """In the order in which they count: the later one wins."""
    targets: list[TargetPlan] = field(default_factory=list)
    freeze: Freeze | None = None
    inner_head: bytes = b""
    """What a new sheet has before its rows."""
