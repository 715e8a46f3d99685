"""Shared formulas, as Excel writes them on filling right or down, where rows grow or go in."""

import re
from pathlib import Path
from typing import Any

import openpyxl
import pytest
import xlsxwriter
from reports_shared_formulas import ROWS, SHEET, share, template

from reports_project import Reports, cells
from reports_tables import with_table
from reports_templates import parts_of, rewrite


@pytest.fixture
def project(reports: Reports) -> Reports:
    template(reports.folder / "t.xlsx")
    return reports


def fill(project: Reports, **keys: Any) -> str:
    target = {"cell": "Report!A4", "template_has_header": True, "insert": "grow", "rows_json": ROWS} | keys
    return str(project.fill("t.xlsx", target, small=True, stored_results="drop")["output"])


def test_new_rows_repeat_what_the_style_row_shares(project: Reports) -> None:
    found = cells(fill(project), "Report")
    for row in (5, 6, 7):
        assert [found[f"{column}{row}"] for column in "CDEFH"] == [
            f"=C{row - 1}+1", "=D$2*2", "=E$2*2", "=F$2*2", f"=H{row - 1}+1",
        ]  # fmt: skip
    assert (found["H3"], found["H4"], found["J9"], found["J10"]) == ("=H2+1", "=H3+1", "=$B9*2", "=$B10*2")
    assert (found["B8"], "H8" in found) == ("=SUM(B5:B7)", False)


def test_a_shared_formula_whose_first_cell_is_filled_stays_with_the_others(project: Reports) -> None:
    found = cells(fill(project, rows_json=[["a", 1, 7, 8], ["b", 2, 7, 8]]), "Report")
    assert [found[f"{column}{row}"] for row in (5, 6) for column in "DEF"] == [8, "=E$2*2", "=F$2*2"] * 2


@pytest.mark.parametrize(
    ("row", "above", "through", "below"),
    [
        (3, ["=H2+1", "=H6+1", "=H7+1"], ["=D$2*2", "=E$2*2"], ["=$B10*2", "=$B11*2"]),
        (5, ["=H2+1", "=H3+1", "=H4+1"], ["=D$2*2", "=E$2*2"], ["=$B10*2", "=$B11*2"]),
        (8, ["=H2+1", "=H3+1", "=H4+1"], ["=D$2*2", "=E$2*2"], ["=$B7*2", "=$B11*2"]),
        (12, ["=H2+1", "=H3+1", "=H4+1"], ["=D$2*2", "=E$2*2"], ["=$B7*2", "=$B8*2"]),
    ],
)
def test_rows_go_in_above_below_and_within(
    project: Reports, row: int, above: list[str], through: list[str], below: list[str]
) -> None:
    found = cells(fill(project, cell=f"Report!M{row}", insert="below", template_has_header=False), "Report")
    at = [each + 3 if each >= row else each for each in range(20)]
    assert [found[f"H{at[each]}"] for each in (3, 4, 5)] == above
    assert [found[f"{column}{at[5]}"] for column in "DE"] == through
    assert [found[f"J{at[each]}"] for each in (7, 8)] == below


def test_calculated_columns_may_share_a_formula(reports: Reports) -> None:
    with_table(reports.folder / "t.xlsx", totals=False)

    def unclear(parts: dict[str, bytes]) -> None:
        """The table's own text of the formula is relative to a cell that it does not name."""
        part = "xl/tables/table1.xml"
        text = re.sub(r"(<calculatedColumnFormula>)[^<]*", r"\g<1>C99*2", parts[part].decode())
        parts[part] = text.encode()

    rewrite(reports.folder / "t.xlsx", unclear)
    share(reports.folder / "t.xlsx", ("E5:F5", "C5*2", ["E5", "F5"]))
    target = {"table": "Sales", "rows_json": [["n", 1, 2], ["s", 3, 4], ["e", 5, 6]]}
    out = reports.fill("t.xlsx", target, small=True)["output"]
    found = cells(out, "Report")
    assert [(found[f"E{row}"], found[f"F{row}"]) for row in (5, 6, 7)] == [
        (f"=C{row}*2", f"=D{row}*2") for row in (5, 6, 7)
    ]
    assert b"shared" not in parts_of(Path(out))[SHEET]


