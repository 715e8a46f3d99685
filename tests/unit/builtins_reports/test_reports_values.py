"""Values: every rule, its count, and that one bad cell never aborts a fill."""

import datetime
import gzip
import json
from pathlib import Path
from typing import Any

import openpyxl
import pytest
import zstandard

from reports_project import Reports, cells, opened
from reports_templates import layout, rewrite


@pytest.fixture
def project(reports: Reports) -> Reports:
    layout(reports.folder / "t.xlsx")
    return reports


def column(
    project: Reports, values: list[Any], dtype: str | None = None, **more: Any
) -> tuple[list[Any], dict[str, Any]]:
    """What a column of CSV fields becomes, and what was counted."""
    source = project.csv("d.csv", [["v", "end"], *[[value, "."] for value in values]])
    target = {"name": "q", "source_path": source, **({"dtypes": {"v": dtype}} if dtype else {})}
    given = {key: more.pop(key) for key in ("type_cast",) if key in more}
    out = project.fill("t.xlsx", target | given, **more)
    found = cells(out["output"], "DATA_q")
    return [found.get(f"A{row}") for row in range(2, len(values) + 2)], out["written"][0]["adjusted"].get("v", {})


DAY, MOMENT = datetime.datetime(2026, 1, 5), datetime.datetime(2026, 1, 5, 10, 30)  # noqa: DTZ001


@pytest.mark.parametrize(
    ("dtype", "values", "expected", "counts"),
    [
        ("int", ["1", "-5", "+7", " 8 ", "007"], [1, -5, 7, 8, 7], {}),
        ("int", ["1", "x", "1.5", "1_000", ""], [1, "x", "1.5", "1_000", None], {"failed_casts": 3}),
        ("int", ["1", "1\n2"], [1, "1\n2"], {"failed_casts": 1}),
        ("int", ["123456789012345", "1234567890123456"], [123456789012345, "1234567890123456"], {"long_numbers": 1}),
        ("float", ["1.5", "-2", "1e3", ".5", "5."], [1.5, -2, 1000, 0.5, 5], {}),
        ("float", ["nan", "-inf", "1e400", "x"], [None, None, None, "x"], {"not_finite": 3, "failed_casts": 1}),
        ("float", ["0.30000000000000004", "123456789012345678.5"], [0.30000000000000004, "123456789012345678.5"],
         {"long_numbers": 1}),
        ("bool", ["true", "T", "yes", "1", "0", "No", "f"], [True, True, True, True, False, False, False], {}),
        ("bool", ["maybe", "true"], ["maybe", True], {"failed_casts": 1}),
        ("date", ["2026-01-05", "2026-01-05T00:00:00", "2026-01-05 00:00:00"], [DAY, DAY, DAY], {}),
        ("date", ["2026-W05", "20260105", "2026-01-05 10:00:00", "2026-13-01"],
         ["2026-W05", "20260105", "2026-01-05 10:00:00", "2026-13-01"], {"failed_casts": 4}),
        ("date", ["1899-12-31", "1900-02-28", "1900-03-01"],
         ["1899-12-31", "1900-02-28", datetime.datetime(1900, 3, 1)], {"early_dates": 2}),  # noqa: DTZ001
        ("datetime", ["2026-01-05T10:30:00", "2026-01-05 10:30", "2026-01-05"], [MOMENT, MOMENT, DAY], {}),
        ("datetime", ["2026-01-05T10:30:00Z", "2026-01-05T12:30:00+02:00", "x"], [MOMENT, MOMENT, "x"],
         {"zoned_times": 2, "failed_casts": 1}),
        ("datetime", ["9999-12-31 23:59:59.999999", "2300-01-01T23:59:59.999999"],
         ["9999-12-31 23:59:59.999999", "2300-01-01 23:59:59.999999"], {"late_times": 2}),
        ("string", ["1", "=1+1", "#N/A", "true"], ["1", "=1+1", "#N/A", "true"], {}),
        ("strange", ["1"], ["1"], {}),
    ],
)  # fmt: skip
def test_casting_by_column(project: Reports, dtype: str, values: list[str], expected: list[Any], counts: Any) -> None:
    assert column(project, values, dtype) == (expected, counts)


COMMAS = ["1,5", "-2", ",5", "2,5e1"]


