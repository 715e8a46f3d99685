"""A project of fills, and what the results hold."""

import csv
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import openpyxl

from aetherflow.core.testing import FlowProject


class Reports(FlowProject):
    """A flow project beside its templates and data files."""

    def csv(self, name: str, rows: Sequence[Sequence[Any]], **dialect: Any) -> str:
        """Write a CSV file; its path."""
        path = self.folder / name
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n", **dialect).writerows(rows)
        return str(path)

    def one(self, step_type: str, **inputs: Any) -> dict[str, Any]:
        """Outputs of a run of one step that must succeed."""
        ran = self.run_step(step_type, inputs)
        assert ran.status == "SUCCESS", ran.error
        return ran["step"].outputs

    def fill(self, template: str, *targets: dict[str, Any], small: bool = False, **inputs: Any) -> dict[str, Any]:
        """Outputs of a fill that must succeed."""
        suffix = Path(template).suffix
        given = {"template_path": template, "output": f"out{suffix}", "targets": list(targets), **inputs}
        return self.one("excel_fill_small" if small else "excel_fill_from_file", **given)

    def fails(self, step_type: str, **inputs: Any) -> str:
        """Message and fix of a step that must fail."""
        ran = self.run_step(step_type, inputs)
        assert ran.status == "FAILED"
        assert ran.error is not None
        return f"{ran.error.message} | {ran.error.fix}"


def cells(path: str | Path, sheet: str) -> dict[str, Any]:
    """Address to value of the cells of a sheet that have one, formulas as text."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # openpyxl says what it would lose if it wrote the file
        book = openpyxl.load_workbook(path)
    found = {cell.coordinate: cell.value for row in book[sheet].iter_rows() for cell in row if cell.value is not None}
    book.close()
    return found


Convert = Callable[[str | Path, str], Path]
"""`convert(path, "pdf")`: the file as LibreOffice opens it."""
