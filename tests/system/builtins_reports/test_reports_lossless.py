"""What a fill leaves alone: a template with parts of all kinds, and files of other producers."""

from pathlib import Path
from typing import Any

import openpyxl
import pytest
import python_calamine
from reports_lossless import DATA, ROWS, macros

from reports_project import Convert, Reports, cells
from reports_templates import layout, parts_of, prefixed, rich


@pytest.mark.slow
def test_macros_can_be_read_after_a_fill(reports: Reports, convert: Convert) -> None:
    template = rich(reports.folder / "rich.xlsm", macros=True)
    out = Path(reports.fill("rich.xlsm", DATA | {"source_path": reports.csv("d.csv", ROWS)})["output"])
    assert macros(out) == macros(template)
    code = macros(out)["Module1.bas"]
    assert 'MsgBox ("Hello from Python!")' in code
    basic = parts_of(convert(out, "ods"))["Basic/VBAProject/Module1.xml"].decode()
    assert "Sub say_hello()" in basic, "LibreOffice opens the project, too"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["rich.xlsx", "rich.xlsm"])
def test_three_readers_open_it(reports: Reports, convert: Convert, name: str) -> None:
    rich(reports.folder / name, macros=name.endswith("m"))
    out = reports.fill(name, DATA | {"source_path": reports.csv("d.csv", ROWS)})["output"]
    assert cells(out, "Data")["C301"] == 299 / 4
    sheet = python_calamine.CalamineWorkbook.from_path(out).get_sheet_by_name("Data")
    assert sheet.to_python()[300] == ["r4", 2002, 299 / 4]
    csv_sheet = convert(out, "csv:Text - txt - csv (StarCalc):44,34,76,1,,0,false,true,false,false,false,2")
    found = list(csv_sheet.parent.glob("*Data*.csv"))
    assert found[0].read_text().splitlines()[300] == "r4,2002,74.75"
    pdf = convert(out, "pdf").read_bytes()
    assert pdf.count(b"/Type/Page\n") + pdf.count(b"/Type/Page/") >= 1


def xlsxwriter_template(reports: Reports, _: Convert) -> str:
    layout(reports.folder / "t.xlsx")
    return "t.xlsx"


def libreoffice_template(reports: Reports, convert: Convert) -> str:
    made = convert(layout(reports.folder / "source.xlsx"), "ods")
    again = convert(made, "xlsx")
    (reports.folder / "t.xlsx").write_bytes(again.read_bytes())
    return "t.xlsx"


def openpyxl_template(reports: Reports, _: Convert) -> str:
    book = openpyxl.load_workbook(layout(reports.folder / "source.xlsx"))
    book.save(reports.folder / "t.xlsx")
    return "t.xlsx"


def prefixed_template(reports: Reports, _: Convert) -> str:
    prefixed(layout(reports.folder / "t.xlsx"))
    return "t.xlsx"


@pytest.mark.slow
@pytest.mark.parametrize("make", [xlsxwriter_template, libreoffice_template, openpyxl_template, prefixed_template])
def test_templates_of_other_producers(reports: Reports, convert: Convert, make: Any) -> None:
    template = make(reports, convert)
    target = {
        "anchor": "QIP_ANCHOR", "rows_json": [[1, 2.5, "2026-01-05"], [2, None, ""]], "columns_json": ["a", "b", "c"],
        "dtypes": {"c": "date", "a": "int"}, "style_mode": "copy_row",
    }  # fmt: skip
    extra = {"name": "more", "cell": "B20", "sheet": "report", "rows_json": [["text & <more>"]]}
    out = reports.fill(template, target, extra, small=True, cells={"KPI": 7})["output"]
    found = cells(out, "Report")
    assert (found["A6"], found["B6"], found["A7"], found["B20"], found["F1"]) == (1, 2.5, 2, "text & <more>", 7)
    assert found["E6"] == "beside"
    book = openpyxl.load_workbook(out)
    sheet = book["Report"]
    assert sheet["C6"].number_format == "yyyy-mm-dd"
    assert sheet["B7"].number_format == "#,##0.00"
    assert sheet["A7"].fill.fgColor.rgb == "FFFFF2CC"
    csv_text = convert(out, "csv").read_text(encoding="utf-8")
    assert "1,2.5" in csv_text
    assert "2026-01-05" in csv_text
