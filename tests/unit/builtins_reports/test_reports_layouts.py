"""The worked examples of the row geometry that need no insertion, and everything about places, headers and formats."""

from pathlib import Path
from typing import Any

import openpyxl
import pytest

from reports_project import Reports, cells
from reports_templates import layout, rewrite

NAMES = ["id", "amount", "day"]
TEN = [[number, number * 1.5, f"2026-01-{number + 1:02}"] for number in range(10)]
TYPES = {"id": "int", "amount": "float", "day": "date"}


@pytest.fixture
def project(reports: Reports) -> Reports:
    layout(reports.folder / "t.xlsx")
    return reports


def small(project: Reports, *targets: dict[str, Any], **inputs: Any) -> dict[str, Any]:
    return project.fill("t.xlsx", *targets, small=True, **inputs)


def test_marker_and_template_header(project: Reports) -> None:
    target = {"anchor": "qip_anchor ", "rows_json": TEN[:4], "columns_json": NAMES, "dtypes": TYPES,
              "style_mode": "copy_row"}  # fmt: skip
    other = {"name": "qc", "anchor": "QC_ANCHOR", "rows_json": [["p", "q", "r"]] * 3}
    out = small(project, target, other)
    first, second = out["written"]
    assert (first["rows"], first["start_cell"], first["cols"]) == (5, [5, 1], 3)
    assert (second["rows"], second["start_cell"]) == (4, [12, 1])
    found = cells(out["output"], "Report")
    assert [found[f"{c}5"] for c in "ABC"] == NAMES
    assert (found["A6"], found["B9"], found["E6"], found["A13"], found["C15"]) == (0, 4.5, "beside", "p", "r")
    sheet = openpyxl.load_workbook(out["output"])["Report"]
    assert {sheet[f"A{row}"].fill.fgColor.rgb for row in range(6, 10)} == {"FFFFF2CC"}
    assert {sheet[f"B{row}"].number_format for row in range(6, 10)} == {"#,##0.00"}
    assert {sheet[f"C{row}"].number_format for row in range(6, 10)} == {"yyyy-mm-dd"}
    assert sheet["C9"].border.left.style == "thin"
    assert sheet["A13"].fill.fill_type is None


def test_no_template_header_but_a_written_one(project: Reports) -> None:
    target = {"cell": "Report!A20", "rows_json": TEN, "columns_json": NAMES, "header_mode": "append"}
    out = small(project, target)
    assert out["written"][0]["start_cell"] == [20, 1]
    assert out["written"][0]["rows"] == 11
    found = cells(out["output"], "Report")
    assert (found["A20"], found["A21"], found["C30"]) == ("id", 0, "2026-01-10")


def test_no_header_at_all(project: Reports) -> None:
    out = small(project, {"cell": "$a$20", "sheet": "Report", "rows_json": TEN})
    assert out["written"][0]["rows"] == 10
    assert cells(out["output"], "Report")["A29"] == 9


def test_template_header_overridden(project: Reports) -> None:
    target = {"anchor": "QIP_ANCHOR", "rows_json": TEN[:3], "columns_json": ["x", "y"], "header_mode": "OVERRIDE"}
    out = small(project, target)
    found = cells(out["output"], "Report")
    assert (found["A5"], found["B5"], found.get("C5"), found["A6"]) == ("x", "y", None, 0)
    assert openpyxl.load_workbook(out["output"])["Report"]["A5"].font.bold


def test_data_sheet_at_a4(project: Reports) -> None:
    source = project.csv("d.csv", [NAMES, *TEN])
    out = project.fill("t.xlsx", {"name": "q", "cell": "A4", "source_path": source, "dtypes": TYPES})
    entry = out["written"][0]
    assert (entry["sheet"], entry["rows"], entry["start_cell"]) == ("DATA_q", 11, [4, 1])
    sheet = openpyxl.load_workbook(out["output"])["DATA_q"]
    assert (sheet.freeze_panes, sheet.auto_filter.ref) == ("A5", "A4:C14")
    assert sheet["A4"].font.bold
    assert sheet["C14"].number_format == "yyyy-mm-dd"
    names = openpyxl.load_workbook(out["output"])["DATA_q"].defined_names
    assert names == {} or "_xlnm._FilterDatabase" in names


