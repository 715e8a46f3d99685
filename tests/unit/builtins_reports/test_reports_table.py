"""Tables of the template as targets: resized, calculated columns filled, totals moved; all that uses them follows."""

import re
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from reports_project import Reports, cells, opened
from reports_tables import COLUMNS, with_table
from reports_templates import parts_of

ROWS: list[list[Any]] = [["north", 2, 1.5], ["south", 4, 2.5], ["east", 6, 3.5], ["west", 8, 4.5], ["north", 10, 5.5]]
NAMES = COLUMNS[:3]


def fill(project: Reports, rows: list[Any] = ROWS, **keys: Any) -> dict[str, Any]:
    return project.fill("t.xlsx", {"name": "q", "table": "Sales", "rows_json": rows} | keys, small=True)


def seen(path: str) -> tuple[Any, dict[str, Any]]:
    """The table of the sheet `Report`, and the cells."""
    book = opened(path)
    return book["Report"].tables["Sales"], cells(book, "Report")


def test_all_that_uses_the_table_follows(reports: Reports) -> None:
    before = parts_of(with_table(reports.folder / "t.xlsx"))
    out = fill(reports, columns_json=NAMES)
    (entry,) = out["written"]
    assert (entry["rows"], entry["cols"], entry["start_cell"], entry["insert"]) == (6, 5, [4, 2], "grow")
    book = opened(out["output"])
    sheet, found = book["Report"], cells(book, "Report")
    sales = sheet.tables["Sales"]
    assert (sales.ref, sales.autoFilter.ref, sales.totalsRowCount) == ("B4:F10", "B4:F9", 1)
    assert [[found[f"{c}{row}"] for c in "BCD"] for row in range(5, 10)] == ROWS
    assert {found[f"E{row}"] for row in range(5, 10)} == {"=Sales[[#This Row],[amount]]*Sales[[#This Row],[price]]"}
    assert [found[f"F{row}"] for row in range(5, 10)] == [f"=E{row}/SUM(E$5:E$9)" for row in range(5, 10)]
    assert (found["B10"], found["C10"], found["B24"]) == ("All", "=SUBTOTAL(109,Sales[amount])", "below")
    assert (found["H2"], found["H3"]) == ("=SUM(Sales[amount])", "=SUM(C5:C9)")
    after = parts_of(Path(out["output"]))
    chart = after["xl/charts/chart1.xml"].decode()
    assert re.findall("<c:f>(.*?)</c:f>", chart) == ["Report!$B$5:$B$9", "Report!$C$5:$C$9"]
    assert b'refreshOnLoad="1"' in after["xl/pivotCache/pivotCacheDefinition1.xml"]
    for part in ("xl/slicers/slicer1.xml", "xl/slicerCaches/slicerCache1.xml", "xl/pivotTables/pivotTable1.xml"):
        assert after[part] == before[part]
    assert {sheet[f"B{row}"].font.italic for row in range(5, 10)} == {True}
    assert {sheet[f"E{row}"].number_format for row in range(5, 10)} == {"#,##0.00"}


def test_columns_go_by_name_where_the_data_have_them(reports: Reports) -> None:
    with_table(reports.folder / "t.xlsx")
    source = reports.csv("d.csv", [["PRICE", "region"], ["1.5", "north"], ["2.5", "south"]])
    target = {"name": "q", "table": "sales", "source_path": source, "dtypes": {"PRICE": "float"}}
    out = reports.fill("t.xlsx", target)
    sales, found = seen(out["output"])
    assert [[found.get(f"{c}{row}") for c in "BCD"] for row in (5, 6)] == [["north", None, 1.5], ["south", None, 2.5]]
    assert (sales.ref, out["written"][0]["mode"]) == ("B4:F7", "data_sheet")


def test_maps_go_by_name_and_other_names_by_place(reports: Reports) -> None:
    with_table(reports.folder / "t.xlsx")
    out = fill(reports, [{"price": 1.5, "region": "n", "amount": 2}])
    found = cells(out["output"], "Report")
    assert [found[f"{c}5"] for c in "BCD"] == ["n", 2, 1.5]
    assert out["warnings"] == []
    out = fill(reports, [["n", 2]], columns_json=["region", "quantity"])
    found = cells(out["output"], "Report")
    assert [found.get(f"{c}5") for c in "BCDE"] == [
        "n",
        2,
        None,
        "=Sales[[#This Row],[amount]]*Sales[[#This Row],[price]]",
    ]
    assert "quantity" in out["warnings"][0]
    assert "by place" in out["warnings"][0]


