"""Rows that grow out of a style row: totals, charts, formats and names reach over all of them."""

import re
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from reports_grow import NAMES, ROWS, template

from reports_project import Reports, cells, opened
from reports_tables import with_table
from reports_templates import parts_of, rewrite, rich

GROW = {"anchor": "ROWS", "insert": "grow", "columns_json": NAMES}


@pytest.fixture
def project(reports: Reports) -> Reports:
    template(reports.folder / "t.xlsx")
    return reports


def grow(project: Reports, rows: list[Any] = ROWS, **keys: Any) -> dict[str, Any]:
    return project.fill("t.xlsx", GROW | {"rows_json": rows} | keys, small=True)


def test_totals_charts_names_and_formats_stretch(project: Reports) -> None:
    out = grow(project)
    (entry,) = out["written"]
    assert (entry["rows"], entry["start_cell"], entry["insert"]) == (8, [4, 2], "grow")
    book = opened(out["output"])
    found = cells(book, "Report")
    assert [found[f"B{row}"] for row in range(3, 13)] == ["ROWS", "name", *[row[0] for row in ROWS], "Total"]
    assert (found["C12"], found["D12"], found["E12"], found["B14"]) == (
        "=SUM(C5:C11)", "=AVERAGE(D5:D11)", "=SUM(E5:E11)", "below",
    )  # fmt: skip
    assert cells(book, "Charts & More") == {"A1": "=MAX(Report!C5:C11)", "A2": "=Report!C12"}
    assert book.defined_names["COUNTS"].attr_text == "Report!$C$5:$C$11"
    sheet = book["Report"]
    assert [str(each.sqref) for each in sheet.conditional_formatting] == ["C5:C11"]
    assert str(sheet.data_validations.dataValidation[0].sqref) == "D5:D11"
    chart = parts_of(Path(out["output"]))["xl/charts/chart1.xml"].decode()
    assert re.findall("<c:f>(.*?)</c:f>", chart) == ["Report!$B$5:$B$11", "Report!$C$5:$C$11"]


def test_new_rows_look_like_the_style_row_in_full(project: Reports) -> None:
    out = grow(project)
    book = opened(out["output"])
    sheet, found = book["Report"], cells(book, "Report")
    for row in range(5, 12):
        assert sheet.row_dimensions[row].height == 27.75
        assert (found[f"E{row}"], found[f"F{row}"]) == (f"=C{row}*D{row}", f"=E{row}/E$12")
        assert sheet[f"A{row}"].border.right.style == "thick"
        assert {sheet[f"{c}{row}"].fill.fgColor.rgb for c in "BCDEFG"} == {"FFFFF2CC"}
        assert (sheet[f"D{row}"].number_format, sheet[f"E{row}"].number_format) == ("0.00", "0.00")
    assert sheet.row_dimensions[12].height != 27.75
    assert (found["A5"], found["G5"]) == ("sample", "fixed")  # texts belong to their row
    assert not {f"{c}{row}" for c in "AG" for row in range(6, 12)} & set(found)


def test_cells_that_are_merged_beside_the_data_are_merged_in_each_row(project: Reports) -> None:
    book = openpyxl.load_workbook(project.folder / "t.xlsx")
    book["Report"].merge_cells("G5:H5")
    book["Report"].merge_cells("B8:C9")
    book.save(project.folder / "t.xlsx")
    sheet = openpyxl.load_workbook(grow(project)["output"])["Report"]
    assert {str(each) for each in sheet.merged_cells.ranges} == {f"G{row}:H{row}" for row in range(5, 12)} | {"B14:C15"}
    book["Report"].merge_cells("C5:D5")
    book.save(project.folder / "t.xlsx")
    text = project.fails("excel_fill_small", template_path="t.xlsx", output="o.xlsx",
                         targets=[GROW | {"rows_json": ROWS}])  # fmt: skip
    assert "meet the merged cells C5:D5" in text


@pytest.mark.parametrize("rows", [[], [["only"]], [["a", 1, 2], ["b"], []]])
def test_samples_never_stay(project: Reports, rows: list[Any]) -> None:
    out = grow(project, rows)
    book = opened(out["output"])
    sheet, found = book["Report"], cells(book, "Report")
    last = 4 + max(len(rows), 1)
    assert [found.get(f"B{row}") for row in range(5, last + 1)] == [row[0] if row else None for row in rows or [[]]]
    assert "C5" in found or not rows or len(rows[0]) < 2
    assert found[f"C{last + 1}"] == f"=SUM(C5:C{last})"
    assert out["written"][0]["rows"] == 1 + len(rows)
    assert {sheet[f"C{row}"].fill.fgColor.rgb for row in range(5, last + 1)} == {"FFFFF2CC"}


