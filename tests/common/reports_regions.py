"""Helpers shared by the unit and the system tests of test_reports_regions.py."""

from typing import Any

NAMES = ["id", "amount", "day"]


TEN = [[number, number * 1.5, f"2026-01-{number + 1:02}"] for number in range(10)]


TYPES = {"id": "int", "amount": "float", "day": "date"}


def region(source: str, **keys: Any) -> dict[str, Any]:
    return {"name": "q", "mode": "report_region", "anchor": "QIP_ANCHOR", "source_path": source, **keys}
