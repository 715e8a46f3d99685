"""A database's own way of `db_load`: a capability of a connector of kind `db`."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Literal, Protocol, TypeAlias, runtime_checkable

from aetherflow.core.contracts.kinds.sql import UNKNOWN_TYPE, ColumnType, Row, SqlDialect, SqlTransaction
from aetherflow.core.contracts.kinds.sql_capabilities import CsvFormat

LoadFormat: TypeAlias = Literal["csv", "tsv", "jsonl", "parquet"]


@dataclass(frozen=True, slots=True)
class TableColumn:
    """A column as the database describes it."""

    name: str
    type: ColumnType = UNKNOWN_TYPE
    declared: str = ""
    """Its type as the database declares it."""
    nullable: bool = True
    second_digits: int | None = None
    """Digits of a second that a time column keeps; None for other columns, or if unknown."""
    indexed: bool = False
    """Whether it is in an index or a constraint, on a database where that limits its type."""


@dataclass(frozen=True, slots=True)
class SqlTable:
    """A table of the database, with its columns."""

    sql: str
    """Its name as it is written in SQL."""
    schema: str | None
    name: str
    columns: tuple[TableColumn, ...]


@dataclass(frozen=True, slots=True)
class FieldMap:
    """The mapping of a row's fields to table columns."""

    columns: tuple[TableColumn, ...]
    picks: tuple[int, ...]
    """For each column, the index of its field."""
    width: int
    """Number of fields in a row."""
    names: tuple[str, ...] | None
    """Names of the fields; None if the file has no header."""

    @property
    def whole(self) -> bool:
        """Whether rows need no rearranging."""
        return self.picks == tuple(range(self.width))


@dataclass(slots=True)
class LoadBatch:
    """Rows of a file, and for each its line number (in a Parquet file, its row number), from 1."""

    rows: list[Row] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)

    def part(self, start: int, end: int) -> "LoadBatch":
        """The rows from `start` up to, but not including, `end`."""
        return LoadBatch(self.rows[start:end], self.numbers[start:end])


class LoadFile(Protocol):
    """The local file of a load."""

    @property
    def path(self) -> Path: ...
    @property
    def format(self) -> LoadFormat: ...
    @property
    def packing(self) -> Literal["none", "gzip", "zstd"]:
        """The compression of the whole file."""
        ...

    @property
    def dialect(self) -> CsvFormat:
        """The form of a CSV or TSV file."""
        ...

    def binary(self) -> AbstractContextManager[BinaryIO]:
        """The decompressed content; StepError if the file is damaged."""
        ...


