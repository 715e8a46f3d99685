"""Loads into DuckDB with its own CSV and Parquet readers.

Other sessions see the old rows until the commit, so mode `replace` needs no second table.
"""

import codecs
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import cast

from aetherflow.core.api import (
    ColumnType,
    ConnectorError,
    CsvFormat,
    FieldMap,
    LoadBatch,
    LoadFile,
    Row,
    RowsRefusedError,
    SqlTable,
    TableColumn,
)
from aetherflow_builtins_db.columns import STRING
from aetherflow_builtins_db.connectors.common.base import setting_literal
from aetherflow_builtins_db.connectors.duckdb.casts import (
    INTEGERS,
    SECOND_DIGITS,
    from_text,
    is_unfit,
    needs_look,
    refused,
)
from aetherflow_builtins_db.connectors.duckdb.errors import refusal
from aetherflow_builtins_db.connectors.duckdb.making import declared_for
from aetherflow_builtins_db.connectors.duckdb.rows import column_of, is_enum
from aetherflow_builtins_db.contract import Transaction
from aetherflow_builtins_db.database import Database
from aetherflow_builtins_db.formats.delimited import DelimitedWriter
from aetherflow_builtins_db.formats.sink import HashingSink, Packing
from aetherflow_builtins_db.formats.values import short_value
from aetherflow_builtins_db.loading import meter as limits
from aetherflow_builtins_db.loading.batch import ArrowFile
from aetherflow_builtins_db.loading.server import Server, UnwrittenRowError

_DIALECT = CsvFormat(include_header=False)
_ARROW = "aetherflow_arrow"
"""The name under which a session reads record batches."""
_MICRO_DIGITS = 6
_SAME_TEXT = frozenset({*INTEGERS, "UBIGINT", "BOOLEAN", "DATE", "TIME", "TIMESTAMP", "UUID", "JSON", '"NULL"'})
"""Types of which DuckDB makes the text that this package makes. It writes bytes as `\\xE4`, lists not as JSON."""
_FILE_ALONE = "hive_partitioning = false"
"""Otherwise a folder `year=2026` gives the column `year` its value, whatever the file holds."""


