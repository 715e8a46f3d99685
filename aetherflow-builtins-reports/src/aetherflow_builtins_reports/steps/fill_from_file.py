import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from aetherflow.core.api import StepResult
from aetherflow_builtins_reports.errors import parquet_library
from aetherflow_builtins_reports.fill.filling import Filling
from aetherflow_builtins_reports.fill.places import Place
from aetherflow_builtins_reports.fill.stamp import Input
from aetherflow_builtins_reports.package.template import Template
from aetherflow_builtins_reports.package.workbook import check_sheet_name
from aetherflow_builtins_reports.steps.fields import _json
from aetherflow_builtins_reports.steps.file_source import AnySource
from aetherflow_builtins_reports.steps.file_target import ROWS_THRESHOLD, FileTarget
from aetherflow_builtins_reports.steps.fill_inputs import FillInputs, WrittenOutputs
from aetherflow_builtins_reports.steps.filling_step import FillStep, written_cells
from aetherflow_builtins_reports.steps.layouts import Resolved, marks
from aetherflow_builtins_reports.steps.planning import Draft, Rows, draft_target, plan_target

Targets = Annotated[list[FileTarget], BeforeValidator(_json, json_schema_input_type=list[FileTarget] | str)]


class Inputs(FillInputs):
    """Targets whose rows come from files."""

    targets: Targets = Field(description="The blocks of rows and their places.")
    rows_threshold: int = Field(ROWS_THRESHOLD, ge=0, description="Maximum number of rows of a `report_region`.")


class Outputs(WrittenOutputs):
    """The file and what was written into it."""


