"""Columns of a result: a name, and a type that all drivers and file formats share."""

import datetime
import decimal
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from aetherflow.core.api import StepInputError

Kind: TypeAlias = Literal["unknown", "bool", "int", "float", "decimal", "string", "bytes", "date", "datetime", "time"]

MAX_DECIMAL_DIGITS = 38
"""Digits of Arrow's 128-bit decimal."""
INT_MIN, INT_MAX = -(2**63), 2**63 - 1

_PYTHON_TYPES: dict[Kind, type] = {
    "unknown": object,
    "bool": bool,
    "int": int,
    "float": float,
    "decimal": decimal.Decimal,
    "string": str,
    "bytes": bytes,
    "date": datetime.date,
    "datetime": datetime.datetime,
    "time": datetime.time,
}
_SIMPLE_NAMES: dict[Kind, str] = {
    "bool": "bool",
    "int": "int",
    "float": "float",
    "decimal": "float",
    "date": "date",
    "datetime": "datetime",
}


@dataclass(frozen=True, slots=True)
class ColumnType:
    """A type that every driver's types map to. Lists, structs and JSON are `string`: their text is JSON."""

    kind: Kind
    precision: int = MAX_DECIMAL_DIGITS
    """Total digits of a decimal."""
    scale: int = 0
    """Digits of a decimal after the point."""
    zoned: bool = False
    """Whether a datetime is an instant; instants are stored in UTC."""

    def __str__(self) -> str:
        if self.kind == "decimal":
            return f"decimal({self.precision},{self.scale})"
        return "datetime(utc)" if self.zoned else self.kind

    @property
    def python_type(self) -> type:
        """The Python type of a value."""
        return _PYTHON_TYPES[self.kind]

    @property
    def simple_name(self) -> str:
        """One of bool, int, float, date, datetime, string. A decimal is `float` here; times and bytes are `string`."""
        return _SIMPLE_NAMES.get(self.kind, "string")


UNKNOWN = ColumnType("unknown")
STRING = ColumnType("string")


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a result."""

    name: str
    type: ColumnType = UNKNOWN
    warning: str = ""
    """A known loss in its values, and the remedy; a step that writes the column logs it."""


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
    """The type that a user names under `dtypes`; StepInputError if the name is unknown."""
    text = name.strip().lower()
    if found := _DECIMAL.fullmatch(text):
        return decimal_type(int(found.group(1)), int(found.group(2) or 0))
    if text in _NAMES:
        return _NAMES[text]
    raise StepInputError(
        f"dtype {name!r} is not known; use bool, int, float, decimal(p,s), string, bytes, date, datetime, "
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