def test_defined_names_of_both_scopes_and_single_values(project: Reports) -> None:
    values = {
        "KPI": 4,
        "local_kpi": "=1+1",
        "Report!H1": {"value": "2026-03-01", "type": "date"},
        "Report!H3": {"value": "=SUM(H2,1)", "type": "formula"},
    }
    out = small(project, {"anchor": "KPI", "rows_json": [["over"]]}, cells=values)
    assert out["written"][0]["template_has_header"] is False
    assert out["cells"]["KPI"] == "'Report'!F1"
    sheet = openpyxl.load_workbook(out["output"])["Report"]
    assert (sheet["F1"].value, sheet["F2"].value, sheet["F2"].data_type) == (4, "=1+1", "s")
    assert sheet["H1"].number_format == "yyyy-mm-dd"
    assert (sheet["H3"].value, sheet["H3"].data_type) == ("=SUM(H2,1)", "f")


def test_an_anchor_that_reads_like_a_cell_is_searched_first(project: Reports) -> None:
    out = small(project, {"cell": "Report!C30", "rows_json": [["KPI1"]]})
    (project.folder / "t2.xlsx").write_bytes(Path(out["output"]).read_bytes())
    again = project.fill(
        "t2.xlsx", {"anchor": "KPI1", "rows_json": [["below"]], "template_has_header": False}, small=True
    )
    assert cells(again["output"], "Report")["C31"] == "below"


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ({"anchor": "NOWHERE"}, "no defined name and no text"),
        ({"anchor": "QIP_ANCHOR", "sheet": "Nope"}, "has no sheet 'Nope'"),
        ({"cell": "A1"}, "needs a sheet"),
        ({"cell": "Report!A0"}, "is no cell"),
        ({"cell": "Nope!A1"}, "its sheets are: Report"),
        ({"cell": "Report!A1", "max_rows": 1}, "max_rows (1)"),
        ({"cell": "Report!A1", "max_total_rows": 2}, "max_total_rows (2)"),
        ({"cell": "Report!A1", "max_cols": 2}, "max_cols (2)"),
        ({"cell": "Report!A1", "row_count": 9, "max_rows": 5}, "row_count 9"),
    ],
)
def test_what_cannot_be_placed_is_explained(project: Reports, target: dict[str, Any], words: str) -> None:
    target = target | {"rows_json": TEN[:2], "columns_json": NAMES, "header_mode": "append"}
    text = project.fails("excel_fill_small", template_path="t.xlsx", output="o.xlsx", targets=[target])
    assert words in text


@pytest.mark.parametrize("key", ["QIP_ANCHOR", "H2", "NOPE", "Nope!A1"])
def test_single_values_go_to_names_and_cells_only(project: Reports, key: str) -> None:
    text = project.fails("excel_fill_small", template_path="t.xlsx", output="o.xlsx", targets=[], cells={key: 1})
    assert "its names are: KPI, LOCAL_KPI" in text or "has no sheet" in text


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ({"anchor": "A", "cell": "B1"}, "one of anchor and cell"),
        ({}, "one of anchor and cell"),
        ({"cell": "Report!A1", "table": "T"}, "one of anchor and cell, or a table"),
        ({"table": "T", "insert": "below"}, "a table makes room for its rows"),
        ({"table": "T", "style_row_offset": 1, "anchor_is_marker": True}, "anchor_is_marker, style_row_offset"),
        ({"table": "T", "header_mode": "override"}, "a table keeps its header"),
        ({"cell": "Report!A1", "insrt": "replace"}, "insert"),
        ({"cell": "Report!A1", "columns": ["a"], "columns_json": ["b"]}, "both given and differ"),
        ({"cell": "Report!A1", "header_style": "style_row"}, "copy_row"),
    ],
)
def test_validate_refuses(project: Reports, target: dict[str, Any], words: str) -> None:
    inputs = {"template_path": "t.xlsx", "output": "o.xlsx", "targets": [target | {"rows_json": []}]}
    project.flow({"id": "s", "type": "excel_fill_small", "inputs": inputs})
    errors = project.validate()
    assert words in str(errors)


