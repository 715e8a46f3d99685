"""Helpers shared by the unit and the system tests of test_reports_grow.py."""

from pathlib import Path
from typing import Any

import xlsxwriter

NAMES = ["name", "count", "price"]


ROWS: list[list[Any]] = [[f"n{number}", number, number / 4] for number in range(1, 8)]


def template(path: Path) -> Path:
    """Write a template: marker in row 3, header in 4, style row 5 with formulas, totals in 6, and a chart."""
    book = xlsxwriter.Workbook(path)
    sheet, other = book.add_worksheet("Report"), book.add_worksheet("Charts & More")
    bold = book.add_format({"bold": True, "bg_color": "#DDEEFF"})
    look = book.add_format({"bg_color": "#FFF2CC", "border": 1})
    price = book.add_format({"bg_color": "#FFF2CC", "border": 1, "num_format": "0.00"})
    edge = book.add_format({"right": 5})
    sheet.write("B3", "ROWS")
    sheet.write_row("B4", [*NAMES, "value", "share", "note"], bold)
    sheet.set_row(4, 27.75)
    sheet.write("A5", "sample", edge)
    sheet.write_row("B5", ["sample", 99], look)
    sheet.write_number("D5", 1, price)
    sheet.write_formula("E5", "=C5*D5", price, 99)
    sheet.write_formula("F5", "=E5/E$6", look, 1)
    sheet.write("G5", "fixed", look)
    sheet.write("B6", "Total", bold)
    sheet.write_formula("C6", "=SUM(C5:C5)", bold, 99)
    sheet.write_formula("D6", "=AVERAGE(D5:D5)", bold, 1)
    sheet.write_formula("E6", "=SUM(E5:E5)", bold, 99)
    sheet.write("B8", "below")
    sheet.conditional_format("C5:C5", {"type": "data_bar"})
    sheet.data_validation("D5", {"validate": "decimal", "criteria": ">=", "value": 0})
    book.define_name("COUNTS", "=Report!$C$5:$C$5")
    chart = book.add_chart({"type": "column"})
    chart.add_series({"categories": "=Report!$B$5:$B$5", "values": "=Report!$C$5:$C$5"})
    other.insert_chart("A3", chart)
    other.write_formula("A1", "=MAX(Report!C5:C5)", None, 99)
    other.write_formula("A2", "=Report!C6", None, 99)
    book.close()
    return path
