"""Regions that make room for their rows: the worked examples of the row geometry, several targets, wrong counts."""

from pathlib import Path
from typing import Any

import openpyxl
import pytest
import xlsxwriter
from openpyxl.workbook.defined_name import DefinedName
from reports_regions import NAMES, TEN, TYPES, region

from reports_project import Reports, cells
from reports_templates import layout

STYLED = {"style_mode": "copy_row", "dtypes": TYPES, "columns_json": NAMES}
FILL, TITLE = "FFFFF2CC", "FFDDEEFF"


@pytest.fixture
def project(reports: Reports) -> Reports:
    layout(reports.folder / "t.xlsx")
    return reports


def below(project: Reports, *targets: dict[str, Any], **inputs: Any) -> dict[str, Any]:
    return project.fill("t.xlsx", *[{"insert": "below"} | each for each in targets], small=True, **inputs)


def fills(path: str, column: str, first: int, last: int) -> list[Any]:
    """Colors behind some cells of a column; None without one."""
    sheet = openpyxl.load_workbook(path)["Report"]
    found = [sheet[f"{column}{row}"].fill for row in range(first, last + 1)]
    return [each.fgColor.rgb if each.fill_type == "solid" else None for each in found]


# The worked examples


def test_a_marker_header_and_style_row_two_below(project: Reports) -> None:
    out = below(project, {"anchor": "QIP_ANCHOR", "rows_json": TEN, "style_row_offset": 2} | STYLED)
    (entry,) = out["written"]
    assert (entry["rows"], entry["start_cell"], entry["cols"], entry["insert"]) == (11, [5, 1], 3, "below")
    found = cells(out["output"], "Report")
    assert [found[f"{c}5"] for c in "ABC"] == NAMES
    assert [found[f"A{row}"] for row in range(6, 16)] == list(range(10))
    assert (found["A4"], found["E16"], found["A21"], found["A22"]) == ("QIP_ANCHOR", "beside", "QC_ANCHOR", "x")
    assert not {"A16", "E6"} & set(found)
    assert fills(out["output"], "A", 5, 17) == [TITLE, *[FILL] * 11, None]
    sheet = openpyxl.load_workbook(out["output"])["Report"]
    assert {sheet[f"B{row}"].number_format for row in range(6, 17)} == {"#,##0.00"}
    assert {sheet[f"C{row}"].number_format for row in range(6, 16)} == {"yyyy-mm-dd"}
    assert sheet["C16"].number_format == "General"
    assert sheet["C15"].border.left.style == "thin"


def test_b_a_second_target_is_found_where_it_moved(project: Reports) -> None:
    first = {"anchor": "QIP_ANCHOR", "rows_json": TEN, "style_row_offset": 2} | STYLED
    second = {"name": "qc", "anchor": "QC_ANCHOR", "rows_json": [["p", "q", "r"]] * 3}
    out = below(project, first, second)
    assert [each["start_cell"] for each in out["written"]] == [[5, 1], [22, 1]]
    assert out["written"][1]["rows"] == 4
    found = cells(out["output"], "Report")
    assert [found[f"A{row}"] for row in range(21, 26)] == ["QC_ANCHOR", "x", "p", "p", "p"]
    assert "A26" not in found


def test_c_a_header_is_written_where_the_template_has_none(project: Reports) -> None:
    out = below(project, {"cell": "Report!A4", "rows_json": TEN, "columns_json": NAMES, "header_mode": "append"})
    assert (out["written"][0]["start_cell"], out["written"][0]["rows"]) == ([4, 1], 11)
    found = cells(out["output"], "Report")
    assert (found["A1"], found["A4"], found["A5"], found["A14"]) == ("A designed report", "id", 0, 9)
    assert (found["A15"], found["A16"], found["E17"]) == ("QIP_ANCHOR", "id", "beside")


