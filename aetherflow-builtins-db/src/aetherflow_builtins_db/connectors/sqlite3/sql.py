"""Splits scripts and converts values for SQLite."""

import datetime
import decimal
import sqlite3
from collections.abc import Mapping
from typing import Any

from aetherflow_builtins_db.params import tokens_as_written
from aetherflow_builtins_db.statements import is_empty


def split(script: str) -> list[str]:
    """The statements of a script, split where `sqlite3.complete_statement` finds an end, so triggers stay whole."""
    statements, current = [], ""
    for token, written in tokens_as_written(script, "sqlite"):
        current += written
        if token.kind == "semicolon" and sqlite3.complete_statement(current):
            statements.append(current)
            current = ""
    statements.append(current)
    return [statement.strip() for statement in statements if not is_empty(statement, "sqlite")]


def bindable(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values in types that SQLite stores: decimals and ISO 8601 dates become text."""
    return {name: _as_stored(value) for name, value in values.items()}


def _as_stored(value: Any) -> Any:
    match value:
        case decimal.Decimal():
            return format(value, "f")
        case datetime.datetime():
            return value.isoformat(" ")
        case datetime.date() | datetime.time():
            return value.isoformat()
        case _:
            return value