class ExcelFillFromFile(FillStep[Inputs]):
    """Fills a template with rows of CSV, TSV, JSON Lines and Parquet files of any size, in constant memory.

    Parts of the template that the rows do not affect stay byte for byte: charts, images, pivots, slicers, macros. Rows
    are written to their own sheet, to a region into which rows are inserted, or to a table; formulas, charts, names and
    pivot tables are adapted.

    Example:
        - id: report
          type: excel_fill_from_file
          inputs:
            template_path: report.xlsx
            output: report.xlsx
            targets:
              - name: flights
                source_path: "{{steps.extract.artifact_path}}"
              - name: carriers
                mode: report_region
                insert: grow
                sheet: Report
                anchor: CARRIERS
                source_path: "{{steps.carriers.artifact_path}}"
                type_cast: basic
              - name: months
                table: Months
                source_path: "{{steps.months.artifact_path}}"
                type_cast: basic
    """

    Outputs = Outputs

    @classmethod
    def libraries(cls, inputs: Mapping[str, Any]) -> dict[str, str]:
        targets = inputs.get("targets")
        found: dict[str, str] = {}
        for each in targets if isinstance(targets, list) else ():
            if isinstance(each, dict):
                found |= parquet_library(each.get("source_path"), each.get("source_format") or each.get("format"))
        return found

    def run(self) -> StepResult:
        targets = self.args.targets
        paths = [self.ctx.read_path(each.source_path) for each in targets]
        with contextlib.ExitStack() as stack:
            template = stack.enter_context(self.template())
            sources: list[AnySource] = []
            for target, path in zip(targets, paths, strict=True):
                sources.append(target.open(path, self.ctx))
                stack.callback(sources[-1].close)
                target.guard(path, self.args.rows_threshold)
            filling = self.filling(template)
            conventions = self.conventions(date1904=template.workbook.date1904)
            places = self._places(template, targets)
            drafts = [
                self._draft(filling, target, place, source)
                for target, place, source in zip(targets, places, sources, strict=True)
            ]
            planned = [plan_target(filling, each, conventions, self.on_rows) for each in drafts]
            cells = self.put_cells(filling, conventions)
            stamped = self.stamp(
                lambda: [
                    Input("source", each.path.name, each.sha256) for each in sources
                ]  # called when all sources have been read
            )
            path = self.save(filling, self.args.output, stamped)
        written = [each.written(mode=target.mode) for each, target in zip(planned, targets, strict=True)]
        made = [{"kind": "file", "name": str(path), "rows": sum(each["rows"] for each in written)}]
        read = [{"kind": "file", "name": str(each)} for each in paths]
        return StepResult(
            output={
                "output": str(path),
                "receipt": {"read": read, "made": made},
                "written": written,
                **written_cells(cells, filling),
            }
        )

    def _places(self, template: Template, targets: list[FileTarget]) -> list[Place]:
        """The places of all targets; missing data sheets are added."""
        placed = [each for each in targets if each.anchor is not None]
        found = dict(zip(map(id, placed), self.places(template, placed), strict=True))
        return [found.get(id(each)) or self._data_place(template, each) for each in targets]

    def _data_place(self, template: Template, target: FileTarget) -> Place:
        name, cell = target.data_sheet, target.cell or "A1"
        if target.mode == "report_region" or target.table is not None or "!" in cell:
            return self.places(template, [target])[0]
        sheet = template.workbook.find_sheet(name)
        if sheet is None:
            check_sheet_name(name)
            template.workbook.add_sheet(name)
        pinned = target.model_copy(update={"sheet": name, "cell": cell})
        return self.places(template, [pinned])[0]

    def _draft(self, filling: Filling, target: FileTarget, place: Place, source: AnySource) -> Draft:
        region = target.mode == "report_region"
        marker, template_header = marks(target, place, region=region)
        names = source.names
        columns = names or target.columns_json
        self._warn(filling, target, columns)
        header_mode = target.effective_header_mode
        writes = header_mode != "template" and bool(names)
        freeze = writes if target.freeze_panes is None else target.freeze_panes
        insert = target.effective_insert
        resolved = Resolved(
            insert, header_mode, marker, template_header, columns if target.table else names,
            target.column_types(columns),
            clear_below=target.is_sheet and target.clear_stale_rows,
            bold=target.is_sheet and target.header_bold,
            autofilter=target.is_sheet and target.autofilter,
            freeze=target.is_sheet and freeze,
            guarded=not target.is_sheet or target.insert == "below",
            default_clear_width=lambda header, _: header,
        )  # fmt: skip
        count, counted = (None, "") if insert == "replace" else target.rows_to_expect(source.path)
        return draft_target(filling, target, resolved, place, Rows(source.chunks(), count, counted))

    def _warn(self, filling: Filling, target: FileTarget, columns: list[str] | None) -> None:
        if target.mode == "data_sheet" and target.insert == "below":
            filling.warnings.append(f"{target.owner}: insert: below inserts nothing on a data sheet")
        unknown = sorted(set(target.wanted_types) - set(columns or ()))
        if unknown:
            filling.warnings.append(f"{target.owner}: dtypes names no column of its file: {', '.join(unknown)}")

    def plan(self) -> list[str]:
        lines = []
        for target in self.args.targets:
            path = self.ctx.read_path(target.source_path)
            what = f"the rows of {path}" if path.is_file() else f"the rows of {path}, which does not exist yet,"
            where = f"table {target.table}" if target.table else target.anchor or target.cell or "A1"
            sheet = target.data_sheet if target.is_sheet else target.sheet
            room = self._planned_room(target, path) if path.is_file() else ""
            lines.append(f"{what} go to {sheet + ', ' if sheet else ''}{where} as {target.owner}{room}")
        return self.planned(lines)

    def _planned_room(self, target: FileTarget, path: Path) -> str:
        """A text about rows that would be inserted; empty if there are none, or no template yet."""
        if target.effective_insert == "replace" or not self.ctx.asset_path(self.args.template_path).is_file():
            return ""
        with self.template() as template, contextlib.closing(target.open(path, self.ctx, rows=False)) as source:
            return self._draft(self.filling(template), target, self.places(template, [target])[0], source).room