def test_d_no_header_at_all(project: Reports) -> None:
    out = below(project, {"cell": "Report!A4", "rows_json": TEN})
    assert (out["written"][0]["start_cell"], out["written"][0]["rows"]) == ([4, 1], 10)
    found = cells(out["output"], "Report")
    assert (found["A4"], found["A13"], found["A14"], found["A15"]) == (0, 9, "QIP_ANCHOR", "id")


def test_e_the_template_header_is_overridden_where_it_stands(project: Reports) -> None:
    target = {"anchor": "QIP_ANCHOR", "rows_json": TEN, "columns_json": ["x", "y", "z"], "header_mode": "override"}
    out = below(project, target)
    found = cells(out["output"], "Report")
    assert [found[f"{c}5"] for c in "ABC"] == ["x", "y", "z"]
    assert (found["A6"], found["A15"], found["E16"], found["A21"]) == (0, 9, "beside", "QC_ANCHOR")
    assert openpyxl.load_workbook(out["output"])["Report"]["A5"].font.bold


def test_no_rows_put_none_in(project: Reports) -> None:
    out = below(project, {"anchor": "QIP_ANCHOR", "rows_json": [], "columns_json": NAMES})
    assert out["written"][0]["rows"] == 1
    assert cells(out["output"], "Report") == cells(project.folder / "t.xlsx", "Report")
    out = below(
        project,
        {"cell": "Report!A4", "rows_json": [], "columns_json": NAMES, "header_mode": "append", "sheet": "Report"},
    )
    found = cells(out["output"], "Report")
    assert (found["A4"], found["A5"]) == ("id", "QIP_ANCHOR")


# Several targets


def test_targets_bottom_up_give_the_same_file(project: Reports) -> None:
    first = {"name": "one", "anchor": "QIP_ANCHOR", "rows_json": TEN} | STYLED
    second = {"name": "two", "anchor": "QC_ANCHOR", "rows_json": [["p", "q", "r"]] * 3}
    down = below(project, first, second)
    wanted = Path(down["output"]).read_bytes()
    up = below(project, second, first)
    assert [each["start_cell"] for each in up["written"]] == [[22, 1], [5, 1]]
    assert cells(up["output"], "Report") == cells(down["output"], "Report")
    assert Path(up["output"]).read_bytes() != wanted  # the stamp lists the sources in their order
    assert (
        Path(below(project, first, second, stamp=False)["output"]).read_bytes()
        == Path(below(project, second, first, stamp=False)["output"]).read_bytes()
    )


def test_two_named_anchors_on_a_sheet(reports: Reports) -> None:
    book = xlsxwriter.Workbook(reports.folder / "t.xlsx")
    sheet = book.add_worksheet("Report")
    sheet.write_row("A3", NAMES)
    sheet.write("A5", "under one")
    sheet.write_row("A8", ["x", "y", "z"])
    sheet.write("A10", "under two")
    book.define_name("ONE", "=Report!$A$3")
    book.define_name("TWO", "=Report!$A$8:$C$8")
    book.close()
    targets = [
        {"name": "one", "anchor": "one", "template_has_header": True, "rows_json": TEN},
        {"name": "two", "anchor": "TWO", "template_has_header": True, "rows_json": TEN[:3]},
    ]
    for order in (targets, targets[::-1]):
        out = below(reports, *order)
        assert {each["name"]: each["start_cell"] for each in out["written"]} == {"one": [3, 1], "two": [18, 1]}
        found = cells(out["output"], "Report")
        assert [found[f"A{row}"] for row in (3, 4, 13, 15)] == ["id", 0, 9, "under one"]
        assert [found[f"A{row}"] for row in (18, 19, 21, 23)] == ["x", 0, 2, "under two"]
        names = openpyxl.load_workbook(out["output"]).defined_names
        assert (names["ONE"].attr_text, names["TWO"].attr_text) == ("Report!$A$3", "Report!$A$18:$C$18")


