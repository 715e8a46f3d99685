"""A CSV file to a workbook by rustpy-xlsxwriter, its numbers as numbers, its rows from a generator."""

import csv
import sys
from pathlib import Path

from rustpy_xlsxwriter import FastExcel

file, book = sys.argv[1:]


def rows():
    with Path(file).open(newline="") as opened:
        for row in csv.DictReader(opened):
            yield {name: int(value) if value.lstrip("-").isdecimal() else value for name, value in row.items()}


FastExcel(book).sheet("Data", rows()).save()
