"""Values of tables: kinds, edges and random ones, and the forms that the reference promises for them.

Nothing of the product is imported: the forms are written down a second time, after docs/reference/databases.md.
"""

import base64
import datetime as dt
import json
import math
import random
import struct
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final, Literal, TypeAlias

Kind: TypeAlias = Literal[
    "bool", "int", "float", "decimal", "text", "bytes", "date", "time", "local", "instant", "nested"
]
"""`local` is a date and time without a zone, `instant` one in UTC."""


class _Refused:
    def __repr__(self) -> str:
        return "REFUSED"


REFUSED: Final = _Refused()
"""In the place of a value: the step fails, and its error names row and column."""

NAN, INF = float("nan"), float("inf")
FLOATS = [
    0.0, -0.0, 1.0, -1.5, 0.1, 1e15, 1e15 + 0.5, 9999999999999998.0, 1e16, 123456789012345.6, 1e-4, 1e-5, 1.5e-7,
    5e-324, 1.7976931348623157e308, 1e22, 1e21, 100000.0, 999999.9, 2.0**53, 1 / 3,
]  # fmt: skip
INTS = [0, 1, -1, 2**31 - 1, -(2**31), 2**53 + 1, 2**63 - 1, -(2**63)]
TEXTS = [
    "", " ", "a", 'say "x"', "a,b", "a\tb", "a\nb", "a\r\nb", "\r", "null", "NULL", "\\N", "007", "1.50", "1e5", "true",
    "2024-02-30", "ü", "😀", "\ufeffx", "'", "\\", "{}", "[1]", "nan", "-", "=1+1", " lead", "trail ", "\x1f", "\x7f",
]  # fmt: skip
DATES = [dt.date(1, 1, 1), dt.date(1582, 10, 10), dt.date(1900, 2, 28), dt.date(1969, 12, 31), dt.date(9999, 12, 31)]
TIMES = [dt.time(), dt.time(23, 59, 59, 999_999), dt.time(0, 0, 0, 1), dt.time(12, 30), dt.time(5, 0, 0, 500_000)]
MOMENTS = [
    dt.datetime.fromisoformat(text)
    for text in (
        "0001-01-01", "9999-12-31 23:59:59.999999", "1970-01-01", "1969-12-31 23:59:59.999999", "2024-02-29 12:00:00.5",
        "2026-03-29 02:30", "1890-01-01 12:00",
    )
]  # fmt: skip


def random_float(rng: random.Random) -> float:
    """A finite double of any size, or one as people write them."""
    if rng.random() < 0.4:
        return round(rng.uniform(-1e6, 1e6), rng.randint(0, 6))
    while not math.isfinite(found := struct.unpack("<d", rng.randbytes(8))[0]):
        pass
    return float(found)


def random_int(rng: random.Random, bits: int = 64) -> int:
    return rng.randint(-(2 ** rng.randint(0, bits - 1)), 2 ** rng.randint(0, bits - 1) - 1)


def random_decimal(rng: random.Random, precision: int, scale: int) -> Decimal:
    digits = "".join(rng.choice("0123456789") for _ in range(rng.randint(1, precision)))
    sign = rng.choice(["", "-"]) if digits.strip("0") else ""
    return Decimal(f"{sign}{digits}E-{scale}")


def random_text(rng: random.Random) -> str:
    signs = "ab 0,\"'\t\n\r\\;|.-ä€😀é\x7f{}[]:%_"
    return "".join(rng.choice(signs) for _ in range(rng.randint(0, 40)))


def random_date(rng: random.Random) -> dt.date:
    return dt.date.fromordinal(rng.randint(1, 3_652_059))


def random_time(rng: random.Random) -> dt.time:
    micro = rng.choice([0, rng.randrange(1000) * 1000, rng.randrange(1_000_000)])
    return dt.time(rng.randrange(24), rng.randrange(60), rng.randrange(60), micro)


def random_moment(rng: random.Random) -> dt.datetime:
    return dt.datetime.combine(random_date(rng), random_time(rng))