def test_regions_side_by_side_share_their_rows(project: Reports) -> None:
    left = {"name": "left", "cell": "Report!A5", "template_has_header": True, "rows_json": TEN}
    right = {"name": "right", "cell": "Report!G5", "template_has_header": True, "rows_json": TEN[:4]}
    for order in ((left, right), (right, left)):
        found = cells(below(project, *order)["output"], "Report")
        assert [found[f"A{row}"] for row in (6, 15)] == [0, 9]
        assert [found[f"G{row}"] for row in (6, 9)] == [0, 3]
        assert (found["E16"], found["A21"], found.get("G10")) == ("beside", "QC_ANCHOR", None)


def test_targets_that_want_the_same_rows_are_refused(project: Reports) -> None:
    one = {"name": "one", "cell": "Report!A5", "template_has_header": True, "rows_json": TEN, "insert": "below"}
    two = {"name": "two", "cell": "Report!C6", "rows_json": TEN, "insert": "below"}
    text = project.fails("excel_fill_small", template_path="t.xlsx", output="o.xlsx", targets=[one, two])
    assert "target 'two' and target 'one' both put rows above row 6 of sheet 'Report'" in text


def test_replaced_cells_and_single_values_move_along(project: Reports) -> None:
    region = {"name": "in", "anchor": "QIP_ANCHOR", "rows_json": TEN}
    other = {"name": "at", "cell": "Report!B11", "rows_json": [["moved"]], "insert": "replace"}
    values = {"Report!C11": "single", "KPI": 4}
    for order in ((region, other), (other, region)):
        out = below(project, *order, cells=values)
        found = cells(out["output"], "Report")
        assert (found["A21"], found["B21"], found["C21"], found["F1"]) == ("QC_ANCHOR", "moved", "single", 4)
        assert out["cells"] == {"Report!C11": "'Report'!C21", "KPI": "'Report'!F1"}
    assert next(each for each in out["written"] if each["name"] == "at")["start_cell"] == [21, 2]


def test_overlaps_count_where_things_end_up(project: Reports) -> None:
    region = {"name": "in", "anchor": "QIP_ANCHOR", "rows_json": TEN}
    below(project, region, {"name": "at", "cell": "Report!A7", "rows_json": TEN[:4], "insert": "replace"})
    tall = {"name": "at", "cell": "Report!A1", "rows_json": TEN[:6], "insert": "replace"}
    text = project.fails("excel_fill_small", template_path="t.xlsx", output="o.xlsx",
                         targets=[region | {"insert": "below"}, tall])  # fmt: skip
    assert "target 'at' at A1:C6 overlaps target 'in' at A5:C15" in text


# The style row


def test_the_style_row_is_emptied_where_it_ended_up(project: Reports) -> None:
    book = openpyxl.load_workbook(project.folder / "t.xlsx")
    book["Report"]["A6"], book["Report"]["B6"] = "sample", 99
    book.save(project.folder / "t.xlsx")
    target = {"anchor": "QIP_ANCHOR", "rows_json": TEN} | STYLED
    kept = below(project, target)["output"]
    assert (cells(kept, "Report")["A16"], cells(kept, "Report")["B16"]) == ("sample", 99)
    found = cells(below(project, target | {"clear_style_row": True})["output"], "Report")
    assert {"A16", "B16"} & set(found) == set()
    assert (found["A6"], found["A15"], found["E16"]) == (0, 9, "beside")
    assert fills(below(project, target | {"clear_style_row": True})["output"], "A", 6, 16) == [FILL] * 11


def test_a_cell_with_offset_one(project: Reports) -> None:
    target = {"cell": "Report!A5", "template_has_header": True, "style_row_offset": 1, "rows_json": TEN} | STYLED
    out = below(project, target)
    assert fills(out["output"], "A", 5, 16) == [TITLE, *[FILL] * 11]


