"""Converts fields of a file to the types of a table's columns, and rejects rows that do not fit."""

import base64
import binascii
import datetime
import re
from collections.abc import Callable, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

from aetherflow.core.api import ColumnType, LoadBatch, Row, TableColumn
from aetherflow_builtins_db.columns import INT_MAX, INT_MIN
from aetherflow_builtins_db.formats.coerce import EXACT, coerce
from aetherflow_builtins_db.formats.values import short_value, text_value
from aetherflow_builtins_db.loading.batch import OnReject, Reject

Convert = Callable[[Any], Any]

_INSTANT, _LOCAL = ColumnType("datetime", zoned=True), ColumnType("datetime")
_FLAG = "tinyint(1)"
"""How MySQL and MariaDB declare a boolean, which they tell as an int."""
_WORDS = {"true": 1, "false": 0}
_MICRO_DIGITS = 6
_DATE = re.compile(r"^\s*\d{8}|\d([-/.])\d+\1\d")
_SECOND_FRACTION = re.compile(r":\d+[.,](\d+)|^[^.,:]*[.,](\d+)\s*$")
_NUMBERS = frozenset({"int", "float", "decimal"})
_TEXT = frozenset({str, type(None)})
_DIRECT = frozenset({"unknown", "string"})


def converter(wanted: ColumnType) -> Convert:
    """The function that converts a field to the type; the function raises ValueError with the reason."""
    if wanted.kind in _DIRECT:
        return _as_string if wanted.kind == "string" else _as_text
    if wanted.kind == "bytes":
        return _as_bytes
    if wanted.kind in _NUMBERS:
        return lambda value: coerce(_number(value), wanted)
    if wanted.kind == "datetime" and wanted.zoned:
        return _as_instant
    return lambda value: coerce(value, wanted)


def _converter_of(column: TableColumn) -> Convert:
    """Like `converter`, but also refuses more digits of a second than the column keeps."""
    convert, digits = converter(column.type), column.second_digits
    if column.declared == _FLAG:
        return lambda value: convert(_WORDS.get(value.lower(), value) if isinstance(value, str) else value)
    if digits is None:
        return convert
    reason = f"has more digits behind the second than a {column.declared} keeps"
    if column.type.kind in _DIRECT:
        of_day = not column.declared.upper().startswith(("DATETIME", "TIMESTAMP"))

        def exact_text(value: Any) -> Any:
            text = text_value(value)
            if of_day and _DATE.search(text):
                raise ValueError(f"has a date, which a {column.declared} does not keep")
            if (found := _SECOND_FRACTION.search(text)) and len(found[found.lastindex or 0].rstrip("0")) > digits:
                raise ValueError(reason)
            return convert(value)

        return exact_text
    step = 10 ** max(_MICRO_DIGITS - digits, 0)

    def exact(value: Any) -> Any:
        moment = convert(value)
        if moment.microsecond % step:
            raise ValueError(reason)
        return moment

    return exact


def _as_instant(value: Any) -> datetime.datetime:
    """An instant; a time without a zone is UTC, the time zone of the sessions."""
    try:
        instant: datetime.datetime = coerce(value, _INSTANT)
    except ValueError:
        instant = coerce(value, _LOCAL).replace(tzinfo=datetime.UTC)
    return instant


def _as_text(value: Any) -> Any:
    """Lists and maps become JSON text; other values stay, as drivers accept them."""
    return text_value(value) if isinstance(value, dict | list | tuple | set | frozenset) else value


def _as_string(value: Any) -> Any:
    """Numbers and booleans become their text, which not every driver would make; dates and times stay."""
    return text_value(value) if isinstance(value, int | float | Decimal) else _as_text(value)


def _as_bytes(value: Any) -> Any:
    if not isinstance(value, str):
        return coerce(value, ColumnType("bytes"))
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError("is no base64, which is how files hold bytes") from error


def _number(value: Any) -> Any:
    # Python's int() accepts 1_000 and ١٢; databases do not.
    if isinstance(value, str) and ("_" in value or not value.isascii()):
        raise ValueError("is no number")
    return value


def _all_int(cells: list[Any]) -> list[int | None]:
    """Convert many texts to 64-bit integers at once, for speed; ValueError if any is no such integer."""
    _number("".join([cell for cell in cells if cell is not None]))
    numbers = [None if cell is None else int(cell) for cell in cells]
    known = [number for number in numbers if number is not None]
    if known and not INT_MIN <= min(known) <= max(known) <= INT_MAX:
        raise ValueError("does not fit 64 bits")
    return numbers


def _all_decimal(cells: list[Any], wanted: ColumnType) -> list[Decimal | None]:
    """Convert many texts to decimals at once, for speed; ValueError if any does not fit."""
    texts = [cell for cell in cells if cell is not None]
    _number("".join(texts))
    unit, limit = Decimal(1).scaleb(-wanted.scale), Decimal(1).scaleb(wanted.precision - wanted.scale)
    try:
        numbers = list(map(Decimal, texts))
        shaped = [number.quantize(unit, None, EXACT) for number in numbers]
        if shaped != numbers or (shaped and not -limit < min(shaped) <= max(shaped) < limit):
            raise ValueError(f"does not fit {wanted}")
    except InvalidOperation as error:
        raise ValueError("is no decimal number") from error
    following = iter(shaped)
    return [None if cell is None else next(following) for cell in cells]


class Converter:
    """Converts batches column by column; only after an error row by row, to find the rows to reject."""

    def __init__(self, columns: Sequence[TableColumn]) -> None:
        self._columns = columns
        self._converts = [_converter_of(column) for column in columns]

    def __call__(self, batch: LoadBatch, on_reject: OnReject) -> LoadBatch:
        """The converted rows; `on_reject` is called for each row that does not fit."""
        if not batch.rows:
            return batch
        try:
            cells = [self._whole(index, list(cells)) for index, cells in enumerate(zip(*batch.rows, strict=True))]
        except ValueError:
            return self._one_by_one(batch, on_reject)
        return LoadBatch(list(zip(*cells, strict=True)), batch.numbers)

    def _whole(self, index: int, cells: list[Any]) -> list[Any]:
        convert = self._converts[index]
        column = self._columns[index]
        if not column.nullable and None in cells:
            raise ValueError
        if set(map(type, cells)) <= _TEXT:
            if convert in {_as_text, _as_string}:
                return cells
            if column.type.kind == "int" and column.declared != _FLAG:
                return _all_int(cells)
            if column.type.kind == "decimal":
                return _all_decimal(cells, column.type)
            if 2 * len(distinct := set(cells)) <= len(cells):  # equal texts are one value
                values = {cell: None if cell is None else convert(cell) for cell in distinct}
                return [values[cell] for cell in cells]
        return [None if cell is None else convert(cell) for cell in cells]

    def _one_by_one(self, batch: LoadBatch, on_reject: OnReject) -> LoadBatch:
        good = LoadBatch()
        for row, number in zip(batch.rows, batch.numbers, strict=True):
            if (values := self._row(row, number, on_reject)) is not None:
                good.rows.append(values)
                good.numbers.append(number)
        return good

    def _row(self, row: Row, number: int, on_reject: OnReject) -> Row | None:
        values = []
        for column, convert, cell in zip(self._columns, self._converts, row, strict=True):
            try:
                if cell is None and not column.nullable:
                    raise ValueError("is null, but the column is NOT NULL")
                values.append(None if cell is None else convert(cell))
            except ValueError as error:
                shown = "the value" if cell is None else f"the value {short_value(cell)}"
                on_reject(Reject(number, f"{shown} {error}", column.name, row))
                return None
        return tuple(values)
