"""INSERT and UPDATE from maps. Names of tables and columns must come from code; values are always parameters."""

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from aetherflow.core.base import durable

_AT_ONCE = 500
_ONCE = " ON CONFLICT DO NOTHING"


def insert(db: durable.Database, table: str, values: Mapping[str, Any], *, once: bool = False) -> None:
    """Insert one row; one with its key is an error, or with `once` stays what it is."""
    db.execute(_insert(table, tuple(values)) + (_ONCE if once else ""), tuple(values.values()))


def insert_many(db: durable.Database, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows of the same columns, with one statement for many."""
    for part in (rows[at : at + _AT_ONCE] for at in range(0, len(rows), _AT_ONCE)):
        head, _, marks = _insert(table, tuple(part[0])).partition(" VALUES ")
        values = [value for row in part for value in row.values()]
        db.execute(f"{head} VALUES {', '.join([marks] * len(part))}", values)


def insert_numbered(db: durable.Database, table: str, values: Mapping[str, Any]) -> int:
    """Insert one row; returns the number that it got, its `id`."""
    ((number,),) = db.execute(f"{_insert(table, tuple(values))} RETURNING id", tuple(values.values())).fetchall()
    return int(number)


def put(db: durable.Database, table: str, key: tuple[str, ...], values: Mapping[str, Any]) -> None:
    """Insert one row, or give these values to the one that has its key: the columns `key`."""
    db.execute(_put(table, tuple(values), key), tuple(values.values()))


def update(db: durable.Database, table: str, values: Mapping[str, Any], where: Mapping[str, Any]) -> None:
    """Update the rows whose columns equal `where`."""
    db.execute(_update(table, tuple(values), tuple(where)), (*values.values(), *where.values()))


def among(values: Iterable[Any], *before: Any) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """`IN (...)` and its values after those `before`, for as many of them as fit into one statement."""
    every = tuple(values)
    for part in (every[at : at + _AT_ONCE] for at in range(0, len(every), _AT_ONCE)):
        yield f"IN ({', '.join('?' * len(part))})", (*before, *part)


def keys_from(prefix: str, column: str = "key") -> tuple[str, tuple[str, ...]]:
    """The condition, which an index serves, and its values, for keys that start with `prefix`."""
    cut = prefix.rstrip(chr(sys.maxunicode))
    if not cut:
        return f"{column}>=?", (prefix,)
    following = ord(cut[-1]) + 1
    return f"{column}>=? AND {column}<?", (prefix, cut[:-1] + chr(0xE000 if following == 0xD800 else following))


@cache
def _insert(table: str, names: tuple[str, ...]) -> str:
    marks = ", ".join("?" * len(names))
    return f"INSERT INTO {table} ({', '.join(names)}) VALUES ({marks})"  # noqa: S608 names are ours


@cache
def _put(table: str, names: tuple[str, ...], key: tuple[str, ...]) -> str:
    sets = ", ".join(f"{name}=excluded.{name}" for name in names if name not in key)
    return f"{_insert(table, names)} ON CONFLICT ({', '.join(key)}) DO UPDATE SET {sets}"


@cache
def _update(table: str, names: tuple[str, ...], where: tuple[str, ...]) -> str:
    sets, conditions = ", ".join(f"{name}=?" for name in names), " AND ".join(f"{name}=?" for name in where)
    return f"UPDATE {table} SET {sets} WHERE {conditions}"  # noqa: S608 names are ours
