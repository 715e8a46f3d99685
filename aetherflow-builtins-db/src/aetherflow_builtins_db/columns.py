"""The types of columns by the names that users write, and what holds for all columns of a result."""

import re
from collections.abc import Sequence

from aetherflow.core.api import Column, ColumnType, StepInputError

MAX_DECIMAL_DIGITS = ColumnType("decimal").precision
INT_MIN, INT_MAX = -(2**63), 2**63 - 1

UNKNOWN = ColumnType("unknown")
STRING = ColumnType("string")


_DECIMAL = re.compile(r"(?:decimal|numeric|number)\s*\(\s*(\d+)\s*(?:,\s*(\d+)\s*)?\)")
_NAMES: dict[str, ColumnType] = {
    **dict.fromkeys(("bool", "boolean"), ColumnType("bool")),
    **dict.fromkeys(("int", "integer", "bigint", "int64"), ColumnType("int")),
    **dict.fromkeys(("float", "double", "real", "float64"), ColumnType("float")),
    **dict.fromkeys(("string", "str", "text", "varchar", "json"), STRING),
    **dict.fromkeys(("bytes", "binary", "blob"), ColumnType("bytes")),
    **dict.fromkeys(("datetime", "timestamp"), ColumnType("datetime")),
    **dict.fromkeys(("datetime(utc)", "timestamptz"), ColumnType("datetime", zoned=True)),
    "date": ColumnType("date"),
    "time": ColumnType("time"),
}


def parse_type(name: str) -> ColumnType:
    """The type of that name, as users write it; StepInputError if the name is unknown."""
    text = name.strip().lower()
    if found := _DECIMAL.fullmatch(text):
        return decimal_type(int(found.group(1)), int(found.group(2) or 0))
    if text in _NAMES:
        return _NAMES[text]
    raise StepInputError(
        f"type {name!r} is not known; use bool, int, float, decimal(p,s), string, bytes, date, datetime, "
        "datetime(utc) or time"
    )


def decimal_type(precision: int, scale: int) -> ColumnType:
    """A decimal type; StepInputError if no file format can hold it."""
    if not 1 <= precision <= MAX_DECIMAL_DIGITS or not 0 <= scale <= precision:
        raise StepInputError(f"decimal({precision},{scale}) is not possible: 1 to 38 digits, scale at most that")
    return ColumnType("decimal", precision, scale)


def refuse_duplicates(columns: Sequence[Column]) -> None:
    """Raise StepInputError if two columns have the same name: a map or a Parquet file would lose one of them."""
    seen: set[str] = set()
    twice: dict[str, None] = {}
    for column in columns:
        if column.name in seen:
            twice.setdefault(column.name)
        seen.add(column.name)
    if twice:
        raise StepInputError(
            f"the query returns columns of the same name: {', '.join(twice)}",
            fix="name them apart: SELECT a.id AS a_id",
        )