def test_samples_go_even_if_nothing_says_how_many_columns_there_are(project: Reports) -> None:
    source = project.csv("d.csv", [])
    target = {"name": "q", "mode": "report_region", "anchor": "ROWS", "insert": "grow", "source_path": source}
    found = cells(project.fill("t.xlsx", target)["output"], "Report")
    assert not {"B5", "C5", "D5"} & set(found)
    assert (found["E5"], found["A5"]) == ("=C5*D5", "sample")


def test_formats_are_those_of_the_style_row_even_if_none_are_copied(project: Reports) -> None:
    out = grow(project, style_mode="none")
    assert out["written"][0]["style_mode"] == "none"
    sheet = openpyxl.load_workbook(out["output"])["Report"]
    assert {sheet[f"{c}{row}"].fill.fgColor.rgb for c in "BCD" for row in range(5, 12)} == {"FFFFF2CC"}
    assert grow(project)["written"][0]["style_mode"] == "copy_row"


def test_a_header_is_written_into_the_row_above(project: Reports) -> None:
    found = cells(grow(project, header_mode="override", columns_json=["x", "y", "z"])["output"], "Report")
    assert [found[f"{c}4"] for c in "BCDE"] == ["x", "y", "z", "value"]
    assert found["C12"] == "=SUM(C5:C11)"


def test_the_style_row_is_the_first_row_of_data(project: Reports) -> None:
    grow(project, style_row_offset=2)
    text = project.fails("excel_fill_small", template_path="t.xlsx", output="o.xlsx",
                         targets=[GROW | {"rows_json": ROWS, "style_row_offset": 3}])  # fmt: skip
    assert "the style row is the first row of data, row 5; style_row_offset names row 6" in text


def test_large_files_grow_too(project: Reports) -> None:
    source = project.csv("d.csv", [NAMES, *[[f"n{number}", number, number / 4] for number in range(1, 3001)]])
    target = {"name": "q", "mode": "report_region", "anchor": "ROWS", "insert": "grow", "source_path": source,
              "type_cast": "basic"}  # fmt: skip
    found = cells(project.fill("t.xlsx", target)["output"], "Report")
    assert (found["B3004"], found["C3004"], found["E3004"], found["F3004"]) == (
        "n3000", 3000, "=C3004*D3004", "=E3004/E$3005",
    )  # fmt: skip
    assert (found["C3005"], found["B3007"]) == ("=SUM(C5:C3004)", "below")
    assert [found[f"B{row}"] for row in range(5, 3005)] == [f"n{number}" for number in range(1, 3001)]


def test_grow_side_by_side_and_above_one_another(project: Reports) -> None:
    beside = {"name": "beside", "cell": "Report!J5", "insert": "grow", "rows_json": [["j"]] * 3}
    under = {"name": "under", "cell": "Report!B8", "insert": "grow", "rows_json": [["u1"], ["u2"]]}
    main = GROW | {"rows_json": ROWS}
    for order in ((main, beside, under), (under, beside, main)):
        out = project.fill("t.xlsx", *order, small=True)
        found = cells(out["output"], "Report")
        assert [found.get(f"J{row}") for row in range(5, 9)] == ["j", "j", "j", None]
        assert (found["E8"], found["C12"], found["B14"], found["B15"]) == ("=C8*D8", "=SUM(C5:C11)", "u1", "u2")
        starts = {each["name"]: each["start_cell"] for each in out["written"]}
        assert starts == {"target": [4, 2], "beside": [5, 10], "under": [14, 2]}


def test_a_shorter_neighbour_has_rows_that_only_look_alike(project: Reports) -> None:
    beside = {"name": "beside", "cell": "Report!J5", "insert": "grow", "rows_json": [["j"]] * 9}
    out = project.fill("t.xlsx", GROW | {"rows_json": ROWS[:2]}, beside, small=True)
    book = opened(out["output"])
    sheet, found = book["Report"], cells(book, "Report")
    assert (found["J13"], found["C14"], found["E6"]) == ("j", "=SUM(C5:C13)", "=C6*D6")
    assert sheet["C13"].fill.fgColor.rgb == "FFFFF2CC"
    assert "C13" not in found