@pytest.mark.parametrize("totals", [True, False])
@pytest.mark.parametrize("kept", [1, 3, 8])
@pytest.mark.parametrize("rows", [0, 1, 5])
def test_samples_never_stay(reports: Reports, kept: int, rows: int, totals: bool) -> None:
    with_table(reports.folder / "t.xlsx", rows=kept, totals=totals)
    out = fill(reports, ROWS[:rows], columns_json=NAMES)
    sales, found = seen(out["output"])
    end = max(rows, kept if totals else 1) + 4
    assert (sales.ref, sales.autoFilter.ref) == (f"B4:F{end + totals}", f"B4:F{end}")
    assert [found[f"B{row}"] for row in range(5, 5 + rows)] == [row[0] for row in ROWS[:rows]]
    assert re.findall("<c:f>(.*?)</c:f>", parts_of(Path(out["output"]))["xl/charts/chart1.xml"].decode()) == [
        f"Report!${c}$5:${c}${4 + max(rows, 1)}" if max(rows, kept) > 1 else f"Report!${c}$5" for c in "BC"
    ]
    assert found["H3"] == (f"=SUM(C5:C{4 + max(rows, 1)})")
    stale = {f"{c}{row}" for c in "BCDEF" for row in range(5 + rows, kept + 5)}
    assert not stale & set(found)
    if totals:
        assert found[f"B{end + 1}"] == "All"
        few = max(rows, 1) < kept
        assert bool(out["warnings"]) == few
        assert not few or f"keeps {kept - max(rows, 1)} empty" in out["warnings"][0] or rows == 0
    assert found[f"B{20 + max(0, rows - kept)}"] == "below"


def test_a_table_without_a_header(reports: Reports) -> None:
    with_table(reports.folder / "t.xlsx", header=False)
    out = fill(reports)
    sales, found = seen(out["output"])
    assert [found[f"B{row}"] for row in range(4, 10)] == [*[row[0] for row in ROWS], "All"]
    assert (sales.ref, out["written"][0]["start_cell"]) == ("B4:F9", [4, 2])


def test_large_files_and_thresholds(reports: Reports) -> None:
    with_table(reports.folder / "t.xlsx", totals=False)
    source = reports.csv("d.csv", [NAMES, *[[f"r{number % 7}", number, number / 4] for number in range(2500)]])
    target = {"name": "q", "table": "Sales", "source_path": source, "type_cast": "basic"}
    out = reports.fill("t.xlsx", target, rows_threshold=100)
    sales, found = seen(out["output"])
    assert (found["C2504"], found["F2504"], found["B2519"]) == (2499, "=E2504/SUM(E$5:E$2504)", "below")
    assert sales.ref == "B4:F2504"
    text = reports.fails("excel_fill_from_file", template_path="t.xlsx", output="o.xlsx", rows_threshold=100,
                         targets=[target | {"mode": "report_region"}])  # fmt: skip
    assert "more than rows_threshold" in text


def test_no_value_of_a_long_row_is_lost(reports: Reports) -> None:
    with_table(reports.folder / "t.xlsx")
    rows = [["a", 1]] * 600
    found = cells(fill(reports, [*rows, ["last", 1, 2.5]])["output"], "Report")
    assert (found["B605"], found["D605"], found.get("D604")) == ("last", 2.5, None)
    text = reports.fails("excel_fill_small", template_path="t.xlsx", output="o.xlsx",
                         targets=[{"table": "Sales", "rows_json": [*rows, ["last", 1, 2.5, "lost"]]}])  # fmt: skip
    assert "there is a row of 4 values; table 'Sales' takes 3" in text


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"table": "Sale"}, "has no table 'Sale' | its tables are: Sales"),
        ({"sheet": "Pivot"}, "has no table 'Sales' on sheet 'Pivot'; table 'Sales' is on sheet 'Report'"),
        ({"rows_json": [[1, 2, 3, 4]]}, "the data have 4 columns, table 'Sales' takes 3: region, amount, price"),
        ({"columns_json": ["region", "share"], "rows_json": [["a", 1]]}, "calculates what the data have: share"),
        ({"max_cols": 2}, "max_cols (2)"),
        ({"max_rows": 2}, "max_rows (2)"),
    ],
)
def test_what_does_not_fit_is_explained(reports: Reports, keys: dict[str, Any], words: str) -> None:
    with_table(reports.folder / "t.xlsx")
    target = {"name": "q", "table": "Sales", "rows_json": ROWS} | keys
    assert words in reports.fails("excel_fill_small", template_path="t.xlsx", output="o.xlsx", targets=[target])


