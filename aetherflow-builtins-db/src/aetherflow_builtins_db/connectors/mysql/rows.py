"""Rows as MySQL sends them, read faster than PyMySQL does it: two calls for each cell are most of its time.

For CSV the server's text goes into the file as it is, wherever that is the text that its Python value would have.
"""

import io
from collections.abc import Iterator, Sequence
from typing import Any

from aetherflow_builtins_db.columns import Column
from aetherflow_builtins_db.connectors.common.contract import Connections
from aetherflow_builtins_db.connectors.common.rows import OpenRows
from aetherflow_builtins_db.connectors.mysql import pymysql_parts
from aetherflow_builtins_db.connectors.mysql.types import cell_text
from aetherflow_builtins_db.contract import Row
from aetherflow_builtins_db.dialect import Dialect
from aetherflow_builtins_db.formats.delimited import DelimitedWriter
from aetherflow_builtins_db.formats.sink import HashingSink

_NULL, _TWO_BYTES, _THREE_BYTES = 251, 252, 253


class MySQLRows(OpenRows):
    """The rows of one query, fetched as they are wanted."""

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
        """Likewise, with the server's text in place of values whose text in a CSV file is the same."""
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
        """End the query; if rows are left, the connection is closed, for PyMySQL would read all of them first."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        if self._ended:
            self._connector.give_back(connection)
        else:
            pymysql_parts.forget_rest(connection, self._cursor)
            self._connector.discard(connection)


def parse(data: bytes, cells: Sequence[pymysql_parts.Cell]) -> Row:
    """The values of one row of the text protocol."""
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

    def __init__(self, rows: MySQLRows, dialect: Dialect) -> None:
        super().__init__(rows.columns)
        self._rows, self._dialect = rows, dialect
        self.rows = 0

    def blocks(self) -> Iterator[bytes]:
        """The bytes, a batch of rows at a time."""
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
