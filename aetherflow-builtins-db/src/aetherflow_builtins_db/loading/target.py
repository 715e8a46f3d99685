"""What a load does in the same way on every database, by the loader of this one."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from aetherflow.core.api import (
    BulkLoader,
    ConnectorError,
    LoadJob,
    RowsRefusedError,
    SqlLoader,
    SqlTable,
    StepError,
    TableColumn,
)
from aetherflow_builtins_db.database import Database
from aetherflow_builtins_db.loading.batch import Streams
from aetherflow_builtins_db.loading.generic import GenericServer
from aetherflow_builtins_db.loading.server import Server
from aetherflow_builtins_db.loading.table import loaded_name, split_name

_MAKE_IT = "check the name, or create it with a db_execute step before this one"


class Target:
    """A database that is loaded into, or checked, with its own loader if it has one."""

    def __init__(self, database: Database, job: LoadJob, *, is_late: bool = False) -> None:
        """`is_late`: the database does not exist yet, and is not to be made."""
        self.database = database
        self._is_late = is_late
        usual: SqlLoader = GenericServer(database, job)
        connector = database.connector
        self.loader = connector.loader(usual) if isinstance(connector, BulkLoader) else usual

    @property
    def streams(self) -> Streams | None:
        """What the loader takes that is no file on disk."""
        return self.loader.streams if isinstance(self.loader, Server) else None

    def quote(self, *names: str) -> str:
        """Quote the parts of a name for SQL and join them with dots."""
        return self.database.quote(*names)

    def list_of(self, columns: Sequence[TableColumn]) -> str:
        """Column names, separated by commas."""
        return ", ".join(self.quote(column.name) for column in columns)

    def look_up(self, name: str) -> SqlTable | None:
        """The table of that name; None if there is none."""
        if self._is_late:
            return None
        try:
            return self.loader.look_up(split_name(name))
        except ConnectorError:
            if not isinstance(self.loader, GenericServer):
                raise
            return None  # no catalogue is known, and the query of the table failed

    def look_up_again(self, table: SqlTable) -> SqlTable | None:
        """The table as it is there now; None if it is not."""
        try:
            return self.loader.look_up((table.schema, table.name) if table.schema else (table.name,))
        except ConnectorError:
            return None

    def new_table(self, name: str) -> SqlTable:
        """A table of that name that is still to be made, without columns."""
        parts = split_name(name)
        if self._is_late:
            return SqlTable(self.quote(*parts), parts[-2] if len(parts) > 1 else None, parts[-1], ())
        return self.loader.new_table(parts)

    def find(self, name: str, fix: str = _MAKE_IT) -> SqlTable:
        """The table of that name; StepError if there is none."""
        found = self.loader.look_up(split_name(name))
        if found is None:
            raise StepError(
                f"table {name} does not exist",
                fix=fix,
            )
        return found

    @contextmanager
    def savepoint(self, *, again: bool = False) -> Iterator[None]:
        """A savepoint around the block, rolled back on RowsRefusedError; no effect if the loader has none.

        `again`: one was rolled back, and nothing was written since. It still stands; a new one would be nested in it.
        """
        if not self.loader.savepoints:
            yield
            return
        tx = self.loader.tx
        if not again:
            tx.execute("SAVEPOINT aetherflow")
        try:
            yield
        except RowsRefusedError:
            tx.execute("ROLLBACK TO SAVEPOINT aetherflow")
            raise
        tx.execute("RELEASE SAVEPOINT aetherflow")

    def check_keys(self, stage: SqlTable, keys: Sequence[TableColumn], shown: Sequence[str]) -> None:
        """StepError if a key is null or occurs twice, because the row to update would be ambiguous."""
        tx, names = self.loader.tx, self.list_of(keys)
        empty = " OR ".join(f"{self.quote(key.name)} IS NULL" for key in keys)
        ((nulls,),) = tx.read(f"SELECT count(*) FROM {stage.sql} WHERE {empty}")[1]
        refuse_nulls(int(nulls), shown)
        twice = tx.read(
            f"SELECT {names}, count(*) AS n FROM {stage.sql} GROUP BY {names} HAVING count(*) > 1 ORDER BY {names}"
        )[1]
        if twice:
            first = ", ".join(f"{key.name} = {value}" for key, value in zip(keys, twice[0], strict=False))
            refuse_twice(f"{len(twice)} keys occur", f"{first} ({twice[0][-1]} times)")

    def count(self, table: SqlTable) -> int:
        """Number of rows in the table, as the transaction sees it."""
        ((rows,),) = self.loader.tx.read(f"SELECT count(*) FROM {table.sql}")[1]
        return int(rows)

    def delete_load(self, table: SqlTable, column: TableColumn, load_id: str) -> int:
        """Delete the rows of an earlier attempt of this load; return their number."""
        sql = f"DELETE FROM {table.sql} WHERE {self.quote(column.name)} = :load_id"
        return self.loader.tx.execute(sql, {"load_id": load_id}) or 0


def refuse_nulls(count: int, shown: Sequence[str]) -> None:
    """StepError if rows have a null in their keys."""
    if count:
        raise StepError(
            f"{count} rows have no value in the keys ({', '.join(shown)}); nothing was loaded",
            fix="a merge needs keys without null: correct the file or choose other keys",
        )


def refuse_twice(what: str, first: str) -> None:
    """StepError: keys are not unique."""
    raise StepError(
        f"{what} more than once in the file, the first is {first}; nothing was loaded",
        fix="a merge needs each key once: correct the file or choose other keys",
    )


def pick_key_columns(columns: Sequence[TableColumn], names: Sequence[str]) -> list[TableColumn]:
    """The columns that `names` lists; StepInputError for a name that is not among the loaded `columns`."""
    known = [column.name for column in columns]
    return [columns[known.index(loaded_name("keys", name, known))] for name in names]