class DuckDBServer(Server):
    """The operations of a load on DuckDB, which reads CSV, Parquet and Arrow by itself."""

    streams = "arrow"

    @property
    def tx(self) -> Transaction:
        """The open transaction, of this connector."""
        return cast(Transaction, self.job.tx)

    def look_up(self, parts: tuple[str, ...]) -> SqlTable | None:
        """The table in DuckDB's catalogue, whose names ignore case; None if there is none."""
        schema, name = parts[-2] if len(parts) > 1 else None, parts[-1]
        found = self.database.read(
            "SELECT database_name, schema_name, table_name FROM duckdb_tables() WHERE lower(table_name) = lower(:name) "
            "AND lower(schema_name) = lower(coalesce(:schema, current_schema())) "
            "AND (:database IS NULL OR database_name = :database) ORDER BY database_name = current_database() DESC",
            {"name": name, "schema": schema, "database": parts[0] if len(parts) > 2 else None},
        )[1]
        if not found:
            return None
        database, schema, name = map(str, found[0])
        rows = self.database.read(
            "WITH bound AS (SELECT unnest(constraint_column_names) FROM duckdb_constraints() WHERE table_name = :name "
            "AND schema_name = :schema AND database_name = :database AND constraint_type <> 'NOT NULL') "
            "SELECT column_name, data_type, is_nullable, column_name IN (FROM bound) FROM duckdb_columns() "
            "WHERE table_name = :name AND schema_name = :schema AND database_name = :database ORDER BY column_index",
            {"name": name, "schema": schema, "database": database},
        )[1]
        columns = tuple(
            replace(_column(column, declared, nullable=bool(nullable)), indexed=bool(bound))
            for column, declared, nullable, bound in rows
        )
        return SqlTable(self.quote(database, schema, name), schema, name, columns)

    def new_table(self, parts: tuple[str, ...]) -> SqlTable:
        """The table, in the named database and schema or in the session's own."""
        ((database, schema),) = self.database.read("SELECT current_database(), current_schema()")[1]
        name, schema = parts[-1], parts[-2] if len(parts) > 1 else schema
        return SqlTable(self.quote(parts[0] if len(parts) > 2 else database, schema, name), schema, name, ())

    def load_file(
        self, source: LoadFile, into: SqlTable, fields: FieldMap, columns: Sequence[TableColumn], extra: Row
    ) -> int | None:
        """Load the whole file with `read_csv` or `read_parquet`; None for other formats and encodings."""
        if isinstance(source, ArrowFile):
            return self._load_arrow(source, into, fields, columns, extra)
        if source.format == "parquet":
            if self._has_old_times(source.path):
                return None
            read = f"read_parquet($path, {_FILE_ALONE})"
            return self._load_typed(read, source.path, into, fields, columns, extra)
        encoding = source.dialect.encoding.lower().replace("_", "-")
        if source.format == "jsonl" or encoding not in {"utf-8", "utf8", "utf-8-sig", "ascii"}:
            return None
        picked = list(zip(fields.picks, fields.columns, strict=True))
        return self._load_csv(source.path, source.packing, source.dialect, fields.width, picked, into, columns, extra)

    def insert(self, into: SqlTable, columns: Sequence[TableColumn], batch: LoadBatch) -> int:
        """Add rows through a temporary CSV file: single INSERTs are slow in a column store."""
        with self._file_of(columns, batch) as path:
            self._check(self.tx, path, columns, batch)
            return self._load_csv(path, "none", _DIALECT, len(columns), list(enumerate(columns)), into, columns, ())

    def refuse_unfit(self, columns: Sequence[TableColumn], batch: LoadBatch) -> None:
        """UnwrittenRowError for the first row with a value that does not fit its column."""
        with self._file_of(columns, batch) as path:
            self._check(self.database, path, columns, batch)  # an error may have ended the transaction

    @contextmanager
    def _file_of(self, columns: Sequence[TableColumn], batch: LoadBatch) -> Iterator[Path]:
        path = self.job.scratch / f"{self.job.name}.csv"
        with path.open("wb") as file:
            file.write(codecs.BOM_UTF8)  # DuckDB takes one off, which the first value may begin with, too
            names = [column.name for column in columns]
            DelimitedWriter(HashingSink(file), names, _DIALECT).write(batch.rows)
        try:
            yield path
        finally:
            path.unlink()

    def _check(
        self, reading: Transaction | Database, path: Path, columns: Sequence[TableColumn], batch: LoadBatch
    ) -> None:
        """Find a value that does not fit before an error of DuckDB ends the transaction."""
        unfit = [
            f"WHEN {is_unfit(f'f{index}', column)} THEN {index}"
            for index, column in enumerate(columns)
            if needs_look(column, [row[index] for row in batch.rows])
        ]
        if not unfit:
            return
        rows = f"SELECT row_number() OVER () - 1 AS row, CASE {' '.join(unfit)} END AS unfit"
        sql = f"SELECT row, unfit FROM ({rows} FROM {_csv('none', _DIALECT, len(columns)).replace('$path', ':path')}) "
        found = reading.read(f"{sql}WHERE unfit IS NOT NULL ORDER BY row LIMIT 1", {"path": _pattern(path)})[1]
        for row, index in found:
            reason = refused(columns[index], short_value(batch.rows[row][index]))
            raise UnwrittenRowError(reason, row)

    def _load_csv(
        self,
        path: Path,
        packing: Packing,
        dialect: CsvFormat,
        width: int,
        picked: list[tuple[int, TableColumn]],
        into: SqlTable,
        columns: Sequence[TableColumn],
        extra: Row,
    ) -> int:
        values = [from_text(f"f{index}", column) for index, column in picked]
        return self._insert_from(_csv(packing, dialect, width), path, values, into, columns, extra)

    def _has_old_times(self, path: Path) -> bool:
        """Whether a Parquet file has times of 96 bits, of which DuckDB drops the nanoseconds."""
        sql = "SELECT count(*) FROM parquet_schema(:path) WHERE type = 'INT96'"
        return bool(self.tx.read(sql, {"path": _pattern(path)})[1][0][0])

    def _load_arrow(
        self, source: ArrowFile, into: SqlTable, fields: FieldMap, columns: Sequence[TableColumn], extra: Row
    ) -> int | None:
        import duckdb

        try:
            self.tx.raw.register(_ARROW, source.record_reader)  # until the session ends, with its transaction
            return self._load_typed(_ARROW, None, into, fields, columns, extra)
        except (RowsRefusedError, ConnectorError, duckdb.Error):
            if source.failure is not None:
                raise source.failure from None
            raise

    def _load_typed(
        self,
        source: str,
        path: Path | None,
        into: SqlTable,
        fields: FieldMap,
        columns: Sequence[TableColumn],
        extra: Row,
    ) -> int | None:
        """Load what has names and types; None if a cast could lose something."""
        given = {} if path is None else {"path": _pattern(path)}
        described = self.tx.read(f"DESCRIBE SELECT * FROM {source.replace('$', ':')}", given)[1]
        found = {name: kind for name, kind, *_ in described}
        if tuple(found) != fields.names:  # of `a` and `A`, the second has another name in DuckDB
            return None
        names = [fields.names[index] for index in fields.picks]
        if not all(_is_safe(found[name], column.declared) for name, column in zip(names, fields.columns, strict=True)):
            return None
        values = [self.quote(name) for name in names]
        return self._insert_from(source, path, values, into, columns, extra)

    def _insert_from(
        self,
        source: str,
        path: Path | None,
        values: list[str],
        into: SqlTable,
        columns: Sequence[TableColumn],
        extra: Row,
    ) -> int:
        import duckdb

        given = {f"extra{index}": value for index, value in enumerate(extra)}
        given |= {} if path is None else {"path": _pattern(path)}
        values = [*values, *(f"$extra{index}" for index in range(len(extra)))]
        sql = f"INSERT INTO {into.sql} ({self.list_of(columns)}) SELECT {', '.join(values)} FROM {source}"
        try:
            with self.tx.limited():
                row = self.tx.raw.execute(sql, given).fetchone()
        except duckdb.Error as error:
            if (found := refusal(error)) is not None:
                raise RowsRefusedError(found.reason, found.line) from error
            raise self.tx.failed(f"loading into {into.sql}", error) from error
        return int(row[0]) if row else 0


