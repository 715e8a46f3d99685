"""Loads into SQLite with one prepared INSERT.

Other connections see the old rows until the commit, so mode `replace` needs no second table.
"""

import datetime
import math
import re
import sqlite3
from collections.abc import Sequence
from decimal import Decimal
from typing import cast

from aetherflow.core.api import (
    ColumnType,
    LoadBatch,
    RowsRefusedError,
    SqlTable,
    TableColumn,
)
from aetherflow_builtins_db.columns import UNKNOWN
from aetherflow_builtins_db.connectors.sqlite3.making import declared_for
from aetherflow_builtins_db.connectors.sqlite3.rows import declared_type
from aetherflow_builtins_db.contract import Transaction
from aetherflow_builtins_db.failures import StatementTimeoutError, one_line
from aetherflow_builtins_db.formats.values import short_value, text_value
from aetherflow_builtins_db.loading.server import Server, refuse_odd

_BYTES = ColumnType("bytes")
_LARGE = re.compile(r"\s*[-+]?(?=\d{309}|[\d.]+[eE])(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?\s*", re.ASCII).fullmatch
_PLAIN = (str, int, float, bytes, type(None))


class SqliteServer(Server):
    savepoints = True

    @property
    def tx(self) -> Transaction:
        """The open transaction, of this connector."""
        return cast(Transaction, self.job.tx)

    def look_up(self, parts: tuple[str, ...]) -> SqlTable | None:
        """The table in `pragma_table_list`, whose names ignore case; None if there is none."""
        schema, name = parts[-2] if len(parts) > 1 else None, parts[-1]
        found = self.database.read(
            "SELECT schema, name FROM pragma_table_list WHERE lower(name) = lower(:name) "
            "AND (:schema IS NULL OR lower(schema) = lower(:schema)) "
            "ORDER BY schema = 'temp' DESC, schema = 'main' DESC",
            {"name": name, "schema": schema},
        )[1]
        if not found:
            return None
        schema, name = map(str, found[0])
        sql = self.quote(schema, name)
        rows = self.database.read(
            'SELECT name, type, "notnull" FROM pragma_table_info(:name, :schema)', {"name": name, "schema": schema}
        )[1]
        with self.database.stream(f"SELECT * FROM {sql} WHERE 1 = 0") as opened:
            types = {column.name: column.type for column in opened.columns}
        columns = tuple(
            TableColumn(column, _type(types.get(column, UNKNOWN), declared), declared, not notnull)
            for column, declared, notnull in rows
        )
        return SqlTable(sql, schema, name, columns)

    def new_table(self, parts: tuple[str, ...]) -> SqlTable:
        """The table, in the named database or in that of the file."""
        schema, name = parts[-2] if len(parts) > 1 else "main", parts[-1]
        return SqlTable(self.quote(schema, name), schema, name, ())

    def delete_matched_sql(self, table: SqlTable, stage: SqlTable, same: str) -> str:
        """DELETE with a join, for which SQLite builds an automatic index."""
        join = f"{stage.sql} s JOIN {table.sql} t ON {same}"
        return f"DELETE FROM {stage.sql} WHERE rowid IN (SELECT s.rowid FROM {join})"

    def insert(self, into: SqlTable, columns: Sequence[TableColumn], batch: LoadBatch) -> int:
        refuse_odd(columns, batch, math.isnan, "SQLite")
        _refuse_infinite(columns, batch)
        marks = ", ".join("?" * len(columns))
        sql = f"INSERT INTO {into.sql} ({self.list_of(columns)}) VALUES ({marks})"
        rows = (
            row if all(isinstance(cell, _PLAIN) for cell in row) else tuple(map(_stored, row)) for row in batch.rows
        )
        try:
            self.tx.send(sql, rows)  # type: ignore[attr-defined]  # SQLite's transaction
        except (sqlite3.IntegrityError, OverflowError) as error:
            raise RowsRefusedError(one_line(str(error))) from error
        except (sqlite3.Error, StatementTimeoutError) as error:
            raise self.tx.failed(f"inserting into {into.sql}", error) from error
        return len(batch.rows)


def _refuse_infinite(columns: Sequence[TableColumn], batch: LoadBatch) -> None:
    """RowsRefusedError for a number of which SQLite would make infinity, in a column that has NUMERIC affinity."""
    for at, column in enumerate(columns):
        if column.type != UNKNOWN or not column.declared:
            continue
        for index, row in enumerate(batch.rows):
            cell = row[at]
            text = cell if isinstance(cell, str) else text_value(cell) if isinstance(cell, Decimal) else ""
            if _LARGE(text) and math.isinf(float(text)):
                raise RowsRefusedError(f"column {column.name}: {short_value(cell)} is larger than any float", index)


def column_for(name: str, column_type: ColumnType, *, nullable: bool) -> TableColumn:
    """The column of SQLite for values of the type."""
    declared = declared_for(column_type)
    return TableColumn(name, _type(declared_type(declared), declared), declared, nullable)


def _type(found: ColumnType, declared: str) -> ColumnType:
    """The type of a column for loading: one that is declared for bytes takes them from base64."""
    return _BYTES if found == UNKNOWN and declared.strip().upper() == "BLOB" else found


def _stored(cell: object) -> object:
    """Decimals and dates as text: SQLite has no types for them."""
    if isinstance(cell, datetime.datetime):
        return cell.isoformat(" ")
    return cell if isinstance(cell, _PLAIN) else text_value(cell)
