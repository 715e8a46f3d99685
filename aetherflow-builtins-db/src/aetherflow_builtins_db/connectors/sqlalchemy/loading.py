"""Loads by SQLAlchemy: the usual way, with what its inspector tells about the table."""

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from aetherflow.core.api import LoadBatch, LoadJob, SqlTable, TableColumn
from aetherflow_builtins_db.database import Database
from aetherflow_builtins_db.loading.generic import GenericServer
from aetherflow_builtins_db.loading.server import refuse_odd

if TYPE_CHECKING:
    from sqlalchemy import Engine


class SqlAlchemyServer(GenericServer):
    def __init__(self, database: Database, job: LoadJob, engine: "Callable[[], Engine]") -> None:
        super().__init__(database, job)
        self._engine = engine

    def look_up(self, parts: tuple[str, ...]) -> SqlTable | None:
        """The table as an empty query and SQLAlchemy's inspector describe it."""
        found = super().look_up(parts)
        if found is None:
            return None
        from sqlalchemy import inspect
        from sqlalchemy.exc import SQLAlchemyError

        with suppress(SQLAlchemyError):  # a dialect without an inspector: only the database checks for nulls
            listed = inspect(self._engine()).get_columns(found.name, schema=found.schema)
            # its inspector of MySQL and MariaDB leaves backticks in names doubled
            in_names = "``" if self.database.dialect.name in {"mysql", "mariadb"} else "`"
            by_name = {each["name"].replace(in_names, "`"): each for each in listed}
            columns = tuple(_inspected(column, by_name.get(column.name)) for column in found.columns)
            return replace(found, columns=columns)
        return found

    def insert(self, into: SqlTable, columns: Sequence[TableColumn], batch: LoadBatch) -> int:
        """Insert rows; SQLite would keep null for NaN."""
        if self.database.dialect.name == "sqlite":
            refuse_odd(columns, batch, math.isnan, "SQLite")
        return super().insert(into, columns, batch)


def _inspected(column: TableColumn, seen: Mapping[str, Any] | None) -> TableColumn:
    """The column, completed with what SQLAlchemy's inspector tells about it."""
    if seen is None:
        return column
    nullable = seen["nullable"] or seen.get("autoincrement") is True
    kind = seen["type"]
    if type(kind).__name__ == "TINYINT" and kind.display_width == 1:  # a boolean of MySQL and MariaDB
        return replace(column, nullable=nullable, declared="tinyint(1)")
    if not hasattr(kind, "fsp"):
        return replace(column, nullable=nullable)
    # A time type of MySQL and MariaDB; without a precision it keeps whole seconds.
    return replace(
        column,
        nullable=nullable,
        declared=repr(kind).partition("(")[0].lower() + (f"({kind.fsp})" if kind.fsp else ""),
        second_digits=kind.fsp or 0,
    )
