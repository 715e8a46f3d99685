"""Writes a filled workbook: first the sheets into spools, then the package with copied, changed and new parts."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Self

from aetherflow_builtins_reports.errors import WorkbookError
from aetherflow_builtins_reports.fill.dependents import Dependents
from aetherflow_builtins_reports.fill.frames import Head, Tail, new_frame
from aetherflow_builtins_reports.fill.package_parts import (
    NEW_STYLES_PART,
    TYPES_PART,
    changed_relations,
    changed_types,
    without_relations,
)
from aetherflow_builtins_reports.fill.plans import SheetPlan
from aetherflow_builtins_reports.fill.room import SheetRoom
from aetherflow_builtins_reports.fill.row_patterns import Repeat, Repeats
from aetherflow_builtins_reports.fill.sheet_writer import SheetWriter, column_styles
from aetherflow_builtins_reports.fill.stamp import STAMP_PART
from aetherflow_builtins_reports.package.deflate import Compression, Spool
from aetherflow_builtins_reports.package.refs import Area
from aetherflow_builtins_reports.package.relations import rels_part
from aetherflow_builtins_reports.package.sheet_stream import Event, Frame, Row
from aetherflow_builtins_reports.package.template import Template
from aetherflow_builtins_reports.package.workbook import Sheet
from aetherflow_builtins_reports.package.writer import ArchiveWriter
from aetherflow_builtins_reports.shift.moves import Shift
from aetherflow_builtins_reports.shift.parts import sheets_that_follow, shifted_parts
from aetherflow_builtins_reports.shift.sheet import ShiftedSheet

_SIGNATURES = "_xmlsignatures/"


class Filling:
    """Collects the changes to a template and writes the result."""

    def __init__(
        self, template: Template, scratch: Path, compression: Compression = "auto", *, drop_results: bool = False
    ) -> None:
        self.template = template
        self._scratch = scratch
        self._compression = compression
        self._drop_results = drop_results
        self._plans: dict[str, SheetPlan] = {}
        self._rooms: dict[str, SheetRoom] = {}
        self._shift = Shift(template.workbook, {})
        self.warnings: list[str] = []

    def plan(self, sheet: Sheet) -> SheetPlan:
        """The plan of a sheet; created on first use."""
        return self._plans.setdefault(sheet.part, SheetPlan(sheet))

    def room(self, sheet: Sheet) -> SheetRoom:
        """The room on a sheet; created on first use."""
        return self._rooms.setdefault(sheet.part, SheetRoom(sheet))

    def write(self, file: BinaryIO, output: str, stamp: Callable[[], bytes] | None) -> None:
        """Write the workbook to `file` and collect `warnings`. Temporary files are removed even after an error."""
        spools: dict[str, Spool] = {}
        self._shift = Shift(self.template.workbook, {part: room.moves for part, room in self._rooms.items()})
        shifted = self._shifted_parts()
        if self._drop_results:
            for sheet in self.template.workbook.sheets:  # sheets without targets may have formulas, too
                self.plan(sheet)
        try:
            for part, plan in self._plans.items():
                spools[part] = Spool(self._scratch, self._compression)
                self._write_sheet(plan, spools[part], shifted)
                spools[part].finish()
            self._refuse_overlaps()
            self._write_package(file, output, stamp, spools, shifted)
            self.warnings += self._shift.warnings
            tables = [(each.table, each.data) for plan in self._plans.values() for each in plan.targets if each.table]
            self.warnings += filter(None, (table.warning(block.written) for table, block in tables))
        finally:
            for spool in spools.values():
                spool.close()

    def _shifted_parts(self) -> dict[str, bytes]:
        """The small parts that refer to moved rows, changed; sheets that do are added to the plans."""
        for plan in self._plans.values():
            for target in plan.targets:
                if target.table is not None:
                    target.table.bind(self._shift)
        if not self._shift:
            return {}
        for sheet in [*self._shift.sheets, *sheets_that_follow(self.template, self._shift)]:
            self.plan(sheet)
        return shifted_parts(self.template, self._shift)

    # A sheet

    def _write_sheet(self, plan: SheetPlan, spool: Spool, parts: dict[str, bytes]) -> None:
        room, shifted = self.room(plan.sheet), None
        events: Iterator[Event]
        if self.template.is_new(plan.sheet):
            head, tail = new_frame(plan.inner_head)
            events = iter([Frame(head), Frame(tail)])
            begin, prefix = next(events), ""
        else:
            first = min((block.top for block in plan.blocks), default=1)
            stream, events = self.template.events(plan.sheet, min(first, max(room.moves.first - 1, 1)))
            begin, prefix = next(events), stream.prefix
            if self._shift:
                shifted = ShiftedSheet(self._shift, plan.sheet, prefix)
        head_part = Head(shifted.head(begin.raw) if shifted else begin.raw, prefix)
        if plan.blocks or room.moves:
            head_part.forget_dimension()
        if plan.freeze is not None:
            head_part.freeze(plan.freeze)
        spool.write(head_part.changed())
        rows = _Rows(events, shifted)
        repeats = Repeats([Repeat(*each) for each in room.grown], prefix, plan.sheet.name)
        writer = SheetWriter(
            prefix, self.template.styles, column_styles(head_part.columns), spool.write,
            drop_results=self._drop_results, repeats=repeats,
        )  # fmt: skip
        writer.merge(rows, plan.blocks)
        tail_part = Tail(shifted.tail(rows.tail.raw) if shifted else rows.tail.raw, prefix)
        self._refuse_merged(plan, tail_part)
        tail_part.repeat_merged([(first, last) for first, last, _ in room.grown])
        self._filter(plan, tail_part, parts)
        spool.write(tail_part.changed())

    def _refuse_merged(self, plan: SheetPlan, tail: Tail) -> None:
        for merged in tail.merged:
            corner = Area(merged.top, merged.left, merged.top, merged.left)
            for block in plan.blocks:
                area = block.area
                if area is None or not area.meets(merged):
                    continue
                common = Area(
                    max(area.top, merged.top), max(area.left, merged.left),
                    min(area.bottom, merged.bottom), min(area.right, merged.right),
                )  # fmt: skip
                if common != corner and block.owner:
                    raise WorkbookError(
                        f"{block.owner}: its cells {area} on sheet {plan.sheet.name!r} meet the merged cells {merged}, "
                        "which would hide them",
                        fix=f"undo the merge of {merged} in the template, or move the target",
                    )

    def _filter(self, plan: SheetPlan, tail: Tail, shifted: dict[str, bytes]) -> None:
        dependents = Dependents(self.template, shifted, self._shift)
        for target in plan.targets:
            if target.wants_filter and not dependents.covers(target.filled):
                tail.set_filter(target.filled.area)
                self.template.workbook.set_filter(plan.sheet, target.filled.area)

    def _refuse_overlaps(self) -> None:
        for plan in self._plans.values():
            guarded = [target for target in plan.targets if target.guarded]
            for index, target in enumerate(guarded):
                for other in guarded[:index]:
                    if target.occupied.meets(other.occupied):
                        raise WorkbookError(
                            f"{target.owner} at {target.occupied} overlaps {other.owner} at {other.occupied} on sheet "
                            f"{plan.sheet.name!r}",
                            fix="leave more room between their anchors in the template",
                        )

    # The package

    def _write_package(
        self,
        file: BinaryIO,
        output: str,
        stamp: Callable[[], bytes] | None,
        spools: dict[str, Spool],
        shifted: dict[str, bytes],
    ) -> None:
        archive, workbook = self.template.archive, self.template.workbook
        changed = self._changed_parts(shifted)
        dropped = {relation.target for relation in workbook.relations if relation.kind == "calcChain"}
        signatures = {info.filename for info in archive.infos if info.filename.lower().startswith(_SIGNATURES)}
        if signatures:
            self.warnings.append(f"{archive.name} was signed; its signature no longer holds and is left out")
            changed[rels_part("")] = without_relations(archive, "", signatures)
        gone = {part.lower() for part in dropped | signatures}
        extra = [("customXml", STAMP_PART)] if stamp is not None else []
        if self.template.styles_part is None and self.template.styles.is_changed:
            extra.append(("styles", NEW_STYLES_PART))
        if stamp is not None:
            changed[STAMP_PART] = stamp()
        changed[TYPES_PART] = changed_types(archive, output, workbook, gone, new_styles=NEW_STYLES_PART in changed)
        changed[workbook.part] = workbook.changed()
        changed[rels_part(workbook.part)] = changed_relations(archive, workbook, gone, extra)
        changed = {part: data for part, data in changed.items() if part not in archive or archive.read(part) != data}
        writer = ArchiveWriter(file)
        left = {part.lower(): part for part in [*changed, *spools]}
        for info in archive.infos:
            key = info.filename.lower().lstrip("/")
            if key in gone:
                continue
            part = left.pop(key, None)
            if part is None:
                writer.copy(archive, info)
            elif part in spools:
                writer.add_spool(info.filename, spools[part])
            else:
                writer.add(info.filename, changed[part])
        for part in left.values():
            if part in spools:
                writer.add_spool(part, spools[part])
            else:
                writer.add(part, changed[part])
        writer.close()

    def _changed_parts(self, shifted: dict[str, bytes]) -> dict[str, bytes]:
        dependents = Dependents(self.template, shifted, self._shift)
        targets = [target.filled for plan in self._plans.values() for target in plan.targets]
        for filled in targets:
            dependents.resize_tables(filled)
        dependents.refresh_pivots(targets)
        changed = dependents.changed
        if self.template.styles.is_changed:
            changed[self.template.styles_part or NEW_STYLES_PART] = self.template.styles.changed()
        return changed


class _Rows:
    """Iterates over the rows of a sheet; the frame after them is stored in `tail`."""

    def __init__(self, events: Iterator[Event], shifted: ShiftedSheet | None) -> None:
        self._events = events
        self._shifted = shifted
        self.tail = Frame(b"")

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Row:
        for event in self._events:
            if isinstance(event, Frame):
                self.tail = event
                break
            row = self._shifted.row(event) if self._shifted else event
            if row is not None:
                return row
        raise StopIteration
