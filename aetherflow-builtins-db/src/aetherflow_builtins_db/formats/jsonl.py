"""Writes JSON Lines: one object per row, with the values of `json_value`."""

import datetime
import decimal
import json
import math
from collections.abc import Callable, Iterable, Sequence
from json.encoder import encode_basestring
from typing import Any

from aetherflow.core.api import Row
from aetherflow_builtins_db.formats.sink import Sink
from aetherflow_builtins_db.formats.values import json_value

_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=json_value).encode
# By the type of all values of a column: the same texts as `_value`, in a fraction of its time.
_QUICK: dict[type, Callable[[Any], str]] = {
    str: encode_basestring,  # what the encoder calls for a text
    int: int.__repr__,
    bool: {True: "true", False: "false"}.__getitem__,
    type(None): lambda _value: "null",
    float: lambda value: repr(value) if math.isfinite(value) else "null",
    decimal.Decimal: lambda value: f'"{value:f}"' if value.is_finite() else "null",
    datetime.date: lambda value: f'"{value.isoformat()}"',
    datetime.datetime: lambda value: f'"{value.isoformat()}"',
}


def write_jsonl(names: Sequence[str], batches: Iterable[list[Row]], sink: Sink, on_rows: Callable[[int], None]) -> None:
    """Write all rows; `on_rows` is called with the number of rows so far after every batch."""
    keys = [_encode(name).replace("%", "%%") for name in names]
    line = "{" + ",".join(f"{key}:%s" for key in keys) + "}\n"
    count = 0
    for batch in batches:
        columns = [_texts(column) for column in zip(*batch, strict=True)]
        sink.write("".join(map(line.__mod__, zip(*columns, strict=True))).encode("utf-8"))
        count += len(batch)
        on_rows(count)


def _texts(column: Sequence[Any]) -> Iterable[str]:
    """The values of one column as JSON."""
    kinds = set(map(type, column))
    if len(kinds) == 1 and (quick := _QUICK.get(next(iter(kinds)))) is not None:
        return map(quick, column)
    if len(kinds) == 2 and type(None) in kinds:
        (kind,) = kinds - {type(None)}
        if (quick := _QUICK.get(kind)) is not None:
            return ["null" if value is None else quick(value) for value in column]
    return map(_value, column)


def _value(value: Any) -> str:
    try:
        return _encode(value)
    except ValueError:  # NaN or infinity, which JSON does not have
        return _encode(json_value(value))
