"""A sheet of a workbook to a CSV file by fastexcel, through Arrow."""

import sys

import fastexcel
import pyarrow.csv

book, file = sys.argv[1:]
pyarrow.csv.write_csv(pyarrow.record_batch(fastexcel.read_excel(book).load_sheet(0).to_arrow()), file)
