"""Reads MySQL's row packets directly: PyMySQL spends most of its time in two calls per cell.

For CSV, the server's text is copied to the file unchanged wherever the Python value would have the same text, and rows
of short values are not taken apart at all.
"""

import io
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any, TypeVar

from aetherflow.core.api import Column, CsvFormat, Row
from aetherflow_builtins_db.connectors.common.contract import Connections
from aetherflow_builtins_db.connectors.common.rows import OpenRows
from aetherflow_builtins_db.connectors.mysql import pymysql_parts
from aetherflow_builtins_db.connectors.mysql.types import cell_text
from aetherflow_builtins_db.formats.delimited import DelimitedWriter
from aetherflow_builtins_db.formats.sink import HashingSink

_NULL, _TWO_BYTES, _THREE_BYTES = 251, 252, 253
_LONG = 32
"""The least length whose byte may be a character."""
_ROW = 255
"""Put before each row: no text in UTF-8 has it, nor the four above."""
_TEXT = bytes(byte for byte in range(_LONG, _NULL))
_SHORT = bytes([*range(_LONG), _NULL, _ROW])
_EMPTY = 1
"""Stands for an empty text in between."""
_UTF8 = ("utf8", "ascii")
"""Encodings of PyMySQL whose bytes go into the file as they are."""
_FEW = 100
"""Rows that are taken apart together, if one of them has another value."""
_Made = TypeVar("_Made")


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
        cells = pymysql_parts.cells(self._connection)
        return self.fetch(lambda packets: [parse(packet, cells) for packet in packets])

    def texts(self) -> Sequence[pymysql_parts.Cell]:
        """How to read a packet so that each value has the text that CSV has: the server's, where it is the same."""
        cells, fields = pymysql_parts.cells(self._connection), pymysql_parts.fields(self._cursor)
        return [(encoding, cell_text(field, convert)) for (encoding, convert), field in zip(cells, fields, strict=True)]

    def fetch(self, make: Callable[[list[bytes]], _Made]) -> Iterator[_Made]:
        """What `make` makes of the packets of at most `fetch_size` rows at a time."""
        packets = pymysql_parts.packets(self._connection)
        while not self._ended:
            with self._connector.mapped("fetching rows", self.progress):
                some = list(islice(packets, self._fetch_size))
                self._ended = len(some) < self._fetch_size
                made = make(some)
            if some:
                self.progress.rows += len(some)
                yield made

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


class ShortTexts:
    """Turns packets into lines of CSV by replacing bytes: length bytes become delimiters.

    That works where each value is shorter than 32 bytes and has no control character: then the bytes below 32 are the
    lengths. Both are proved by their number and their sum, to which a longer length that was overlooked would add more
    than any control character that was taken for one.
    """

    def __init__(self, width: int, delimiter: bytes, quote: bytes) -> None:
        self._width, self._delimiter, self._quote = width, delimiter, quote
        signs = bytearray(range(256))
        signs[:_LONG] = delimiter * _LONG
        signs[0], signs[_NULL], signs[_ROW] = _EMPTY, delimiter[0], ord("\n")
        self._signs = bytes(signs)

    def lines(self, packets: Sequence[bytes]) -> bytes | None:
        """The lines of these rows; None if they have other values."""
        rows, row = len(packets), bytes([_ROW])
        body = row + row.join(packets)
        lengths = body.translate(None, _TEXT)
        if (
            lengths.translate(None, _SHORT)
            or len(lengths) != rows * (self._width + 1)
            or sum(lengths) - _ROW * rows - _NULL * lengths.count(_NULL) + rows * self._width != len(body) - rows
            or self._quote in body
            or (self._delimiter[0] >= _LONG and self._delimiter in body)
        ):
            return None
        comma, text = self._delimiter, body.translate(self._signs)
        text.decode()
        text = text.replace(bytes([_EMPTY]), comma + self._quote * 2)
        return text.replace(b"\n" + comma, b"\n")[1:] + b"\n"


class MySQLCsv(OpenRows):
    """The rows of one query as CSV without a header."""

    def __init__(self, rows: MySQLRows, dialect: CsvFormat) -> None:
        super().__init__(rows.columns)
        self._rows, self._dialect = rows, dialect
        self.rows = 0

    def blocks(self) -> Iterator[bytes]:
        """Yield the bytes of one batch of rows at a time."""
        names, cells = [column.name for column in self.columns], self._rows.texts()
        buffer = io.BytesIO()
        writer = DelimitedWriter(HashingSink(buffer), names, self._dialect)
        delimiter, quote = self._dialect.delimiter.encode(), self._dialect.quotechar.encode()
        as_sent = len(cells) > 1 and all(encoding in _UTF8 and convert is None for encoding, convert in cells)
        short = ShortTexts(len(cells), delimiter, quote) if as_sent and delimiter[0] != _EMPTY else None

        def few(packets: list[bytes]) -> bytes:
            if short and (lines := short.lines(packets)) is not None:
                return lines
            writer.write([parse(packet, cells) for packet in packets])
            written = buffer.getvalue()
            buffer.seek(0)
            buffer.truncate()
            return written

        def make(packets: list[bytes]) -> bytes:
            self.rows += len(packets)
            if short and packets and (lines := short.lines(packets)) is not None:
                return lines
            return b"".join(few(packets[at : at + _FEW]) for at in range(0, len(packets), _FEW))

        yield from self._rows.fetch(make)

    def close(self) -> None:
        self._rows.close()