def test_another_target_must_not_tear_header_and_data_apart(project: Reports) -> None:
    other = {"name": "other", "cell": "Report!J5", "insert": "below", "rows_json": [["j"]]}
    text = project.fails("excel_fill_small", template_path="t.xlsx", output="o.xlsx",
                         targets=[GROW | {"rows_json": ROWS}, other])  # fmt: skip
    assert "another target puts rows between its header and row 5 of sheet 'Report'" in text


def test_nothing_grows_into_a_data_sheet(project: Reports) -> None:
    target = {"name": "q", "source_path": "d.csv", "insert": "grow", "cell": "Report!B5"}
    inputs = {"template_path": "t.xlsx", "output": "o.xlsx", "targets": [target]}
    project.flow({"id": "s", "type": "excel_fill_from_file", "inputs": inputs})
    assert "insert: grow needs mode: report_region" in str(project.validate())


def with_pivot(path: Path, source: str) -> None:
    """Let the pivot table of a template read from elsewhere; the table that it read from is plain cells then."""

    def change(parts: dict[str, bytes]) -> None:
        name = "xl/pivotCache/pivotCacheDefinition1.xml"
        parts[name] = parts[name].replace(b'<worksheetSource name="Sales"/>', source.encode())

    rewrite(path, change)


@pytest.mark.parametrize(
    ("source", "wanted"),
    [
        ('<worksheetSource ref="B4:F5" sheet="Report"/>', '<worksheetSource ref="B4:F11" sheet="Report"/>'),
        ('<worksheetSource name="AREA"/>', '<worksheetSource name="AREA"/>'),
    ],
)
def test_pivots_on_grown_rows_follow_and_are_refreshed(reports: Reports, source: str, wanted: str) -> None:
    with_table(reports.folder / "t.xlsx", names={"AREA": "=Report!$B$4:$F$5"})
    with_pivot(reports.folder / "t.xlsx", source)
    target = {"cell": "Report!B4", "template_has_header": True, "insert": "grow", "rows_json": ROWS}
    moved = {"cell": "Report!A2", "insert": "below", "rows_json": [["above"]] * 30, "name": "above"}
    parts = parts_of(Path(reports.fill("t.xlsx", moved, target, small=True)["output"]))
    assert b'refreshOnLoad="1"' in parts["xl/pivotCache/pivotCacheDefinition1.xml"]
    elsewhere = {"cell": "Report!J2", "rows_json": [[1]]}
    parts = parts_of(Path(reports.fill("t.xlsx", elsewhere, small=True)["output"]))
    assert b"refreshOnLoad" not in parts["xl/pivotCache/pivotCacheDefinition1.xml"]
    out = reports.fill("t.xlsx", target, small=True)["output"]
    cache = parts_of(Path(out))["xl/pivotCache/pivotCacheDefinition1.xml"].decode()
    assert wanted in cache
    assert 'refreshOnLoad="1"' in cache
    book = openpyxl.load_workbook(out)
    assert book.defined_names["AREA"].attr_text == "Report!$B$4:$F$11"
    assert book["Report"].tables["Sales"].ref == "B4:F12"  # the table grows, too


@pytest.mark.parametrize("insert", ["grow", "below"])
def test_only_parts_that_name_the_rows_change(reports: Reports, insert: str) -> None:
    before = parts_of(rich(reports.folder / "r.xlsm", macros=True))
    target = {"cell": "Data!A9", "insert": insert, "rows_json": [["north", 2030, 1.5]] * 3}
    out = reports.fill("r.xlsm", target, small=True, stamp=False)["output"]
    after = parts_of(Path(out))
    assert set(after) == set(before)
    charts = {f"xl/charts/chart{number}.xml" for number in range(1, 7)}
    assert {name for name in before if after[name] != before[name]} == charts | {
        "xl/worksheets/sheet1.xml", "xl/worksheets/sheet2.xml", "xl/worksheets/sheet4.xml",
        "xl/pivotCache/pivotCacheDefinition1.xml",
    }  # fmt: skip
    end = 11 if insert == "grow" else 12
    assert cells(out, "Report")["B2"] == f"=SUM(Data!C2:C{end})"
    for part in charts:
        assert re.findall("<c:f>(.*?)</c:f>", after[part].decode()) == [f"Data!$A$2:$A${end}", f"Data!$C$2:$C${end}"]
