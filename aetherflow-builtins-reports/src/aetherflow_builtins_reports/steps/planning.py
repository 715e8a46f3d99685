"""Plans a target as blocks of a sheet, in two passes: all targets claim room before the first gets its place."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

from aetherflow.core.api import StepInputError
from aetherflow_builtins_reports.cells.casting import Conventions, Dtype
from aetherflow_builtins_reports.fill.block import Block, fixed
from aetherflow_builtins_reports.fill.filling import Filling
from aetherflow_builtins_reports.fill.frames import Freeze
from aetherflow_builtins_reports.fill.places import Place, style_row
from aetherflow_builtins_reports.fill.plans import TargetPlan
from aetherflow_builtins_reports.fill.table_rows import TableRows
from aetherflow_builtins_reports.package.styles import Look
from aetherflow_builtins_reports.sources.chunk import Chunk
from aetherflow_builtins_reports.steps.fields import Target
from aetherflow_builtins_reports.steps.layouts import Layout, Resolved, lay_out


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of a target."""

    chunks: Iterator[Chunk]
    count: int | None
    """Number of rows; None if no room is made for them."""
    counted: str = ""
    """The origin of `count`, for messages."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A target after the first pass: its place in the template is known and its room is claimed."""

    target: Target
    resolved: Resolved
    place: Place
    rows: Rows
    width: int
    layout: Layout
    table: TableRows | None = None

    @property
    def room(self) -> str:
        """A text about inserted rows for a dry run; empty if there are none."""
        room = self.layout.room
        if room is None or room.count < 1:
            return ""
        verb = "row goes" if room.count == 1 else "rows go"
        return f", for which {room.count} {verb} in above row {room.row} of sheet {self.place.sheet.name!r}"


@dataclass(frozen=True, slots=True)
class Planned:
    """A target after the second pass, ready to be written."""

    target: Target
    resolved: Resolved
    place: Place
    top: int
    header_rows: int
    plan: TargetPlan

    def written(self, **more: Any) -> dict[str, Any]:
        """Its entry in the step's output `written`; valid when its rows have been written."""
        target, block = self.target, self.plan.data
        names = self.resolved.header or []
        width = max(block.width, len(names) if self.resolved.writes_header else 0)
        return {
            "name": target.name,
            "sheet": self.place.sheet.name,
            "rows": self.header_rows + block.written,
            "cols": width,
            "insert": target.insert or self.resolved.insert,
            "header_mode": self.resolved.header_mode,
            "header_style": target.header_style,
            "style_mode": "copy_row" if target.copies_style else "none",
            "start_cell": [self.top, self.place.column],
            "template_has_header": self.resolved.template_header,
            **more,
            "adjusted": block.counts.as_output(names),
            "cleared_rows": block.cleared,
        }


def draft_target(filling: Filling, target: Target, resolved: Resolved, place: Place, rows: Rows) -> Draft:
    """First pass: determine the layout of a target and claim its room."""
    table = TableRows.of(filling.template, place, target.owner) if place.kind == "table" else None
    width, chunks = _first_width(rows.chunks)
    if resolved.writes_header or resolved.insert == "grow":
        width = max(
            width, len(resolved.header or ())
        )  # even without rows, so that samples in the style row are emptied
    if table is not None:
        unknown = table.unknown(resolved.header)
        if unknown:
            filling.warnings.append(
                f"{target.owner}: table {table.table.name!r} lacks {', '.join(unknown)}; columns are filled by place"
            )
        if target.max_cols is not None and width > target.max_cols:
            raise StepInputError(f"{target.owner}: {width} columns are more than max_cols ({target.max_cols})")
        resolved, chunks = _arranged(table, resolved, chunks, width)
        width = table.width
    layout = lay_out(target, resolved, place, rows.count or 0, width, kept=table.kept if table else 1)
    if layout.room is not None:
        filling.room(place.sheet).need(layout.room)
    if table is not None:
        table.shrink(filling.room(place.sheet), rows.count or 0)
    return Draft(target, resolved, place, Rows(chunks, rows.count, rows.counted), width, layout, table)


def _arranged(
    table: TableRows, resolved: Resolved, chunks: Iterator[Chunk], width: int
) -> tuple[Resolved, Iterator[Chunk]]:
    """Settings and rows of a table, arranged in the order of its columns."""
    sources = table.sources(resolved.header, width)
    types, rest = resolved.types
    listed: list[Dtype] = [
        "none" if source is None else types[source] if source < len(types) else rest for source in sources
    ]
    columns = replace(resolved, header=table.table.column_names, types=(listed, rest))
    return columns, table.arranged(chunks, sources)


