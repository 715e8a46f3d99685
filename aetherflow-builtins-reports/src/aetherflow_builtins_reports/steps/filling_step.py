"""Base classes of the steps that write workbooks: open the template, place single values, write the file."""

import contextlib
import errno
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

from aetherflow.core.api import Step, StepInputError
from aetherflow_builtins_reports.cells.casting import Conventions
from aetherflow_builtins_reports.errors import full_disk, missing_extra
from aetherflow_builtins_reports.fill.block import Block, fixed
from aetherflow_builtins_reports.fill.filling import Filling
from aetherflow_builtins_reports.fill.places import Place, Query, find_places, value_place
from aetherflow_builtins_reports.fill.stamp import Input, stamp
from aetherflow_builtins_reports.package.deflate import Compression, installed
from aetherflow_builtins_reports.package.refs import cell_name, quoted
from aetherflow_builtins_reports.package.template import Template
from aetherflow_builtins_reports.sources.opening import file_sha256
from aetherflow_builtins_reports.steps.fields import Target
from aetherflow_builtins_reports.steps.fill_inputs import FillInputs, ValueInputs

InputsT = TypeVar("InputsT", bound=ValueInputs)
FillT = TypeVar("FillT", bound=FillInputs)

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class WorkbookStep(Step[InputsT], Generic[InputsT]):
    """A step that writes a workbook."""

    def conventions(self, *, date1904: bool = False) -> Conventions:
        """The settings for the conversion of values."""
        return Conventions(date1904, self.args.zone, self.args.long_numbers)

    def scratch(self) -> Path:
        """A folder for temporary files with compressed sheets."""
        return self.ctx.scratch_dir(self.job_id)

    def on_rows(self, rows: int) -> None:
        self.ctx.progress(rows, None, "rows")
        self.ctx.check_cancelled()

    def compression(self) -> Compression:
        """The compression of parts; StepInputError if its library is not installed."""
        wanted = self.args.compression
        if wanted != "auto" and not installed(wanted):
            raise missing_extra(f"compression: {wanted}", "fast")
        return wanted

    @contextlib.contextmanager
    def room(self, output: Path) -> Iterator[None]:
        """Convert errors of a full disk in the block to StepError."""
        try:
            yield
        except OSError as error:
            if error.errno in _FULL:
                raise full_disk(output, error) from error
            raise

    def save(self, filling: Filling, output: str, stamped: Callable[[], bytes] | None) -> Path:
        """Write the file, log the warnings, and return the path."""
        target = self.ctx.write_path(output)
        # spools are unnamed files in the scratch folder, so none remains however the process ends
        with self.room(target), self.ctx.write_file(target) as file:
            filling.write(file, output, stamped)
        for warning in filling.warnings:
            self.ctx.log.warning(warning)
        return target


class FillStep(WorkbookStep[FillT], Generic[FillT]):
    """A step that fills a template."""

    def template(self) -> Template:
        path = self.ctx.asset_path(self.args.template_path)
        if not path.is_file():
            raise StepInputError(
                f"template {path} does not exist", fix="a relative template_path stands beside the flow file"
            )
        return Template(path, path.name)

    def filling(self, template: Template) -> Filling:
        """A fill of the template."""
        drop = self.args.stored_results == "drop"
        return Filling(template, self.scratch(), self.compression(), drop_results=drop)

    def places(self, template: Template, targets: Sequence[Target]) -> list[Place]:
        """The places of targets that have an anchor, a cell or a table."""
        self.refuse_wide_search(template, targets)
        queries = [Query(each.owner, each.anchor, each.cell, each.sheet, each.table) for each in targets]
        return find_places(template, queries)

    def refuse_wide_search(self, template: Template, targets: Sequence[Target]) -> None:
        """In enterprise mode, raise StepInputError for an anchor text without a sheet to search."""
        if self.ctx.settings.mode != "enterprise":
            return
        for target in targets:
            anchor = target.anchor
            if anchor is None or target.sheet is not None or "!" in anchor or template.workbook.named(anchor):
                continue
            raise StepInputError(
                f"{target.owner}: anchor {anchor!r} is searched for as a text, which needs a sheet in enterprise mode",
                fix="set sheet",
            )

    def put_cells(self, filling: Filling, conventions: Conventions) -> dict[str, str]:
        """Plan the single values; return the cell of each."""
        where = {}
        for key, value in self.args.cell_values.items():
            place = value_place(filling.template, key)
            row = filling.room(place.sheet).row(place.row)
            block = Block(
                f"cells.{key}", row, place.column, fixed([value.content]), conventions, default_dtype=value.dtype
            )
            filling.plan(place.sheet).blocks.append(block)
            where[key] = f"{quoted(place.sheet.name)}!{cell_name(row, place.column)}"
        return where

    def stamp(self, sources: Callable[[], Sequence[Input]]) -> Callable[[], bytes] | None:
        """A function that makes the stamp part, None without `stamp`; `sources` is called when they have been read."""
        if not self.args.stamp:
            return None
        template = self.ctx.asset_path(self.args.template_path)
        own = Input("template", template.name, file_sha256(template))
        return lambda: stamp(self.ctx.flow_id, self.ctx.flow_sha256, [own, *sources()])

    def planned(self, lines: Sequence[str]) -> list[str]:
        """The sentences of a dry run; `lines` are those about the targets."""
        output = self.ctx.write_path(self.args.output)
        verb = "replace" if output.exists() else "write"
        cells = [f"single values: {', '.join(self.args.cell_values)}"] if self.args.cell_values else []
        what = "; ".join([*lines, *cells])
        return [f"{verb} {output} from the template {self.ctx.asset_path(self.args.template_path)}: {what}"]


def written_cells(values: dict[str, str], filling: Filling) -> dict[str, Any]:
    """The outputs `cells` and `warnings` of both fill steps."""
    return {"cells": values, "warnings": filling.warnings}
