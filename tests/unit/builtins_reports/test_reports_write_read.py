"""What `excel_write` writes, and what `excel_read` refuses."""

import sys
from pathlib import Path

import openpyxl
import pytest
from reports_write_read import written

from aetherflow.core.api import install_command
from reports_project import Reports
from reports_templates import parts_of


def test_a_workbook_as_asked(reports: Reports) -> None:
    book = openpyxl.load_workbook(written(reports))
    plan, other = book["Plan"], book["Other"]
    assert (plan.freeze_panes, plan.auto_filter.ref, plan.column_dimensions["A"].width) == ("A2", "A1:D4", 30)
    assert (plan["A1"].font.bold, plan["A1"].fill.fgColor.rgb, plan["B2"].value) == (True, "FFDCE6F1", 1)
    assert (plan["C2"].number_format, plan["D2"].number_format) == ("0.0%", "yyyy-mm-dd")
    assert (plan["A5"].value, plan["B5"].value, plan["B5"].font.bold) == ("Total", "=SUBTOTAL(109,B2:B4)", True)
    assert (other.freeze_panes, other.auto_filter.ref, other["A1"].font.color.rgb) == (None, None, "FFFF0000")
    assert (other["B2"].value, other["B2"].data_type) == ("=1", "s")


def test_each_library_packs_the_same_sheet_and_auto_is_zlib_ng(reports: Reports) -> None:
    source = reports.csv("d.csv", [["a", "b"], *([number, f"text {number % 7}"] for number in range(5000))])
    table = {"source_path": source, "dtypes": {"a": "int"}}
    books = {
        name: Path(reports.one("excel_write", output=f"{name}.xlsx", tables=[table], compression=name)["output"])
        for name in ("auto", "zlib-ng", "isal", "zlib")
    }
    assert len({parts_of(book)["xl/worksheets/sheet1.xml"] for book in books.values()}) == 1
    size = {name: book.stat().st_size for name, book in books.items()}
    assert size["auto"] == size["zlib-ng"] < size["zlib"]


@pytest.mark.parametrize(("library", "module"), [("isal", "isal"), ("zlib-ng", "zlib_ng")])
def test_a_library_that_is_missing_is_named_if_it_was_asked_for(
    reports: Reports, monkeypatch: pytest.MonkeyPatch, library: str, module: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    inputs = {"output": "o.xlsx", "tables": [{"rows_json": [[1]], "columns_json": ["a"]}]}
    assert reports.one("excel_write", **inputs)["written"][0]["rows"] == 1
    text = reports.fails("excel_write", **inputs, compression=library)
    assert f"compression: {library} needs a library that is not installed" in text
    assert install_command("fast") in text


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"name": "a/b", "rows_json": []}, "cannot be the name of a sheet"),
        ({"rows_json": [], "source_path": "x"}, "one of source_path and rows_json"),
        ({"rows_json": [], "totals": {"x": "median"}}, "totals"),
        ({"rows_json": [], "decimal": ","}, "decimal: not for rows_json"),
        ({"source_path": "a.jsonl", "decimal": ","}, "decimal: not for jsonl"),
        ({"source_path": "a.parquet", "file": {"decimal": ","}}, "decimal: not for parquet"),
        ({"source_path": "a.csv", "decimal": ";"}, "decimal"),
    ],
)
def test_what_write_refuses(reports: Reports, table: dict[str, object], words: str) -> None:
    reports.flow({"id": "s", "type": "excel_write", "inputs": {"output": "o.xlsx", "tables": [table]}})
    assert words in str(reports.validate())


def test_unknown_columns_are_named(reports: Reports) -> None:
    table = {"rows_json": [{"a": 1}], "formats": {"b": "0"}}
    assert "formats names no column: b" in reports.fails("excel_write", output="o.xlsx", tables=[table])


@pytest.mark.parametrize("text", ["A1:", "1A", "Sheet!", "Sheet!A0", "A1:B", "XFE1", "A1:A1048577"])
def test_validate_refuses_what_is_no_range(reports: Reports, text: str) -> None:
    reports.flow({"id": "s", "type": "excel_read", "inputs": {"source_path": "w", "range": text, "output": "r.csv"}})
    (error,) = reports.validate()
    assert "is no range" in error["msg"]
