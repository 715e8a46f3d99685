"""Rows that grow out of a style row: totals, charts, formats and names reach over all of them."""

import warnings
from typing import Any

import openpyxl
import pytest
import python_calamine
from reports_grow import NAMES, ROWS, template

from reports_project import Convert, Reports, cells
from reports_templates import prefixed

GROW = {"anchor": "ROWS", "insert": "grow", "columns_json": NAMES}


@pytest.fixture
def project(reports: Reports) -> Reports:
    template(reports.folder / "t.xlsx")
    return reports


def grow(project: Reports, rows: list[Any] = ROWS, **keys: Any) -> dict[str, Any]:
    return project.fill("t.xlsx", GROW | {"rows_json": rows} | keys, small=True)


@pytest.mark.parametrize("producer", ["prefixes", "LibreOffice", "openpyxl"])
def test_templates_of_other_producers(project: Reports, convert: Convert, producer: str) -> None:
    path = project.folder / "t.xlsx"
    if producer == "prefixes":
        prefixed(path)
    elif producer == "LibreOffice":
        path.write_bytes(convert(path, "ods").read_bytes())
        path.rename(project.folder / "t.ods")
        path.write_bytes(convert(project.folder / "t.ods", "xlsx").read_bytes())
    else:
        openpyxl.load_workbook(path).save(path)
    out = grow(project)["output"]
    found = cells(out, "Report")
    assert [found[f"B{row}"] for row in range(3, 13)] == ["ROWS", "name", *[row[0] for row in ROWS], "Total"]
    assert [found[f"E{row}"] for row in range(5, 13)] == [*[f"=C{row}*D{row}" for row in range(5, 12)], "=SUM(E5:E11)"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # openpyxl says what it would lose if it wrote the file
        sheet = openpyxl.load_workbook(out)["Report"]
    assert {sheet.row_dimensions[row].height for row in range(5, 12)} <= {27.75, 27.7}
    assert {sheet[f"G{row}"].fill.fgColor.rgb for row in range(5, 12)} == {"FFFFF2CC"}


@pytest.mark.slow
def test_three_readers_and_the_sums_that_libreoffice_makes(project: Reports, convert: Convert) -> None:
    out = project.fill("t.xlsx", GROW | {"rows_json": ROWS}, small=True, stored_results="drop")["output"]
    sheet = python_calamine.CalamineWorkbook.from_path(out).get_sheet_by_name("Report")
    assert [row[1] for row in sheet.to_python(skip_empty_area=False)[3:12]] == [
        "name",
        *[row[0] for row in ROWS],
        "Total",
    ]
    lines = [line.split(",") for line in convert(out, "csv").read_text().splitlines()]
    value = sum(row[1] * row[2] for row in ROWS)
    assert [float(each) for each in lines[11][2:5]] == [28, 1, value]
    assert float(lines[4][5]) == pytest.approx(0.25 / value)
    again = python_calamine.CalamineWorkbook.from_path(str(convert(out, "xlsx")))
    assert again.get_sheet_by_name("Charts & More").to_python() == [[7], [28]]
