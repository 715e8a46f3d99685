import json
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from aetherflow.core.api import AssetPath, PlainText, Step, StepInputError, StepInputs, StepOutputs, StepResult
from aetherflow_builtins_reports.errors import WorkbookError
from aetherflow_builtins_reports.fill.places import find_texts, named_place, normalised, table_names
from aetherflow_builtins_reports.package.template import Template
from aetherflow_builtins_reports.steps.fields import Target, _json
from aetherflow_builtins_reports.steps.trial import try_targets


def _names(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    text = value.strip()
    if not text.startswith(("[", "{")):
        return [text]
    try:
        return json.loads(text)
    except ValueError:
        raise ValueError("starts like a JSON list and is none") from None


class Inputs(StepInputs):
    """A template, and what it must contain."""

    template_path: AssetPath = Field(min_length=1, description="The workbook to check, relative to the flow file.")
    required_names: Annotated[list[PlainText], BeforeValidator(_names, json_schema_input_type=list[str] | str)] = Field(
        min_length=1,
        description="What must exist: defined names, tables, or texts of cells; a list, or a single one.",
    )
    targets: Annotated[list[Target], BeforeValidator(_json, json_schema_input_type=list[Target] | str)] | None = Field(
        None,
        description="Targets of the fill steps, without their rows: the step finds their places and tries to insert "
        "rows there.",
    )
    sheet: PlainText | None = Field(
        None, description="Search texts on this sheet only; names and tables are always found."
    )


class Outputs(StepOutputs):
    template_ok: bool = Field(description="Always true: anything missing fails the step.")
    found_named_ranges: list[str] = Field(description="The required names that are defined names, sorted.")
    found_tables: list[str] = Field(description="The required names that are tables, sorted.")
    found_anchor_cells: list[str] = Field(description="The required names that are texts of cells, sorted.")
    found_targets: list[dict[str, Any]] = Field(
        description="For each of `targets`: `name`, `sheet`, `start_cell` [row, column] in the template, `insert`."
    )
    warnings: list[str] = Field(description="References that cannot be adapted when rows are inserted.")


class ExcelValidateTemplate(Step[Inputs]):
    """Checks that a template has the anchors that a flow fills, before the long queries run.

    It searches like the fill steps: names of both scopes, tables, and whole texts of cells, in any case. With `targets`
    it also tries to insert rows, and reports the addresses of formulas and data tables that could not be adapted.

    Example:
        - id: template
          type: excel_validate_template
          inputs:
            template_path: report.xlsx
            required_names: [CARRIERS, AS_OF]
            targets:
              - {anchor: CARRIERS, sheet: Report, insert: grow}
              - {table: Months}
    """

    Outputs = Outputs

    def run(self) -> StepResult:
        args = self.args
        path = self.ctx.asset_path(args.template_path)
        if not path.is_file():
            raise StepInputError(f"template {path} does not exist")
        with Template(path, path.name) as template:
            if args.sheet is not None:
                template.workbook.sheet(args.sheet)
            names = {token for token in args.required_names if named_place(template, token, args.sheet)}
            known = {name.casefold() for name in table_names(template)}
            tables = {token for token in args.required_names if token not in names and token.casefold() in known}
            rest = [token for token in args.required_names if token not in names | tables]
            texts = find_texts(template, [(token, args.sheet) for token in rest])
            cells = {token for token in rest if (normalised(token), args.sheet) in texts}
            missing = sorted(set(rest) - cells)
            if missing:
                where = f"sheet {args.sheet!r}" if args.sheet else "its sheets"
                raise WorkbookError(
                    f"{path.name} lacks {len(missing)} of {len(args.required_names)} anchors: {', '.join(missing)}",
                    fix=f"define the names, or write the texts into cells of {where}; the sheets are: "
                    f"{', '.join(template.workbook.sheet_names)}; the tables are: "
                    f"{', '.join(table_names(template)) or 'none'}",
                )
            targets, warnings = try_targets(template, args.targets or [])
        for warning in warnings:
            self.ctx.log.warning(warning)
        return StepResult(
            output={
                "template_ok": True,
                "found_named_ranges": sorted(names),
                "found_tables": sorted(tables),
                "found_anchor_cells": sorted(cells),
                "found_targets": targets,
                "warnings": warnings,
            }
        )
