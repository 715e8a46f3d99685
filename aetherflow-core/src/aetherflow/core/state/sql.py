"""INSERT and UPDATE from maps. Tables and columns are names in our code, values always parameters."""

import sqlite3
from collections.abc import Mapping
from typing import Any


def insert(db: sqlite3.Connection, table: str, values: Mapping[str, Any], *, otherwise: str = "ABORT") -> None:
    """Insert one row; `otherwise` is SQLite's conflict clause: ABORT, IGNORE or REPLACE."""
    names, marks = ", ".join(values), ", ".join("?" * len(values))
    statement = f"INSERT OR {otherwise} INTO {table} ({names}) VALUES ({marks})"  # noqa: S608 names are ours
    db.execute(statement, list(values.values()))


def update(db: sqlite3.Connection, table: str, values: Mapping[str, Any], where: Mapping[str, Any]) -> None:
    """Update the rows that equal `where`."""
    sets, conditions = ", ".join(f"{name}=?" for name in values), " AND ".join(f"{name}=?" for name in where)
    statement = f"UPDATE {table} SET {sets} WHERE {conditions}"  # noqa: S608 names are ours
    db.execute(statement, [*values.values(), *where.values()])
