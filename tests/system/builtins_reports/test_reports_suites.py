"""The contract suite of steps over those that read and write workbooks."""

from typing import Any, ClassVar

from openpyxl import Workbook

from aetherflow.core.testing import FlowProject, StepSuite
from aetherflow_builtins_reports.steps.fill_from_file import ExcelFillFromFile
from aetherflow_builtins_reports.steps.fill_small import ExcelFillSmall
from aetherflow_builtins_reports.steps.read import ExcelRead
from aetherflow_builtins_reports.steps.validate_template import ExcelValidateTemplate
from aetherflow_builtins_reports.steps.write import ExcelWrite

WORK = "{{env.AETHERFLOW_WORK_ROOT}}"
ROWS = {"id": "rows", "type": "file_write", "inputs": {"path": f"{WORK}/rows.csv", "content": "n,name\n1,one\n"}}
"""The rows that workbooks are made of."""


class WorkbookSuite(StepSuite):
    """A step with a workbook beside the flow: sheet Report with the text CARRIERS in B2."""

    before = (ROWS,)
    inputs: ClassVar[dict[str, Any]]
    """Those of the example, without templates that lead to other steps."""

    def arrange(self, project: FlowProject) -> None:
        workbook = Workbook()
        workbook.active.title = "Report"
        workbook.active["B2"] = "CARRIERS"
        workbook.save(project.folder / "report.xlsx")

    def example(self, project: FlowProject) -> dict[str, Any]:
        return {**super().example(project), "inputs": self.inputs}


class TestExcelWrite(WorkbookSuite):
    step = ExcelWrite
    name = "excel_write"
    inputs: ClassVar = {"output": f"{WORK}/new.xlsx", "tables": [{"name": "Rows", "source_path": f"{WORK}/rows.csv"}]}


class TestExcelRead(WorkbookSuite):
    step = ExcelRead
    name = "excel_read"
    inputs: ClassVar = {
        "source_path": "{{env.AETHERFLOW_LOCAL_ROOT_DIR}}/report.xlsx",
        "range": "B2:C2",
        "output": f"{WORK}/read.csv",
    }


class TestExcelFillSmall(WorkbookSuite):
    step = ExcelFillSmall
    name = "excel_fill_small"
    inputs: ClassVar = {
        "template_path": "report.xlsx",
        "output": f"{WORK}/filled.xlsx",
        "targets": [{"sheet": "Report", "anchor": "CARRIERS", "rows_json": [[1]], "columns_json": ["n"]}],
    }


class TestExcelFillFromFile(WorkbookSuite):
    step = ExcelFillFromFile
    name = "excel_fill_from_file"
    inputs: ClassVar = {
        "template_path": "report.xlsx",
        "output": f"{WORK}/filled.xlsx",
        "targets": [{"name": "rows", "source_path": f"{WORK}/rows.csv"}],
    }


class TestExcelValidateTemplate(WorkbookSuite):
    step = ExcelValidateTemplate
    name = "excel_validate_template"
    inputs: ClassVar = {"template_path": "report.xlsx", "required_names": ["CARRIERS"]}
