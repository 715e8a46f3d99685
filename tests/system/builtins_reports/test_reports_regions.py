"""Regions that make room for their rows: the worked examples of the row geometry, several targets, wrong counts."""

import pytest
import python_calamine
from reports_regions import NAMES, TEN, TYPES, region

from reports_project import Convert, Reports, cells
from reports_templates import layout


@pytest.fixture
def project(reports: Reports) -> Reports:
    layout(reports.folder / "t.xlsx")
    return reports


@pytest.mark.slow
def test_three_readers_agree(project: Reports, convert: Convert) -> None:
    source = project.csv("d.csv", [NAMES, *TEN])
    second = {"name": "qc", "mode": "report_region", "anchor": "QC_ANCHOR", "source_path": source, "dtypes": TYPES}
    out = project.fill("t.xlsx", region(source, dtypes=TYPES, style_mode="copy_row"), second)["output"]
    sheet = python_calamine.CalamineWorkbook.from_path(out).get_sheet_by_name("Report").to_python()
    assert [sheet[row][0] for row in (3, 5, 14, 20, 21, 31)] == ["QIP_ANCHOR", 0, 9, "QC_ANCHOR", "x", 9]
    lines = convert(out, "csv").read_text().splitlines()
    assert lines[5] == "0,0,2026-01-01,,"
    assert lines[31].startswith("9,13.5,2026-01-10")
    assert cells(out, "Report")["B32"] == 13.5
