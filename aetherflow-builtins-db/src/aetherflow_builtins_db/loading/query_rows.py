"""The rows of a query as the source of a load, without a file between."""

import io
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Literal, cast

from aetherflow.core.api import Column, ColumnType, CsvBlocks, CsvFormat, CsvSource, LoadBatch, LoadFile, Row, Rows
from aetherflow_builtins_db.columns import UNKNOWN, refuse_duplicates
from aetherflow_builtins_db.database import Database
from aetherflow_builtins_db.formats.coerce import fits
from aetherflow_builtins_db.formats.values import query_sha256
from aetherflow_builtins_db.loading.batch import OnReject
from aetherflow_builtins_db.loading.profile import Profile, Texts

Follow = Callable[[list[Column]], Callable[[list[Row]], None]]
"""Gets the columns; returns what is called with each batch."""
_DIALECT = CsvFormat(include_header=False)


@dataclass(frozen=True, slots=True)
class QueryRows:
    """A query of one database whose rows are loaded into another one."""

    database: Database
    sql: str
    params: Mapping[str, Any] | None = None
    fetch_size: int = 5000
    follow: Follow | None = None
    """For a watermark: sees every batch that is loaded."""
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
    def file(self, *, streams: bool) -> Iterator[LoadFile | None]:
        """The rows as CSV that the database itself formats, if the loader reads such; else None."""
        connector = self.database.connector
        blocks = None
        if streams and self.follow is None and isinstance(connector, CsvSource):
            blocks = connector.stream_csv(*self.database.query(self.sql, self.params), dialect=_DIALECT)
        if blocks is None:
            yield None
            return
        with blocks:
            yield _CsvRows(blocks)

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
        seen = self._follow(list(self._rows.columns)) if self._follow else None
        number = 1
        for rows in self._rows.batches():
            if seen is not None:
                seen(rows)
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
        """The bytes, as the database sends them."""
        yield cast(BinaryIO, io.BufferedReader(_Blocks(self._blocks.blocks()), 1 << 18))


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
