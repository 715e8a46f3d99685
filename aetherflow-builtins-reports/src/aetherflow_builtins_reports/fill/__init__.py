"""Filling a workbook: places found, blocks planned, sheets rewritten as a stream, the other parts patched."""