def test_a_written_header_in_the_look_of_the_style_row(project: Reports) -> None:
    target = {"cell": "Report!A6", "style_row_offset": 0, "rows_json": TEN[:2], "style_apply": "both",
              "header_mode": "append", "header_style": "style_row"} | STYLED  # fmt: skip
    out = below(project, target)
    assert fills(out["output"], "A", 5, 10) == [TITLE, FILL, FILL, FILL, FILL, None]
    assert cells(out["output"], "Report")["A6"] == "id"


def test_the_anchor_is_emptied(project: Reports) -> None:
    out = below(project, {"name": "a", "anchor": "QC_ANCHOR", "rows_json": TEN, "anchor_clear": True},
                {"name": "b", "anchor": "QIP_ANCHOR", "rows_json": TEN})  # fmt: skip
    found = cells(out["output"], "Report")
    assert (found["A4"], found.get("A21"), found["A22"]) == ("QIP_ANCHOR", None, "x")


def test_a_file_goes_in_by_default(project: Reports) -> None:
    source = project.csv("d.csv", [NAMES, *TEN])
    out = project.fill("t.xlsx", region(source, dtypes=TYPES, style_mode="copy_row", style_row_offset=2))
    (entry,) = out["written"]
    assert (entry["rows"], entry["start_cell"], entry["insert"], entry["mode"]) == (
        11,
        [5, 1],
        "below",
        "report_region",
    )
    found = cells(out["output"], "Report")
    assert (found["A6"], found["A15"], found["E16"], found["A21"]) == (0, 9, "beside", "QC_ANCHOR")
    assert fills(out["output"], "A", 6, 16) == [FILL] * 11


def test_records_are_counted_not_lines(project: Reports) -> None:
    rows = [["a", "two\nlines", "c"], ["d", "three\nmore\nlines", "f"], ["", "", ""]]
    source = project.csv("d.csv", [NAMES, *rows])
    for mode in ("fast", "csv_parse"):
        found = cells(project.fill("t.xlsx", region(source, count_mode=mode))["output"], "Report")
        assert (found["B6"], found["B7"], found["E9"]) == ("two\nlines", "three\nmore\nlines", "beside")
    old = project.folder / "mac.csv"
    old.write_bytes(b"id,amount,day\r1,2,3\r4,5,6\r")
    found = cells(project.fill("t.xlsx", region(str(old)))["output"], "Report")
    assert (found["A6"], found["A7"], found["E8"]) == ("1", "4", "beside")


@pytest.mark.parametrize(("count", "words"), [(1, "and there are more"), ("12", "and there are 10")])
def test_a_wrong_row_count_is_an_error_and_overwrites_nothing(project: Reports, count: Any, words: str) -> None:
    source = project.csv("d.csv", [NAMES, *TEN])
    text = project.fails("excel_fill_from_file", template_path="t.xlsx", output="o.xlsx",
                         targets=[region(source, row_count=count)])  # fmt: skip
    assert f"room was made for {count} rows, as row_count says, {words}" in text
    assert not list(project.folder.rglob("o.xlsx"))
    out = project.fill("t.xlsx", region(source, row_count=10))
    assert cells(out["output"], "Report")["E16"] == "beside"


def test_too_many_rows(project: Reports) -> None:
    source = project.csv("d.csv", [NAMES, *TEN])
    inputs = {"template_path": "t.xlsx", "output": "o.xlsx"}
    for keys in ({"rows_threshold": 9}, {"row_count": 60_000}):
        text = project.fails("excel_fill_from_file", targets=[region(source, **keys)], **inputs)
        assert "more than rows_threshold" in text
    text = project.fails("excel_fill_from_file", targets=[region(source)], rows_threshold=9, **inputs)
    assert "has 10 rows, more than rows_threshold (9)" in text
    project.one("excel_fill_from_file", targets=[region(source, rows_threshold=9, fail_on_threshold=False)], **inputs)
    project.one("excel_fill_from_file", targets=[region(source, rows_threshold=10)], **inputs)


