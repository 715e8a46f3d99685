"""A CSV file to a workbook by XlsxWriter in constant memory, its numbers as numbers, by typed calls."""

import csv
import sys
from pathlib import Path

import xlsxwriter

file, path = sys.argv[1:]
book = xlsxwriter.Workbook(path, {"constant_memory": True})
sheet = book.add_worksheet("Data")
with Path(file).open(newline="") as opened:
    for number, row in enumerate(csv.reader(opened)):
        for column, value in enumerate(row):
            if value.lstrip("-").isdecimal():
                sheet.write_number(number, column, int(value))
            elif value:
                sheet.write_string(number, column, value)
book.close()
