"""Random tables: columns, names, types, widths, nulls; and whether a cell that arrived is the value that was sent.

Nothing of the product is imported.
"""

import base64
import datetime as dt
import math
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from torture_cells import (
    DATES,
    FLOATS,
    INF,
    INTS,
    MOMENTS,
    NAN,
    TEXTS,
    TIMES,
    Kind,
    csv_form,
    json_form,
    random_date,
    random_decimal,
    random_float,
    random_int,
    random_moment,
    random_text,
    random_time,
)

KINDS: Sequence[Kind] = ("bool", "int", "float", "decimal", "text", "bytes", "date", "time", "local", "instant")
_WORDS = [
    "order",
    "select",
    "Größe",
    "a b",
    "a,b",
    'q"q',
    "q'q",
    "100%",
    "x:y",
    "naïve name",
    "a;b",
    "дата",
    "価格",
    "null",
]
_WORDS += [
    "\\n",
    "`",
    "a.b",
    "(c)",
    "#",
    "$v",
    "{}",
    "[0]",
    "=1",
    "-",
    "1",
    "0x",
    "long" * 12,
    "%s",
    "?",
    "a/b",
    "@a",
    "a\tb",
]
_EPOCH, _END_OF_TIMESTAMP = dt.datetime(1971, 1, 1, tzinfo=dt.UTC), dt.datetime(2037, 12, 31, tzinfo=dt.UTC)


@dataclass(frozen=True)
class Column:
    """A column: its name, the kind of its values, and for decimals their digits."""

    name: str
    kind: Kind
    digits: tuple[int, int]
    cells: Sequence[Any]


@dataclass(frozen=True)
class Table:
    """Columns of one length."""

    columns: Sequence[Column]

    @property
    def names(self) -> list[str]:
        return [column.name for column in self.columns]

    @property
    def rows(self) -> list[tuple[Any, ...]]:
        return list(zip(*(column.cells for column in self.columns), strict=True))

    def without(self, unfit: Callable[[Any], bool]) -> "Table":
        """The same table, with nulls in place of these values."""
        return Table(
            [
                Column(each.name, each.kind, each.digits, [None if unfit(cell) else cell for cell in each.cells])
                for each in self.columns
            ]
        )

    def head(self) -> "Table":
        """Its columns without rows."""
        return Table([Column(each.name, each.kind, each.digits, ()) for each in self.columns])

    def numbered(self) -> "Table":
        """The same table with a first column `n` that gives the order of its rows."""
        count = len(self.columns[0].cells)
        return Table([Column("n", "int", (0, 0), range(1, count + 1)), *self.columns])


def random_table(rng: random.Random) -> Table:
    """A table, usually small, sometimes empty, wide or long."""
    width = rng.choice([1, 2, 3, 4, 5, 6, 8, rng.choice([10, 40])])
    count = rng.choice([0, 1, 1, 2, 3, 5, 8, 12, 20, rng.choice([30, 300])]) if width < 40 else 3
    names = _names(rng, width)
    return Table([_column(rng, name, count) for name in names])


def _names(rng: random.Random, width: int) -> list[str]:
    found: dict[str, str] = {}
    while len(found) < width:
        word = rng.choice([rng.choice(_WORDS), f"c{rng.randrange(99)}", rng.choice(_WORDS) + str(rng.randrange(9))])
        found.setdefault(word.casefold(), word)
    return list(found.values())


def _column(rng: random.Random, name: str, count: int) -> Column:
    kind = rng.choice(KINDS)
    precision = rng.choice([1, 4, 10, 15, 16, 18, 38])
    digits = precision, rng.randint(0, min(precision, 18))
    nulls, edges = rng.choice([0, 0, 0.1, 0.5, 1]), rng.choice([0.05, 0.3])
    return Column(name, kind, digits, [
        None if rng.random() < nulls else _value(rng, kind, digits, edge=rng.random() < edges) for _ in range(count)
    ])  # fmt: skip


