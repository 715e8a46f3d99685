"""Reads CSV and TSV as `formats.delimited` writes them: null is `null_value` without quotes, `""` is empty text."""

import csv
import sys
from collections.abc import Callable, Iterable, Iterator

from aetherflow.core.api import CsvFormat, LoadBatch, StepError
from aetherflow_builtins_db.loading import meter as limits
from aetherflow_builtins_db.loading.batch import OnReject, Reject

_JOINED = 1 << 10


class _Lines:
    """Passes lines on, counts them, and keeps the text of the current record, its lines in parts of `_JOINED`.

    A short line by itself takes sixty bytes: thirty times as many as it may have. A field without text takes eight in
    the list of Python's reader: the fields of a long record are counted before it gets them.
    """

    def __init__(self, lines: Iterable[str], dialect: CsvFormat, too_wide: Callable[[], Exception]) -> None:
        self._lines = iter(lines)
        self._dialect = dialect
        self._quote = dialect.quotechar if dialect.quoting != "none" else None
        self._too_wide = too_wide
        self.record: list[str] = []
        self.count = 0
        self.ended = False
        self._length = self._fields = 0
        self._inside = False

    def begin(self) -> None:
        """A record begins with the next line."""
        self.record.clear()
        self._length = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        try:
            line = next(self._lines)
        except StopIteration:
            self.ended = True
            raise
        self.count += 1
        self.record.append(line)
        if self.count % _JOINED == 0:
            self.record[-_JOINED:] = ["".join(self.record[-_JOINED:])]
        before, self._length = self._length, self._length + len(line)
        if self._length > limits.MOST_FIELDS:
            is_first = before <= limits.MOST_FIELDS
            if is_first:
                self._fields, self._inside = 1, False
            self._count_fields("".join(self.record) if is_first else line)
        return line

    def _count_fields(self, text: str) -> None:
        """Count the fields of the next part of a record, with the rules of Python's reader."""
        at, delimiter, quote, escape = 0, self._dialect.delimiter, self._quote, self._dialect.escapechar
        while self._fields <= limits.MOST_FIELDS:
            found = text.find(quote, at) if quote is not None else -1
            if not self._inside:
                self._fields += text.count(delimiter, at, found if found >= 0 else len(text))
            if found < 0:
                break
            at, before = found + 1, text[found - 1 : found]
            if escape and before == escape:
                continue
            if not self._inside:  # elsewhere in a field it is a sign like others
                self._inside = before in ("", delimiter)
            elif self._dialect.doublequote and text[at : at + 1] == quote:
                at += 1
            else:
                self._inside = False
        if self._fields > limits.MOST_FIELDS:
            raise self._too_wide()


class DelimitedReader:
    """The records of a delimited text.

    :param lines: the text with its original line ends
    :param width: number of fields of a record if the file has no header; None takes that of the first record
    :param meter: what the text is read through, if it is of a file
    """

    unit = "line"
    texts: list[str] | None = None
    """If a list: gets the text of each record of a batch, with its line end."""
    header = ""
    """The text of the header."""

    def __init__(
        self, lines: Iterable[str], dialect: CsvFormat, *, width: int | None = None, meter: limits.Meter | None = None
    ) -> None:
        csv.field_size_limit(sys.maxsize)  # the default limit, 128 KiB, is too low; it belongs to the process
        self._dialect = dialect
        self._meter = meter or limits.Meter()
        self._lines = _Lines(lines, dialect, self._meter.too_wide)
        self._before = 0
        self._meter.lines = lambda: self._before
        quotes = dialect.quoting != "none"
        self._reader = csv.reader(
            self._lines,
            delimiter=dialect.delimiter,
            quotechar=dialect.quotechar if quotes else None,
            escapechar=dialect.escapechar,
            doublequote=dialect.doublequote,
            quoting=csv.QUOTE_MINIMAL if quotes else csv.QUOTE_NONE,
            strict=True,
        )
        self._quoted_null = f"{dialect.quotechar}{dialect.null_value}{dialect.quotechar}" if quotes else None
        self.names = self._header() if dialect.include_header else None
        self._width = len(self.names) if self.names is not None else width

    def _header(self) -> list[str]:
        try:
            names = next(self._reader)
        except StopIteration:
            raise StepError(
                "the file is empty: it has no header",
                fix="look at what made it; include_header: false if its files have none",
            ) from None
        except csv.Error as error:
            raise StepError(
                f"line 1: the header cannot be read: {error}", fix="check delimiter and quotechar"
            ) from None
        self.header = "".join(self._lines.record).removeprefix("\ufeff")
        return [name.strip("\ufeff") if index == 0 else name for index, name in enumerate(names)]

    def batches(self, size: int, on_reject: OnReject) -> Iterator[LoadBatch]:
        """Yield the records in batches; `on_reject` is called for records that are malformed or of another width."""
        null, lines, reader, meter = self._dialect.null_value, self._lines, self._reader, self._meter
        batch, most = LoadBatch(), meter.count + limits.MOST_BYTES
        while True:
            self._before, meter.mark = lines.count, meter.count
            first = lines.count + 1
            lines.begin()
            try:
                fields = next(reader)
            except StopIteration:
                break
            except csv.Error as error:
                reason = "a quote is opened and never closed" if lines.ended else str(error)
                on_reject(Reject(first, f"no record: {reason}", record="".join(lines.record).rstrip("\r\n")))
                continue
            if not fields:  # an empty line is a null if records have one field; otherwise it is ignored
                if self._width != 1:
                    continue
                fields = [""]
            if self._width is None:
                self._width = len(fields)
            if len(fields) != self._width:
                reason = f"has {len(fields)} fields, not {self._width}"
                on_reject(Reject(first, reason, record="".join(lines.record).rstrip("\r\n")))
                continue
            batch.rows.append(tuple(self._with_nulls(fields) if null in fields else fields))
            batch.numbers.append(first)
            if self.texts is not None:
                self.texts.append("".join(lines.record))
            if len(batch.rows) >= size or meter.count > most:
                yield batch
                batch, most = LoadBatch(), meter.count + limits.MOST_BYTES
        if batch.rows:
            yield batch

    def _with_nulls(self, fields: list[str]) -> list[str | None]:
        null = self._dialect.null_value
        raw = "".join(self._lines.record)
        if self._quoted_null is None or self._quoted_null not in raw:
            return [None if field == null else field for field in fields]
        # Python's reader does not tell which fields were quoted.
        quoted = _quoted_fields(raw, self._dialect)
        return [None if field == null and not marks else field for field, marks in zip(fields, quoted, strict=True)]


def _quoted_fields(record: str, dialect: CsvFormat) -> list[bool]:
    """For each field of one record, whether it was quoted."""
    found, inside, start = [False], False, True
    signs = iter(range(len(record)))
    for index in signs:
        sign = record[index]
        if dialect.escapechar and sign == dialect.escapechar:
            next(signs, None)
        elif inside:
            if sign == dialect.quotechar:
                if dialect.doublequote and record[index + 1 : index + 2] == dialect.quotechar:
                    next(signs, None)
                else:
                    inside = False
        elif sign == dialect.quotechar and start:
            inside = found[-1] = True
        elif sign == dialect.delimiter:
            found.append(False)
            start = True
            continue
        start = False
    return found