# The forms


def csv_form(value: Any) -> str | None:
    """The text of a cell of CSV and TSV; None for null."""
    match value:
        case None | str():
            return value
        case bool():
            return "true" if value else "false"
        case Decimal():
            return format(value, "f")
        case bytes():
            return base64.b64encode(value).decode()
        case dt.datetime():
            text = value.replace(tzinfo=None).isoformat(" ")
            return (text.rstrip("0") if value.microsecond else text) + ("+00" if value.tzinfo else "")
        case dt.time():
            return value.isoformat().rstrip("0") if value.microsecond else value.isoformat()
        case dt.date():
            return value.isoformat()
        case list() | dict():
            return json.dumps(json_form(value, odd="words"), ensure_ascii=False)
    return repr(value) if isinstance(value, float) else str(value)


def json_form(value: Any, *, odd: Literal["null", "words"] = "null") -> Any:
    """The value in JSON; `odd` says what NaN and infinity are: null in JSON itself, words in JSON that is a cell."""
    match value:
        case float() if not math.isfinite(value):
            return None if odd == "null" else str(value)
        case Decimal():
            return format(value, "f") if value.is_finite() or odd == "words" else None
        case bytes():
            return base64.b64encode(value).decode()
        case dt.date() | dt.time():
            return value.isoformat()
        case list():
            return [json_form(each, odd=odd) for each in value]
        case dict():
            return {str(key): json_form(each, odd=odd) for key, each in value.items()}
    return value


def parquet_form(value: Any) -> Any:
    """The value that pyarrow reads."""
    return csv_form(value) if isinstance(value, list | dict) else value


def same(one: Any, other: Any) -> bool:
    """Whether two values are the same: of one type, 0.0 not -0.0, 1.5 not 1.50, NaN as NaN."""
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, dt.datetime) and one.tzinfo is not None:  # pyarrow has a UTC of its own
        one = one.astimezone(dt.UTC)
    return type(one) is type(other) and repr(one) == repr(other)


# Reading the forms


def parse(kind: Kind, text: str) -> Any:
    """The value of a text as databases and CSV write it; the text itself where Python has no such value."""
    match kind:
        case "bool":
            return {"t": True, "true": True, "1": True, "f": False, "false": False, "0": False}[text.lower()]
        case "int":
            return int(text)
        case "float":
            return float(text)
        case "decimal":
            return Decimal(text)
        case "bytes":
            return base64.b64decode(text.replace("\n", ""), validate=True)
    if kind in {"date", "time", "local", "instant"}:
        read: Mapping[str, Callable[[str], Any]] = {
            "date": dt.date.fromisoformat, "time": dt.time.fromisoformat, "local": dt.datetime.fromisoformat,
            "instant": dt.datetime.fromisoformat,
        }  # fmt: skip
        try:
            found = read[kind](text)
        except ValueError:
            return text
        if "." in text and len(text.partition(".")[2].partition("+")[0].rstrip("0")) > 6:
            return text  # Python would cut the digits off
        return found.astimezone(dt.UTC) if kind == "instant" else found
    return text


def csv_rows(text: str, delimiter: str) -> list[list[str | None]]:
    """The records of CSV; a field that is nothing at all is None, and a quoted one never is."""
    rows: list[list[str | None]] = []
    row: list[str | None] = []
    at, end = 0, len(text)
    while at < end:
        if text[at] == '"':
            parts, at = [], at + 1
            while True:
                close = text.index('"', at)
                parts.append(text[at:close])
                at = close + 1
                if text[at : at + 1] != '"':
                    break
                parts.append('"')
                at += 1
            row.append("".join(parts))
        else:
            start = at
            while at < end and text[at] not in (delimiter, "\n"):
                at += 1
            row.append(text[start:at] or None)
        if text[at : at + 1] == delimiter:
            at += 1
            if text[at : at + 1] in {"\n", ""}:
                row.append(None)
        if text[at : at + 1] == "\n":
            rows.append(row)
            row, at = [], at + 1
    return rows