def test_a_table_and_regions_on_one_sheet(reports: Reports) -> None:
    with_table(reports.folder / "t.xlsx")
    sales = {"name": "q", "table": "Sales", "rows_json": ROWS}
    under = {"name": "under", "cell": "Report!B20", "insert": "below", "rows_json": [["u"]] * 3}
    above = {"name": "above", "cell": "Report!A2", "insert": "below", "rows_json": [["a"]] * 2}
    for order in ((sales, under, above), (above, under, sales)):
        out = reports.fill("t.xlsx", *order, small=True)
        table, found = seen(out["output"])
        assert table.ref == "B6:F12"
        assert [found[f"B{row}"] for row in (7, 11, 12, 26, 28, 29)] == ["north", "north", "All", "u", "u", "below"]
        assert (found["A2"], found["A4"], found["F11"]) == ("a", "A designed report", "=E11/SUM(E$7:E$11)")


def test_validation_knows_tables(reports: Reports) -> None:
    with_table(reports.folder / "t.xlsx")
    out = reports.one("excel_validate_template", template_path="t.xlsx", required_names=["Sales", "TITLE", "below"])
    assert (out["found_tables"], out["found_named_ranges"], out["found_anchor_cells"]) == (
        ["Sales"], ["TITLE"], ["below"],
    )  # fmt: skip
    text = reports.fails("excel_validate_template", template_path="t.xlsx", required_names=["Sale", "below"])
    assert "lacks 1 of 2" in text
    assert "tables are: Sales" in text


def test_validation_tries_to_make_room(reports: Reports) -> None:
    with_table(reports.folder / "t.xlsx", rows=2)
    targets = [{"name": "sales", "table": "Sales"}, {"name": "u", "cell": "Report!B20", "insert": "grow"}]
    inputs = {"template_path": "t.xlsx", "required_names": ["Sales"]}
    out = reports.one("excel_validate_template", targets=targets, **inputs)
    assert out["found_targets"] == [
        {"name": "sales", "sheet": "Report", "start_cell": [4, 2], "insert": "grow"},
        {"name": "u", "sheet": "Report", "start_cell": [20, 2], "insert": "grow"},
    ]
    assert out["warnings"] == []
    book = openpyxl.load_workbook(reports.folder / "t.xlsx")
    book["Pivot"]["D4"], book["Pivot"]["D5"] = "=SUM(Report:Pivot!C30)", '=INDIRECT("Report!C30")'
    book.save(reports.folder / "t.xlsx")
    text = reports.fails("excel_validate_template", targets=targets, **inputs)
    assert "'Pivot'!D4: Report:Pivot!C30 reaches over several sheets" in text
    text = reports.fails("excel_validate_template", targets=[{"table": "Sale"}], **inputs)
    assert "has no table 'Sale'" in text
    book["Pivot"]["D4"] = None
    book.save(reports.folder / "t.xlsx")
    out = reports.one("excel_validate_template", targets=targets, **inputs)
    assert "'Pivot'!D5" in out["warnings"][0]


def test_dry_run(reports: Reports) -> None:
    with_table(reports.folder / "t.xlsx")
    inputs = {"template_path": "t.xlsx", "output": "o.xlsx", "targets": [{"table": "Sales", "rows_json": ROWS}]}
    reports.flow({"id": "s", "type": "excel_fill_small", "inputs": inputs})
    (line,) = reports.effects()["s"]
    assert "for which 4 rows go in above row 6 of sheet 'Report'" in line