class RowsRefusedError(Exception):
    """The database refuses rows because of their data; the load may go on without them."""

    def __init__(self, reason: str, index: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.index = index
        """Index of the row in its batch, None if the database does not tell it; after `load_file`, the line number."""


@dataclass(slots=True)
class LoadJob:
    """One load, or the look-ups of one `db_check`."""

    name: str
    """A short name, the same in every run of the step and different for every step."""
    dialect: SqlDialect
    scratch: Path
    """A folder for temporary files."""
    say: Callable[[str], None]
    """Logs a message for the user, such as that the load waits for a lock."""
    run_id: str = ""
    """The run, for names that two runs must not share; empty where nothing is loaded."""
    tx: SqlTransaction = field(init=False)


class SqlLoader:
    """The operations of one load. A subclass overrides what its database does faster or in another way.

    Each operation is by default the usual one in common SQL, which the loader is built around. All but `look_up` run
    inside the block of `begin`, on its transaction `tx`, whose markers are `:name` on every database. Errors are
    ConnectorErrors, but for RowsRefusedError.
    """

    savepoints: bool = False
    """Whether the transaction can go on after a refused batch, by SAVEPOINT."""
    converts: bool = True
    """Whether fields are converted to values before they are sent; otherwise the database parses the text."""
    swaps: bool = False
    """Whether mode `replace` fills a second table and exchanges the two."""
    stages: bool = True
    """Whether a merge fills a staging table first (`stage`, `merge`, `drop_stage`); else it calls `upsert`."""

    def __init__(self, usual: "SqlLoader") -> None:
        self._usual = usual
        self.job: LoadJob = usual.job
        """What all loaders of this load share."""
        self.stages = usual.stages

    @property
    def tx(self) -> SqlTransaction:
        """The transaction that `begin` has opened."""
        return self.job.tx

    def begin(self) -> AbstractContextManager[None]:
        """Open the transaction; commit it at the end of the block, roll it back if the block raises."""
        return self._usual.begin()

    def look_up(self, parts: tuple[str, ...]) -> SqlTable | None:
        """The table of that name, `(table,)` or `(schema, table)`; None if there is none."""
        return self._usual.look_up(parts)

    def new_table(self, parts: tuple[str, ...]) -> SqlTable:
        """The table of that name as `look_up` will find it once it is made, still without columns."""
        return self._usual.new_table(parts)

    def create_table(self, table: SqlTable, keys: Sequence[str], comments: Mapping[str, str]) -> SqlTable:
        """Create the table, empty; return where to fill it. Only called if the connector is a TableMaker.

        It appears under its name with the transaction or, where CREATE commits by itself, with `publish_table`.

        :param keys: its columns that are the primary key
        :param comments: by column
        """
        return self._usual.create_table(table, keys, comments)

    def publish_table(self, table: SqlTable, made: SqlTable) -> None:
        """Give a filled table its name, as the last of the transaction, if `create_table` has made another one."""
        self._usual.publish_table(table, made)

    def unpublished(self, table: SqlTable) -> SqlTable | None:
        """The table that a killed load has made for this one and not published; None if there is none."""
        return self._usual.unpublished(table)

    def alter_table(self, table: SqlTable, added: Sequence[TableColumn], widened: Sequence[TableColumn]) -> None:
        """Add columns, and give columns wider types; where ALTER commits by itself, before anything else."""
        self._usual.alter_table(table, added, widened)

    def load_file(
        self, source: LoadFile, into: SqlTable, fields: FieldMap, columns: Sequence[TableColumn], extra: Row
    ) -> int | None:
        """Load a whole file by the database's own means; return the number of rows, None if this file cannot be.

        Raises RowsRefusedError, with the line number if known, if a row is refused. `columns` are the columns of
        `fields`, followed by those for the values of `extra`.
        """
        return self._usual.load_file(source, into, fields, columns, extra)

    def insert(self, into: SqlTable, columns: Sequence[TableColumn], batch: LoadBatch) -> int:
        """Insert rows, whose values have the types of the columns; return their number.

        RowsRefusedError if the database refuses one.
        """
        return self._usual.insert(into, columns, batch)

    def empty(self, table: SqlTable) -> int | None:
        """Delete all rows as part of the transaction; return their number, None if unknown."""
        return self._usual.empty(table)

    def check_replaceable(self, table: SqlTable) -> None:
        """StepError if the table has dependents that a swap would lose; only called if `swaps`."""
        self._usual.check_replaceable(table)

    def prepare_replacement(self, table: SqlTable) -> SqlTable:
        """Create an empty table like this one; only called if `swaps`."""
        return self._usual.prepare_replacement(table)

    def swap(self, table: SqlTable, staged: SqlTable) -> None:
        """Replace the old table by the new one; only called if `swaps`."""
        self._usual.swap(table, staged)

    def wait_for_merges(self, table: SqlTable) -> None:
        """Wait for running merges into the table, on databases where a lock in `merge` would be too late."""
        self._usual.wait_for_merges(table)

    def stage(self, table: SqlTable, columns: Sequence[TableColumn], keys: Sequence[TableColumn]) -> SqlTable:
        """Create an empty table with these columns of `table`, for the rows of a merge by `keys`."""
        return self._usual.stage(table, columns, keys)

    def merge(
        self, table: SqlTable, stage: SqlTable, columns: Sequence[TableColumn], keys: Sequence[TableColumn]
    ) -> tuple[int, int]:
        """Update rows with existing keys and insert the others; return the numbers of updated and inserted rows.

        No other merge may insert the same keys meanwhile.
        """
        return self._usual.merge(table, stage, columns, keys)

    def upsert(
        self, table: SqlTable, columns: Sequence[TableColumn], keys: Sequence[TableColumn], batch: LoadBatch
    ) -> tuple[int, int]:
        """Merge rows without a stage; only called if not `stages`. The numbers of updated and inserted rows.

        No key is null or comes twice.
        """
        return self._usual.upsert(table, columns, keys, batch)

    def drop_stage(self, stage: SqlTable) -> None:
        """Remove what `stage` has created, after the merge or its failure."""
        self._usual.drop_stage(stage)


@runtime_checkable
class BulkLoader(Protocol):
    """A database with ways of its own to load rows."""

    def loader(self, usual: SqlLoader) -> SqlLoader:
        """The loader of one load, or of the look-ups of one `db_check`; `usual` does all in common SQL."""
        ...


@runtime_checkable
class TableMaker(Protocol):
    """A database in which a load makes its table."""

    def column_for(self, name: str, column_type: ColumnType, *, nullable: bool, key: bool) -> TableColumn:
        """The column that keeps every value of the type exactly, as `look_up` describes it once it is made.

        Its `declared` type is what CREATE TABLE gets. `key`: it is part of the primary key.
        """
        ...