def _value(rng: random.Random, kind: Kind, digits: tuple[int, int], *, edge: bool) -> Any:
    match kind:
        case "bool":
            return rng.random() < 0.5
        case "int":
            return rng.choice(INTS) if edge else random_int(rng)
        case "float":
            return rng.choice([*FLOATS, NAN, INF, -INF]) if edge else random_float(rng)
        case "decimal":
            return random_decimal(rng, *digits)
        case "bytes":
            return rng.choice([b"", b"\0", b"'\\\""]) if edge else rng.randbytes(rng.randint(0, 60))
        case "date":
            return rng.choice(DATES) if edge else random_date(rng)
        case "time":
            return rng.choice(TIMES) if edge else random_time(rng)
        case "local":
            return rng.choice(MOMENTS) if edge else random_moment(rng)
        case "instant":
            return (rng.choice(MOMENTS) if edge else random_moment(rng)).replace(tzinfo=dt.UTC)
    return rng.choice(TEXTS) if edge else random_text(rng)


def not_for_databases(value: Any) -> bool:
    """NaN, infinity, and instants that a TIMESTAMP of MariaDB does not hold."""
    if isinstance(value, dt.datetime) and value.tzinfo is not None:
        return not _EPOCH <= value <= _END_OF_TIMESTAMP
    return isinstance(value, float) and not math.isfinite(value)


def not_for_lines(value: Any) -> bool:
    """Text that lines of fixed width do not hold."""
    return isinstance(value, str) and (value != value.strip() or len(value.splitlines()) > 1)


# What arrived


def texts_of(value: Any) -> Iterator[str]:
    """The texts that stand for a value: those of CSV, of JSON, and of SQL."""
    yield csv_form(value) or ""
    yield str(json_form(value))
    if isinstance(value, dt.datetime | dt.time):
        yield value.isoformat(timespec="microseconds").replace("T", " ")
    if isinstance(value, dt.datetime):
        yield value.isoformat(" ")


def number_of(value: Any) -> Decimal | None:
    """The exact number; None if it is none."""
    if isinstance(value, bool | int | float | Decimal):
        return Decimal(int(value)) if isinstance(value, bool) else Decimal(str(value))
    with suppress(InvalidOperation):
        return Decimal(value) if isinstance(value, str) else None
    return None


def arrived(value: Any, found: Any, *, in_a_workbook: bool = False) -> bool:
    """Whether a cell that was found stands for the value, in whatever type; a workbook's times are not all exact."""
    if value is None or found is None:
        return value is found
    if isinstance(value, bytes):
        return bytes(found) == value if isinstance(found, bytes) else found == base64.b64encode(value).decode()
    if isinstance(found, str):
        if isinstance(value, bool | str):
            return found == (value if isinstance(value, str) else str(value).lower())
        return found in texts_of(value) or (_is_number(value) and _equal(number_of(value), number_of(found)))
    if isinstance(value, str):
        return value in texts_of(found) or (_is_number(found) and _equal(number_of(value), number_of(found)))
    if _is_number(value) or _is_number(found):
        return _is_number(value) and _is_number(found) and _equal(number_of(value), number_of(found))
    if in_a_workbook and isinstance(value, dt.date) and isinstance(found, dt.datetime):
        return _in_a_cell(value, found)
    if isinstance(value, dt.datetime) and isinstance(found, dt.datetime):
        return (value.tzinfo is None) == (found.tzinfo is None) and value == found
    return type(value) is type(found) and bool(value == found)


def _in_a_cell(value: dt.date, found: dt.datetime) -> bool:
    """A cell holds no zone, days as midnights, and microseconds until 2079; later it is 40 of them off at most."""
    whole = value.replace(tzinfo=None) if isinstance(value, dt.datetime) else dt.datetime.combine(value, dt.time())
    off = dt.timedelta(microseconds=0 if whole.year < 2079 else 3 if whole.year <= 2258 else 40)
    return abs(whole - found) <= off


def _is_number(value: Any) -> bool:
    return isinstance(value, bool | int | float | Decimal)


def _equal(one: Decimal | None, other: Decimal | None) -> bool:
    if one is None or other is None:
        return False
    return one == other or (one.is_nan() and other.is_nan())
