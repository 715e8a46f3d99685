"""The designed report of the flights: its figures and rows equal the source, its template is what its script makes."""

import json
import os
import runpy
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import python_calamine

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "docs" / "examples" / "flights"
AETHERFLOW = str(Path(sys.executable).with_name("aetherflow"))


def parts(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {info.filename: archive.read(info) for info in archive.infolist()}


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("report")
    env = {**os.environ, "AETHERFLOW_WORK_ROOT": str(root / "work"), "AETHERFLOW_STATE_ROOT": str(root / "state")}
    command = [AETHERFLOW, "run", str(EXAMPLE / "report.yaml"), "--json"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    summary: dict[str, Any] = json.loads(done.stdout)
    (path,) = [Path(item["path"]) for item in summary["artifacts"] if item["path"].endswith(".xlsx")]
    return path


def test_the_template_is_what_its_script_makes(tmp_path: Path) -> None:
    runpy.run_path(str(EXAMPLE / "make_template.py"))["main"](tmp_path / "made.xlsx")
    assert parts(tmp_path / "made.xlsx") == parts(EXAMPLE / "report-template.xlsx")


def test_only_what_must_change_has_changed(report: Path) -> None:
    before, after = parts(EXAMPLE / "report-template.xlsx"), parts(report)
    changed = {name for name in before if after.get(name) != before[name]}
    assert changed <= {
        "xl/worksheets/sheet1.xml", "xl/worksheets/sheet3.xml", "xl/styles.xml", "xl/workbook.xml",
        "xl/_rels/workbook.xml.rels", "xl/pivotCache/pivotCacheDefinition1.xml",
    }  # fmt: skip
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
    assert sum(row[2] for row in carriers) == source.num_rows
    assert [row[5] for row in carriers] == sorted((row[5] for row in carriers), reverse=True)
    months = [row[:6] for row in shown[29:41]]
    assert [row[1] for row in months][:2] == ["January", "February"]
    assert sum(row[3] for row in months) == cancelled
