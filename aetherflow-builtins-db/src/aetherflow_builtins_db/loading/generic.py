"""Loads into databases whose connector is no BulkLoader, with prepared INSERTs."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from aetherflow.core.api import ConnectorError, LoadJob, SqlTable, TableColumn
from aetherflow_builtins_db.database import Database
from aetherflow_builtins_db.loading import sql_server
from aetherflow_builtins_db.loading.mysql_lock import wait_for_merges
from aetherflow_builtins_db.loading.server import STAGE, Server

_NO_TEMPORARY_TABLES = frozenset({"oracle", "exasol"})
_MERGES = frozenset({"oracle", "exasol"})
_JOINS = frozenset({"mysql", "mariadb"})
_LOCKS = frozenset({"postgresql", "oracle"})
_STAGES = _NO_TEMPORARY_TABLES | _MERGES | _JOINS | _LOCKS | {"sqlite", "duckdb", "mssql"}
"""Dialects whose SQL for a merge by a staging table is known here; others merge row by row."""


class GenericServer(Server):
    """Loads with INSERT; a merge uses the SQL of the dialect."""

    _stage: SqlTable | None = None

    def __init__(self, database: Database, job: LoadJob) -> None:
        super().__init__(database, job)
        self.stages = self.database.dialect.name in _STAGES and database.dialect.transactions

    @contextmanager
    def begin(self) -> Iterator[None]:
        """A transaction for the block; afterwards drop the staging table of a merge if it is an ordinary table."""
        try:
            with super().begin():
                yield
        finally:
            if self._stage is not None and self.database.dialect.name in _NO_TEMPORARY_TABLES:
                with suppress(ConnectorError):
                    self.database.script(self._drop_sql(self._stage.sql))

    def _drop_sql(self, sql: str) -> str:
        """DROP of an ordinary staging table, on Oracle past its recycle bin; Oracle has no IF EXISTS before 23ai."""
        return f"DROP TABLE {sql} PURGE" if self.database.dialect.name == "oracle" else f"DROP TABLE IF EXISTS {sql}"

    def as_written(self, parts: tuple[str, ...]) -> str:
        """The name, always quoted on SQL Server, which folds no case."""
        return self.quote(*parts) if self.database.dialect.name == "mssql" else super().as_written(parts)

    def wait_for_merges(self, table: SqlTable) -> None:
        """On MySQL and MariaDB, take the named lock of all merges into the table."""
        if self.database.dialect.name in _JOINS:
            wait_for_merges(self.tx, table, self.job.say)

    def lock_for_merge(self, table: SqlTable) -> None:
        """On PostgreSQL and Oracle, lock the table against other writers; readers are not blocked."""
        if self.database.dialect.name in _LOCKS:
            self.tx.execute(f"LOCK TABLE {table.sql} IN SHARE ROW EXCLUSIVE MODE")

    def stage(self, table: SqlTable, columns: Sequence[TableColumn], keys: Sequence[TableColumn]) -> SqlTable:
        """Create the staging table: a temporary one, on Oracle and Exasol an ordinary one named after load and run.

        Such a table of a killed run is dropped when the run is resumed, and is in no other run's way.
        """
        del keys
        if self.database.dialect.name == "mssql":
            self._stage = sql_server.stage(self, table, columns)
            return self._stage
        temporary = self.database.dialect.name not in _NO_TEMPORARY_TABLES
        name = STAGE if temporary else self._own_name()
        sql = name if table.schema is None or temporary else f"{self.as_written((table.schema,))}.{name}"
        if not temporary:
            with suppress(ConnectorError):  # nearly always: there is none, and Oracle's transaction goes on
                self.tx.execute(self._drop_sql(sql))
        self.tx.execute(
            f"CREATE {'TEMPORARY ' if temporary else ''}TABLE {sql} AS "
            f"SELECT {self.list_of(columns)} FROM {table.sql} WHERE 1 = 0"
        )
        self._stage = SqlTable(sql, None, name, tuple(columns))
        return self._stage

    def _own_name(self) -> str:
        """A name of 27 characters: Oracle before 12.2 takes 30."""
        return f"{STAGE}_{hashlib.sha256(f'{self.job.name}/{self.job.run_id}'.encode()).hexdigest()[:10]}"

    def drop_stage(self, stage: SqlTable) -> None:
        """Drop a temporary staging table. An ordinary one is dropped by `begin`, because DROP would commit."""
        if self.database.dialect.name in _JOINS:
            self.tx.execute(f"DROP TEMPORARY TABLE {stage.sql}")
        elif self.database.dialect.name not in _NO_TEMPORARY_TABLES:
            self.tx.execute(f"DROP TABLE {stage.sql}")

    def merge(
        self, table: SqlTable, stage: SqlTable, columns: Sequence[TableColumn], keys: Sequence[TableColumn]
    ) -> tuple[int, int]:
        """Merge by one MERGE statement on SQL Server, else as usual."""
        if self.database.dialect.name == "mssql":
            return sql_server.merge(self, table, stage, columns, keys)
        return super().merge(table, stage, columns, keys)

    def update_sql(self, table: SqlTable, stage: SqlTable, columns: Sequence[TableColumn], same: str) -> str:
        """The UPDATE, JOIN or MERGE statement of the dialect."""
        dialect = self.database.dialect.name
        if dialect not in _MERGES | _JOINS:
            return super().update_sql(table, stage, columns, same)
        names = [self.quote(column.name) for column in columns]
        if dialect in _JOINS:
            sets = ", ".join(f"t.{name} = s.{name}" for name in names)
            return f"UPDATE {table.sql} t JOIN {stage.sql} s ON {same} SET {sets}"
        sets = ", ".join(f"{name} = s.{name}" for name in names)
        return f"MERGE INTO {table.sql} t USING {stage.sql} s ON ({same}) WHEN MATCHED THEN UPDATE SET {sets}"

    def delete_matched_sql(self, table: SqlTable, stage: SqlTable, same: str) -> str:
        """The DELETE statement of the dialect."""
        dialect = self.database.dialect.name
        if dialect in _JOINS:
            return f"DELETE s FROM {stage.sql} s JOIN {table.sql} t ON {same}"
        if dialect == "sqlite":
            join = f"{stage.sql} s JOIN {table.sql} t ON {same}"
            return f"DELETE FROM {stage.sql} WHERE rowid IN (SELECT s.rowid FROM {join})"
        if dialect == "postgresql":
            return super().delete_matched_sql(table, stage, same)
        return f"DELETE FROM {stage.sql} s WHERE EXISTS (SELECT 1 FROM {table.sql} t WHERE {same})"
