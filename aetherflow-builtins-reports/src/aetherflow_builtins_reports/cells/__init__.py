"""Encodes data values as sheet cells: whole columns at once, value by value only in irregular columns."""
