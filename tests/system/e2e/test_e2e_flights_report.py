"""The designed report of the flights: its figures and rows equal the source, its template is what its script makes."""

import json
import os
import re
import runpy
import shutil
import sys
import zipfile
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest
import python_calamine

import warm
from office import convert_to

pytestmark = pytest.mark.xdist_group("flights_report")  # one worker makes the report, once

ROOT = Path(__file__).parents[3]
EXAMPLE = ROOT / "docs" / "examples" / "flights"
AETHERFLOW = str(Path(sys.executable).with_name("aetherflow"))


def parts(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {info.filename: archive.read(info) for info in archive.infolist()}


def run(example: Path, root: Path) -> Path:
    """The report that a run of the example writes."""
    env = {**os.environ, "AETHERFLOW_WORK_ROOT": str(root / "work"), "AETHERFLOW_STATE_ROOT": str(root / "state")}
    command = [AETHERFLOW, "run", str(example / "report.yaml"), "--json"]
    done = warm.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    summary: dict[str, Any] = json.loads(done.stdout)
    (path,) = [Path(item["path"]) for item in summary["artifacts"] if item["path"].endswith(".xlsx")]
    return path


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(EXAMPLE, tmp_path_factory.mktemp("report"))


def test_the_template_is_what_its_script_makes(tmp_path: Path) -> None:
    runpy.run_path(str(EXAMPLE / "make_template.py"))["main"](tmp_path / "made.xlsx")
    assert parts(tmp_path / "made.xlsx") == parts(EXAMPLE / "report-template.xlsx")


def test_only_what_must_change_has_changed(report: Path) -> None:
    before, after = parts(EXAMPLE / "report-template.xlsx"), parts(report)
    changed = {name for name in before if after.get(name) != before[name]}
    assert changed <= {
        "xl/worksheets/sheet1.xml", "xl/worksheets/sheet3.xml", "xl/styles.xml", "xl/workbook.xml",
        "xl/_rels/workbook.xml.rels", "xl/pivotCache/pivotCacheDefinition1.xml", "xl/tables/table1.xml",
        "xl/charts/chart1.xml", "xl/charts/chart2.xml", "xl/drawings/drawing1.xml",
    }  # fmt: skip
    assert b'ref="A29:G42"' in after["xl/tables/table1.xml"]
    assert set(after) - set(before) == {"customXml/aetherflow.xml"}
    assert b'ref="A1:J336777"' in after["xl/pivotCache/pivotCacheDefinition1.xml"]


def test_the_figures_and_rows_equal_the_source(report: Path) -> None:
    source = pq.read_table(EXAMPLE / "data" / "flights.parquet")
    book = python_calamine.CalamineWorkbook.from_path(str(report))
    shown: list[list[Any]] = book.get_sheet_by_name("Report").to_python(skip_empty_area=False)
    flights: list[list[Any]] = book.get_sheet_by_name("Flights").to_python(skip_empty_area=False)
    cancelled = source["dep_time"].null_count
    assert shown[4][1] == source.num_rows == 336_776
    assert shown[4][3] == cancelled
    assert shown[1][1] == "January to December 2013"
    assert len(flights) == source.num_rows + 1
    assert sum(row[9] for row in flights[1:]) == sum(source["distance"].to_pylist())
    assert sum(1 for row in flights[1:] if row[1] == "") == cancelled
    carriers = [row[:6] for row in shown[9:25]]
    assert shown[25][0] == shown[41][0] == "all"
    assert sum(row[2] for row in carriers) == source.num_rows
    assert [row[5] for row in carriers] == sorted((row[5] for row in carriers), reverse=True)
    months = [row[:6] for row in shown[29:41]]
    assert [row[1] for row in months][:2] == ["January", "February"]
    assert sum(row[3] for row in months) == cancelled


TOTALS = """
    SELECT count(*)::DOUBLE, count(*) - count(dep_time)::DOUBLE, count(*) FILTER (dep_delay > 15)::DOUBLE,
    avg(dep_delay), count(*) FILTER (dep_delay > 15) / count(*) FROM data
"""
BY = """
    SELECT {0}, count(*)::DOUBLE, avg(dep_delay), count(*) FILTER (dep_delay > 15) / count(*) FROM data
    LEFT JOIN airlines USING (carrier) GROUP BY {0}, {1} ORDER BY {2}
"""


@pytest.mark.slow
def test_totals_and_charts_as_libreoffice_shows_them(tmp_path: Path) -> None:
    """On every fiftieth flight: LibreOffice calculates, and writes down what it draws."""
    example = Path(shutil.copytree(EXAMPLE, tmp_path / "example"))
    data = pq.read_table(EXAMPLE / "data" / "flights.parquet")
    data = data.take(list(range(0, data.num_rows, 50)))
    pq.write_table(data, example / "data" / "flights.parquet")
    made = run(example, tmp_path)
    convert_to("xlsx", tmp_path, made)
    shown: list[list[Any]] = (
        python_calamine.CalamineWorkbook.from_path(str(tmp_path / made.name))
        .get_sheet_by_name("Report")
        .to_python(skip_empty_area=False)
    )
    with duckdb.connect() as database:
        airlines = database.read_csv(str(EXAMPLE / "data" / "airlines.csv"))
        (totals,) = database.sql(TOTALS).fetchall()
        carriers = database.sql(BY.format("name", "carrier", "round(avg(dep_delay), 2) DESC")).fetchall()
        months = database.sql(BY.format("monthname(make_date(2013, month, 1))", "month", "month")).fetchall()
    assert airlines is not None  # named by the queries
    end = 9 + len(carriers)
    month_end = end + 4 + len(months)
    for row in (shown[end], shown[month_end]):
        assert row[0] == "all"
        assert row[2:7] == pytest.approx(totals, rel=1e-3)
    figures = [shown[4][column] for column in (1, 3, 6, 9)]
    assert figures == pytest.approx([totals[0], totals[1], totals[4], totals[3]])
    assert [row[6] for row in shown[9:end]] == pytest.approx([row[3] for row in carriers])
    assert [row[6] for row in shown[end + 4 : month_end]] == pytest.approx([row[3] for row in months])

    drawn = {name: data.decode() for name, data in parts(tmp_path / made.name).items() if "charts/chart" in name}
    series = [cached(each) for text in drawn.values() for each in re.findall("<c:ser>.*?</c:ser>", text, re.DOTALL)]
    for rows, column in ((carriers, 2), (months, 1), (months, 2)):
        names, values = [row[0] for row in rows], [row[column] for row in rows]
        assert any(
            labels == names and len(points) == len(values) and points == pytest.approx(values, abs=0.006)
            for labels, points in series
        ), (names, values, series)


def cached(series: str) -> tuple[list[str], list[float]]:
    """Categories and values of a series, as the program that wrote it saw them."""
    labels, points = (re.search(f"<c:{kind}>.*?</c:{kind}>", series, re.DOTALL) for kind in ("cat", "val"))
    assert labels is not None
    assert points is not None
    found = [re.findall("<c:v>(.*?)</c:v>", each.group()) for each in (labels, points)]
    return found[0], [float(each) for each in found[1]]