def column_for(name: str, column_type: ColumnType, *, nullable: bool) -> TableColumn:
    """The column of DuckDB for values of the type."""
    return _column(name, declared_for(column_type), nullable=nullable)


def _column(name: str, declared: str, *, nullable: bool) -> TableColumn:
    """A column. Columns with nanoseconds, which Python's types cannot hold, are text here; DuckDB parses it."""
    kind, digits = column_of(name, declared).type, SECOND_DIGITS.get(declared)
    if digits is None or declared == "DATE":
        return TableColumn(name, kind, declared, nullable)
    return TableColumn(name, kind if digits <= _MICRO_DIGITS else STRING, declared, nullable, digits)


def _csv(packing: Packing, dialect: CsvFormat, width: int) -> str:
    """The file `$path` as SQL reads it: `width` columns of text, f0 and so on."""
    quotes = dialect.quoting != "none"
    escape = dialect.escapechar or (dialect.quotechar if dialect.doublequote and quotes else "")
    options = {
        "auto_detect": False,
        "header": dialect.include_header,
        "delim": dialect.delimiter,
        "quote": dialect.quotechar if quotes else "",
        "escape": escape,
        "nullstr": dialect.null_value,
        "allow_quoted_nulls": False,
        "compression": packing,
        "max_line_size": limits.MOST_BYTES,
    }
    if dialect is _DIALECT:  # DuckDB would take a \\r within the first text for the end of a line
        options["new_line"] = "\\n"
    listed = ", ".join([_FILE_ALONE, *(f"{name} = {setting_literal(value)}" for name, value in options.items())])
    types = ", ".join(f"f{index}: 'VARCHAR'" for index in range(width))
    return f"read_csv($path, {listed}, columns = {{{types}}})"


def _is_safe(given: str, wanted: str) -> bool:
    """Whether DuckDB's cast from one type to the other gives the value that this package gives, or fails."""
    if wanted == given or (wanted == "VARCHAR" and (given in _SAME_TEXT or is_enum(given))):
        return True
    return given in INTEGERS and wanted in INTEGERS


def _pattern(path: Path) -> str:
    """The path as DuckDB reads it: of `a[1].csv` it would read `a1.csv`."""
    return re.sub(r"[\[*?]", r"[\g<0>]", str(path))
