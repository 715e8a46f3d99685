"""The operations of a load on a database, in common SQL; databases with faster or other ways have subclasses."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from aetherflow.core.api import (
    FieldMap,
    LoadBatch,
    LoadFile,
    LoadJob,
    Row,
    RowsRefusedError,
    SqlLoader,
    SqlTable,
    StepError,
    TableColumn,
)
from aetherflow_builtins_db.database import Database
from aetherflow_builtins_db.loading.batch import Streams

STAGE = "aetherflow_stage"
"""Name of the staging table of a merge. It is temporary, so no two loads share it."""


def literal(text: str) -> str:
    """The text as SQL writes it."""
    escaped = text.replace("'", "''")
    return f"'{escaped}'"


def refuse_odd(columns: Sequence[TableColumn], batch: LoadBatch, refused: Callable[[float], bool], by: str) -> None:
    """RowsRefusedError for the first float that is no number and that the database would not keep."""
    for at in [index for index, column in enumerate(columns) if column.type.kind == "float"]:
        for index, row in enumerate(batch.rows):
            if isinstance(row[at], float) and refused(row[at]):
                raise RowsRefusedError(f"column {columns[at].name}: {by} keeps no {row[at]}", index)


class UnwrittenRowError(RowsRefusedError):
    """A row of a batch is refused before any of the batch was written: the load goes on without savepoints, too."""


class Server(SqlLoader):
    """The operations of one load on one connector. The transaction `tx` is open inside the block of `begin`."""

    streams: Streams | None = None
    """What `load_file` takes beside files."""

    def __init__(self, database: Database, job: LoadJob) -> None:
        self.database = database
        self.job = job

    @contextmanager
    def begin(self) -> Iterator[None]:
        """Open the transaction `tx`; commit it at the end of the block, roll it back if the block raises."""
        with self.database.transaction() as self.job.tx:
            yield

    def quote(self, *names: str) -> str:
        """Quote the parts of a name for SQL and join them with dots."""
        return self.database.quote(*names)

    def list_of(self, columns: Sequence[TableColumn], prefix: str = "") -> str:
        """Column names, separated by commas."""
        return ", ".join(prefix + self.quote(column.name) for column in columns)

    # Before the transaction

    def look_up(self, parts: tuple[str, ...]) -> SqlTable | None:
        """The table in the catalogue, None if there is none; here, for unknown catalogues, an empty query's columns."""
        sql = self.as_written(parts)
        with self.database.stream(f"SELECT * FROM {sql} WHERE 1 = 0") as rows:
            columns = tuple(TableColumn(column.name, column.type) for column in rows.columns)
        return SqlTable(sql, parts[0] if len(parts) > 1 else None, parts[-1], columns)

    def as_written(self, parts: tuple[str, ...]) -> str:
        """The name, without quotes around plain words, so that the database folds their case."""
        return ".".join(part if part.isidentifier() and part.isascii() else self.quote(part) for part in parts)

    # Making the table

    def new_table(self, parts: tuple[str, ...]) -> SqlTable:
        """The table, named as `look_up` names one that is there."""
        return SqlTable(self.as_written(parts), parts[0] if len(parts) > 1 else None, parts[-1], ())

    def create_table(self, table: SqlTable, keys: Sequence[str], comments: Mapping[str, str]) -> SqlTable:
        """CREATE TABLE as part of the transaction; StepError where it would commit by itself."""
        dialect = self.database.dialect
        if not dialect.transactions or not dialect.transactional_ddl:
            raise StepError(
                f"{table.sql} does not exist, and one that is made here would stay, and be empty, if the load fails",
                fix="make it with a db_execute step before this one",
            )
        self.tx.execute(self.create_sql(table, table, keys))
        for name, text in comments.items():
            self.tx.execute(f"COMMENT ON COLUMN {table.sql}.{self.quote(name)} IS {literal(text)}")
        return table

    def create_sql(self, table: SqlTable, named: SqlTable, keys: Sequence[str]) -> str:
        """The CREATE TABLE statement of `table`, under the name of `named`."""
        parts = [self.column_sql(column) for column in table.columns]
        if keys:
            parts.append(f"PRIMARY KEY ({', '.join(map(self.quote, keys))})")
        return f"CREATE TABLE {named.sql} ({', '.join(parts)})"

    def column_sql(self, column: TableColumn) -> str:
        """A column as CREATE and ALTER TABLE take it."""
        return f"{self.quote(column.name)} {column.declared}{'' if column.nullable else ' NOT NULL'}"

    def publish_table(self, table: SqlTable, made: SqlTable) -> None:
        """Nothing: the table appears with the commit."""

    def unpublished(self, table: SqlTable) -> SqlTable | None:
        """None: a killed load leaves no table."""
        del table
        return None

    def alter_table(self, table: SqlTable, added: Sequence[TableColumn], widened: Sequence[TableColumn]) -> None:
        """ALTER TABLE, one column a statement."""
        for column in added:
            self.tx.execute(f"ALTER TABLE {table.sql} ADD COLUMN {self.column_sql(column)}")
        for column in widened:
            self.tx.execute(f"ALTER TABLE {table.sql} ALTER COLUMN {self.quote(column.name)} TYPE {column.declared}")

    # Filling

    def load_file(
        self, source: LoadFile, into: SqlTable, fields: FieldMap, columns: Sequence[TableColumn], extra: Row
    ) -> int | None:
        """Load a whole file by the database's own means; return the number of rows, None if this file cannot be.

        Raises RowsRefusedError, with the line number if known, if a row is refused. `columns` are the columns of
        `fields`, followed by those for the values of `extra`.
        """
        del source, into, fields, columns, extra
        return None

    def refuse_unfit(self, columns: Sequence[TableColumn], batch: LoadBatch) -> None:
        """UnwrittenRowError for a row whose values do not fit, on databases that can tell before they write."""

    def insert(self, into: SqlTable, columns: Sequence[TableColumn], batch: LoadBatch) -> int:
        """Insert rows; return their number. RowsRefusedError if the database refuses one."""
        names = [f"c{index}" for index in range(len(columns))]
        marks = ", ".join(f":{name}" for name in names)
        self.tx.executemany(
            f"INSERT INTO {into.sql} ({self.list_of(columns)}) VALUES ({marks})",
            (dict(zip(names, row, strict=True)) for row in batch.rows),
        )
        return len(batch.rows)

    # Modes

    def empty(self, table: SqlTable) -> int | None:
        """Delete all rows as part of the transaction; return their number, None if unknown."""
        return self.tx.execute(f"DELETE FROM {table.sql}")

    def prepare_replacement(self, table: SqlTable) -> SqlTable:
        """Create an empty table like this one; only called if `swaps`."""
        raise NotImplementedError

    def check_replaceable(self, table: SqlTable) -> None:
        """StepError if the table has dependents that a swap would lose."""

    def swap(self, table: SqlTable, staged: SqlTable) -> None:
        """Replace the old table by the new one."""
        raise NotImplementedError

    def stage(self, table: SqlTable, columns: Sequence[TableColumn], keys: Sequence[TableColumn]) -> SqlTable:
        """Create an empty temporary table with these columns of `table`; subclasses may index `keys`."""
        del keys
        sql = self.quote(STAGE)
        self.tx.execute(f"CREATE TEMPORARY TABLE {sql} AS SELECT {self.list_of(columns)} FROM {table.sql} WHERE 1 = 0")
        return SqlTable(sql, None, STAGE, tuple(columns))

    def drop_stage(self, stage: SqlTable) -> None:
        self.tx.execute(f"DROP TABLE {stage.sql}")

    def upsert(
        self, table: SqlTable, columns: Sequence[TableColumn], keys: Sequence[TableColumn], batch: LoadBatch
    ) -> tuple[int, int]:
        """Merge row by row, in SQL that every database knows; the numbers of updated and inserted rows."""
        named = {column.name: f"c{index}" for index, column in enumerate(columns)}
        same = " AND ".join(f"{self.quote(key.name)} = :{named[key.name]}" for key in keys)
        others = [column for column in columns if column not in keys]
        sets = ", ".join(f"{self.quote(column.name)} = :{named[column.name]}" for column in others)
        of_keys, updated, new = [named[key.name] for key in keys], 0, LoadBatch()
        for row, number in zip(batch.rows, batch.numbers, strict=True):
            values = dict(zip(named.values(), row, strict=True))
            changed = self.tx.execute(f"UPDATE {table.sql} SET {sets} WHERE {same}", values) if others else 0
            # Some databases do not count a row that has these values already
            if (changed or 0) > 0 or self.tx.read(
                f"SELECT count(*) FROM {table.sql} WHERE {same}", {name: values[name] for name in of_keys}
            )[1][0][0]:
                updated += 1
            else:
                new.rows.append(row)
                new.numbers.append(number)
        return updated, self.insert(table, columns, new) if new.rows else 0

    def wait_for_merges(self, table: SqlTable) -> None:
        """Wait for running merges into the table, on databases where `lock_for_merge` would be too late."""

    def lock_for_merge(self, table: SqlTable) -> None:
        """Block other writers until the commit, on databases where two merges could both insert the same key."""

    def merge(
        self, table: SqlTable, stage: SqlTable, columns: Sequence[TableColumn], keys: Sequence[TableColumn]
    ) -> tuple[int, int]:
        """Update rows with existing keys and insert the others; return the numbers of updated and inserted rows."""
        self.lock_for_merge(table)
        same = " AND ".join(f"t.{self.quote(key.name)} = s.{self.quote(key.name)}" for key in keys)
        if others := [column for column in columns if column not in keys]:
            self.tx.execute(self.update_sql(table, stage, others, same))
        # The rows that remain in the stage are new. Joins, not EXISTS: the tables may have no index on the keys.
        updated = self.tx.execute(self.delete_matched_sql(table, stage, same)) or 0
        names = self.list_of(columns)
        inserted = self.tx.execute(f"INSERT INTO {table.sql} ({names}) SELECT {names} FROM {stage.sql}") or 0
        return updated, inserted

    def update_sql(self, table: SqlTable, stage: SqlTable, columns: Sequence[TableColumn], same: str) -> str:
        """UPDATE of `table` from `stage`; `same` is the condition on their keys, with aliases t and s."""
        sets = ", ".join(f"{self.quote(column.name)} = s.{self.quote(column.name)}" for column in columns)
        return f"UPDATE {table.sql} AS t SET {sets} FROM {stage.sql} s WHERE {same}"

    def delete_matched_sql(self, table: SqlTable, stage: SqlTable, same: str) -> str:
        """DELETE of the rows in `stage` whose keys exist in `table`."""
        return f"DELETE FROM {stage.sql} AS s USING {table.sql} AS t WHERE {same}"
