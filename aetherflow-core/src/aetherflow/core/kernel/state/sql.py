"""INSERT and UPDATE from maps. Tables and columns are names in our code, values always parameters."""

import sqlite3
import sys
from collections.abc import Mapping
from functools import cache
from typing import Any


def insert(db: sqlite3.Connection, table: str, values: Mapping[str, Any], *, otherwise: str = "ABORT") -> None:
    """Insert one row; `otherwise` is SQLite's conflict clause: ABORT, IGNORE or REPLACE."""
    db.execute(_insert(table, tuple(values), otherwise), tuple(values.values()))


def update(db: sqlite3.Connection, table: str, values: Mapping[str, Any], where: Mapping[str, Any]) -> None:
    """Update the rows that equal `where`."""
    db.execute(_update(table, tuple(values), tuple(where)), (*values.values(), *where.values()))


def keys_from(prefix: str) -> tuple[str, str | bytes]:
    """Bounds of the keys that start with `prefix`, for `key>=? AND key<?`, which an index serves."""
    cut = prefix.rstrip(chr(sys.maxunicode))
    if not cut:
        return prefix, b""  # greater than any text
    following = ord(cut[-1]) + 1
    return prefix, cut[:-1] + chr(0xE000 if following == 0xD800 else following)


@cache
def _insert(table: str, names: tuple[str, ...], otherwise: str) -> str:
    marks = ", ".join("?" * len(names))
    return f"INSERT OR {otherwise} INTO {table} ({', '.join(names)}) VALUES ({marks})"  # noqa: S608 names are ours


@cache
def _update(table: str, names: tuple[str, ...], where: tuple[str, ...]) -> str:
    sets, conditions = ", ".join(f"{name}=?" for name in names), " AND ".join(f"{name}=?" for name in where)
    return f"UPDATE {table} SET {sets} WHERE {conditions}"  # noqa: S608 names are ours
