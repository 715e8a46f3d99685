"""What older tools do wrong with a fill: searches that give up, sheets that appear, frames and names that get lost."""

from pathlib import Path
from typing import Any

import openpyxl
import pytest

from reports_project import Reports, cells
from reports_templates import layout, rewrite


@pytest.fixture
def project(reports: Reports) -> Reports:
    layout(reports.folder / "t.xlsx")
    return reports


def change(project: Reports, edit: Any) -> None:
    """Edit the template by hand."""
    book = openpyxl.load_workbook(project.folder / "t.xlsx")
    edit(book)
    book.save(project.folder / "t.xlsx")


def test_a_text_is_found_however_far_away_it_is(project: Reports) -> None:
    def fill_up(parts: dict[str, bytes]) -> None:
        part = "xl/worksheets/sheet1.xml"
        row = "".join(f'<c r="{column}#" t="str"><v>x</v></c>' for column in "ABCDEFGHIJK")
        full = "".join(f'<row r="#">{row}</row>'.replace("#", str(number)) for number in range(20, 1500))
        far = '<row r="1600"><c r="K1600" t="str"><v>FAR</v></c></row>'
        parts[part] = parts[part].replace(b"</sheetData>", f"{full}{far}</sheetData>".encode())

    rewrite(project.folder / "t.xlsx", fill_up)
    out = project.fill("t.xlsx", {"anchor": "far", "rows_json": [["here"]], "template_has_header": False}, small=True)
    assert cells(out["output"], "Report")["K1601"] == "here"


def test_no_sheet_appears_that_gets_no_data(project: Reports) -> None:
    source = project.csv("d.csv", [["a"], ["1"]])
    out = project.fill("t.xlsx", {"name": "q", "anchor": "KPI", "source_path": source})
    assert openpyxl.load_workbook(out["output"]).sheetnames == ["Report"]


def test_the_own_frame_of_a_sheet_stays_where_no_header_is_written(project: Reports) -> None:
    change(project, lambda book: setattr(book["Report"], "freeze_panes", "B3"))
    source = project.csv("d.csv", [["1"]])
    target = {"name": "q", "sheet": "Report", "cell": "A30", "source_path": source, "read_header": "false"}
    out = project.fill("t.xlsx", target)
    assert openpyxl.load_workbook(out["output"])["Report"].freeze_panes == "B3"


def test_sheets_with_blanks_and_quotes_in_their_names(project: Reports) -> None:
    change(project, lambda book: book.create_sheet("It's my Sheet"))
    source = project.csv("d.csv", [["a"], ["1"]])
    for place in ({"cell": "'It''s my Sheet'!B2"}, {"cell": "B2", "sheet": "IT'S MY SHEET"}):
        out = project.fill("t.xlsx", {"name": "q", "source_path": source, **place})
        assert cells(out["output"], "It's my Sheet") == {"B2": "a", "B3": "1"}
    assert openpyxl.load_workbook(out["output"]).sheetnames == ["Report", "It's my Sheet"]


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ({"name": "x" * 40}, "31"),
        ({"name": "a/b"}, "a/b"),
        ({"name": "q", "sheet": "a:b"}, "a:b"),
        ({"name": "q", "sheet": "'quoted'"}, "quoted"),
    ],
)
def test_names_that_no_sheet_can_have(project: Reports, target: dict[str, Any], words: str) -> None:
    source = project.csv("d.csv", [["a"], ["1"]])
    text = project.fails("excel_fill_from_file", template_path="t.xlsx", output="o.xlsx",
                         targets=[target | {"source_path": source}])  # fmt: skip
    assert words in text
    assert "internal error" not in text


def test_fields_longer_than_the_csv_module_takes_by_itself(project: Reports) -> None:
    source = project.csv("d.csv", [["a", "b"], ["x" * 200_000, "1"]])
    out = project.fill("t.xlsx", {"name": "q", "source_path": source})
    assert out["written"][0]["adjusted"] == {"a": {"cut_texts": 1}}
    assert cells(out["output"], "DATA_q")["B2"] == "1"


def test_lines_that_end_as_on_old_macs_and_on_windows(project: Reports) -> None:
    for end in (b"\r", b"\r\n"):
        (project.folder / "d.csv").write_bytes(end.join([b"a,b", b"1,2", b"3,4", b""]))
        source = str(project.folder / "d.csv")
        region = {
            "name": "q",
            "mode": "report_region",
            "insert": "replace",
            "cell": "Report!A30",
            "source_path": source,
        }
        out = project.fill("t.xlsx", {"name": "q", "source_path": source})
        assert cells(out["output"], "DATA_q") == {"A1": "a", "B1": "b", "A2": "1", "B2": "2", "A3": "3", "B3": "4"}
        found = cells(project.fill("t.xlsx", region)["output"], "Report")
        assert (found["A30"], found["B31"]) == ("1", "4")


def test_an_empty_line_is_no_row(project: Reports) -> None:
    (project.folder / "d.csv").write_text("a,b\n1,2\n\n3,4\n")
    out = project.fill("t.xlsx", {"name": "q", "source_path": str(project.folder / "d.csv")})
    assert (out["written"][0]["rows"], cells(out["output"], "DATA_q")["A3"]) == (3, "3")


def test_one_bad_cell_of_each_kind_in_one_fill(project: Reports) -> None:
    bad = ["x", "\a", "y" * 40_000, "1234567890123456", "nan", "2026-01-05T10:00:00+05:00", "1800-01-01", "=1+1", ""]
    rows = [["n", "f", "d", "t", "s"], *[[value] * 5 for value in bad]]
    dtypes = {"n": "int", "f": "float", "d": "date", "t": "datetime", "s": "string"}
    out = project.fill("t.xlsx", {"name": "q", "source_path": project.csv("d.csv", rows), "dtypes": dtypes})
    assert out["written"][0]["rows"] == len(rows)
    assert set(out["written"][0]["adjusted"]) == set(dtypes)
    found = cells(out["output"], "DATA_q")
    assert [found[f"{letter}9"] for letter in "ABCDE"] == ["=1+1"] * 5
    sheet = openpyxl.load_workbook(Path(out["output"]))["DATA_q"]
    assert {sheet[f"{letter}9"].data_type for letter in "ABCDE"} == {"s"}
