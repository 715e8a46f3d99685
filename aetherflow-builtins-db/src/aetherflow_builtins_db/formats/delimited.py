"""Writes CSV and TSV from which a reader can restore every value, null and empty text included.

Null is `null_value` without quotes; text that looks the same (by default: empty text) is quoted. PostgreSQL and DuckDB
write and read CSV in the same way. With `quoting: none` null and such text look the same.
"""

import codecs
import csv
import datetime
import io
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from typing import Any, Literal

from aetherflow.core.api import CsvFormat, CsvQuoting, Row, StepError
from aetherflow_builtins_db.formats.sink import Sink
from aetherflow_builtins_db.formats.values import datetime_text, text_value

# Python's csv module cannot leave a null unquoted when it quotes the rest, cannot quote a single empty text, and before
# 3.13 does not quote a lone \r. So it is given placeholders, which are replaced in the finished text: lone surrogates,
# which no encoding can write and no database returns. It quotes every character of the line end, so the line end is
# three characters, \r and \n included.
_NULL, _NULL_LIKE, _LINE_END = "\ud800\udbff", "\ud801\udbff", "\r\n\ud802"

_CSV_QUOTING: dict[CsvQuoting, Literal[0, 1, 2, 3]] = {
    "minimal": csv.QUOTE_MINIMAL,
    "all": csv.QUOTE_ALL,
    "none": csv.QUOTE_NONE,
    "nonnumeric": csv.QUOTE_NONNUMERIC,
}
_NUMBERS: frozenset[type] = frozenset({int, float})
_PLAIN: frozenset[type] = _NUMBERS | {str}
# Faster equivalents of `text_value` for columns of one type; their text is never empty.
_QUICK: dict[type, Callable[[Any], str]] = {
    Decimal: "{:f}".format,
    bool: {True: "true", False: "false"}.__getitem__,
    datetime.date: datetime.date.isoformat,
    datetime.datetime: datetime_text,
}


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


class _NumberText(str):
    """Text that the csv module treats as a number, so that `quoting: nonnumeric` does not quote it."""

    __slots__ = ()

    def __float__(self) -> float:
        return float(str(self))


class DelimitedWriter:
    """Writes batches of rows to a sink."""

    def __init__(self, sink: Sink, names: Sequence[str], dialect: CsvFormat) -> None:
        self._sink = sink
        self._names = list(names)
        self._dialect = dialect
        self._encoder = codecs.getincrementalencoder(dialect.encoding)()
        self._quotes_nulls = dialect.quoting in {"all", "nonnumeric"}
        # The csv module writes None as an empty field, which is right here unless the row has only one field.
        bare_nulls = not self._quotes_nulls and dialect.null_value == "" and len(self._names) > 1
        self._as_they_are = _PLAIN | {type(None)} if bare_nulls else _PLAIN
        self._quick = dialect.null_value == "" and dialect.quoting != "nonnumeric"
        self._null_is_number = not self._quotes_nulls and _is_number(dialect.null_value)
        self._row_count = 0

    def write_header(self) -> None:
        """Write the names of the columns."""
        self._sink.write(self._encoder.encode(self._format([[self._cell(name) for name in self._names]])))

    def write(self, batch: Sequence[Row]) -> None:
        """Write rows; StepError names row and column of a value that cannot be written."""
        columns = [self._cells(column) for column in zip(*batch, strict=True)]
        try:
            data = self._encoder.encode(self._format(zip(*columns, strict=True)))
        except (csv.Error, UnicodeEncodeError) as error:
            raise self._culprit(columns, error) from error
        self._sink.write(data)
        self._row_count += len(batch)

    def _format(self, rows: Iterable[Sequence[Any]]) -> str:
        dialect, buffer = self._dialect, io.StringIO(newline="")
        quotechar = None if dialect.quoting == "none" else dialect.quotechar
        csv.writer(
            buffer,
            delimiter=dialect.delimiter,
            quotechar=quotechar,
            escapechar=dialect.escapechar,
            doublequote=dialect.doublequote,
            quoting=_CSV_QUOTING[dialect.quoting],
            lineterminator=_LINE_END,
        ).writerows(rows)
        quote, null = quotechar or "", dialect.null_value
        text = buffer.getvalue().replace(f"{quote}{_NULL}{quote}" if self._quotes_nulls else _NULL, null)
        return text.replace(_NULL_LIKE, f"{quote}{null}{quote}").replace(_LINE_END, dialect.linefeed)

    def _cells(self, column: Sequence[Any]) -> Sequence[Any]:
        """The cells of one column. Columns of plain values are returned unchanged, for speed."""
        kinds = set(map(type, column))
        clashes = str in kinds and not self._quotes_nulls and self._dialect.null_value in column
        clashes = clashes or (self._null_is_number and not kinds.isdisjoint(_NUMBERS))
        if kinds <= self._as_they_are and not clashes:
            return column
        quick = _QUICK.get(next(iter(kinds))) if len(kinds) == 1 and self._quick else None
        return list(map(quick, column)) if quick else [self._cell(value) for value in column]

    def _cell(self, value: Any) -> Any:
        if value is None:
            return _NULL
        text = text_value(value)
        if text == self._dialect.null_value and not self._quotes_nulls:
            return _NULL_LIKE
        if type(value) in _NUMBERS:
            return value
        return _NumberText(text) if isinstance(value, Decimal) else text

    def _culprit(self, columns: Sequence[Sequence[Any]], error: Exception) -> StepError:
        reason = getattr(error, "reason", "") or str(error)
        for index, row in enumerate(zip(*columns, strict=True), 1):
            for name, cell in zip(self._names, row, strict=True):
                try:
                    # With a second cell, because a row of one empty cell is an error, too.
                    self._format([[cell, "0"]]).encode(self._dialect.encoding)
                except (csv.Error, UnicodeEncodeError):
                    return StepError(
                        f"column {name!r}, row {self._row_count + index}: the value cannot be written: {reason}",
                        fix="choose another encoding (utf-8 holds all text), or quoting other than none",
                    )
        return StepError(f"rows from {self._row_count + 1}: cannot be written: {reason}")


def write_delimited(
    names: Sequence[str],
    batches: Iterable[list[Row]],
    sink: Sink,
    dialect: CsvFormat,
    on_rows: Callable[[int], None],
) -> None:
    """Write all rows; `on_rows` is called with the number of rows so far after every batch."""
    writer = DelimitedWriter(sink, names, dialect)
    if dialect.include_header:
        writer.write_header()
    count = 0
    for batch in batches:
        writer.write(batch)
        count += len(batch)
        on_rows(count)
