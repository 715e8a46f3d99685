"""Writes JSON Lines: one object per row, with the values of `json_value`."""

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from aetherflow.core.api import Row
from aetherflow_builtins_db.formats.sink import Sink
from aetherflow_builtins_db.formats.values import json_value


def write_jsonl(names: Sequence[str], batches: Iterable[list[Row]], sink: Sink, on_rows: Callable[[int], None]) -> None:
    """Write all rows; `on_rows` is called with the number of rows so far after every batch."""
    encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=json_value).encode
    count = 0
    for batch in batches:
        lines = [_line(encode, dict(zip(names, row, strict=True))) for row in batch]
        sink.write("".join(lines).encode("utf-8"))
        count += len(batch)
        on_rows(count)


def _line(encode: Callable[[Any], str], row: dict[str, Any]) -> str:
    try:
        return encode(row) + "\n"
    except ValueError:  # NaN or infinity, which JSON does not have
        return encode(json_value(row)) + "\n"
