"""Tables of the template as targets: resized, calculated columns filled, totals moved; all that uses them follows."""

from typing import Any

import openpyxl
import pytest
import python_calamine

from reports_project import Convert, Reports
from reports_tables import with_table

ROWS: list[list[Any]] = [["north", 2, 1.5], ["south", 4, 2.5], ["east", 6, 3.5], ["west", 8, 4.5], ["north", 10, 5.5]]


def table(path: str) -> Any:
    return openpyxl.load_workbook(path)["Report"].tables["Sales"]


@pytest.mark.slow
def test_libreoffice_calculates_the_filled_table(reports: Reports, convert: Convert) -> None:
    with_table(reports.folder / "t.xlsx")
    target = {"name": "q", "table": "Sales", "rows_json": ROWS}
    out = reports.fill("t.xlsx", target, small=True, stored_results="drop")["output"]
    sheet = python_calamine.CalamineWorkbook.from_path(str(convert(out, "xlsx"))).get_sheet_by_name("Report")
    rows = sheet.to_python(skip_empty_area=False)
    value = sum(row[1] * row[2] for row in ROWS)
    assert rows[9][1:5] == ["All", 30, "", value]
    assert rows[1][7] == rows[2][7] == 30
    assert [row[4] for row in rows[4:9]] == [row[1] * row[2] for row in ROWS]
    assert sum(float(str(row[5])) for row in rows[4:9]) == pytest.approx(1)
