"""`excel_write` and `excel_read`, and that one reads what the other wrote."""

import csv
import datetime
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from reports_write_read import written

from reports_project import Convert, Reports, cells
from reports_templates import layout


@pytest.mark.slow
def test_libreoffice_calculates_the_totals(reports: Reports, convert: Convert) -> None:
    text = convert(written(reports), "csv").read_text(encoding="utf-8")
    assert text.splitlines()[-1].startswith("Total,6")


def test_read_gives_back_what_was_written(reports: Reports) -> None:
    book = written(reports)
    inputs = {"source_path": book, "range": "A1:D4"}
    out = reports.one("excel_read", output="r.csv", **inputs)
    assert Path(out["output"]).read_text() == "name,n,share,day\na,1,0.5,2026-01-05\nb,2,,2026-01-06\n,3,1.0,\n"
    assert out["dtypes"] == {"name": "string", "n": "int", "share": "float", "day": "date"}
    assert json.loads(out["dtypes_json"]) == out["dtypes"]
    assert (out["sheet"], out["rows"], out["artifact_path"]) == ("Plan", 3, out["output"])
    parquet = reports.one("excel_read", output="r.parquet", **inputs)
    rows = pq.read_table(parquet["output"]).to_pylist()
    assert rows[0] == {"name": "a", "n": 1, "share": 0.5, "day": datetime.date(2026, 1, 5)}
    assert rows[2] == {"name": None, "n": 3, "share": 1.0, "day": None}
    again = reports.one("excel_write", output="again.xlsx", tables=[
        {"name": "Plan", "source_path": out["output"], "dtypes": out["dtypes"]}
    ])  # fmt: skip
    assert cells(again["output"], "Plan")["D3"] == datetime.datetime(2026, 1, 6)  # noqa: DTZ001


def test_ranges_sheets_and_names(reports: Reports) -> None:
    layout(reports.folder / "t.xlsx")
    source = str(reports.folder / "t.xlsx")
    out = reports.one("excel_read", source_path=source, range="report!A12:C12", output="r.tsv", header="no")
    assert Path(out["output"]).read_text() == "column_1\tcolumn_2\tcolumn_3\nx\ty\tz\n"
    out = reports.one("excel_read", source_path=source, range="A4", output="r.csv", columns=["p", "q", "r", "s", "t"])
    assert out["rows"] == 4
    assert "beside" in Path(out["output"]).read_text()
    assert "its sheets are: Report" in reports.fails("excel_read", source_path=source, sheet="Nope", output="r.csv")


def test_nothing_there(reports: Reports) -> None:
    layout(reports.folder / "t.xlsx")
    inputs = {"source_path": str(reports.folder / "t.xlsx"), "range": "H50:J60", "output": "r.csv"}
    assert reports.one("excel_read", **inputs)["rows"] == 0
    ran = reports.run_step("excel_read", inputs | {"on_empty": "skip"})
    assert (ran["step"].status, ran["step"].outputs["output"]) == ("SKIPPED", None)
    assert "has no rows there" in reports.fails("excel_read", **inputs, on_empty="fail")


def planned(reports: Reports, **inputs: object) -> str:
    reports.flow({"id": "s", "type": "excel_read", "inputs": inputs})
    (line,) = reports.effects()["s"]
    return line


def test_a_dry_run_of_a_read_says_from_where(reports: Reports) -> None:
    book, output = str(reports.folder / "t.xlsx"), str(reports.work / "r.csv")
    line = planned(reports, source_path=book, range="Plan!B3:F9", output=output)
    assert line == f"write {output}, as csv, with range B3:F9 of sheet 'Plan' of {book}, which does not exist yet"
    line = planned(reports, source_path=book, output="r.tsv")
    assert line.endswith(f"as tsv, with all of the first sheet of {book}, which does not exist yet")
    layout(reports.folder / "t.xlsx")
    reports.work.mkdir(exist_ok=True)
    Path(output).write_text("old")
    line = planned(reports, source_path=book, sheet="REPORT", range="a4", output=output, format="parquet")
    assert line == f"replace {output}, as parquet, with range a4 of sheet 'Report' of {book}"
    assert Path(output).read_text() == "old"
    for inputs, words in (
        ({"sheet": "Nope"}, "has no sheet 'Nope'"),
        ({"output": "/elsewhere/r.csv"}, "/elsewhere"),
    ):
        assert words in planned(reports, **{"source_path": book, "output": output, **inputs})


TEXTS = ["plain", 'say "x"', '"', "a,b", "a\tb", "a\nb", "'", "=1", "ü 😀", "1", None]


@pytest.mark.parametrize("suffix", ["csv", "tsv"])
@pytest.mark.parametrize("width", [1, 3])
def test_texts_come_back_as_fields_that_the_csv_module_reads(reports: Reports, suffix: str, width: int) -> None:
    rows = [[text, number, number / 4][:width] for number, text in enumerate(TEXTS)]
    names = ['na"me', "whole, number", "half"][:width]
    book = reports.one("excel_write", output="t.xlsx", tables=[{"rows_json": rows, "columns_json": names}])["output"]
    read = reports.one("excel_read", source_path=book, output=f"o.{suffix}", blank_rows="keep")["output"]
    with Path(read).open(newline="", encoding="utf-8") as file:
        found = list(csv.reader(file, delimiter="," if suffix == "csv" else "\t"))
    wanted = [["" if value is None else str(value) for value in row] for row in rows]
    assert found == [names, *(wanted if width > 1 else wanted[:-1])]
