"""Readers of JSON Lines and Parquet."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from decimal import Decimal, InvalidOperation
from itertools import chain
from typing import Any

from aetherflow.core.api import ColumnType, LoadBatch, StepError
from aetherflow_builtins_db.columns import MAX_DECIMAL_DIGITS, STRING, UNKNOWN
from aetherflow_builtins_db.formats.parquet import require_pyarrow
from aetherflow_builtins_db.formats.values import short_value
from aetherflow_builtins_db.loading import meter as limits
from aetherflow_builtins_db.loading.batch import OnReject, Reject
from aetherflow_builtins_db.loading.parquet_batches import ParquetBatches

_LOOK_AHEAD = 1000
"""Lines that are examined for column names: a key may be missing where its value is null. Fewer if they are long."""
_MOST_DIGITS = 4300
"""Of a number that is written out; Python reads no whole number of more."""


class JsonLinesReader:
    """Reads one JSON object per line. A missing key is null; a key that the first 1,000 lines lack rejects the row."""

    unit = "line"
    texts: list[str] | None = None
    """If a list: gets the text of each record of a batch, with its line end."""
    header = ""

    def __init__(self, lines: Iterable[str], keys: list[str] | None = None, meter: limits.Meter | None = None) -> None:
        self._meter = meter = meter or limits.Meter()
        numbered = ((number, line) for number, line in enumerate(lines, 1) if line.strip("\ufeff \t\r\n"))
        head: list[tuple[int, str]] = []
        meter.lines = lambda: head[-1][0] if head else 0
        seen: dict[str, None] = dict.fromkeys(keys or [])
        for number, line in numbered:
            meter.mark = meter.count
            head.append((number, line))
            parsed = _object(line)
            if keys is None and isinstance(parsed, dict):
                seen.update(dict.fromkeys(parsed))
            if len(head) == _LOOK_AHEAD or meter.count > limits.MOST_BYTES:
                break
        self.names = list(seen)
        self._only_these = keys is not None
        self._lines = chain(head, numbered)

    def batches(self, size: int, on_reject: OnReject) -> Iterator[LoadBatch]:
        names, known = self.names, frozenset(self.names)
        meter, number = self._meter, 0
        meter.lines = lambda: number
        batch, most = LoadBatch(), meter.count + limits.MOST_BYTES
        for number, line in self._lines:
            meter.mark = meter.count
            parsed = _object(line)
            text = line.rstrip("\r\n")
            if not isinstance(parsed, dict):
                on_reject(Reject(number, parsed, record=text))
                continue
            if not self._only_these and (strange := [key for key in parsed if key not in known]):
                reason = f"the key is new here; no line of the first {_LOOK_AHEAD} has it"
                on_reject(Reject(number, reason, column=strange[0], record=text))
                continue
            batch.rows.append(tuple(map(parsed.get, names)))
            batch.numbers.append(number)
            if self.texts is not None:
                self.texts.append(line.removeprefix("\ufeff"))
            if len(batch.rows) >= size or meter.count > most:
                yield batch
                batch, most = LoadBatch(), meter.count + limits.MOST_BYTES
        if batch.rows:
            yield batch


def every_key_of(lines: Iterable[str], meter: limits.Meter) -> list[str]:
    """The keys of all objects, in the order in which they first occur."""
    seen: dict[str, None] = {}
    for line in lines:
        meter.mark = meter.count
        if isinstance(parsed := _object(line), dict):
            seen.update(dict.fromkeys(parsed))
    return list(seen)


def _object(line: str) -> dict[str, Any] | str:
    """The object of a line, or a text that says what is wrong with the line."""
    try:
        parsed = json.loads(line.strip("\ufeff"), parse_float=_decimal)
    except ValueError as error:
        return f"no JSON: {error}"
    except RecursionError:
        return "no JSON: it is nested too deeply"
    return parsed if isinstance(parsed, dict) else "no JSON object"


def _decimal(text: str) -> Decimal:
    """The number; ValueError if it has too many digits: 1e999999999 as text would take a gigabyte."""
    try:
        number = Decimal(text)
    except InvalidOperation:
        number = None
    if number is None or abs(number.adjusted()) > _MOST_DIGITS:
        raise ValueError(f"the number {short_value(text)} has more than {_MOST_DIGITS} digits")
    return number


class ParquetReader(ParquetBatches):
    """Reads the rows of a Parquet file."""

    unit = "row"

    def __init__(self, path: str, decoded: Callable[[int | None], None]) -> None:
        require_pyarrow()  # takes a while, as the start of who decodes
        decoded(0)
        super().__init__(path)
        self._decoded = decoded

    @property
    def types(self) -> dict[str, ColumnType]:
        """By column; UNKNOWN for nanoseconds, of which only the values tell whether they fit microseconds."""
        return {field.name: _type_of(field.type) for field in self.schema}

    def record_batches(self, size: int, columns: Sequence[str] | None = None) -> Iterator[Any]:
        """As of ParquetBatches; each is waited for until others have decoded it, see `SourceFile.decoded`."""
        batches, rows = super().record_batches(size, columns), 0
        while True:
            self._decoded(rows + size)
            if (batch := next(batches, None)) is None:
                return
            yield batch
            rows += batch.num_rows

    def batches(self, size: int, on_reject: OnReject) -> Iterator[LoadBatch]:
        """Yield the rows in batches; no row is ever rejected here."""
        del on_reject
        number = 1
        for record_batch in self.record_batches(size):
            cells = [
                _cells(name, column, number) for name, column in zip(self.names, record_batch.columns, strict=True)
            ]
            rows = list(zip(*cells, strict=True))
            yield LoadBatch(rows, list(range(number, number + len(rows))))
            number += len(rows)


def _cells(name: str, column: Any, number: int) -> list[Any]:
    """The values of an Arrow column whose first row is `number`; StepError for a time that Python has none for."""
    try:
        cells: list[Any] = column.to_pylist()
    except (ValueError, OverflowError):
        for row, value in enumerate(column, number):
            try:
                value.as_py()
            except (ValueError, OverflowError) as error:
                raise StepError(
                    f"row {row}, column {name!r}: the value has nanoseconds, or a year that is not one of 1 to 9999",
                    fix="cut the times to microseconds where the file is made",
                ) from error
        raise
    return cells


def _type_of(kind: Any) -> ColumnType:
    types = require_pyarrow().types
    if types.is_dictionary(kind):
        return _type_of(kind.value_type)
    if types.is_decimal(kind):
        fits = kind.precision <= MAX_DECIMAL_DIGITS and 0 <= kind.scale <= kind.precision
        return ColumnType("decimal", kind.precision, kind.scale) if fits else UNKNOWN
    if types.is_timestamp(kind):
        return UNKNOWN if kind.unit == "ns" else ColumnType("datetime", zoned=kind.tz is not None)
    if types.is_time64(kind) and kind.unit == "ns":
        return UNKNOWN
    return next((found for name, found in _ARROW if getattr(types, name)(kind)), STRING)


_ARROW = (
    ("is_boolean", ColumnType("bool")),
    ("is_uint64", ColumnType("decimal", 20, 0)),
    ("is_integer", ColumnType("int")),
    ("is_floating", ColumnType("float")),
    ("is_date", ColumnType("date")),
    ("is_time", ColumnType("time")),
    ("is_binary", ColumnType("bytes")),
    ("is_large_binary", ColumnType("bytes")),
    ("is_fixed_size_binary", ColumnType("bytes")),
)
"""By the name of Arrow's test, the first that holds; all others are text, of lists and maps their JSON."""
