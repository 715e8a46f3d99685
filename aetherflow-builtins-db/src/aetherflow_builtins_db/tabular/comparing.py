"""Compares two tables by rows or by keys; what waits for its counterpart stands in a file, not in memory."""

import datetime
import json
import math
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from decimal import Decimal
from itertools import zip_longest
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

from aetherflow.core.api import ColumnType, StepError
from aetherflow_builtins_db.formats.values import short_value, text_value
from aetherflow_builtins_db.loading.convert import converter
from aetherflow_builtins_db.loading.profile import swapped
from aetherflow_builtins_db.tabular.table import Table

DifferenceKind: TypeAlias = Literal["missing", "added", "changed"]
Cells: TypeAlias = tuple[str | None, ...]
OnTableRows: TypeAlias = Callable[[Table, int], None]
"""Called with a table and the number of its rows so far."""
_CACHE_KIB = 32_768
_TEXT = frozenset({str, type(None)})
_HASHED = _TEXT | {bool, int, float, Decimal, bytes, datetime.date, datetime.datetime, datetime.time}


class TableDifference(NamedTuple):
    """One difference. Numbers are those of the rows in their files, None where there is no such row."""

    kind: DifferenceKind
    number: int | None
    other_number: int | None
    key: Cells
    column: str | None = None
    value: str | None = None
    other_value: str | None = None


@dataclass(frozen=True)
class Sides:
    """Two tables, the columns that are compared, and the types that text of some columns stands for."""

    table: Table
    other: Table
    columns: Sequence[str]
    types: Mapping[str, ColumnType]

    def rows(self, table: Table, on_rows: OnTableRows) -> Iterator[tuple[int, Cells]]:
        """Yield the number of each row, and its cells as text that can be compared."""
        has_commas = table.source.texts == "comma"
        reads = [
            (table.names.index(name), _reading(self.types.get(name), has_commas=has_commas)) for name in self.columns
        ]
        count = 0
        for batch in table.batches():
            columns = list(zip(*batch.rows, strict=True))
            texts = [read(columns[index]) for index, read in reads]
            yield from zip(batch.numbers, zip(*texts, strict=True), strict=True)
            count += len(batch.rows)
            on_rows(table, count)


def _reading(kind: ColumnType | None, *, has_commas: bool) -> Callable[[Sequence[Any]], Sequence[str | None]]:
    """What makes comparable texts of a column's values; text that is none of its type stays as it is."""
    convert = converter(kind) if kind is not None and kind.kind not in {"string", "unknown"} else None

    def one(value: Any) -> str | None:
        if convert is not None and isinstance(value, str):
            written = swapped(value) if has_commas else value
            try:
                value = convert(written)
            except ValueError:
                value = value if written == value else repr(value)  # 1.5 isn't a number here, and not equal to one
        return None if value is None else comparable(value)

    def read(values: Sequence[Any]) -> Sequence[str | None]:
        kinds = set(map(type, values))
        if convert is None and kinds <= _TEXT:
            return values
        if len(kinds - {type(None)}) == 1 and kinds <= _HASHED:  # values that are equal have one text
            texts = {value: one(value) for value in set(values)}
            return [texts[value] for value in values]
        return list(map(one, values))

    return read


def comparable(value: Any) -> str:
    """The text by which values are compared: of numbers the shortest, so that 1, 1.0 and 1.00 are equal."""
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            return repr(value)
        value = Decimal(repr(value))
    if isinstance(value, Decimal) and value.is_finite():
        text = format(value, "f")
        text = text.rstrip("0").rstrip(".") if "." in text else text
        return "0" if text == "-0" else text
    return text_value(value)


def in_order(sides: Sides, on_rows: OnTableRows) -> Iterator[TableDifference]:
    """Yield what differs between rows of the same number."""
    names = sides.columns
    for ours, theirs in zip_longest(sides.rows(sides.table, on_rows), sides.rows(sides.other, on_rows)):
        if theirs is None:
            yield TableDifference("missing", ours[0], None, ())
        elif ours is None:
            yield TableDifference("added", None, theirs[0], ())
        elif ours[1] != theirs[1]:
            yield from _changed(names, ours[0], theirs[0], (), ours[1], theirs[1])


