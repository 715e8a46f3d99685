import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from aetherflow.core.api import StepInputError, StepResult
from aetherflow_builtins_reports.fill.filling import Filling
from aetherflow_builtins_reports.fill.places import Place
from aetherflow_builtins_reports.fill.stamp import Input
from aetherflow_builtins_reports.package.refs import cell_name
from aetherflow_builtins_reports.sources.chunk import CHUNK_ROWS, transposed
from aetherflow_builtins_reports.steps.fields import HeaderMode, JsonRows, Target, _json
from aetherflow_builtins_reports.steps.fill_inputs import FillInputs, WrittenOutputs
from aetherflow_builtins_reports.steps.filling_step import FillStep, written_cells
from aetherflow_builtins_reports.steps.layouts import Resolved, marks
from aetherflow_builtins_reports.steps.planning import Draft, Rows, draft_target, plan_target


class SmallTarget(Target):
    """Rows that the flow holds, and their place."""

    rows_json: JsonRows | None = Field(None, description="The rows: lists, or maps by column.")
    header_mode: HeaderMode = Field(
        "template", description="`override` or `append`: the columns are written as a header."
    )

    @model_validator(mode="after")
    def _rows(self) -> Self:
        for row in self.rows_json or ():
            if not isinstance(row, list | tuple | Mapping):
                raise ValueError("rows_json must hold rows: lists, or maps by column")
        return self

    @property
    def writes_header(self) -> bool:
        """Whether `header_mode` requests a written header."""
        return self.header_mode != "template"

    @property
    def names(self) -> list[str] | None:
        """Names of the columns: `columns_json`, or else the keys of rows that are maps; None without both."""
        if self.columns_json:
            return self.columns_json
        keys: dict[str, None] = {}
        for row in self.rows_json or ():
            if isinstance(row, Mapping):
                keys.update(dict.fromkeys(map(str, row)))
        return list(keys) or None

    @property
    def rows(self) -> list[list[Any]]:
        names = self.names or []
        return [
            [row.get(name) for name in names] if isinstance(row, Mapping) else list(row) for row in self.rows_json or ()
        ]


SmallTargets = Annotated[list[SmallTarget], BeforeValidator(_json, json_schema_input_type=list[SmallTarget] | str)]


class Inputs(FillInputs):
    targets: SmallTargets = Field(description="The blocks of rows and their places.")


class Outputs(WrittenOutputs):
    """The file, and what was written to it."""


class ExcelFillSmall(FillStep[Inputs]):
    """Fills a template with rows that earlier steps hold in their outputs, and with single values.

    Parts of the template that the rows do not affect stay byte for byte: charts, images, pivots, macros. For many rows
    use `excel_fill_from_file`.

    Example:
        - id: report
          type: excel_fill_small
          inputs:
            template_path: report.xlsx
            output: report.xlsx
            cells: {AS_OF: "{{run.date.iso}}"}
            targets:
              - name: carriers
                sheet: Report
                anchor: CARRIERS
                rows_json: "{{steps.carriers.rows}}"
                columns_json: "{{steps.carriers.columns}}"
                dtypes: "{{steps.carriers.dtypes}}"
                insert: grow
    """

    Outputs = Outputs

    def run(self) -> StepResult:
        targets = self.args.targets
        for target in targets:
            _guard(target)
        with self.template() as template:
            filling = self.filling(template)
            conventions = self.conventions(date1904=template.workbook.date1904)
            places = self.places(template, targets)
            drafts = [self._draft(filling, each, place) for each, place in zip(targets, places, strict=True)]
            planned = [plan_target(filling, each, conventions, self.on_rows) for each in drafts]
            cells = self.put_cells(filling, conventions)
            stamped = self.stamp(lambda: [Input("source", each.name, _sha256(each)) for each in targets])
            path = self.save(filling, self.args.output, stamped)
        written = [each.written(type_cast=each.target.cast) for each in planned]
        return StepResult(output={"output": str(path), "written": written, **written_cells(cells, filling)})

    def _draft(self, filling: Filling, target: SmallTarget, place: Place) -> Draft:
        marker, template_header = marks(target, place)
        names = target.names
        rows = target.rows
        chunks = (transposed(rows[start : start + CHUNK_ROWS]) for start in range(0, len(rows), CHUNK_ROWS))
        resolved = Resolved(
            target.effective_insert, target.header_mode, marker, template_header, names, target.column_types(names)
        )
        return draft_target(filling, target, resolved, place, Rows(chunks, len(rows), "rows_json"))

    def plan(self) -> list[str]:
        with self.template() as template:
            places = self.places(template, self.args.targets)
            filling, lines = self.filling(template), []
            for target, place in zip(self.args.targets, places, strict=True):
                where = f"{place.sheet.name}!{cell_name(place.row, place.column)}"
                room = self._draft(filling, target, place).room
                lines.append(f"{len(target.rows_json or ())} rows as {target.owner} to {where}{room}")
            return self.planned(lines)


def _guard(target: SmallTarget) -> None:
    rows = target.rows
    header = int(target.header_mode != "template" and bool(target.names))
    width = max([len(row) for row in rows] + [len(target.names or ()) * header], default=0)
    checks: list[tuple[str, int | None, Literal["max_rows", "max_total_rows", "max_cols"]]] = [
        ("row_count", target.row_count, "max_rows"),
        ("row_count", target.row_count, "max_total_rows"),
        ("rows", len(rows), "max_rows"),
        ("rows with the header", header + len(rows), "max_total_rows"),
        ("columns", width, "max_cols"),
    ]
    for what, value, limit in checks:
        most = getattr(target, limit)
        if value is not None and most is not None and value > most:
            raise StepInputError(f"{target.owner}: {what} {value} exceed {limit} ({most})")


def _sha256(target: SmallTarget) -> str:
    text = json.dumps([target.columns_json, target.rows_json], ensure_ascii=False, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()
