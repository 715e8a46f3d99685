"""The mapping of PostgreSQL's types, and the conversion of their values."""

import datetime
from typing import TYPE_CHECKING, Any

from aetherflow.core.api import Column, ColumnType
from aetherflow_builtins_db.columns import MAX_DECIMAL_DIGITS, STRING, UNKNOWN

if TYPE_CHECKING:
    import psycopg

NUMERIC = 1700
SETTINGS = {"TimeZone": "UTC", "DateStyle": "ISO", "IntervalStyle": "postgres", "extra_float_digits": 1}
"""Of each session: the forms of texts that the server writes."""
_TYPES: dict[int, ColumnType] = {
    16: ColumnType("bool"),
    17: ColumnType("bytes"),
    **dict.fromkeys((20, 21, 23, 26), ColumnType("int")),
    **dict.fromkeys((700, 701), ColumnType("float")),
    1082: ColumnType("date"),
    1083: ColumnType("time"),
    1114: ColumnType("datetime"),
    1184: ColumnType("datetime", zoned=True),
}
"""By OID. Every other type is text in PostgreSQL's notation; arrays are JSON."""
AS_TEXT = (
    "json", "jsonb", "uuid", "inet", "cidr", "interval", "int4range", "int8range", "numrange", "daterange", "tsrange",
    "tstzrange", "int4multirange", "int8multirange", "nummultirange", "datemultirange", "tsmultirange",
    "tstzmultirange", "timetz",
)  # fmt: skip
"""Types that psycopg would convert to objects; they are loaded as PostgreSQL's text instead."""


def column_of(described: "psycopg.Column") -> Column:
    """A column from the driver's description; UNKNOWN for a numeric without precision."""
    if described.type_code == NUMERIC:
        precision, scale = described.precision, described.scale
        if precision is None or scale is None or not 0 <= scale <= precision <= MAX_DECIMAL_DIGITS:
            return Column(described.name, UNKNOWN)
        return Column(described.name, ColumnType("decimal", precision, scale))
    return Column(described.name, _TYPES.get(described.type_code, STRING))


def register_loaders(connection: "psycopg.Connection[Any]") -> None:
    """Register loaders on the connection: instants in UTC; dates that Python cannot hold (infinity, BC) as text."""
    import psycopg
    from psycopg.types import datetime as dates
    from psycopg.types.string import TextLoader

    class _Date(dates.DateLoader):
        def load(self, data: Any) -> Any:
            try:
                return super().load(data)
            except psycopg.DataError:
                return bytes(data).decode()

    class _Timestamp(dates.TimestampLoader):
        def load(self, data: Any) -> Any:
            try:
                return super().load(data)
            except psycopg.DataError:
                return bytes(data).decode()

    class _Instant(dates.TimestamptzLoader):
        def load(self, data: Any) -> Any:
            try:
                return super().load(data).astimezone(datetime.UTC)
            except (psycopg.DataError, OverflowError):
                return bytes(data).decode()

    class _Time(dates.TimeLoader):
        def load(self, data: Any) -> Any:
            try:
                return super().load(data)
            except (psycopg.DataError, ValueError):  # 24:00:00
                return bytes(data).decode()

    adapters = connection.adapters
    adapters.register_loader("date", _Date)
    adapters.register_loader("timestamp", _Timestamp)
    adapters.register_loader("timestamptz", _Instant)
    adapters.register_loader("time", _Time)
    for name in AS_TEXT:
        adapters.register_loader(name, TextLoader)
