"""Values for Exasol: literals in the SQL of a query; text, numbers and booleans in a prepared statement."""

import datetime
import decimal
import math
from typing import Any


def literal(value: Any) -> str:
    """The value as an SQL literal; TypeError if Exasol has no such type. `''` is Exasol's only escape in text."""
    match value:
        case None:
            return "NULL"
        case bool():
            return "TRUE" if value else "FALSE"
        case int():
            return str(value)
        case decimal.Decimal() if value.is_finite():
            return format(value, "f")
        case float() if math.isfinite(value):
            return f"CAST('{value!r}' AS DOUBLE)"
        case datetime.datetime():
            return f"TIMESTAMP '{_timestamp(value)}'"
        case datetime.date():
            return f"DATE '{value.isoformat()}'"
        case str():
            return "'" + value.replace("'", "''") + "'"
        case list() | tuple():
            return "(" + ", ".join(map(literal, value)) + ")"  # x IN :ids
    raise TypeError(f"a value of the type {type(value).__name__} cannot be sent to Exasol")


def sendable(value: Any) -> Any:
    """The value for a prepared statement; TypeError if Exasol has no such type."""
    match value:
        case None | bool() | str():
            return value
        case int() | decimal.Decimal():
            return format(value, "f") if isinstance(value, decimal.Decimal) else value
        case float() if math.isfinite(value):
            return value
        case datetime.datetime():
            return _timestamp(value)
        case datetime.date():
            return value.isoformat()
    raise TypeError(f"a value of the type {type(value).__name__} cannot be sent to Exasol")


def _timestamp(value: datetime.datetime) -> str:
    if value.tzinfo is not None:
        value = value.astimezone(datetime.UTC).replace(tzinfo=None)
    return value.isoformat(" ", "microseconds")
