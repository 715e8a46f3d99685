"""Reads CSV and TSV as chunks: all values are text, except bare numbers with `quoting: nonnumeric`.

Null and empty text are both an empty field.
"""

import codecs
import contextlib
import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from aetherflow_builtins_reports.cells.casting import SWAPPED_SIGNS
from aetherflow_builtins_reports.errors import SourceError
from aetherflow_builtins_reports.sources.chunk import Chunk, transposed
from aetherflow_builtins_reports.sources.meter import MOST_BYTES, Meter
from aetherflow_builtins_reports.sources.opening import BLOCK, HashedFile, unpack

Quoting: TypeAlias = Literal["minimal", "all", "none", "nonnumeric"]


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a delimited file is read."""

    delimiter: str = ","
    quotechar: str = '"'
    quoting: Quoting = "minimal"
    escapechar: str | None = None
    doublequote: bool = True
    encoding: str = "utf-8"
    null_value: str = ""
    linefeed: str = "\n"
    decimal: Literal[".", ","] = "."
    """Decimal sign of the bare numbers of `quoting: nonnumeric`."""


def text_of(meter: Meter, encoding: str) -> io.TextIOWrapper:
    """A text reader. Undecodable bytes become lone surrogates, which `cells.texts` replaces and counts."""
    name = codecs.lookup(encoding).name
    if name == "utf-8":
        name = "utf-8-sig"  # a byte order mark must not become part of the first column's name
    return io.TextIOWrapper(io.BufferedReader(meter, BLOCK), encoding=name, errors="surrogateescape", newline="")


class DelimitedSource:
    """A CSV or TSV file; `names` is its first record if `has_header`. SourceError if it cannot be read."""

    def __init__(self, path: Path, dialect: Dialect, *, has_header: bool) -> None:
        self.path = path
        self._is_wide = False
        """Whether the rows have several columns, as far as they were read."""
        self._dialect = dialect
        self._file = HashedFile(path)
        # Python's limit for a field, 131,072 characters, is too low for texts of databases; cells cut them later
        csv.field_size_limit(max(csv.field_size_limit(), MOST_BYTES))
        try:
            self._meter = Meter(unpack(self._file, path), path)
            self._text = text_of(self._meter, dialect.encoding)
            self._rows = self._records()
            self.names: list[str] | None = None
            if has_header:
                with self._failing():
                    self.names = [str(name) for name in next(self._rows, [])]
        except BaseException:
            self._file.close()
            raise

    def _records(self) -> Iterator[list[Any]]:
        dialect = self._dialect
        if dialect.quoting == "nonnumeric":
            return _bare_numbers(self._text, dialect)
        return csv.reader(
            self._text,
            delimiter=dialect.delimiter,
            quotechar=None if dialect.quoting == "none" else dialect.quotechar,
            quoting=csv.QUOTE_NONE if dialect.quoting == "none" else csv.QUOTE_MINIMAL,
            escapechar=dialect.escapechar,
            doublequote=dialect.doublequote,
        )

    def chunks(self) -> Iterator[Chunk]:
        """Yield the rows after the header; call it once."""
        null = self._dialect.null_value
        portions = self._meter.portions(self._rows)
        while True:
            with self._failing():
                rows = next(portions, None)
            if rows is None:
                return
            if [] in rows and not (rows := self._without_blank_lines(rows)):
                continue
            self._meter.refuse_wide(max(map(len, rows)))
            chunk = transposed(rows)
            if null:
                nulled = [["" if value == null else value for value in column] for column in chunk.columns]
                chunk = Chunk(nulled, chunk.rows)
            yield chunk

    def count(self) -> int:
        """Read the remaining rows and return their number."""
        with self._failing():
            return sum(len(self._without_blank_lines(rows)) for rows in self._meter.portions(self._rows))

    def _without_blank_lines(self, rows: list[list[Any]]) -> list[list[Any]]:
        """The rows without blank lines, which are none if there are several columns, and an empty value if one."""
        if self.names is not None:
            self._is_wide = len(self.names) > 1
        elif not self._is_wide:
            self._is_wide = max(map(len, rows)) > 1
        return [row for row in rows if row] if self._is_wide else rows

    @contextlib.contextmanager
    def _failing(self) -> Iterator[None]:
        try:
            yield
        except (csv.Error, UnicodeError, EOFError, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise
            raise SourceError(
                f"{self.path} cannot be read: {error}", fix="check encoding, quotechar and whether the file is whole"
            ) from error

    @property
    def sha256(self) -> str:
        """SHA-256 of the file on disk, in hexadecimal."""
        return self._file.sha256

    def close(self) -> None:
        self._file.close()


def _bare_numbers(text: io.TextIOWrapper, dialect: Dialect) -> Iterator[list[Any]]:
    """Records of a file in which everything but numbers is quoted: an unquoted field is a number if it looks like one.

    The csv module has this, but raises an error for the first unquoted field that is no number, even an empty one.
    """
    scanner = _Scanner(dialect)
    for line in text:
        scanner.line(line)
        if not scanner.inside:
            yield scanner.record()
    if scanner.inside:
        yield scanner.record()


class _Scanner:
    """Splits lines into fields and tracks which were quoted."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._row: list[Any] = []
        self._field: list[str] = []
        self._quoted = False
        self.inside = False
        """Whether a quoted field continues in the next line."""

    def line(self, line: str) -> None:
        """Scan one line with its line end."""
        dialect, signs = self._dialect, iter(line)
        for sign in signs:
            if sign == dialect.escapechar:
                self._field.append(next(signs, ""))
            elif self.inside and sign != dialect.quotechar:
                self._field.append(sign)
            elif sign == dialect.quotechar:
                self._quote(sign)
            elif sign == dialect.delimiter:
                self._end_field()
            elif sign not in "\r\n":
                self._field.append(sign)

    def _quote(self, sign: str) -> None:
        if self.inside:
            self.inside = False
        elif self._quoted and self._dialect.doublequote:  # the second of a doubled quote: the field continues
            self._field.append(sign)
            self.inside = True
        elif not self._field:
            self.inside = self._quoted = True
        else:
            self._field.append(sign)

    def _end_field(self) -> None:
        self._row.append(self._value())
        self._field, self._quoted = [], False

    def _value(self) -> Any:
        text = "".join(self._field)
        if self._quoted or not text:
            return text
        number = text.translate(SWAPPED_SIGNS) if self._dialect.decimal == "," else text
        try:
            return int(text) if text.lstrip("+-").isdecimal() and len(text) < 4000 else float(number)
        except ValueError:
            return text

    def record(self) -> list[Any]:
        """The fields since the last record; an empty line has none."""
        if self._row or self._field or self._quoted:
            self._end_field()
        row, self._row, self.inside = self._row, [], False
        return row