def _first_width(chunks: Iterator[Chunk]) -> tuple[int, Iterator[Chunk]]:
    first = next(chunks, None)
    return (0, iter(())) if first is None else (len(first.columns), chain([first], chunks))


def plan_target(filling: Filling, draft: Draft, conventions: Conventions, on_rows: Callable[[int], None]) -> Planned:
    """Second pass, when all targets have claimed their room: add the blocks of a target to its sheet's plan."""
    target, resolved, place, layout = draft.target, draft.resolved, draft.place, draft.layout
    plan, room = filling.plan(place.sheet), filling.room(place.sheet)
    writes = int(resolved.writes_header)
    top, data_row, left, width = layout.header_row(room), layout.data_row(room), place.column, draft.width
    header = resolved.header if writes else None
    styles = _styles(filling, target, place, layout, width)
    _clear_anchor(plan.blocks, target, place, room.row(place.row), conventions)
    if layout.kept or (target.clear_style_row and styles is not None):
        # inserted before all other blocks, so that it empties samples but no cell of another target
        samples = width or style_row(filling.template, place.sheet, layout.style_row).samples(left)
        plan.blocks.insert(0, _blanks(room.row(layout.style_row), left, samples, conventions))
    if header is not None:
        _header(plan.blocks, target, resolved, header, top, left, width, styles, conventions)
    data = Block(
        target.owner, data_row, left, draft.rows.chunks, conventions,
        dtypes=resolved.types[0], default_dtype=resolved.types[1],
        styles=styles if layout.kept or target.style_apply in {"data", "both"} else None,
        keep_number_formats=target.copies_style,
        fills_gaps=layout.kept > 0,
        clear_below=resolved.clear_below,
        max_columns=None if draft.table else target.max_cols,
        max_rows=_least(target.max_rows, None if target.max_total_rows is None else target.max_total_rows - writes),
        promised=None if layout.room is None else draft.rows.count,
        promised_by=draft.rows.counted,
        on_rows=on_rows,
        width=width,
    )  # fmt: skip
    plan.blocks.append(data)
    if draft.table is not None:
        draft.table.place(data, room)
    target_plan = TargetPlan(
        target.owner, place.sheet, data, header, top if layout.header_rows else None,
        wants_filter=resolved.autofilter and header is not None, guarded=resolved.guarded, table=draft.table,
    )  # fmt: skip
    plan.targets.append(target_plan)
    freeze = Freeze(top + writes, left)
    if resolved.freeze and (freeze.row, freeze.column) != (1, 1):
        plan.freeze = freeze
    return Planned(target, resolved, place, top, layout.header_rows, target_plan)


def _least(*limits: int | None) -> int | None:
    return min((limit for limit in limits if limit is not None), default=None)


def _styles(filling: Filling, target: Target, place: Place, layout: Layout, width: int) -> list[int] | None:
    if not target.copies_style and not layout.kept:
        return None
    if layout.style_row < 1:
        raise StepInputError(
            f"{target.owner}: its style row would be row {layout.style_row}", fix="raise style_row_offset"
        )
    return style_row(filling.template, place.sheet, layout.style_row).formats(place.column, width)


def _blanks(row: int, left: int, width: int, conventions: Conventions) -> Block:
    return Block("", row, left, fixed([""] * width) if width > 0 else iter(()), conventions)


def _clear_anchor(blocks: list[Block], target: Target, place: Place, row: int, conventions: Conventions) -> None:
    if not target.anchor_clear or target.anchor is None:
        return
    width = 1 if target.anchor_clear_mode == "cell" else target.anchor_clear_width
    blocks.append(_blanks(row, place.column, 1 if width is None else width, conventions))


def _header(
    blocks: list[Block], target: Target, resolved: Resolved, header: list[str], top: int, left: int, width: int,
    styles: list[int] | None, conventions: Conventions,
) -> None:  # fmt: skip
    if target.header_clear:
        wanted = target.header_clear_width
        clear = resolved.default_clear_width(len(header), width) if wanted is None else wanted
        blocks.append(_blanks(top, left, clear, conventions))
    look = styles if target.header_style == "style_row" else None
    header_block = Block(target.owner, top, left, fixed(header), conventions, default_dtype="string", styles=look)
    header_block.look = Look(bold=resolved.bold)
    blocks.append(header_block)
