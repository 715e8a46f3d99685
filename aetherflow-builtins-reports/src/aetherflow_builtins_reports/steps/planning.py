"""A target as blocks of a sheet: the row geometry of the documented layouts, in one place.

M: the anchor is a marker above the block. T: the template keeps a header. W: a header is written.
r0 = anchor row + M; H = max(T, W); data starts at r0 + H.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from aetherflow.core.api import StepInputError
from aetherflow_builtins_reports.cells.casting import Conventions, Dtype
from aetherflow_builtins_reports.fill.block import Block, fixed
from aetherflow_builtins_reports.fill.filling import Filling, TargetPlan
from aetherflow_builtins_reports.fill.frames import Freeze
from aetherflow_builtins_reports.fill.places import Place, style_row
from aetherflow_builtins_reports.package.styles import Look
from aetherflow_builtins_reports.sources.chunk import Chunk
from aetherflow_builtins_reports.steps.fields import Target


@dataclass(frozen=True, slots=True)
class Resolved:
    """The values of a target that depend on its step, its mode and what was found."""

    header_mode: str
    marker: bool
    template_header: bool
    header: list[str] | None
    """The header that is at hand; whether it is written says `header_mode`."""
    types: tuple[list[Dtype], Dtype]
    clear_below: bool = False
    bold: bool = False
    autofilter: bool = False
    freeze: bool = False
    guarded: bool = True
    default_clear_width: Callable[[int, int], int] = field(default=max)
    """From header length and block width."""

    @property
    def writes_header(self) -> bool:
        """W."""
        return self.header_mode in {"override", "append"} and bool(self.header)


@dataclass(frozen=True, slots=True)
class Planned:
    """A target that is ready to be written, and what its result says."""

    target: Target
    resolved: Resolved
    place: Place
    top: int
    header_rows: int
    plan: TargetPlan

    def written(self, **more: Any) -> dict[str, Any]:
        """Its entry in the result."""
        target, block = self.target, self.plan.data
        names = self.resolved.header or []
        width = max(block.width, len(names) if self.resolved.writes_header else 0)
        return {
            "name": target.name,
            "sheet": self.place.sheet.name,
            "rows": self.header_rows + block.written,
            "cols": width,
            "insert": target.insert or "replace",
            "header_mode": self.resolved.header_mode,
            "header_style": target.header_style,
            "style_mode": target.style_mode,
            "start_cell": [self.top, self.place.column],
            "template_has_header": self.resolved.template_header,
            **more,
            "adjusted": block.counts.as_output(names),
            "cleared_rows": block.cleared,
        }


def _first_width(chunks: Iterator[Chunk]) -> tuple[int, Iterator[Chunk]]:
    first = next(chunks, None)
    return (0, iter(())) if first is None else (len(first.columns), chain([first], chunks))


def plan_target(
    filling: Filling, target: Target, resolved: Resolved, place: Place, chunks: Iterator[Chunk],
    conventions: Conventions, on_rows: Callable[[int], None],
) -> Planned:  # fmt: skip
    """Put the blocks of a target into the plan of its sheet."""
    plan = filling.plan(place.sheet)
    marker, writes = int(resolved.marker), int(resolved.writes_header)
    top = place.row + marker
    header_rows = max(int(resolved.template_header), writes)
    header = resolved.header if writes else None
    width, chunks = _first_width(chunks)
    width = max(width, len(header or ()))
    left = place.column
    styles = _styles(filling, target, place, top, width)
    _clear_anchor(plan.blocks, target, place, conventions)
    if target.clear_style_row and styles is not None:
        plan.blocks.append(_blanks(_style_row(target, place, top), left, width, conventions))
    if header is not None:
        _header(plan.blocks, target, resolved, header, top, left, width, styles, conventions)
    names = resolved.types[0]
    data = Block(
        target.owner, top + header_rows, left, chunks, conventions,
        dtypes=names, default_dtype=resolved.types[1],
        styles=styles if target.style_apply in {"data", "both"} else None,
        keep_number_formats=True,
        clear_below=resolved.clear_below,
        max_columns=target.max_cols,
        max_rows=_least(target.max_rows, None if target.max_total_rows is None else target.max_total_rows - writes),
        on_rows=on_rows,
        width=width,
    )  # fmt: skip
    plan.blocks.append(data)
    target_plan = TargetPlan(
        target.owner, place.sheet, data, header, top if header_rows else None,
        wants_filter=resolved.autofilter and header is not None, guarded=resolved.guarded,
    )  # fmt: skip
    plan.targets.append(target_plan)
    freeze = Freeze(top + writes, left)
    if resolved.freeze and (freeze.row, freeze.column) != (1, 1):
        plan.freeze = freeze
    return Planned(target, resolved, place, top, header_rows, target_plan)


def _least(*limits: int | None) -> int | None:
    return min((limit for limit in limits if limit is not None), default=None)


def _style_row(target: Target, place: Place, top: int) -> int:
    marker = top - place.row
    return (place.row if marker else top) + target.style_row_offset


def _styles(filling: Filling, target: Target, place: Place, top: int, width: int) -> list[int] | None:
    if target.style_mode != "copy_row":
        return None
    number = _style_row(target, place, top)
    if number < 1:
        raise StepInputError(f"{target.owner}: its style row would be row {number}", fix="raise style_row_offset")
    return style_row(filling.template, place.sheet, number).formats(place.column, width)


def _blanks(row: int, left: int, width: int, conventions: Conventions) -> Block:
    return Block("", row, left, fixed([""] * width) if width > 0 else iter(()), conventions)


def _clear_anchor(blocks: list[Block], target: Target, place: Place, conventions: Conventions) -> None:
    if not target.anchor_clear or target.anchor is None:
        return
    width = 1 if target.anchor_clear_mode == "cell" else target.anchor_clear_width
    blocks.append(_blanks(place.row, place.column, 1 if width is None else width, conventions))


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