def test_overlap_is_refused_and_adjacent_is_not(project: Reports) -> None:
    first = {"name": "one", "cell": "Report!A30", "rows_json": TEN}
    small(project, first, {"name": "two", "cell": "Report!D30", "rows_json": TEN})
    text = project.fails("excel_fill_small", template_path="t.xlsx", output="o.xlsx",
                         targets=[first, {"name": "two", "cell": "Report!C39", "rows_json": [["x"]]}])  # fmt: skip
    assert "target 'two' at C39 overlaps target 'one' at A30:C39" in text


def test_a_later_data_sheet_target_may_overwrite(project: Reports) -> None:
    source = project.csv("d.csv", [NAMES, *TEN])
    one = {"name": "q", "source_path": source}
    two = {"name": "r", "sheet": "DATA_q", "cell": "B3", "source_path": project.csv("e.csv", [["Z"], ["over"]])}
    found = cells(project.fill("t.xlsx", one, two)["output"], "DATA_q")
    assert (found["A3"], found["B3"], found["B4"], found["C4"], found["B5"]) == ("1", "Z", "over", "2026-01-03", "4.5")


def test_merged_cells_are_not_hidden_data(project: Reports) -> None:
    book = openpyxl.load_workbook(project.folder / "t.xlsx")
    book["Report"].merge_cells("B30:D31")
    book.save(project.folder / "t.xlsx")
    text = project.fails("excel_fill_small", template_path="t.xlsx", output="o.xlsx",
                         targets=[{"cell": "Report!A29", "rows_json": TEN}])  # fmt: skip
    assert "merged cells B30:D31" in text
    small(project, {"cell": "Report!B30", "rows_json": [["top left"]]})


def test_short_rows_keep_what_is_beside_them(project: Reports) -> None:
    rows = [["a", "b", "c", "d", "new"], ["a"], [], ["a", "", None]]
    out = small(project, {"cell": "Report!A6", "rows_json": rows})
    found = cells(out["output"], "Report")
    assert (found["E6"], found["A7"], found.get("B9"), found["A9"]) == ("new", "a", None, "a")
    assert out["written"][0]["cols"] == 5
    out = small(project, {"cell": "Report!A6", "rows_json": [["a"]]})
    assert cells(out["output"], "Report")["E6"] == "beside"


def test_anchor_and_style_row_are_emptied(project: Reports) -> None:
    book = openpyxl.load_workbook(project.folder / "t.xlsx")
    book["Report"]["A8"], book["Report"]["B4"] = "sample", "x"
    book.save(project.folder / "t.xlsx")
    target = {"anchor": "QIP_ANCHOR", "rows_json": TEN[:1], "anchor_clear": True, "anchor_clear_mode": "row",
              "anchor_clear_width": "2", "style_mode": "copy_row", "style_row_offset": 4,
              "clear_style_row": "true"}  # fmt: skip
    found = cells(small(project, target)["output"], "Report")
    assert {"A4", "B4", "A8"} & set(found) == set()
    target |= {"style_row_offset": 2}
    assert cells(small(project, target)["output"], "Report")["A6"] == 0  # never a data row


def test_header_in_the_look_of_the_style_row(project: Reports) -> None:
    target = {"anchor": "QIP_ANCHOR", "rows_json": [], "columns_json": NAMES, "header_mode": "append",
              "style_mode": "copy_row", "style_apply": "header", "header_style": "style_row"}  # fmt: skip
    sheet = openpyxl.load_workbook(small(project, target)["output"])["Report"]
    assert sheet["A5"].fill.fgColor.rgb == "FFFFF2CC"


def test_old_spellings(project: Reports) -> None:
    source = project.csv("d.dat", [["1", "2"], ["3", "4"]])
    target = {"name": "q", "source_path": source, "format": "csv", "include_header": "false"}
    out = project.one("excel_fill_from_file", template_path="t.xlsx", output_path="o.xlsx", targets=[target])
    assert cells(out["output"], "DATA_q") == {"A1": "1", "B1": "2", "A2": "3", "B2": "4"}
    assert openpyxl.load_workbook(out["output"])["DATA_q"].freeze_panes is None


