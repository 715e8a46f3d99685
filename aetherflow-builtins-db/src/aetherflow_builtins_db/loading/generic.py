"""Loads into databases without their own Server class (Oracle, Exasol, SQLAlchemy) with prepared INSERTs."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

from aetherflow.core.api import ConnectorError
from aetherflow_builtins_db.loading.mysql_lock import wait_for_merges
from aetherflow_builtins_db.loading.server import STAGE, Server
from aetherflow_builtins_db.loading.table import Table, TableColumn

_NO_TEMPORARY_TABLES = frozenset({"oracle", "exasol"})
_MERGES = frozenset({"oracle", "exasol", "mssql"})
_JOINS = frozenset({"mysql", "mariadb"})
_LOCKS = frozenset({"postgresql", "oracle"})


class GenericServer(Server):
    """Loads with INSERT; a merge uses the SQL of the dialect."""

    _stage: Table | None = None

    def look_up(self, parts: tuple[str, ...]) -> Table | None:
        """The table as SQLAlchemy's inspector describes it; without SQLAlchemy, as an empty query describes it."""
        make_engine = getattr(self.connector, "engine", None)
        found = super().look_up(parts)
        if found is None or make_engine is None:
            return found
        from sqlalchemy import inspect
        from sqlalchemy.exc import SQLAlchemyError

        with suppress(SQLAlchemyError):  # a dialect without an inspector: only the database checks for nulls
            listed = inspect(make_engine()).get_columns(found.name, schema=found.schema)
            by_name = {each["name"]: each for each in listed}
            columns = tuple(_inspected(column, by_name.get(column.name)) for column in found.columns)
            return replace(found, columns=columns)
        return found

    @contextmanager
    def begin(self) -> Iterator[None]:
        """A transaction for the block; afterwards drop the staging table of a merge if it is an ordinary table."""
        try:
            with super().begin():
                yield
        finally:
            if self._stage is not None and self.connector.dialect in _NO_TEMPORARY_TABLES:
                with suppress(ConnectorError):
                    self.connector.script(f"DROP TABLE {self._stage.sql}")

    def wait_for_merges(self, table: Table) -> None:
        """On MySQL and MariaDB, take the named lock of all merges into the table."""
        if self.connector.dialect in _JOINS:
            wait_for_merges(self.tx, table, self.say)

    def lock_for_merge(self, table: Table) -> None:
        """On PostgreSQL and Oracle, lock the table against other writers; readers are not blocked."""
        if self.connector.dialect in _LOCKS:
            self.tx.execute(f"LOCK TABLE {table.sql} IN SHARE ROW EXCLUSIVE MODE")

    def stage(self, table: Table, columns: Sequence[TableColumn], keys: Sequence[TableColumn]) -> Table:
        """Create the staging table: a temporary one, on Oracle and Exasol an ordinary one named after the load."""
        del keys
        temporary = self.connector.dialect not in _NO_TEMPORARY_TABLES
        name = STAGE if temporary else f"{STAGE}_{self.load_name}"
        sql = name if table.schema is None or temporary else f"{self.as_written((table.schema,))}.{name}"
        self.tx.execute(
            f"CREATE {'TEMPORARY ' if temporary else ''}TABLE {sql} AS "
            f"SELECT {self.list_of(columns)} FROM {table.sql} WHERE 1 = 0"
        )
        self._stage = Table(sql, None, name, tuple(columns))
        return self._stage

    def drop_stage(self, stage: Table) -> None:
        """Drop a temporary staging table. An ordinary one is dropped by `begin`, because DROP would commit."""
        if self.connector.dialect in _JOINS:
            self.tx.execute(f"DROP TEMPORARY TABLE {stage.sql}")
        elif self.connector.dialect not in _NO_TEMPORARY_TABLES:
            self.tx.execute(f"DROP TABLE {stage.sql}")

    def update_sql(self, table: Table, stage: Table, columns: Sequence[TableColumn], same: str) -> str:
        """The UPDATE, JOIN or MERGE statement of the dialect."""
        dialect = self.connector.dialect
        if dialect not in _MERGES | _JOINS:
            return super().update_sql(table, stage, columns, same)
        names = [self.quote(column.name) for column in columns]
        if dialect in _JOINS:
            sets = ", ".join(f"t.{name} = s.{name}" for name in names)
            return f"UPDATE {table.sql} t JOIN {stage.sql} s ON {same} SET {sets}"
        sets = ", ".join(f"{name} = s.{name}" for name in names)
        return f"MERGE INTO {table.sql} t USING {stage.sql} s ON ({same}) WHEN MATCHED THEN UPDATE SET {sets}"

    def delete_matched_sql(self, table: Table, stage: Table, same: str) -> str:
        """The DELETE statement of the dialect."""
        dialect = self.connector.dialect
        if dialect in _JOINS:
            return f"DELETE s FROM {stage.sql} s JOIN {table.sql} t ON {same}"
        if dialect == "sqlite":
            join = f"{stage.sql} s JOIN {table.sql} t ON {same}"
            return f"DELETE FROM {stage.sql} WHERE rowid IN (SELECT s.rowid FROM {join})"
        if dialect == "postgresql":
            return super().delete_matched_sql(table, stage, same)
        return f"DELETE FROM {stage.sql} s WHERE EXISTS (SELECT 1 FROM {table.sql} t WHERE {same})"


def _inspected(column: TableColumn, seen: Mapping[str, Any] | None) -> TableColumn:
    """The column, completed with what SQLAlchemy's inspector tells about it."""
    if seen is None:
        return column
    nullable = seen["nullable"] or seen.get("autoincrement") is True
    kind = seen["type"]
    if not hasattr(kind, "fsp"):
        return replace(column, nullable=nullable)
    # A time type of MySQL and MariaDB; without a precision it keeps whole seconds.
    return replace(
        column,
        nullable=nullable,
        declared=repr(kind).partition("(")[0].lower() + (f"({kind.fsp})" if kind.fsp else ""),
        second_digits=kind.fsp or 0,
    )
