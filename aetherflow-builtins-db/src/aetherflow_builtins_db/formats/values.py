"""The text form and the JSON form of database values, the same in every format and step."""

import base64
import datetime
import decimal
import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any

SHOWN = 60
"""Characters of a value in a message."""


def json_value(value: Any) -> Any:
    """The value in JSON types.

    Decimals become text, dates and times ISO 8601, bytes base64; lists and maps stay. NaN and infinity, which JSON does
    not have, become null.
    """
    return _json(value, words=False)


def _json(value: Any, *, words: bool) -> Any:
    """The value in JSON types; `words` makes text of NaN and infinity."""
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else str(value) if words else None
        case decimal.Decimal():
            return format(value, "f") if words or value.is_finite() else None
        case datetime.datetime() | datetime.date() | datetime.time():
            return value.isoformat()
        case bytes() | bytearray() | memoryview():
            return base64.b64encode(value).decode("ascii")
        case Mapping():
            return {str(key): _json(item, words=words) for key, item in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_json(item, words=words) for item in value]
        case _:
            return str(value)


def query_sha256(sql: str, params: Mapping[str, Any] | None) -> str:
    """Of a query and its parameters, in hexadecimal."""
    told = json.dumps([sql, {name: json_value(value) for name, value in (params or {}).items()}])
    return hashlib.sha256(told.encode()).hexdigest()


def datetime_text(value: datetime.datetime) -> str:
    """Date and time as PostgreSQL and DuckDB write them: `2013-01-01 05:00:00.5`, an instant in UTC with `+00`."""
    zone = ""
    if value.tzinfo is not None:
        value, zone = value.astimezone(datetime.UTC).replace(tzinfo=None), "+00"
    text = value.isoformat(" ")
    return (text.rstrip("0") if value.microsecond else text) + zone


def time_text(value: datetime.time) -> str:
    """Time of day as PostgreSQL and DuckDB write it: `05:00:00.5`."""
    text = value.isoformat()
    return text.rstrip("0") if value.microsecond and value.tzinfo is None else text


def text_value(value: Any) -> str:
    """The value as text for a cell.

    Like `json_value`, but booleans are `true` and `false`, NaN and infinity `nan` and `inf`, lists and maps JSON with
    these words as text, and dates with times are in PostgreSQL's notation.
    """
    match value:
        case str():
            return str(value)
        case bool():
            return "true" if value else "false"
        case float():
            return repr(value)
        case decimal.Decimal():
            return format(value, "f")
        case datetime.datetime():
            return datetime_text(value)
        case datetime.time():
            return time_text(value)
        case Mapping() | list() | tuple() | set() | frozenset():
            return json.dumps(_json(value, words=True), ensure_ascii=False)
        case _:
            return str(json_value(value))


def short_value(value: Any) -> str:
    """A value for a message: texts in quotes, longer ones cut."""
    text = repr(value) if isinstance(value, str) else text_value(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
