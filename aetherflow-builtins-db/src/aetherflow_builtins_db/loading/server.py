"""The operations of a load on a database, in common SQL; databases with faster or other ways have subclasses."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

from aetherflow.core.api import StepError, StepInputError
from aetherflow_builtins_db.contract import Row, SqlConnector, Transaction
from aetherflow_builtins_db.loading.batch import Batch
from aetherflow_builtins_db.loading.source import SourceFile
from aetherflow_builtins_db.loading.table import FieldMap, Table, TableColumn, split_name

STAGE = "aetherflow_stage"
"""Name of the staging table of a merge. It is temporary, so no two loads share it."""


class RowsRefusedError(Exception):
    """The database refuses rows because of their data; the load may go on without them."""

    def __init__(self, reason: str, index: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.index = index
        """Index of the row in its batch, None if the database does not tell it; after `load_file`, the line number."""


class Server:
    """The operations of one load on one connector. The transaction `tx` is open inside the block of `begin`."""

    savepoints: ClassVar[bool] = False
    """Whether the transaction can go on after a refused batch."""
    converts: ClassVar[bool] = True
    """Whether fields are converted to values before they are sent; otherwise the database parses the text."""
    swaps: ClassVar[bool] = False
    """Whether mode `replace` fills a second table and exchanges the two."""

    tx: Transaction

    def __init__(
        self, connector: SqlConnector, load_name: str, scratch: Path, say: Callable[[str], None] = lambda _: None
    ) -> None:
        self.connector = connector
        self.load_name = load_name
        """A short name, the same in every run of the step and different for every step."""
        self.scratch = scratch
        """A folder for temporary files."""
        self.say = say
        """Called with a message for the user when the load waits for a lock."""

    @contextmanager
    def begin(self) -> Iterator[None]:
        """Open the transaction `tx`; commit it at the end of the block, roll it back if the block raises."""
        with self.connector.transaction() as self.tx:
            yield

    def quote(self, *names: str) -> str:
        """Quote the parts of a name for SQL and join them with dots."""
        return self.connector.quote(*names)

    def list_of(self, columns: Sequence[TableColumn], prefix: str = "") -> str:
        """Column names, separated by commas."""
        return ", ".join(prefix + self.quote(column.name) for column in columns)

    # Before the transaction

    def find(self, name: str) -> Table:
        """The table of that name; StepError if there is none."""
        parts = split_name(name)
        found = self.look_up(parts)
        if found is None:
            raise StepError(
                f"table {name} does not exist",
                fix="check the name, or create it with a db_execute step before this one",
            )
        return found

    def look_up(self, parts: tuple[str, ...]) -> Table | None:
        """The table in the catalogue, None if there is none; here, for unknown catalogues, an empty query's columns."""
        sql = self.as_written(parts)
        with self.connector.stream(f"SELECT * FROM {sql} WHERE 1 = 0") as rows:
            columns = tuple(TableColumn(column.name, column.type) for column in rows.columns)
        return Table(sql, parts[0] if len(parts) > 1 else None, parts[-1], columns)

    def as_written(self, parts: tuple[str, ...]) -> str:
        """The name, without quotes around plain words, so that the database folds their case."""
        return ".".join(part if part.isidentifier() and part.isascii() else self.quote(part) for part in parts)

    # Filling

    def load_file(
        self, source: SourceFile, into: Table, fields: FieldMap, columns: Sequence[TableColumn], extra: Row
    ) -> int | None:
        """Load a whole file by the database's own means; return the number of rows, None if this file cannot be.

        Raises RowsRefusedError, with the line number if known, if a row is refused. `columns` are the columns of
        `fields`, followed by those for the values of `extra`.
        """
        del source, into, fields, columns, extra
        return None

    def insert(self, into: Table, columns: Sequence[TableColumn], batch: Batch) -> int:
        """Insert rows; return their number. RowsRefusedError if the database refuses one."""
        names = [f"c{index}" for index in range(len(columns))]
        marks = ", ".join(f":{name}" for name in names)
        self.tx.executemany(
            f"INSERT INTO {into.sql} ({self.list_of(columns)}) VALUES ({marks})",
            (dict(zip(names, row, strict=True)) for row in batch.rows),
        )
        return len(batch.rows)

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """A savepoint around the block, rolled back on RowsRefusedError; no effect if `savepoints` is false."""
        if not self.savepoints:
            yield
            return
        self.tx.execute("SAVEPOINT aetherflow")
        try:
            yield
        except RowsRefusedError:
            self.tx.execute("ROLLBACK TO SAVEPOINT aetherflow")
            raise
        self.tx.execute("RELEASE SAVEPOINT aetherflow")

    # Modes

    def empty(self, table: Table) -> int | None:
        """Delete all rows as part of the transaction; return their number, None if unknown."""
        return self.tx.execute(f"DELETE FROM {table.sql}")

    def prepare_replacement(self, table: Table) -> Table:
        """Create an empty table like this one; only called if `swaps`."""
        raise NotImplementedError

    def check_replaceable(self, table: Table) -> None:
        """StepError if the table has dependents that a swap would lose."""

    def swap(self, table: Table, staged: Table) -> None:
        """Replace the old table by the new one."""
        raise NotImplementedError

    def stage(self, table: Table, columns: Sequence[TableColumn], keys: Sequence[TableColumn]) -> Table:
        """Create an empty temporary table with these columns of `table`; subclasses may index `keys`."""
        del keys
        sql = self.quote(STAGE)
        self.tx.execute(f"CREATE TEMPORARY TABLE {sql} AS SELECT {self.list_of(columns)} FROM {table.sql} WHERE 1 = 0")
        return Table(sql, None, STAGE, tuple(columns))

    def drop_stage(self, stage: Table) -> None:
        self.tx.execute(f"DROP TABLE {stage.sql}")

    def wait_for_merges(self, table: Table) -> None:
        """Wait for running merges into the table, on databases where `lock_for_merge` would be too late."""

    def lock_for_merge(self, table: Table) -> None:
        """Block other writers until the commit, on databases where two merges could both insert the same key."""

    def merge(
        self, table: Table, stage: Table, columns: Sequence[TableColumn], keys: Sequence[TableColumn]
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

    def update_sql(self, table: Table, stage: Table, columns: Sequence[TableColumn], same: str) -> str:
        """UPDATE of `table` from `stage`; `same` is the condition on their keys, with aliases t and s."""
        sets = ", ".join(f"{self.quote(column.name)} = s.{self.quote(column.name)}" for column in columns)
        return f"UPDATE {table.sql} AS t SET {sets} FROM {stage.sql} s WHERE {same}"

    def delete_matched_sql(self, table: Table, stage: Table, same: str) -> str:
        """DELETE of the rows in `stage` whose keys exist in `table`."""
        return f"DELETE FROM {stage.sql} AS s USING {table.sql} AS t WHERE {same}"

    def check_keys(self, stage: Table, keys: Sequence[TableColumn], shown: Sequence[str]) -> None:
        """StepError if a key is null or occurs twice, because the row to update would be ambiguous."""
        empty = " OR ".join(f"{self.quote(key.name)} IS NULL" for key in keys)
        ((nulls,),) = self.tx.read(f"SELECT count(*) FROM {stage.sql} WHERE {empty}")[1]
        if nulls:
            raise StepError(
                f"{nulls} rows have no value in the keys ({', '.join(shown)}); nothing was loaded",
                fix="a merge needs keys without null: correct the file or choose other keys",
            )
        names = self.list_of(keys)
        twice = self.tx.read(
            f"SELECT {names}, count(*) AS n FROM {stage.sql} GROUP BY {names} HAVING count(*) > 1 ORDER BY {names}"
        )[1]
        if twice:
            first = ", ".join(f"{key.name} = {value}" for key, value in zip(keys, twice[0], strict=False))
            raise StepError(
                f"{len(twice)} keys occur more than once in the file, the first is {first} ({twice[0][-1]} times); "
                "nothing was loaded",
                fix="a merge needs each key once: correct the file or choose other keys",
            )

    def count(self, table: Table) -> int:
        """Number of rows in the table, as the transaction sees it."""
        ((rows,),) = self.tx.read(f"SELECT count(*) FROM {table.sql}")[1]
        return int(rows)

    def delete_load(self, table: Table, column: TableColumn, load_id: str) -> int:
        """Delete the rows of an earlier attempt of this load; return their number."""
        return (
            self.tx.execute(f"DELETE FROM {table.sql} WHERE {self.quote(column.name)} = :load_id", {"load_id": load_id})
            or 0
        )


def pick_key_columns(table: Table, columns: Sequence[TableColumn], names: Sequence[str]) -> list[TableColumn]:
    """The columns that `names` lists; StepInputError for a name that is not among the loaded `columns`."""
    from aetherflow_builtins_db.loading.table import find_name

    known = [column.name for column in columns]
    keys = []
    for name in names:
        found = find_name(name, known)
        if found is None:
            raise StepInputError(
                f"keys: {name!r} is no column that is loaded into {table.sql}", fix=f"these are: {', '.join(known)}"
            )
        keys.append(columns[known.index(found)])
    return keys
