"""A file with a column of every type, and what a table made of it must hold."""

import base64
import datetime
import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

_moment = datetime.datetime.fromisoformat
DATA: dict[str, list[Any]] = {
    "k": [1, 2, 3],
    "flag": [True, False, None],
    "number": [2**63 - 1, -(2**63), None],
    "large": [Decimal(10**19), Decimal(-(10**20)), None],
    "small": [Decimal("0.10"), Decimal("-1234567890123.45"), None],
    "exact": [Decimal("12345678901234567890.0123456789"), Decimal("-0.0000000001"), None],
    "real": [1e-300, -1.7976931348623157e308, 0.1],
    "word": ['a "b", c\\ ü😀\'', "", None],
    "code": ["007", "0", None],
    "day": [datetime.date(1000, 1, 1), datetime.date(9999, 12, 31), None],
    "local": [_moment("1900-01-01"), _moment("2024-02-29 23:59:59.999999"), None],
    "instant": [_moment("1970-01-02 00:00:00+00:00"), _moment("2037-06-30 23:59:59.999999+00:00"), None],
    "clock": [datetime.time(0, 0, 0, 1), datetime.time(23, 59, 59, 999_999), None],
    "empty": [None, None, None],
}  # fmt: skip
BYTES = {"raw": [b"\x00\xff\n\"'", b"", None]}
"""Only Parquet tells that a column holds bytes; of text it must be said."""


def text(value: Any) -> str:
    """A value as a CSV file holds it."""
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case bytes():
            return f'"{base64.b64encode(value).decode()}"'
        case str():
            escaped = value.replace('"', '""')
            return f'"{escaped}"'
        case Decimal():
            return format(value, "f")
        case datetime.datetime():
            return value.isoformat(" ")
    return repr(value) if isinstance(value, float) else str(value)


def rows_of(data: dict[str, list[Any]]) -> list[tuple[Any, ...]]:
    return list(zip(*data.values(), strict=True))


def write_csv(path: Path, data: dict[str, list[Any]]) -> None:
    lines = [",".join(data), *(",".join(map(text, row)) for row in rows_of(data))]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_jsonl(path: Path, data: dict[str, list[Any]]) -> None:
    """As `db_extract` writes it, but with decimals and whole numbers as numbers."""

    def dump(value: Any) -> str:
        if isinstance(value, Decimal | int | float) and not isinstance(value, bool):
            return text(value)
        return json.dumps(value.isoformat() if hasattr(value, "isoformat") else value)

    lines = ["{" + ", ".join(f'"{name}": {dump(cell)}' for name, cell in zip(data, row, strict=True)) + "}"
             for row in rows_of(data)]  # fmt: skip
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_parquet(path: Path, data: dict[str, list[Any]]) -> None:
    import pyarrow as pa
    import pyarrow.parquet

    kinds = {"large": pa.decimal128(38, 0), "small": pa.decimal128(15, 2), "exact": pa.decimal128(38, 10)}
    kinds |= {"instant": pa.timestamp("us", "UTC"), "empty": pa.string()}
    columns = {name: pa.array(cells, type=kinds.get(name)) for name, cells in data.items()}
    pa.parquet.write_table(pa.table(columns), path)


READ: dict[type, Callable[[Any], Any]] = {
    bool: bool,
    int: int,
    float: float,
    Decimal: lambda value: Decimal(str(value)),
    str: str,
    bytes: base64.b64decode,
    datetime.date: lambda value: datetime.date.fromisoformat(value[:10]),
    datetime.datetime: _moment,
    datetime.time: datetime.time.fromisoformat,
}


def back(rows: list[list[Any]], data: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """Rows of step outputs as Python values of the types of `data`."""
    found: dict[str, list[Any]] = {}
    for (name, cells), read in zip(data.items(), zip(*rows, strict=True), strict=True):
        kind = next((type(cell) for cell in cells if cell is not None), str)
        found[name] = [None if cell is None else READ[kind](cell) for cell in read]
    return found
