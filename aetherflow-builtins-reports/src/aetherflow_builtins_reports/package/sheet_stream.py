"""Reads a sheet as a stream of raw XML: the frame before the rows, each row, and the frame after them.

The parser gives the structure, the part gives the bytes: an unchanged row is copied, not rebuilt.
"""

import re
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias
from xml.parsers import expat

from aetherflow_builtins_reports.package.markup import MAIN, MOST_HELD, STRICT, UTF_16, MarkupError, new_parser, whole
from aetherflow_builtins_reports.package.refs import parse_cell

_TAG_END = re.compile(rb"""<(?:[^<>"']|"[^"]*"|'[^']*')*>""")


class Cell(NamedTuple):
    """One cell of a template row."""

    column: int
    style: int
    raw: bytes
    has_content: bool


@dataclass(slots=True)
class Row:
    """One row of the template."""

    number: int
    attributes: dict[str, str]
    raw: bytes = b""
    cells: list[Cell] | None = None
    """The cells in the order of the file; None in rows above `detail_from`."""

    @property
    def style(self) -> int | None:
        """Format of the row's cells that the XML does not contain; None if the column's format applies."""
        if self.attributes.get("customFormat") in {"1", "true"}:
            return whole(self.attributes.get("s", "0"))
        return None


@dataclass(slots=True)
class Frame:
    """The XML before the rows, or after them."""

    raw: bytes


Event: TypeAlias = Frame | Row


@dataclass(slots=True)
class _Open:
    number: int
    attributes: dict[str, str]
    start: int
    cells: list[Cell] | None
    column: int = 0
    cell: "tuple[int, int, int] | None" = None
    """Column, format and start offset of the open cell."""
    content: bool = field(default=False)


class SheetStream:
    """Reads a sheet; `prefix`, the namespace prefix with its colon, is set after the first event."""

    def __init__(self, blocks: Iterable[bytes], detail_from: int) -> None:
        self._blocks = blocks
        self._detail_from = detail_from
        """Rows from this number on have `cells`."""
        self.prefix = ""
        self._parser = new_parser()
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._buffer = bytearray()
        self._base = 0
        """Offset of the buffer's first byte in the part."""
        self._events: deque[Event] = deque()
        self._row: _Open | None = None
        self._last_row = 0
        self._names = ("", "", "")
        self._in_data = self._data_seen = False
        self._depth = 0

    def events(self) -> Iterator[Event]:
        """Yield a Frame, then the rows, then a Frame; MarkupError if the part is no worksheet."""
        first = True
        for block in self._blocks:
            if first and block[:2] in UTF_16:
                raise MarkupError("it is not encoded as UTF-8")
            first = False
            self._feed(block, final=False)
            while self._events:
                yield self._events.popleft()
        self._feed(b"", final=True)
        yield from self._events
        if not self._data_seen:
            raise MarkupError("it holds no rows section")
        yield Frame(bytes(self._buffer))

    def _feed(self, block: bytes, *, final: bool) -> None:
        self._buffer += block
        if len(self._buffer) > MOST_HELD:
            raise MarkupError(f"a row, or what stands around the rows, takes more than {MOST_HELD >> 20} MiB")
        try:
            self._parser.Parse(block, final)
        except expat.ExpatError as error:
            raise MarkupError(f"it is no well-formed XML: {error}") from error

    def _cut(self, end: int) -> bytes:
        """Remove the bytes up to an offset of the part from the buffer and return them."""
        length = end - self._base
        data = bytes(self._buffer[:length])
        del self._buffer[:length]
        self._base = end
        return data

    def _slice(self, start: int, end: int) -> bytes:
        return bytes(self._buffer[start - self._base : end - self._base])

    def _tag_end(self, start: int) -> tuple[int, bool]:
        """The end of the start tag at an offset, and whether it is an empty element."""
        found = _TAG_END.match(self._buffer, start - self._base)
        if found is None:
            raise MarkupError("it is not encoded as UTF-8")
        end = found.end() + self._base
        return end, self._slice(end - 2, end) == b"/>"

    def _element_end(self, start: int) -> int:
        """The end of the element that starts at `start`, when the parser has just reported its end."""
        end, empty = self._tag_end(start)
        if empty:
            return end
        return self._buffer.index(b">", self._parser.CurrentByteIndex - self._base) + self._base + 1

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        row = self._row
        if row is not None:
            if row.cells is not None:
                self._start_in_row(row, name, attributes)
            return
        data_name, row_name, _ = self._names
        if name == row_name and self._in_data:
            number = whole(attributes["r"]) if "r" in attributes else self._last_row + 1
            self._last_row = number
            detailed = number >= self._detail_from
            self._row = _Open(number, attributes, self._parser.CurrentByteIndex, [] if detailed else None)
        elif name == data_name and self._depth == 2:
            self._in_data = self._data_seen = True
            end, empty = self._tag_end(self._parser.CurrentByteIndex)
            head = self._cut(end)
            # an empty sheetData element is opened, so that rows can follow
            self._events.append(Frame(head[:-2].rstrip() + b">" if empty else head))
            if empty:
                self._buffer[:0] = closing = f"</{data_name}>".encode()
                self._base -= len(closing)
        elif self._depth == 1:
            self._root(name, attributes)

    def _root(self, name: str, attributes: dict[str, str]) -> None:
        prefix, _, local = name.rpartition(":")
        namespace = attributes.get(f"xmlns:{prefix}" if prefix else "xmlns")
        if namespace == STRICT:
            raise MarkupError("it is in the Strict Open XML format; save the workbook as plain .xlsx")
        if namespace != MAIN or local != "worksheet":
            raise MarkupError("it is no worksheet")
        self.prefix = f"{prefix}:" if prefix else ""
        self._names = (f"{self.prefix}sheetData", f"{self.prefix}row", f"{self.prefix}c")

    def _start_in_row(self, row: _Open, name: str, attributes: dict[str, str]) -> None:
        if row.cell is not None:
            row.content = True
        elif name == self._names[2]:
            place = parse_cell(attributes["r"]) if "r" in attributes else None
            row.column = place[1] if place else row.column + 1
            row.cell = (row.column, whole(attributes.get("s", "0")), self._parser.CurrentByteIndex)
            row.content = False

    def _end(self, name: str) -> None:
        self._depth -= 1
        row = self._row
        if row is None:
            if self._in_data and name == self._names[0]:
                self._in_data = False
            return
        if row.cell is not None and name == self._names[2]:
            column, style, start = row.cell
            raw = self._slice(start, self._element_end(start))
            if row.cells is not None:
                row.cells.append(Cell(column, style, raw, row.content))
            row.cell = None
        elif name == self._names[1]:
            end = self._element_end(row.start)
            self._cut(row.start)  # white space between rows
            self._events.append(Row(row.number, row.attributes, self._cut(end), row.cells))
            self._row = None


def row_start(row: Row, prefix: str) -> bytes:
    """The start tag of a row whose cells change, without the optional attribute `spans`."""
    attributes = {key: value for key, value in row.attributes.items() if key != "spans"} | {"r": str(row.number)}
    listed = "".join(f' {key}="{_quoted(value)}"' for key, value in attributes.items())
    return f"<{prefix}row{listed}>".encode()


def _quoted(value: str) -> str:
    return value.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
