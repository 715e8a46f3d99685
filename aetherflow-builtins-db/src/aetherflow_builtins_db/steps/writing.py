"""Writes the rows of a query to a file by the fastest way; all ways produce the same values."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from aetherflow.core.api import ArrowSource, Column, ColumnType, CsvBlocks, CsvFormat, CsvSource, JsonSource, Row
from aetherflow_builtins_db.columns import refuse_duplicates
from aetherflow_builtins_db.database import Database
from aetherflow_builtins_db.formats.delimited import DelimitedWriter, write_delimited
from aetherflow_builtins_db.formats.jsonl import write_jsonl
from aetherflow_builtins_db.formats.parquet import Compression, write_arrow, write_parquet
from aetherflow_builtins_db.formats.sampling import TypedRows
from aetherflow_builtins_db.formats.sink import HashingSink, Packing, packed

# Same order as LoadFormat: before Python 3.14 `Format | None` and `LoadFormat | None` are one cached object
Format: TypeAlias = Literal["csv", "tsv", "jsonl", "parquet"]
OnRows: TypeAlias = Callable[[int | None], None]
"""Called with the number of rows so far; None if the database tells it only at the end."""
Seen: TypeAlias = Callable[[Iterable[list[Row]]], Iterator[list[Row]]]

ARROW_BATCH_ROWS = 8192
"""Smallest Arrow batch: small batches cost more than their rows. `fetch_size` is meant for Python rows."""


@dataclass(frozen=True)
class FileSpec:
    """Format, compression and column types of the file."""

    format: Format
    dialect: CsvFormat
    packing: Packing
    compression: Compression
    dtypes: Mapping[str, ColumnType]
    fetch_size: int
    emit_dtypes: bool = False


class Writing:
    """Writes the rows of one query to a sink."""

    def __init__(
        self, database: Database, sql: str, params: Mapping[str, Any] | None, spec: FileSpec, on_rows: OnRows
    ) -> None:
        self._database, self._sql, self._params, self._spec, self._on_rows = database, sql, params, spec, on_rows
        self._connector = database.connector

    @property
    def query(self) -> tuple[str, Any]:
        """The SQL and its parameters, in the form that the connector takes."""
        return self._database.query(self._sql, self._params)

    def run(self, sink: HashingSink, seen: Callable[[list[Column]], Seen] | None = None) -> list[Column]:
        """Write all rows; return the columns.

        :param seen: gets the columns and returns a function through which all batches go; rows then pass through
            Python. Column types are complete for Parquet and with `emit_dtypes` only.
        """
        if seen is None and (columns := self._natively(sink)) is not None:
            return columns
        return self._rows(sink, seen)

    def _natively(self, sink: HashingSink) -> list[Column] | None:
        """Write by a way that makes no Python objects of rows; None if there is none for this query."""
        spec, connector = self._spec, self._connector
        if spec.format == "parquet":
            if spec.dtypes or spec.emit_dtypes:
                return None
            return self._arrow(sink)
        if spec.emit_dtypes:
            return None  # types that the database does not tell are derived from the rows
        if spec.format in {"csv", "tsv"} and isinstance(connector, CsvSource):
            blocks = connector.stream_csv(*self.query, dialect=spec.dialect)
        elif spec.format == "jsonl" and isinstance(connector, JsonSource):
            blocks = connector.stream_json(*self.query)
        else:
            return None
        return None if blocks is None else self._copy(blocks, sink)

    def _copy(self, blocks: CsvBlocks, sink: HashingSink) -> list[Column]:
        spec = self._spec
        with blocks, packed(sink, spec.packing) as out:
            refuse_duplicates(blocks.columns)
            if spec.format != "jsonl" and spec.dialect.include_header:
                DelimitedWriter(out, [column.name for column in blocks.columns], spec.dialect).write_header()
            for block in blocks.blocks():
                out.write(block)
                self._on_rows(blocks.rows)
            self._on_rows(blocks.rows)
            return list(blocks.columns)

    def _arrow(self, sink: HashingSink) -> list[Column] | None:
        spec, connector = self._spec, self._connector
        if not isinstance(connector, ArrowSource):
            return None
        batch_rows = max(spec.fetch_size, ARROW_BATCH_ROWS)
        arrow = connector.stream_arrow(*self.query, batch_rows=batch_rows)
        if arrow is None:
            return None
        with arrow:
            refuse_duplicates(arrow.columns)
            write_arrow(arrow, sink, compression=spec.compression, on_rows=self._on_rows)
            return list(arrow.columns)

    def _rows(self, sink: HashingSink, seen: Callable[[list[Column]], Seen] | None) -> list[Column]:
        spec = self._spec
        with (
            self._database.stream(self._sql, self._params, fetch_size=spec.fetch_size) as rows,
            packed(sink, spec.packing) as out,
        ):
            refuse_duplicates(rows.columns)
            columns, batches = list(rows.columns), rows.batches
            if spec.format == "parquet" or spec.emit_dtypes:
                typed = TypedRows(rows, spec.dtypes)
                columns, batches = typed.columns, typed.batches
            every: Iterable[list[Row]] = batches()
            if seen is not None:
                every = seen(columns)(every)
            names = [column.name for column in columns]
            if spec.format == "parquet":
                write_parquet(columns, every, sink, compression=spec.compression, on_rows=self._on_rows)
            elif spec.format == "jsonl":
                write_jsonl(names, every, out, self._on_rows)
            else:
                write_delimited(names, every, out, spec.dialect, self._on_rows)
            return columns
