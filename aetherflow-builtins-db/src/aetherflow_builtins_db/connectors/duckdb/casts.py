"""SQL that casts the text of a file to a column of DuckDB, and finds what would not fit."""

import re
from typing import Any

from aetherflow.core.api import TableColumn
from aetherflow_builtins_db.connectors.common.base import setting_literal
from aetherflow_builtins_db.connectors.duckdb.rows import anywhere

_NESTED = re.compile(r"\]$|^(STRUCT|MAP|UNION)\(")
_BYTES = re.compile(r"\bBLOB\b")
SECOND_DIGITS = {
    **dict.fromkeys(("DATE", "TIME", "TIME WITH TIME ZONE", "TIMESTAMP", "TIMESTAMP WITH TIME ZONE"), 6),
    **dict.fromkeys(("TIME_NS", "TIMESTAMP_NS"), 9),
    "TIMESTAMP_MS": 3,
    "TIMESTAMP_S": 0,
}
INTEGERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT")
_CHECKED = frozenset({
    "BIGINT", "BOOLEAN", "DATE", "TIME", "TIMESTAMP", "TIMESTAMP WITH TIME ZONE", "TIMESTAMP_MS", "TIMESTAMP_S",
    "VARCHAR", "BLOB", "DOUBLE", '"NULL"',
})  # fmt: skip
"""Types whose values the converter has checked, besides decimals."""
_RANGES = {
    **{name: (-(2 ** (8 * 2**power - 1)), 2 ** (8 * 2**power - 1) - 1) for power, name in enumerate(INTEGERS)},
    **{f"U{name}": (0, 2 ** (8 * 2**power) - 1) for power, name in enumerate(INTEGERS)},
}
_FLOATS = re.compile(r"\b(DOUBLE|FLOAT)\b")


def from_text(field: str, column: TableColumn) -> str:
    """SQL that casts a text field to the column's type and raises an error where DuckDB would lose something."""
    value, loses = _cast(field, column)
    if not loses:
        return value
    message = setting_literal(f"column {column.name}: the value ")
    refused = setting_literal(f" does not fit {column.declared}")
    return (
        f"CASE WHEN {loses} THEN CAST(error({message} || {field} || {refused}) AS {column.declared}) ELSE {value} END"
    )


def needs_look(column: TableColumn, values: list[Any]) -> bool:
    """Whether only DuckDB knows that all of the values, which the converter has made, fit the column."""
    declared = column.declared
    if declared in _CHECKED or column.type.kind == "decimal":
        return False
    if declared not in _RANGES:
        return True
    known = [value for value in values if value is not None]
    low, high = _RANGES[declared]
    return not (set(map(type, known)) <= {int} and low <= min(known, default=low) and max(known, default=high) <= high)


def is_unfit(field: str, column: TableColumn) -> str:
    """An SQL condition: the text is not null, and `from_text` of it is an error."""
    value, loses = _cast(field, column)
    fails = f"TRY({value} IS NULL) IS NULL"  # JSON's null is a value that is null
    return f"{field} IS NOT NULL AND ({fails} OR coalesce(TRY({loses or 'false'}), false))"


def _cast(field: str, column: TableColumn) -> tuple[str, str]:
    """SQL that casts a text field to the column's type; a condition for what it would lose, empty if nothing."""
    if column.type.kind == "bytes":
        return f"from_base64({field})", ""
    if not _NESTED.search(column.declared):
        value = f"CAST({field} AS {column.declared})"
        loses = _number_loses(field, column) or _time_loses(field, column.declared)
        return value, loses or _overflows(field, value, column)
    if _BYTES.search(column.declared):  # files have no form for them
        return f"CAST(NULL AS {column.declared})", f"{field} IS NOT NULL"
    value = _from_json(field, column)
    return value, _overflows(field, value, column)


def _overflows(field: str, value: str, column: TableColumn) -> str:
    """An SQL condition: a number beyond its FLOAT or DOUBLE has become infinite; empty without such types."""
    from duckdb.sqltypes import DuckDBPyType

    if not _FLOATS.search(column.declared):
        return ""
    infinite = anywhere(value, DuckDBPyType(column.declared), _is_infinite)
    return f"({infinite}) AND NOT contains(lower({field}), 'inf')" if infinite else ""


def _is_infinite(value: str, kind: Any) -> str:
    return f"isinf({value})" if kind.id in {"float", "double"} else ""


def _from_json(field: str, column: TableColumn) -> str:
    """SQL that reads a list, a struct or a map from JSON, as files hold it; other text is DuckDB's own notation."""
    # a text of JSON, which a cast would make a string of JSON; a type that it cannot read
    given = re.sub(r"\b(JSON|BIT|BIGNUM)\b", "VARCHAR", column.declared)
    value = f"CAST(CAST(CAST({field} AS JSON) AS {given}) AS {column.declared})"
    return f"CASE WHEN json_valid({field}) THEN {value} ELSE CAST({field} AS {column.declared}) END"


def _number_loses(field: str, column: TableColumn) -> str:
    """An SQL condition: the number has more digits after the point than the column; empty if none is needed."""
    if column.declared.removeprefix("U") in INTEGERS:
        digits = 0
    elif column.type.kind == "decimal":
        digits = column.type.scale
    else:
        return ""
    behind = f"strlen(rtrim({field}, '0 ')) - instr({field}, '.') > {digits}"
    return f"contains(lower({field}), 'e') OR contains({field}, '_') OR (contains({field}, '.') AND {behind})"


def _time_loses(field: str, declared: str) -> str:
    """An SQL condition: the value has more digits of a second than the column, or a time or date that it drops."""
    digits = SECOND_DIGITS.get(declared)
    if digits is None:
        return ""
    behind = f"strlen(rtrim(regexp_extract({field}, '\\.(\\d+)', 1), '0')) > {digits}"
    loses = f"(contains({field}, '.') AND {behind})"
    if declared == "DATE":
        return f"{loses} OR (contains({field}, ':') AND TRY_CAST(trim({field}) AS TIMESTAMP) <> CAST({field} AS DATE))"
    if declared.startswith("TIME") and not declared.startswith("TIMESTAMP"):
        return f"{loses} OR regexp_matches({field}, '\\d[-/]\\d+[-/]')"
    return loses


def refused(column: TableColumn, value: str) -> str:
    """Why a value does not fit."""
    if _NESTED.search(column.declared) and _BYTES.search(column.declared):
        return f"column {column.name}: files have no form for bytes inside of a {column.declared}"
    return f"column {column.name}: the value {value} does not fit {column.declared}"