@pytest.mark.parametrize(
    ("cast", "values", "expected", "counts"),
    [
        ("float", COMMAS, [1.5, -2, 0.5, 25], {}),
        ("float", [*COMMAS, "1.5", "1.234,56", "1,234,567", "x", "nan", ""],
         [1.5, -2, 0.5, 25, "1.5", "1.234,56", "1,234,567", "x", None, None], {"failed_casts": 4, "not_finite": 1}),
        ("float", ["123456789012345678,5"], ["123456789012345678,5"], {"long_numbers": 1}),
        ("int", ["7", "1,5", "1.5"], [7, "1,5", "1.5"], {"failed_casts": 2}),
        ("string", ["1,5"], ["1,5"], {}),
        ("basic", COMMAS, [1.5, -2, 0.5, 25], {}),
        ("basic", ["1,5", "1.5", "Smith, J.", "true", "2026-01-05", "2026-01-05 10:30:00.0"],
         [1.5, "1.5", "Smith, J.", True, DAY, MOMENT], {}),
        ("basic", ["Smith, J.", "a.b,c"], ["Smith, J.", "a.b,c"], {}),
    ],
)  # fmt: skip
@pytest.mark.parametrize("step", ["excel_write", "excel_fill_from_file"])
def test_decimal_commas(
    project: Reports, step: str, cast: str, values: list[str], expected: list[Any], counts: Any
) -> None:
    source = project.csv("d.csv", [["v", "end"], *[[value, "."] for value in values]])
    given = {"type_cast": "basic"} if cast == "basic" else {"dtypes": {"v": cast}}
    block = {"name": "q", "source_path": source, "decimal": ",", **given}
    if step == "excel_write":
        out = project.one(step, output="out.xlsx", tables=[block])
    else:
        out = project.fill("t.xlsx", block | {"sheet": "q"})
    found = cells(out["output"], "q")
    assert [found.get(f"A{row}") for row in range(2, len(values) + 2)] == expected
    assert out["written"][0]["adjusted"].get("v", {}) == counts


def test_bare_numbers_with_a_decimal_comma(project: Reports) -> None:
    source = project.folder / "d.csv"
    source.write_text('v;w\n1,5;"1,5"\n1.5;"x"\n-7;""\n')
    file = {"delimiter": ";", "quoting": "nonnumeric", "decimal": ","}
    out = project.one("excel_write", output="out.xlsx", tables=[{"source_path": str(source), "file": file}])
    found = cells(out["output"], "Data")
    assert [found.get(cell) for cell in ("A2", "B2", "A3", "A4")] == [1.5, "1,5", "1.5", -7]


@pytest.mark.parametrize("header", [True, False])
def test_a_blank_line_among_several_columns_is_no_row(reports: Reports, header: bool) -> None:
    """As in `db_load` and `file_convert`; in a file of one column it is a row without a value."""
    for text, rows, first in (("a,b\n\n1,2\n\n\n3,4\n\n", 2, "1"), ("a\n\n1\n", 2, None)):
        source = reports.folder / "in.csv"
        source.write_text(text if header else text.partition("\n")[2])
        table = {"source_path": str(source), "read_header": header, "header": False}
        out = reports.one("excel_write", output="out.xlsx", tables=[table])
        found = openpyxl.load_workbook(out["output"])["Data"]
        assert (out["written"][0]["rows"], found["A1"].value) == (rows, first)


def test_basic_casting(project: Reports) -> None:
    values = ["1", "0", "-5", "007", "true", "False", "1.5", "1e3", "2026-01-05", "2026-W05", "text", ""]
    found, counts = column(project, values, type_cast="basic")
    assert found == [1, 0, -5, "007", True, False, 1.5, 1000, DAY, "2026-W05", "text", None]
    assert type(found[0]) is int
    assert counts == {}
    assert column(project, ["3", "4", "5"], type_cast="basic")[0] == [3, 4, 5]


def test_without_casting_everything_is_text(project: Reports) -> None:
    assert column(project, ["1", "2026-01-05", "=HYPERLINK()"])[0] == ["1", "2026-01-05", "=HYPERLINK()"]


def test_text_is_text(project: Reports) -> None:
    long = "x" * 40_000
    values = [
        "a & <b>",
        " edges ",
        "bell\a",
        "_x0041_",
        "line\nbreak",
        "tab\tin",
        long,
        "\u00fc\U0001f600",
        "]]>",
        "unit\x1f",
    ]
    found, counts = column(project, values)
    assert found[0:2] == ["a & <b>", " edges "]
    assert found[2] == "bell_x0007_" or found[2] == "bell\a"
    assert found[4:6] == ["line\nbreak", "tab\tin"]
    assert len(found[6]) == 32_767
    assert found[7:9] == ["\u00fc\U0001f600", "]]>"]
    assert counts == {"control_characters": 2, "cut_texts": 1}
    import python_calamine

    out = project.fill("t.xlsx", {"name": "q", "source_path": str(project.folder / "d.csv")})["output"]
    rows = python_calamine.CalamineWorkbook.from_path(out).get_sheet_by_name("DATA_q").to_python()
    assert [row[0] for row in rows[1:5]] == ["a & <b>", " edges ", "bell\a", "_x0041_"]


def test_bytes_that_are_no_text_become_signs(project: Reports) -> None:
    (project.folder / "b.csv").write_bytes(b"\xef\xbb\xbfv,w\nok,1\nb\xffd,2\n")
    target = {"name": "q", "source_path": str(project.folder / "b.csv"), "dtypes": {"v": "string", "w": "int"}}
    out = project.fill("t.xlsx", target)
    assert cells(out["output"], "DATA_q") == {"A1": "v", "B1": "w", "A2": "ok", "B2": 1, "A3": "b\ufffdd", "B3": 2}
    assert out["written"][0]["adjusted"] == {"v": {"replaced_characters": 1}}