def by_key(sides: Sides, keys: Sequence[str], place: Path, on_rows: OnTableRows) -> Iterator[TableDifference]:
    """Compare rows with the same key, in any order; `place` is a file for what is not in memory.

    StepError for a key that two rows of one file have, and for one that is null.
    """
    names = sides.columns
    at = [names.index(key) for key in keys]
    with closing(_scratch(place)) as database:
        database.execute("CREATE TABLE ours (key TEXT PRIMARY KEY, number INT, cells TEXT, met INT) WITHOUT ROWID")
        database.execute("CREATE TABLE extra (key TEXT PRIMARY KEY, number INT) WITHOUT ROWID")
        for number, cells in sides.rows(sides.table, on_rows):
            key = _key(cells, at, sides.table, number)
            found = database.execute("INSERT OR IGNORE INTO ours VALUES (?, ?, ?, 0)", (key, number, _json(cells)))
            if not found.rowcount:
                raise _twice(sides.table, keys, key, number)
        for number, cells in sides.rows(sides.other, on_rows):
            key = _key(cells, at, sides.other, number)
            row = database.execute("SELECT number, cells, met FROM ours WHERE key = ?", (key,)).fetchone()
            if row is None:
                if not database.execute("INSERT OR IGNORE INTO extra VALUES (?, ?)", (key, number)).rowcount:
                    raise _twice(sides.other, keys, key, number)
                yield TableDifference("added", None, number, tuple(json.loads(key)))
                continue
            if row[2]:
                raise _twice(sides.other, keys, key, number)
            database.execute("UPDATE ours SET met = 1 WHERE key = ?", (key,))
            if (text := _json(cells)) != row[1]:
                before = tuple(json.loads(row[1]))
                yield from _changed(names, row[0], number, tuple(json.loads(key)), before, tuple(json.loads(text)))
        for key, number in database.execute("SELECT key, number FROM ours WHERE NOT met ORDER BY number"):
            yield TableDifference("missing", number, None, tuple(json.loads(key)))


def in_any_order(sides: Sides, place: Path, on_rows: OnTableRows) -> Iterator[TableDifference]:
    """Compare which rows there are, and how often; `place` is a file for what is not in memory."""
    add = "INSERT INTO rows VALUES (?, ?, 1) ON CONFLICT (cells) DO UPDATE SET surplus = surplus + 1"
    take = "INSERT INTO rows VALUES (?, ?, -1) ON CONFLICT (cells) DO UPDATE SET surplus = surplus - 1"
    with closing(_scratch(place)) as database:
        database.execute("CREATE TABLE rows (cells TEXT PRIMARY KEY, number INT, surplus INT) WITHOUT ROWID")
        for sql, table in ((add, sides.table), (take, sides.other)):
            rows = sides.rows(table, on_rows)
            database.executemany(sql, ((_json(cells), number) for number, cells in rows))
        left = "SELECT cells, surplus FROM rows WHERE surplus <> 0 ORDER BY surplus < 0, number"
        for text, surplus in database.execute(left):
            kind: DifferenceKind = "missing" if surplus > 0 else "added"
            sides_of = (text, None) if surplus > 0 else (None, text)
            yield from [TableDifference(kind, None, None, (), None, *sides_of)] * abs(surplus)


def _json(cells: Cells) -> str:
    return json.dumps(cells, ensure_ascii=False)


def _changed(
    names: Sequence[str], number: int, other_number: int, key: Cells, ours: Cells, theirs: Cells
) -> Iterable[TableDifference]:
    for name, value, other in zip(names, ours, theirs, strict=True):
        if value != other:
            yield TableDifference("changed", number, other_number, key, name, value, other)


def _scratch(place: Path) -> sqlite3.Connection:
    """A database that nobody needs after this process: nothing of it is synced."""
    database = sqlite3.connect(place, isolation_level=None)
    for pragma in ("journal_mode = OFF", "synchronous = OFF", f"cache_size = -{_CACHE_KIB}"):
        database.execute(f"PRAGMA {pragma}")
    database.execute("BEGIN")
    return database


def _key(cells: Cells, at: Sequence[int], table: Table, number: int) -> str:
    key = [cells[index] for index in at]
    if None in key:
        raise StepError(f"{table.source.path}, row {number}: a key is null", fix="give other keys")
    return json.dumps(key)


def _twice(table: Table, keys: Sequence[str], key: str, number: int) -> StepError:
    shown = ", ".join(f"{name} {short_value(value)}" for name, value in zip(keys, json.loads(key), strict=True))
    return StepError(
        f"{table.source.path}, row {number}: another row has the same key: {shown}",
        fix="give more keys, or leave keys out",
    )


def unlike(table: Table, other: Table) -> tuple[list[str], list[str], list[str]]:
    """The columns of both, those of the first alone, and those of the other alone; each in the order of its file."""
    both = [name for name in table.names if name in other.names]
    return both, [name for name in table.names if name not in both], [name for name in other.names if name not in both]
