"""SQLite's types for the columns of a table that a load makes."""

from aetherflow.core.api import ColumnKind, ColumnType

EXACT_DIGITS = 15
"""Digits of a number with a point that SQLite keeps: it makes a float of it."""
_NAMES: dict[ColumnKind, str] = {
    "bool": "BOOLEAN",
    "int": "INTEGER",
    "float": "REAL",
    "bytes": "BLOB",
    "date": "DATE",
    "time": "TIME",
}


def declared_for(column_type: ColumnType) -> str:
    """The declaration from which SQLite takes how values are stored, and this package their type.

    A decimal of more than 15 digits is text, because as a number it would lose some.
    """
    if column_type.kind == "decimal" and column_type.precision <= EXACT_DIGITS:
        return f"DECIMAL({column_type.precision},{column_type.scale})"
    if column_type.kind == "datetime":
        return "TIMESTAMPTZ" if column_type.zoned else "TIMESTAMP"
    return _NAMES.get(column_type.kind, "TEXT")
