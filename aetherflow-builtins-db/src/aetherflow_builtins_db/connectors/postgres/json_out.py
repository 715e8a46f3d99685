"""Results as JSON lines that the server writes: COPY … TO STDOUT of a text per row, which needs no escapes."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from aetherflow_builtins_db.connectors.postgres.copy import FLOAT, makes_objects

if TYPE_CHECKING:
    import psycopg

OPTIONS = r"FORMAT csv, DELIMITER E'\x01', QUOTE E'\x02'"
"""JSON holds none of the characters for which COPY would quote a text: it has control characters as escapes."""
_FINITE = "CASE WHEN {0}::text NOT IN ('NaN', 'Infinity', '-Infinity') THEN {1} END"
_PYTHONS = """'"' || replace(to_char({0}, '{1}HH24:MI:SS.US'), '.000000', '') || '{2}"'"""
_DAY = 'YYYY-MM-DD"T"'
_IN_YEARS_OF_PYTHON = "{0} >= '0001-01-01' AND {0} < '10000-01-01'"


def json_query(connection: "psycopg.Connection[Any]", sql: str, described: Sequence["psycopg.Column"]) -> str | None:
    """A query of one column whose COPY has the same bytes as `write_jsonl`; None if there is none."""
    if not described or any(makes_objects(connection, column.type_code) for column in described):
        return None
    utc = connection.info.parameter_status("TimeZone") == "UTC"
    names = [f"c{index}" for index in range(len(described))]
    parts: list[str] = []
    for name, column in zip(names, described, strict=True):
        start = "," if parts else "{"
        parts += [f"{_literal(start + _key(column.name))}, COALESCE({_value(name, column.type_code, utc=utc)}, 'null')"]
    return f"SELECT concat({', '.join(parts)}, '}}') FROM (\n{sql}\n) AS q({', '.join(names)})"  # noqa: S608 - the user's query


def _key(name: str) -> str:
    return json.dumps(name, ensure_ascii=False) + ":"


def _literal(text: str) -> str:
    """A literal; psycopg would take a `%` in it for a placeholder where the query has parameters."""
    return "E'" + text.replace("\\", "\\\\").replace("'", "''").replace("%", r"\x25") + "'"


def _value(name: str, oid: int, *, utc: bool) -> str:
    """SQL for the JSON of a value, as `json_value` has it; null for null, and for a number that JSON does not have."""
    match oid:
        case 16 | 20 | 21 | 23 | 26:  # bool, integers
            return f"{name}::text"
        case 25 | 1043:  # text, varchar
            return f"to_json({name})::text"
        case 700:  # real: the double that Python reads from its text
            return _FINITE.format(name, FLOAT.format(f"({name}::text::float8)"))
        case 701:  # double
            return _FINITE.format(name, FLOAT.format(name))
        case 1700:  # numeric
            return _FINITE.format(name, _quoted(f"{name}::text"))
        case 17:  # bytea
            return _quoted(rf"replace(encode({name}, 'base64'), E'\n', '')")
        case 1082:  # date
            return _quoted(f"{name}::text")
        case 1083:  # time
            return _PYTHONS.format(name, "", "")
        case 1114:  # timestamp
            return _instant(name, name, "", [name])
        case 1184:  # timestamptz
            instant = f"({name} AT TIME ZONE 'UTC')"
            return _instant(name, instant, "+00:00", [instant] if utc else [instant, f"{name}::timestamp"])
        case _:
            # by concat, not by a cast: a cast takes the blanks from the end of a char(n)
            return f"CASE WHEN {name} IS NOT NULL THEN to_json(concat({name}))::text END"


def _quoted(text: str) -> str:
    return f"'\"' || {text} || '\"'"


def _instant(name: str, shown: str, zone: str, held: list[str]) -> str:
    """As Python writes it; text of PostgreSQL for one that Python does not have, in UTC or in the session's zone."""
    within = " AND ".join(map(_IN_YEARS_OF_PYTHON.format, held))
    return f"CASE WHEN {within} THEN {_PYTHONS.format(shown, _DAY, zone)} ELSE {_quoted(f'{name}::text')} END"
