"""Converts values to a column's type, for databases whose columns accept any value.

Only lossless conversions are made: `1.0` may become the integer 1, `1.5` may not.
"""

import datetime
import decimal
import math
import re
from collections.abc import Callable
from typing import Any

from aetherflow.core.api import ColumnKind, ColumnType
from aetherflow_builtins_db.columns import INT_MAX, INT_MIN, MAX_DECIMAL_DIGITS
from aetherflow_builtins_db.formats.values import text_value

EXACT = decimal.Context(prec=2 * MAX_DECIMAL_DIGITS)
"""In which no digit of a decimal is rounded."""
_TRUE, _FALSE = frozenset({"true", "t", "yes", "y", "1"}), frozenset({"false", "f", "no", "n", "0"})
_EXACT_FLOAT = 2**53
_FINER = re.compile(r"[.,]\d{6}\d*[1-9]")


def fits(value: Any, wanted: ColumnType) -> bool:
    try:
        coerce(value, wanted)
    except ValueError:
        return False
    return True


def coerce(value: Any, wanted: ColumnType) -> Any:
    """The value converted to `wanted`; ValueError with the reason if that would lose something. None stays None."""
    if value is None:
        return None
    if wanted.kind == "decimal":
        return _decimal(value, wanted)
    if wanted.kind == "datetime":
        return _datetime(value, zoned=wanted.zoned)
    return _COERCE[wanted.kind](value)


def _bool(value: Any) -> bool:
    if value is True or value is False:
        return bool(value)
    word = str(value).strip().lower()
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise ValueError("is no boolean")


def _int(value: Any) -> int:
    try:
        number = int(value)
        if not isinstance(value, str) and number != value:
            raise ValueError("has a fraction")
    except (TypeError, OverflowError, ValueError) as error:
        raise ValueError("is no whole number") from error
    if not INT_MIN <= number <= INT_MAX:
        raise ValueError("does not fit 64 bits")
    return number


def _float(value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, OverflowError, ValueError) as error:
        raise ValueError("is no number") from error
    # 10**23 is what its float is written as, 1e23, though that float is another whole number
    is_large = isinstance(value, int) and abs(value) > _EXACT_FLOAT
    if is_large and value not in {int(number), decimal.Decimal(repr(number))}:
        raise ValueError("would lose digits as a float")
    if math.isinf(number) and "inf" not in str(value).lower():
        raise ValueError("is larger than any float")
    return number


def _decimal(value: Any, wanted: ColumnType) -> decimal.Decimal:
    try:
        # repr gives the shortest decimal that reads back as the same float: 0.1, not 0.1000000000000000055…
        number = decimal.Decimal(repr(value) if isinstance(value, float) else value)
        shaped = number.quantize(decimal.Decimal(1).scaleb(-wanted.scale), context=EXACT)
    except (TypeError, ValueError, decimal.InvalidOperation) as error:
        raise ValueError("is no decimal number") from error
    if shaped != number or (shaped and shaped.adjusted() >= wanted.precision - wanted.scale):
        raise ValueError(f"does not fit {wanted}")
    return shaped


def _refuse_finer(value: Any) -> None:
    """Raise ValueError if the value has more than six digits of a second: Python would drop the rest."""
    if _FINER.search(value) if isinstance(value, str) else getattr(value, "nanosecond", 0):
        raise ValueError("has more than six digits behind the second")


def _datetime(value: Any, *, zoned: bool) -> datetime.datetime:
    _refuse_finer(value)
    if isinstance(value, str):
        try:
            value = datetime.datetime.fromisoformat(value.strip())
        except ValueError as error:
            raise ValueError("is no date and time") from error
    elif type(value) is datetime.date:
        value = datetime.datetime.combine(value, datetime.time())
    if not isinstance(value, datetime.datetime):
        raise ValueError("is no date and time")
    if (value.tzinfo is not None) != zoned:
        raise ValueError("has a zone" if value.tzinfo else "has no zone")
    try:
        return value.astimezone(datetime.UTC) if zoned else value
    except OverflowError as error:
        raise ValueError("is no date and time of the years 1 to 9999 in UTC") from error


def _date(value: Any) -> datetime.date:
    if isinstance(value, str):
        try:
            return datetime.date.fromisoformat(value.strip())
        except ValueError as error:
            raise ValueError("is no date") from error
    if isinstance(value, datetime.datetime):
        if value.timetz() != datetime.time():
            raise ValueError("has a time of day")
        return value.date()
    if isinstance(value, datetime.date):
        return value
    raise ValueError("is no date")


def _time(value: Any) -> datetime.time:
    _refuse_finer(value)
    if isinstance(value, str):
        try:
            if value.strip()[:7].isdigit():  # Python takes 20260101 for 20:26:01.01
                raise ValueError
            value = datetime.time.fromisoformat(value.strip())
        except ValueError as error:
            raise ValueError("is no time of day") from error
    if isinstance(value, datetime.time) and value.tzinfo is None:
        return value
    raise ValueError("is no time of day without zone")


def _bytes(value: Any) -> bytes:
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    raise ValueError("is not binary")


_COERCE: dict[ColumnKind, Callable[[Any], Any]] = {
    "unknown": text_value,
    "string": text_value,
    "bool": _bool,
    "int": _int,
    "float": _float,
    "date": _date,
    "time": _time,
    "bytes": _bytes,
}
