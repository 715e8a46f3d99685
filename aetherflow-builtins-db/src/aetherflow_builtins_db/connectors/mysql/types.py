"""The mapping of MySQL's and MariaDB's types, and the conversion of their values."""

import datetime
from collections.abc import Callable
from typing import Any

from aetherflow.core.api import Column, ColumnType
from aetherflow_builtins_db.columns import MAX_DECIMAL_DIGITS, STRING, UNKNOWN
from aetherflow_builtins_db.connectors.mysql import pymysql_parts

_BINARY = 63
"""Number of the character set `binary`: the column holds bytes."""
_TINY, _SHORT, _LONG, _FLOAT, _DOUBLE, _NULL, _TIMESTAMP, _LONGLONG, _INT24 = 1, 2, 3, 4, 5, 6, 7, 8, 9
_DATE, _TIME, _DATETIME, _YEAR, _NEWDATE, _BIT, _DECIMAL, _NEWDECIMAL = 10, 11, 12, 13, 14, 16, 0, 246
_GEOMETRY, _UNSIGNED, _ZEROFILL = 255, 32, 64
_AS_SENT = frozenset({_TINY, _SHORT, _LONG, _LONGLONG, _INT24, _DECIMAL, _NEWDECIMAL, _DATE, _NEWDATE})
"""Types whose values have the same text on the server and in our CSV."""
_TEXTS = frozenset({15, 249, 250, 251, 252, 253, 254})
_NO_SCALE = 31
"""The scale that the protocol gives for a FLOAT without declared digits."""
_FLOAT_WARNING = "is a FLOAT, of which the server sends six digits; all are in the product with 1e0, which is a DOUBLE"
_UNSIGNED_BIGINT = ColumnType("decimal", 20, 0)
_TYPES: dict[int, ColumnType] = {
    **dict.fromkeys((_TINY, _SHORT, _LONG, _LONGLONG, _INT24, _YEAR, _BIT), ColumnType("int")),
    **dict.fromkeys((_FLOAT, _DOUBLE), ColumnType("float")),
    **dict.fromkeys((_DATE, _NEWDATE), ColumnType("date")),
    _DATETIME: ColumnType("datetime"),
    _TIMESTAMP: ColumnType("datetime", zoned=True),
    _GEOMETRY: ColumnType("bytes"),
}
"""By type number of the protocol. TIME is text: in MySQL it is a span of up to 838 hours, not a time of day."""
_SURE = _TYPES.keys() - {_FLOAT, _LONGLONG}
"""Types that the type number alone determines: a BIGINT may be unsigned, a FLOAT may need a warning."""


def column_of(field: Any) -> Column:
    """A column from its column definition packet."""
    kind = field.type_code
    if kind in {_DECIMAL, _NEWDECIMAL}:
        digits = field.length - (1 if field.scale else 0) - (0 if field.flags & _UNSIGNED else 1)
        fits = 1 <= digits <= MAX_DECIMAL_DIGITS and field.scale <= digits
        return Column(field.name, ColumnType("decimal", digits, field.scale) if fits else STRING)
    if kind in _TEXTS and field.charsetnr == _BINARY:
        return Column(field.name, ColumnType("bytes"))
    if kind == _LONGLONG and field.flags & _UNSIGNED:
        return Column(field.name, _UNSIGNED_BIGINT)
    if kind == _FLOAT and field.scale >= _NO_SCALE:
        return Column(field.name, _TYPES[kind], _FLOAT_WARNING)
    return Column(field.name, _TYPES.get(kind, STRING))


def columns_of(cursor: Any) -> list[Column]:
    """The columns of a result. Without the column definition packets, unclear types are UNKNOWN."""
    if fields := pymysql_parts.fields(cursor):
        return [column_of(field) for field in fields]
    return [Column(name, _TYPES[kind] if kind in _SURE else UNKNOWN) for name, kind, *_ in cursor.description or ()]


def _instant(text: str) -> Any:
    from pymysql.converters import convert_datetime

    value = convert_datetime(text)
    return value.replace(tzinfo=datetime.UTC) if isinstance(value, datetime.datetime) else value


def cell_text(field: Any, convert: Callable[[Any], Any] | None) -> Callable[[Any], Any] | None:
    """The function that turns the server's text into a CSV cell; None if the text is used unchanged."""
    kind = field.type_code
    if kind in _AS_SENT and not field.flags & _ZEROFILL:
        return None
    if kind == _DATETIME and not field.scale:
        return None
    if kind == _TIMESTAMP and not field.scale:
        return _instant_text
    return convert


def _instant_text(text: str) -> str:
    return text if text.startswith("0000") else f"{text}+00"


def decoders() -> dict[Any, Callable[[Any], Any]]:
    """PyMySQL's converters with our changes: TIMESTAMP is an instant, BIT an int, TIME the server's text."""
    from pymysql.converters import conversions

    chosen = dict(conversions)
    chosen[_TIMESTAMP] = _instant
    chosen[_TIME] = str
    chosen[_BIT] = lambda data: int.from_bytes(data, "big")
    return chosen
