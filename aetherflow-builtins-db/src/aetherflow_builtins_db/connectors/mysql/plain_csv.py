"""CSV as LOAD DATA takes it: only records whose every field the server reads as this package would."""

import re
from collections.abc import Iterator, Sequence
from typing import BinaryIO

from aetherflow.core.api import CsvFormat, FieldMap, RowsRefusedError, TableColumn
from aetherflow_builtins_db.loading.source import BLOCK

_STATEMENT_BYTES = 16 * 2**20
"""Sent by one statement: the server's limit of time is for each."""
_MOST_REST = 4 * 2**20
"""Of bytes that are no whole record yet."""
_INTEGER = re.compile(r"(?:tiny|small|medium|big)?int\b|integer\b")
_TEXT = re.compile(r"(?:var)?char\(|(?:tiny|medium|long)?text$")
_DATE = r"(?!0000)[0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])"
_CLOCK = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]"


class PlainRecords:
    """Finds whole records in blocks of a file, and writes null as LOAD DATA reads it.

    Of a field that is not plain the server would make something without a word: 1.5 in an INT is 2 to it.
    """

    def __init__(self, dialect: CsvFormat, fields: FieldMap, columns: Sequence[TableColumn]) -> None:
        """`columns` are those of `fields`. ValueError if the server reads a column or the form in another way."""
        plain = dialect.quoting != "none" and dialect.doublequote and not dialect.escapechar and not dialect.null_value
        signs = dialect.delimiter + dialect.quotechar
        if not plain or not signs.isascii() or dialect.encoding.lower() not in {"utf-8", "utf8", "ascii"}:
            raise ValueError("not plain")
        if fields.width == 1:  # whose empty line is a null
            raise ValueError("one field")
        self._delimiter, self._quote = dialect.delimiter.encode(), dialect.quotechar.encode()
        delimiter, quote = (re.escape(sign) for sign in (dialect.delimiter, dialect.quotechar))
        quoted = f"{quote}(?:[^{quote}\\0]++|{quote}{quote})*+{quote}"
        bare = f"(?!NULL[{delimiter}\n])[^{delimiter}{quote}\r\n\\0]"
        by_field = dict(zip(fields.picks, columns, strict=True))
        record = delimiter.join(_field(by_field.get(at), quoted, bare) for at in range(fields.width)) + "\n"
        self._records = re.compile(f"(?:{record})*+".encode())
        self._header = re.compile(f"(?:{quoted}|[^{quote}\n])*+\n".encode()) if dialect.include_header else None
        self._parts = re.compile(f"{quoted}|(?:(?<=[{delimiter}\n])|^)(?=[{delimiter}\n])".encode())
        self._encoding = dialect.encoding
        self.rows = 0
        """Number of those that were taken so far."""

    def statements(self, file: BinaryIO) -> Iterator[Iterator[bytes]]:
        """The content, in parts of whole records for one statement each, in blocks; RowsRefusedError if it is odd."""
        blocks = self._blocks(file)
        while (block := next(blocks, None)) is not None:
            yield self._statement(block, blocks)

    def _statement(self, block: bytes, blocks: Iterator[bytes]) -> Iterator[bytes]:
        sent = 0
        while True:
            yield block
            sent += len(block)
            if sent >= _STATEMENT_BYTES or (following := next(blocks, None)) is None:
                return
            block = following

    def _blocks(self, file: BinaryIO) -> Iterator[bytes]:
        rest, header = file.read(BLOCK).removeprefix(b"\xef\xbb\xbf"), self._header
        while True:
            more = file.read(BLOCK)
            text = rest.replace(b"\r\n", b"\n") if self._quote not in rest else rest
            if not more and text and not text.endswith(b"\n"):
                text += b"\n"
            start = 0
            if header is not None and (found := header.match(text)):
                start, header = found.end(), None
            end = start if header is not None else self._end(text, start)
            if end > start:
                yield self._with_nulls(text[start:end])
            rest = text[end:] + more
            if not more:
                if rest.strip(b"\n"):
                    raise RowsRefusedError("a record is not plain")
                return
            if len(rest) - len(more) > _MOST_REST:
                raise RowsRefusedError("a record is not plain")

    def _end(self, text: bytes, start: int) -> int:
        """Where the last plain record ends; RowsRefusedError if another one follows that is whole and not plain."""
        found = self._records.match(text, start)
        end = found.end() if found else start
        if self._quote not in text[end:] and b"\n" in text[end:].rstrip(b"\n"):
            raise RowsRefusedError("a record is not plain")
        return end

    def _with_nulls(self, text: bytes) -> bytes:
        try:
            text.decode(self._encoding)
        except UnicodeDecodeError as error:
            raise RowsRefusedError(f"no {self._encoding}") from error
        self.rows += text.count(b"\n")
        if self._quote in text:
            return self._parts.sub(self._null, text)
        comma = self._delimiter
        if text.startswith(comma):
            text = b"NULL" + text
        doubled, null = comma * 2, comma + b"NULL" + comma
        text = text.replace(doubled, null).replace(doubled, null)
        return text.replace(comma + b"\n", comma + b"NULL\n").replace(b"\n" + comma, b"\nNULL" + comma)

    def _null(self, found: re.Match[bytes]) -> bytes:
        part = found[0]
        if not part:
            return b"NULL"
        self.rows -= part.count(b"\n")
        return part


def _field(column: TableColumn | None, quoted: str, bare: str) -> str:
    """The pattern of a field whose text the server reads as this package does; ValueError if that is not known."""
    if column is None:
        return f"(?:{quoted}|{bare}*+)"
    declared, kind = column.declared.lower(), column.type
    null = "" if not column.nullable else "?+"
    if kind.kind in {"string", "unknown"} and _TEXT.match(declared):
        return f"(?:{quoted}|{bare}{'*+' if column.nullable else '++'})"
    if _INTEGER.match(declared):
        return f"(?:-?[0-9]{{1,18}}+){null}"
    if kind.kind == "decimal" and declared.startswith("decimal("):
        fraction = f"(?:\\.[0-9]{{1,{kind.scale}}}+)?+" if kind.scale else ""
        return f"(?:-?[0-9]{{1,{max(kind.precision - kind.scale, 1)}}}+{fraction}){null}"
    if kind.kind == "float" and declared in {"float", "double"}:
        return f"(?:-?[0-9]{{1,15}}+(?:\\.[0-9]{{1,17}}+)?+(?:[eE][+-]?[0-9]{{1,2}}+)?+){null}"
    if declared == "date":
        return f"(?:{_DATE}){null}"
    if kind.kind == "datetime" and declared.startswith(("datetime", "timestamp")):
        digits = column.second_digits or 0
        fraction = f"(?:\\.[0-9]{{1,{digits}}}+)?+" if digits else ""
        return f"(?:{_DATE}[ T]{_CLOCK}{fraction}){null}"
    raise ValueError(declared)
