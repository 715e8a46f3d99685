"""Compares the rows of two databases: the columns' common kinds, checksums by range, and rows side by side."""
