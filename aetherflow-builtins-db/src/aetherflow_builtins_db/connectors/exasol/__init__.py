"""Exasol, by pyexasol."""
