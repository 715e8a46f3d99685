"""The rows of a query as the source of a load, without a file between."""

import codecs
import io
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, Literal, cast

from aetherflow.core.api import (
    ArrowRows,
    ArrowSource,
    Column,
    ColumnType,
    CsvBlocks,
    CsvFormat,
    CsvSource,
    LoadBatch,
    LoadFile,
    Row,
    Rows,
)
from aetherflow_builtins_db.columns import UNKNOWN, refuse_duplicates
from aetherflow_builtins_db.database import Database
from aetherflow_builtins_db.formats.coerce import fits
from aetherflow_builtins_db.formats.parquet import has_pyarrow, require_pyarrow
from aetherflow_builtins_db.formats.values import query_sha256
from aetherflow_builtins_db.loading.batch import OnReject, Streams
from aetherflow_builtins_db.loading.profile import Profile, Texts

Follow = Callable[[list[Column]], Callable[[Iterable[list[Row]]], Iterator[list[Row]]]]
"""Gets the columns; returns that through which all batches go."""
_DIALECT = CsvFormat(include_header=False)
_ARROW_ROWS = 50_000
"""Rows of a record batch."""


@dataclass(frozen=True, slots=True)
class QueryRows:
    """A query of one database whose rows are loaded into another one."""

    database: Database
    sql: str
    params: Mapping[str, Any] | None = None
    fetch_size: int = 5000
    follow: Follow | None = None
    """For a watermark: passes through the batches that are loaded."""
    format: str = field(default="query", init=False)
    texts: Texts = field(default="none", init=False)

    def types(self) -> Mapping[str, ColumnType]:
        """By column: its type; where the database does not guarantee one, that of all values, which are then read."""
        with self._open() as rows:
            columns = list(rows.columns)
            if rows.exact and all(column.type != UNKNOWN for column in columns):
                return {column.name: column.type for column in columns}
            profiles = [Profile() for _ in columns]
            fitting = [column.type != UNKNOWN for column in columns]
            for batch in rows.batches():
                for index, cells in enumerate(zip(*batch, strict=True)):
                    wanted = columns[index].type
                    fitting[index] = fitting[index] and all(cell is None or fits(cell, wanted) for cell in cells)
                    profiles[index].see(cells)
        return {
            column.name: column.type if fitted else profile.type
            for column, fitted, profile in zip(columns, fitting, profiles, strict=True)
        }

    @contextmanager
    def reader(self, *, keys: list[str] | None, width: int | None, every_key: bool = False) -> "Iterator[_QueryReader]":
        """Open the query; its own columns are the fields, whatever is wanted of them."""
        del keys, width, every_key
        with self._open() as rows:
            yield _QueryReader(rows, self.follow)

    def sha256(self) -> str:
        """Of the query and its parameters: what its rows are is known only when they are read."""
        return query_sha256(self.sql, self.params)

    @contextmanager
    def file(self, *, streams: Streams | None) -> Iterator[LoadFile | None]:
        """The rows as CSV or Arrow that the database itself makes, if the loader reads such; else None."""
        connector, query = self.database.connector, self.database.query(self.sql, self.params)
        found: LoadFile | None = None
        with ExitStack() as stack:
            if self.follow is not None:  # looks at each row
                pass
            elif streams == "csv" and isinstance(connector, CsvSource):
                blocks = connector.stream_csv(*query, dialect=_DIALECT)
                found = None if blocks is None else _CsvRows(stack.enter_context(blocks))
            elif streams == "arrow" and isinstance(connector, ArrowSource) and has_pyarrow():
                rows = connector.stream_arrow(*query, batch_rows=_ARROW_ROWS)
                found = None if rows is None else _arrow_of(stack.enter_context(rows))
            yield found

    @contextmanager
    def _open(self) -> Iterator[Rows]:
        with self.database.stream(self.sql, self.params, fetch_size=self.fetch_size) as rows:
            refuse_duplicates(rows.columns)
            yield rows


class _QueryReader:
    """The open rows of a query."""

    unit = "row"

    def __init__(self, rows: Rows, follow: Follow | None) -> None:
        self._rows, self._follow = rows, follow
        self.names: list[str] = [column.name for column in rows.columns]

    def batches(self, size: int, on_reject: OnReject) -> Iterator[LoadBatch]:
        """Yield the rows in batches as the database sends them; none is ever rejected here."""
        del size, on_reject
        batches = self._rows.batches()
        if self._follow is not None:
            batches = self._follow(list(self._rows.columns))(batches)
        number = 1
        for rows in batches:
            yield LoadBatch(rows, list(range(number, number + len(rows))))
            number += len(rows)


class _CsvRows:
    """An open query as a CSV file without a header."""

    path = Path("query.csv")
    format: Literal["csv"] = "csv"
    packing: Literal["none"] = "none"
    dialect = _DIALECT

    def __init__(self, blocks: CsvBlocks) -> None:
        self._blocks = blocks

    @contextmanager
    def binary(self) -> Iterator[BinaryIO]:
        """The bytes, as the database sends them, behind a mark: who reads a file takes one off."""
        marked = chain([codecs.BOM_UTF8], self._blocks.blocks())
        yield cast(BinaryIO, io.BufferedReader(_Blocks(marked), 1 << 18))


class _ArrowBatches:
    """An open query as Arrow, whose first batch has been read."""

    path = Path("query.arrow")
    format: Literal["parquet"] = "parquet"
    packing: Literal["none"] = "none"
    dialect = _DIALECT

    def __init__(self, first: Any, rest: Iterator[Any]) -> None:
        self._failures: list[Exception] = []
        batches = _watched(first, rest, self._failures)  # not of `self`: nothing would free a circle through Arrow
        self.record_reader = require_pyarrow().RecordBatchReader.from_batches(first.schema, batches)

    @property
    def failure(self) -> Exception | None:
        """The error of the query, which the reader raises as one of its own."""
        return self._failures[0] if self._failures else None

    def binary(self) -> AbstractContextManager[BinaryIO]:
        """Never called: what takes Arrow reads `record_reader`."""
        raise NotImplementedError


def _watched(first: Any, rest: Iterator[Any], failures: list[Exception]) -> Iterator[Any]:
    try:
        yield first
        yield from rest
    except Exception as error:
        failures.append(error)
        raise


def _arrow_of(rows: ArrowRows) -> _ArrowBatches | None:
    """None without a row, of which no batch tells the schema."""
    names = [column.name for column in rows.columns]
    batches = (batch.rename_columns(names) for batch in rows.record_batches())
    first = next(batches, None)
    return None if first is None else _ArrowBatches(first, batches)


class _Blocks(io.RawIOBase):
    """Blocks of bytes as a file."""

    def __init__(self, blocks: "Iterator[bytes | memoryview]") -> None:
        self._blocks = blocks
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            block = next(self._blocks, None)
            if block is None:
                return 0
            self._rest = memoryview(block)
        part = self._rest[: len(buffer)]
        buffer[: len(part)] = part
        self._rest = self._rest[len(part) :]
        return len(part)