@pytest.mark.parametrize(
    ("target", "width"),
    [
        ({"table": "Sales"}, 3),
        ({"cell": "Report!B4", "template_has_header": True}, 5),
        ({"cell": "Report!B5", "insert": "grow"}, 3),
    ],
)
@pytest.mark.parametrize("rows", [0, 1, 3])
def test_a_table_without_data_waits_no_longer_when_it_has_some(
    reports: Reports, target: dict[str, Any], width: int, rows: int
) -> None:
    with_table(reports.folder / "t.xlsx", totals=False)

    def waiting(parts: dict[str, bytes]) -> None:
        part = "xl/tables/table1.xml"
        parts[part] = parts[part].replace(b" ref=", b' insertRow="1" insertRowShift="1" ref=', 1)

    rewrite(reports.folder / "t.xlsx", waiting)
    out = reports.fill("t.xlsx", target | {"rows_json": [["n", 1, 2, 3, 4][:width]] * rows}, small=True)["output"]
    part = parts_of(Path(out))["xl/tables/table1.xml"]
    assert (b'insertRow="1"' in part, b'insertRowShift="1"' in part) == (rows == 0, rows == 0)
    assert openpyxl.load_workbook(out)["Report"].tables["Sales"].ref == f"B4:F{4 + max(rows, 1)}"


def test_array_formulas_of_the_style_row_are_repeated_too(project: Reports) -> None:
    book = xlsxwriter.Workbook(project.folder / "t.xlsx")
    sheet = book.add_worksheet("Report")
    sheet.write_row("A4", ["name", "count"])
    sheet.write_row("A5", ["sample", 99])
    sheet.write_array_formula("D5:D5", "{=SUM(B5*2)}")
    sheet.write_dynamic_array_formula("E5:F5", "{=B5*{1,2}}")
    book.close()
    xml = parts_of(Path(fill(project)))[SHEET].decode()
    for row in (5, 6, 7):
        assert f'<c r="D{row}"><f t="array" ref="D{row}">SUM(B{row}*2)</f>' in xml
        assert f'<c r="E{row}" cm="1"><f t="array" ref="E{row}:F{row}">B{row}*{{1,2}}</f>' in xml


@pytest.mark.parametrize(("left", "right", "kept"), [(3, 1, 1), (1, 3, 1), (0, 2, 1), (3, 1, 3), (3, 3, 3), (1, 5, 3)])
def test_empty_rows_of_a_shorter_table_calculate_nothing(reports: Reports, left: int, right: int, kept: int) -> None:
    """Two tables side by side, the right one with `kept` rows in the template."""
    book = xlsxwriter.Workbook(reports.folder / "t.xlsx")
    sheet = book.add_worksheet("Report")
    for name, area, rows in (("L", "A2:B4", 1), ("Q", f"E2:F{3 + kept}", kept)):
        columns = [{"header": "n"}, {"header": "more", "formula": f"={name}[[#This Row],[n]]+1"}]
        sheet.add_table(area, {"name": name, "total_row": True, "columns": columns})
        for row in range(rows):
            sheet.write(2 + row, 0 if name == "L" else 4, 7)
    book.close()
    targets = [
        {"name": name, "table": name, "rows_json": [[10 + row] for row in range(count)]}
        for name, count in (("L", left), ("Q", right))
    ]
    out = reports.fill("t.xlsx", *targets, small=True)
    found = cells(out["output"], "Report")
    for (data, calculated), name, count in (("AB", "L", left), ("EF", "Q", right)):
        values = [found.get(f"{data}{row}") for row in range(3, 20)]
        assert values == [*range(10, 10 + count), *[None] * (17 - count)]
        formulas = [found.get(f"{calculated}{row}") for row in range(3, 20)]
        assert formulas == [f"={name}[[#This Row],[n]]+1"] * count + [None] * (17 - count)
    if kept == 1:
        (warning,) = out["warnings"]
        assert "above its totals, for more rows went in beside it" in warning
