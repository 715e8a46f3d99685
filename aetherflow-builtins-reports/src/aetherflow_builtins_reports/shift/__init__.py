"""Inserts rows and adapts every reference to rows in the workbook."""