def test_options_for_numbers_and_zones(project: Reports) -> None:
    assert column(project, ["1234567890123456789"], "int", long_numbers="number")[0] == [1234567890123456789]
    found, _ = column(project, ["2026-07-05T10:00:00Z"], "datetime", timezone="Europe/Vienna")
    assert found == [datetime.datetime(2026, 7, 5, 12)]  # noqa: DTZ001


def test_workbooks_that_count_from_1904(project: Reports) -> None:
    rewrite(project.folder / "t.xlsx", lambda parts: parts.update(
        {"xl/workbook.xml": parts["xl/workbook.xml"].replace(b"<workbookPr ", b'<workbookPr date1904="1" ')}
    ))  # fmt: skip
    found, counts = column(project, ["2026-01-05", "1903-12-31"], "date")
    assert (found, counts) == ([DAY, "1903-12-31"], {"early_dates": 1})


def test_packed_and_other_files(project: Reports) -> None:
    (project.folder / "a.csv.gz").write_bytes(gzip.compress(b"v\n1\n"))
    (project.folder / "b.tsv.zst").write_bytes(zstandard.ZstdCompressor().compress(b"v\tw\n1\t2\n"))
    lines = [{"a": 1, "b": "x"}, {"a": 2.5, "c": [1]}, {"b": None, "a": True}]
    (project.folder / "c.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n\n")
    targets = [{"name": name, "source_path": str(project.folder / file)} for name, file in
               [("a", "a.csv.gz"), ("b", "b.tsv.zst"), ("c", "c.jsonl")]]  # fmt: skip
    out = opened(project.fill("t.xlsx", *targets)["output"])
    assert cells(out, "DATA_a") == {"A1": "v", "A2": "1"}
    assert cells(out, "DATA_b")["B2"] == "2"
    assert cells(out, "DATA_c") == {
        "A1": "a", "B1": "b", "C1": "c", "A2": 1, "B2": "x", "A3": 2.5, "C3": "[1]", "A4": True,
    }  # fmt: skip


def test_dialects(project: Reports) -> None:
    text = '"a";"b"\n"1";2\n"x""y";\n"two\nlines";1.5\n'
    (project.folder / "d.csv").write_text(text, encoding="utf-16")
    target = {"name": "q", "source_path": str(project.folder / "d.csv"), "delimiter": ";", "quoting": "nonnumeric",
              "file": {"encoding": "utf-16", "delimiter": ","}}  # fmt: skip
    found = cells(project.fill("t.xlsx", target)["output"], "DATA_q")
    assert found == {"A1": "a", "B1": "b", "A2": "1", "B2": 2, "A3": 'x"y', "A4": "two\nlines", "B4": 1.5}
    source = project.csv("n.csv", [["v", "w"], ["NULL", "1"]])
    nulls = project.fill("t.xlsx", {"name": "q", "source_path": source, "null_value": "NULL"})
    assert cells(nulls["output"], "DATA_q") == {"A1": "v", "B1": "w", "B2": "1"}


def test_limits_of_a_sheet(project: Reports) -> None:
    wide = project.csv("w.csv", [[f"c{number}" for number in range(16_385)], ["x"] * 16_385])
    inputs = {"template_path": "t.xlsx", "output": "o.xlsx"}
    text = project.fails("excel_fill_from_file", targets=[{"name": "q", "source_path": wide}], **inputs)
    assert "16385 columns do not fit" in text
    target = {"cell": "Report!A1048570", "rows_json": [["x"]] * 10}
    assert "a sheet ends at row 1048576" in project.fails("excel_fill_small", targets=[target], **inputs)


def test_maps_as_rows(project: Reports) -> None:
    rows = [{"a": 1, "b": "x"}, {"b": "y", "c": True}]
    out = project.fill(
        "t.xlsx", {"cell": "Report!A30", "rows_json": json.dumps(rows), "header_mode": "append"}, small=True
    )
    found = cells(out["output"], "Report")
    assert [found.get(f"{c}{r}") for r in (30, 31, 32) for c in "ABC"] == ["a", "b", "c", 1, "x", None, None, "y", True]


def test_time_of_day_and_date_formats(project: Reports) -> None:
    source = project.csv("d.csv", [["d", "t"], ["2026-01-05", "2026-01-05T10:30:00"]])
    out = project.fill("t.xlsx", {"name": "q", "source_path": source, "dtypes": {"d": "date", "t": "datetime"}})
    sheet = openpyxl.load_workbook(Path(out["output"]))["DATA_q"]
    assert (sheet["A2"].number_format, sheet["B2"].number_format) == ("yyyy-mm-dd", "yyyy-mm-dd h:mm:ss")
