"""Derives column types from values, for databases whose columns accept any value."""

import datetime
import decimal
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from aetherflow.core.api import Column, ColumnKind, ColumnType
from aetherflow_builtins_db.columns import INT_MAX, INT_MIN, MAX_DECIMAL_DIGITS, STRING, UNKNOWN
from aetherflow_builtins_db.formats.coerce import fits


def refine(columns: Sequence[Column], rows: Sequence[Sequence[Any]]) -> list[Column]:
    """The columns with types that fit `rows`, for drivers whose values need not have the column's type.

    A declared type stays if every value fits. Otherwise the narrowest type that holds all values is used; the widest is
    text. A column with only nulls stays as it is.
    """
    refined = []
    for index, column in enumerate(columns):
        values = [row[index] for row in rows if row[index] is not None]
        if values and not (column.type != UNKNOWN and all(fits(value, column.type) for value in values)):
            column = replace(column, type=common_type(values))
        refined.append(column)
    return refined


def common_type(values: Iterable[Any]) -> ColumnType:
    """The narrowest type that holds all values; UNKNOWN for none."""
    kinds: set[ColumnKind] = set()
    digits = scale = 0
    zones: set[bool] = set()
    wide_int = False
    for value in values:
        kind = _kind_of(value)
        kinds.add(kind)
        if isinstance(value, decimal.Decimal):
            whole, fraction = _digits(value)
            digits, scale = max(digits, whole), max(scale, fraction)
        elif isinstance(value, datetime.datetime):
            zones.add(value.tzinfo is not None)
        elif kind == "int":
            wide_int = wide_int or not INT_MIN <= value <= INT_MAX
            digits = max(digits, len(str(abs(value))))
    return _join(kinds, digits, scale, zones, wide_int=wide_int)


def _join(kinds: set[ColumnKind], digits: int, scale: int, zones: set[bool], *, wide_int: bool) -> ColumnType:
    if not kinds:
        return UNKNOWN
    if kinds == {"decimal"} or (kinds <= {"bool", "int", "decimal"} and ("decimal" in kinds or wide_int)):
        # All 38 digits: a later value may be longer than those seen so far.
        return ColumnType("decimal", MAX_DECIMAL_DIGITS, scale) if digits + scale <= MAX_DECIMAL_DIGITS else STRING
    if kinds <= {"bool", "int"}:
        return ColumnType("int") if "int" in kinds else ColumnType("bool")
    if kinds <= {"bool", "int", "float"}:
        return STRING if wide_int else ColumnType("float")
    if kinds == {"datetime"}:
        return ColumnType("datetime", zoned=zones == {True}) if len(zones) == 1 else STRING
    if kinds == {"date", "datetime"} and zones == {False}:
        return ColumnType("datetime")
    return ColumnType(next(iter(kinds))) if len(kinds) == 1 else STRING


def _kind_of(value: Any) -> ColumnKind:
    match value:
        case bool():
            return "bool"
        case int():
            return "int"
        case float():
            return "float"
        case decimal.Decimal():
            return "decimal" if value.is_finite() else "string"
        case datetime.datetime():  # before date, which it is too
            return "datetime"
        case datetime.date():
            return "date"
        case datetime.time():
            return "time" if value.tzinfo is None else "string"
        case bytes() | bytearray() | memoryview():
            return "bytes"
        case _:
            return "string"


def _digits(value: decimal.Decimal) -> tuple[int, int]:
    """Digits before and after the point."""
    _sign, figures, exponent = value.as_tuple()
    if not isinstance(exponent, int):
        return 0, 0
    return max(len(figures) + exponent, 0), max(-exponent, 0)
