"""Helpers shared by the unit and the system tests of test_reports_write_read.py."""

from reports_project import Reports

ROWS = [
    ["name", "n", "share", "day"],
    ["a", "1", "0.5", "2026-01-05"],
    ["b", "2", "", "2026-01-06"],
    ["", "3", "1", ""],
]


DTYPES = {"n": "int", "share": "float", "day": "date"}


def written(reports: Reports) -> str:
    table = {"name": "Plan", "source_path": reports.csv("d.csv", ROWS), "dtypes": DTYPES, "totals": {"n": "sum"},
             "formats": {"share": "0.0%"}, "widths": {"name": 30}}  # fmt: skip
    other = {"name": "Other", "rows_json": [{"x": 1, "y": "=1"}], "header_style": {"fill": None, "color": "#ff0000"},
             "freeze_panes": False, "autofilter": "off"}  # fmt: skip
    out = reports.one("excel_write", output="w.xlsx", tables=[table, other])
    assert out["written"] == [
        {"name": "Plan", "rows": 3, "cols": 4, "adjusted": {}}, {"name": "Other", "rows": 1, "cols": 2, "adjusted": {}},
    ]  # fmt: skip
    return str(out["output"])
