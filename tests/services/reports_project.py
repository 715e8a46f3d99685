"""A flow project for the reports steps, and helpers that read the results."""

import csv
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import openpyxl
from openpyxl.workbook import Workbook

from aetherflow.core.testing import FlowProject


class Reports(FlowProject):
    """A flow project with templates and data files."""

    def csv(self, name: str, rows: Sequence[Sequence[Any]], **dialect: Any) -> str:
        """Write a CSV file; returns its path."""
        path = self.folder / name
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n", **dialect).writerows(rows)
        return str(path)

    def one(self, step_type: str, **inputs: Any) -> dict[str, Any]:
        """Run one step that must succeed; returns its outputs."""
        ran = self.run_step(step_type, inputs)
        assert ran.status == "SUCCESS", ran.error
        return ran["step"].outputs

    def fill(self, template: str, *targets: dict[str, Any], small: bool = False, **inputs: Any) -> dict[str, Any]:
        """Run a fill that must succeed; returns its outputs."""
        suffix = Path(template).suffix
        given = {"template_path": template, "output": f"out{suffix}", "targets": list(targets), **inputs}
        return self.one("excel_fill_small" if small else "excel_fill_from_file", **given)

    def fails(self, step_type: str, **inputs: Any) -> str:
        """Run a step that must fail; returns its message and fix."""
        ran = self.run_step(step_type, inputs)
        assert ran.status == "FAILED"
        assert ran.error is not None
        return f"{ran.error.message} | {ran.error.fix}"


def opened(path: str | Path) -> Workbook:
    """A workbook, for tests that look at more than the cells of one sheet: openpyxl takes long to read one."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # openpyxl warns about content that it would lose on writing
        return openpyxl.load_workbook(path)


def cells(book: str | Path | Workbook, sheet: str) -> dict[str, Any]:
    """Address to value of the non-empty cells of a sheet; formulas are text."""
    found = book if isinstance(book, Workbook) else opened(book)
    return {cell.coordinate: cell.value for row in found[sheet].iter_rows() for cell in row if cell.value is not None}


Convert = Callable[[str | Path, str], Path]
"""Type of the fixture `convert`."""