def test_too_many_rows_for_a_region(project: Reports) -> None:
    source = project.csv("d.csv", [NAMES, *TEN])
    target = {"name": "q", "mode": "report_region", "insert": "replace", "cell": "Report!A30", "source_path": source}
    inputs = {"template_path": "t.xlsx", "output": "o.xlsx"}
    text = project.fails("excel_fill_from_file", targets=[target | {"rows_threshold": 9}], **inputs)
    assert "has 10 rows, more than rows_threshold (9)" in text
    quoted = project.csv("q.csv", [["a"], ["two\nlines"]] + [["x"]] * 3)
    counted = target | {"source_path": quoted, "rows_threshold": 4}
    assert "has 5 rows" in project.fails("excel_fill_from_file", targets=[counted], **inputs)
    project.one("excel_fill_from_file", targets=[counted | {"count_mode": "csv_parse"}], **inputs)
    project.one("excel_fill_from_file", targets=[counted | {"fail_on_threshold": "no"}], **inputs)


def test_tables_are_resized(reports: Reports) -> None:
    import xlsxwriter

    book = xlsxwriter.Workbook(reports.folder / "t.xlsx")
    sheet = book.add_worksheet("DATA_q")
    sheet.add_table("A1:C3", {"name": "Rows", "columns": [{"header": name} for name in NAMES]})
    book.close()
    source = reports.csv("d.csv", [NAMES, *TEN])
    out = reports.fill("t.xlsx", {"name": "q", "source_path": source})
    filled = openpyxl.load_workbook(out["output"])["DATA_q"]
    assert (filled.tables["Rows"].ref, filled.tables["Rows"].autoFilter.ref) == ("A1:C11", "A1:C11")
    assert filled.auto_filter.ref is None
    wrong = reports.csv("w.csv", [["id", "other", "day"]])
    text = reports.fails("excel_fill_from_file", template_path="t.xlsx", output="o.xlsx",
                         targets=[{"name": "q", "source_path": wrong}])  # fmt: skip
    assert "is not that of table 'Rows'" in text


def test_shared_formulas_survive_the_loss_of_their_first_cell(project: Reports) -> None:
    def share(parts: dict[str, bytes]) -> None:
        rows = b'<row r="40"><c r="A40"><f t="shared" ref="A40:A42" si="0">B40*2</f><v>0</v></c></row>' + b"".join(
            b'<row r="%d"><c r="A%d"><f t="shared" si="0"/><v>0</v></c></row>' % (row, row) for row in (41, 42)
        )
        name = "xl/worksheets/sheet1.xml"
        parts[name] = parts[name].replace(b"</sheetData>", rows + b"</sheetData>")

    rewrite(project.folder / "t.xlsx", share)
    found = cells(small(project, {"cell": "Report!A40", "rows_json": [["x"]]})["output"], "Report")
    assert (found["A40"], found["A41"], found["A42"]) == ("x", "=B41*2", "=B42*2")


def test_a_cell_without_a_reference_stays_where_it_was(project: Reports) -> None:
    def bare(parts: dict[str, bytes]) -> None:
        row = b'<row r="40"><c r="B40"><v>1</v></c><c><v>2</v></c><c><v>3</v></c><c r="F40"><v>4</v></c></row>'
        name = "xl/worksheets/sheet1.xml"
        parts[name] = parts[name].replace(b"</sheetData>", row + b"</sheetData>")

    rewrite(project.folder / "t.xlsx", bare)
    found = cells(small(project, {"cell": "Report!A40", "rows_json": [["x", None, None]]})["output"], "Report")
    assert {key: value for key, value in found.items() if key.endswith("40")} == {"A40": "x", "D40": 3, "F40": 4}


def test_dry_run_says_where(project: Reports) -> None:
    inputs = {"template_path": "t.xlsx", "output": "o.xlsx", "targets": [{"name": "q", "source_path": "later.csv"}]}
    project.flow({"id": "s", "type": "excel_fill_from_file", "inputs": inputs})
    (line,) = project.effects()["s"]
    assert "write" in line
    assert "DATA_q" in line
    assert "does not exist yet" in line
