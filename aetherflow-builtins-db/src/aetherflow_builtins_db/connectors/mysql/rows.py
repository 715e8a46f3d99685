"""Reads MySQL's row packets directly: PyMySQL spends most of its time in two calls per cell.

For CSV, the server's text is copied to the file unchanged wherever the Python value would have the same text.
"""

import io
from collections.abc import Iterator, Sequence
from typing import Any

from aetherflow.core.api import Column, CsvFormat, Row
from aetherflow_builtins_db.connectors.common.contract import Connections
from aetherflow_builtins_db.connectors.common.rows import OpenRows
from aetherflow_builtins_db.connectors.mysql import pymysql_parts
from aetherflow_builtins_db.connectors.mysql.types import cell_text
from aetherflow_builtins_db.formats.delimited import DelimitedWriter
from aetherflow_builtins_db.formats.sink import HashingSink

_NULL, _TWO_BYTES, _THREE_BYTES = 251, 252, 253


class MySQLRows(OpenRows):
    """The rows of one query, fetched on demand."""

    def __init__(
        self, connector: Connections, connection: Any, cursor: Any, columns: list[Column], fetch_size: int
    ) -> None:
        super().__init__(columns)
        self._connector, self._connection, self._cursor, self._fetch_size = connector, connection, cursor, fetch_size
        self._ended = False

    def batches(self) -> Iterator[list[Row]]:
        """The rows in lists of at most `fetch_size`."""
        return self._fetch(pymysql_parts.cells(self._connection))

    def texts(self) -> Iterator[list[Row]]:
        """Like `batches`, with the server's text in place of each value that has the same text in CSV."""
        cells, fields = pymysql_parts.cells(self._connection), pymysql_parts.fields(self._cursor)
        return self._fetch(
            [(encoding, cell_text(field, convert)) for (encoding, convert), field in zip(cells, fields, strict=True)]
        )

    def _fetch(self, cells: Sequence[pymysql_parts.Cell]) -> Iterator[list[Row]]:
        packets = pymysql_parts.packets(self._connection)
        while not self._ended:
            batch: list[Row] = []
            with self._connector.mapped("fetching rows", self.progress):
                for packet in packets:
                    batch.append(parse(packet, cells))
                    if len(batch) == self._fetch_size:
                        break
                else:
                    self._ended = True
            if batch:
                self.progress.rows += len(batch)
                yield batch

    def close(self) -> None:
        """End the query. If rows are left, close the connection: PyMySQL would otherwise read all of them first."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        if self._ended:
            self._connector.give_back(connection)
        else:
            pymysql_parts.forget_rest(connection, self._cursor)
            self._connector.discard(connection)


def parse(data: bytes, cells: Sequence[pymysql_parts.Cell]) -> Row:
    """Decode one row packet of MySQL's text protocol (a sequence of length-encoded strings)."""
    row: list[Any] = []
    add, at = row.append, 0
    for encoding, convert in cells:
        size = data[at]
        at += 1
        if size >= _NULL:
            if size == _NULL:
                add(None)
                continue
            width = 2 if size == _TWO_BYTES else 3 if size == _THREE_BYTES else 8
            size = int.from_bytes(data[at : at + width], "little")
            at += width
        end = at + size
        value: Any = data[at:end] if encoding is None else str(data[at:end], encoding)
        add(value if convert is None else convert(value))
        at = end
    return tuple(row)


class MySQLCsv(OpenRows):
    """The rows of one query as CSV without a header."""

    def __init__(self, rows: MySQLRows, dialect: CsvFormat) -> None:
        super().__init__(rows.columns)
        self._rows, self._dialect = rows, dialect
        self.rows = 0

    def blocks(self) -> Iterator[bytes]:
        """Yield the bytes of one batch of rows at a time."""
        names = [column.name for column in self.columns]
        buffer = io.BytesIO()
        writer = DelimitedWriter(HashingSink(buffer), names, self._dialect)
        for batch in self._rows.texts():
            writer.write(batch)
            self.rows += len(batch)
            yield buffer.getvalue()
            buffer.seek(0)
            buffer.truncate()

    def close(self) -> None:
        self._rows.close()
