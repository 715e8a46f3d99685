"""Helpers shared by the unit and the system tests of test_reports_shared_formulas.py."""

import re
from pathlib import Path

import xlsxwriter

from reports_templates import rewrite

ROWS = [["a", 1], ["b", 2], ["c", 3]]


SHEET = "xl/worksheets/sheet1.xml"


def share(path: Path, *groups: tuple[str, str, list[str]]) -> None:
    """Make groups of shared formulas, each given as (range, formula of the first cell, all cells)."""

    def change(parts: dict[str, bytes]) -> None:
        text = parts[SHEET].decode()
        for index, (area, formula, members) in enumerate(groups):
            for cell in members:
                first = cell == members[0]
                new = (
                    f'<f t="shared" ref="{area}" si="{index}">{formula}</f>'
                    if first
                    else f'<f t="shared" si="{index}"/>'
                )
                text, found = re.subn(rf'(<c r="{cell}"[^>]*>)<f>[^<]*</f>', rf"\g<1>{new}", text)
                assert found == 1, cell
        parts[SHEET] = text.encode()

    rewrite(path, change)


def template(path: Path) -> Path:
    """Write a template: header in row 4, style row 5, totals in 6; shared formulas begin in or above the style row."""
    book = xlsxwriter.Workbook(path)
    sheet = book.add_worksheet("Report")
    sheet.write_row("A2", ["", "", 0, 2, 3, 4])
    sheet.write_row("A4", ["name", "count", 0, "x2", "x3", "x4"])
    sheet.write_row("A5", ["sample", 99])
    sheet.write_formula("C5", "=C4+1")
    for column in "DEF":
        sheet.write_formula(f"{column}5", f"={column}$2*2")
    for row in (3, 4, 5):
        sheet.write_formula(f"H{row}", f"=H{row - 1}+1")
    for row in (7, 8):
        sheet.write_formula(f"J{row}", f"=$B{row}*2")
    sheet.write_formula("B6", "=SUM(B5:B5)")
    book.close()
    share(
        path,
        ("C5", "C4+1", ["C5"]),
        ("D5:F5", "D$2*2", ["D5", "E5", "F5"]),
        ("H3:H5", "H2+1", ["H3", "H4", "H5"]),
        ("J7:J8", "$B7*2", ["J7", "J8"]),
    )
    return path