def test_below_on_a_data_sheet_is_a_warning(project: Reports) -> None:
    source = project.csv("d.csv", [NAMES, *TEN])
    target = {"name": "q", "sheet": "Report", "cell": "A20", "source_path": source, "insert": "below"}
    out = project.fill("t.xlsx", target)
    assert out["warnings"] == ["target 'q': insert: below inserts nothing on a data sheet"]
    found = cells(out["output"], "Report")
    assert (found["A12"], found["A20"], found["A21"]) == ("x", "id", "0")


def test_packed_sources(project: Reports) -> None:
    import gzip

    (project.folder / "d.jsonl").write_text('{"id": 1}\n\n{"id": 2}\n{"id": 3}\n')
    with gzip.open(project.folder / "d.csv.gz", "wt") as file:
        file.write("id\n1\n2\n3\n")
    for name in ("d.jsonl", "d.csv.gz"):
        out = project.fill("t.xlsx", region(str(project.folder / name), type_cast="basic"))
        found = cells(out["output"], "Report")
        assert (found["A6"], found["A8"], found["E9"], found["A14"]) == (1, 3, "beside", "QC_ANCHOR"), name


# What cannot be


def test_rows_past_the_end_of_a_sheet(project: Reports) -> None:
    book = openpyxl.load_workbook(project.folder / "t.xlsx")
    book["Report"]["A1048570"] = "far below"
    book.save(project.folder / "t.xlsx")
    text = project.fails("excel_fill_small", template_path="t.xlsx", output="o.xlsx",
                         targets=[{"anchor": "QIP_ANCHOR", "rows_json": TEN, "insert": "below"}])  # fmt: skip
    assert "row 1048570" in text
    assert "past the last row" in text


def test_more_rows_than_a_sheet_has(project: Reports) -> None:
    source = project.csv("d.csv", [NAMES, *TEN])
    huge = region(source, insert="grow", row_count=2_000_000, fail_on_threshold=False)
    text = project.fails("excel_fill_from_file", template_path="t.xlsx", output="o.xlsx", targets=[huge])
    assert "row 7 of the template would move below row 1048576" in text
    assert "mode: data_sheet" in text


def test_a_named_style_row_grows(project: Reports) -> None:
    book = openpyxl.load_workbook(project.folder / "t.xlsx")
    book.defined_names["ROWS"] = DefinedName("ROWS", attr_text="Report!$A$6:$C$6")
    book.save(project.folder / "t.xlsx")
    out = project.fill("t.xlsx", {"anchor": "ROWS", "insert": "grow", "rows_json": TEN}, small=True)
    assert out["written"][0]["start_cell"] == [6, 1]
    assert openpyxl.load_workbook(out["output"]).defined_names["ROWS"].attr_text == "Report!$A$6:$C$15"
    found = cells(out["output"], "Report")
    assert (found["A5"], found["A6"], found["A15"], found["E6"], found["A20"]) == ("id", 0, 9, "beside", "QC_ANCHOR")


def test_dry_run_says_what_goes_in(project: Reports) -> None:
    source = project.csv("d.csv", [NAMES, *TEN])
    inputs = {"template_path": "t.xlsx", "output": "o.xlsx", "targets": [region(source)]}
    project.flow({"id": "s", "type": "excel_fill_from_file", "inputs": inputs})
    (line,) = project.effects()["s"]
    assert "for which 10 rows go in above row 6 of sheet 'Report'" in line
    inputs = {"template_path": "t.xlsx", "output": "o.xlsx",
              "targets": [{"anchor": "QIP_ANCHOR", "rows_json": TEN, "insert": "below"}]}  # fmt: skip
    project.flow({"id": "s", "type": "excel_fill_small", "inputs": inputs})
    (line,) = project.effects()["s"]
    assert "for which 10 rows go in above row 6 of sheet 'Report'" in line
