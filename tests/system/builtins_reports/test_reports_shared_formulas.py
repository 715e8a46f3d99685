"""Shared formulas, as Excel writes them on filling right or down, where rows grow or go in."""

from typing import Any

import pytest
import python_calamine
import xlsxwriter
from reports_shared_formulas import ROWS, template

from reports_project import Convert, Reports


@pytest.fixture
def project(reports: Reports) -> Reports:
    template(reports.folder / "t.xlsx")
    return reports


def fill(project: Reports, **keys: Any) -> str:
    target = {"cell": "Report!A4", "template_has_header": True, "insert": "grow", "rows_json": ROWS} | keys
    return str(project.fill("t.xlsx", target, small=True, stored_results="drop")["output"])


@pytest.mark.slow
def test_libreoffice_calculates_the_repeated_formulas(project: Reports, convert: Convert) -> None:
    read = python_calamine.CalamineWorkbook.from_path(str(convert(fill(project), "xlsx"))).get_sheet_by_name("Report")
    rows = read.to_python(skip_empty_area=False)
    assert [row[2:8] for row in rows[4:7]] == [[1, 4, 6, 8, "", 3], [2, 4, 6, 8, "", 4], [3, 4, 6, 8, "", 5]]


@pytest.mark.slow
def test_libreoffice_calculates_the_repeated_array_formulas(project: Reports, convert: Convert) -> None:
    book = xlsxwriter.Workbook(project.folder / "t.xlsx")
    sheet = book.add_worksheet("Report")
    sheet.write_row("A4", ["name", "count"])
    sheet.write_row("A5", ["sample", 99])
    sheet.write_array_formula("D5:E5", "{=B5*{1,2}}")
    book.close()
    read = python_calamine.CalamineWorkbook.from_path(str(convert(fill(project), "xlsx"))).get_sheet_by_name("Report")
    assert [row[3:5] for row in read.to_python(skip_empty_area=False)[4:7]] == [[1, 2], [2, 4], [3, 6]]
