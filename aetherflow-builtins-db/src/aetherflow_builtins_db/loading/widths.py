"""How much a declared column holds, and the wider type for values that do not fit it."""

import re

from aetherflow.core.api import ColumnType, TableColumn
from aetherflow_builtins_db.columns import MAX_DECIMAL_DIGITS, STRING
from aetherflow_builtins_db.loading.profile import ROOMY_DIGITS, Profile

_BITS = {
    **dict.fromkeys(("tinyint", "int1"), 8),
    **dict.fromkeys(("smallint", "int2", "int16"), 16),
    "mediumint": 24,
    **dict.fromkeys(("int", "integer", "int4", "int32"), 32),
    **dict.fromkeys(("bigint", "int8", "int64"), 64),
}
_INT_DIGITS = 19
"""Digits of a number of 64 bits."""
_NAME = re.compile(r"([a-z][a-z0-9]*(?: varying)?)\s*(?:\(([\d, ]+)\))?\s*(unsigned)?")


def wider_type(column: TableColumn, seen: Profile) -> ColumnType | None:
    """The type that keeps the column's values and those seen; None if they fit, or if no such type is known.

    Numbers become larger or get more digits, limited text becomes unlimited, a date becomes a date with time. A column
    never becomes one of another kind.
    """
    found = _NAME.fullmatch(column.declared.lower())
    if found is None:
        return None
    name, numbers, unsigned = found[1], [int(part) for part in (found[2] or "").split(",") if part.strip()], found[3]
    needed = seen.type
    if name in _BITS and not unsigned and column.declared != "tinyint(1)":
        return _of_int(_BITS[name], needed, seen)
    if name in {"decimal", "numeric"} and numbers and needed.kind in {"int", "decimal"}:
        precision, scale = numbers[0], (*numbers, 0)[1]
        return _decimal(max(precision - scale, seen.whole), max(scale, seen.scale), (precision, scale))
    if name in {"varchar", "character varying", "char", "character"} and numbers and seen.length > numbers[0]:
        return STRING
    if name == "date" and needed.kind == "datetime" and not needed.zoned:
        return needed
    return None


def _of_int(bits: int, needed: ColumnType, seen: Profile) -> ColumnType | None:
    if needed.kind == "decimal":
        return _decimal(max(_INT_DIGITS, seen.whole), seen.scale, (0, 0))
    most = 1 << (bits - 1)
    fits = -most <= seen.least and seen.most < most
    return None if fits or needed.kind != "int" else needed


def _decimal(whole: int, scale: int, now: tuple[int, int]) -> ColumnType | None:
    precision = whole + scale
    if (precision, scale) == now or precision > MAX_DECIMAL_DIGITS:
        return None
    return ColumnType("decimal", max(precision, ROOMY_DIGITS), scale)
