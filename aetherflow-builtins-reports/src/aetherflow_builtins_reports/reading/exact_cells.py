"""Cells of .xlsx and .xlsm that the reading library gives less exactly: times to microseconds, and error values."""

import datetime
import re
from collections.abc import Iterator
from itertools import zip_longest
from mmap import mmap
from typing import Any

from aetherflow_builtins_reports.cells.dates import EPOCH_1900, EPOCH_1904
from aetherflow_builtins_reports.package.refs import cell_name, letters, parse_cell
from aetherflow_builtins_reports.reading.unpacked import UnpackedSheet

_DAY_US = 86_400_000_000
_PIECE = 4 << 20
_ALL_DIGITS = 17
"""With fewer digits a number is a rounded one: the roundest time is taken that it can mean."""
_DAY_MS = 86_400_000.0
_NEAR_DAYS, _NEAR_DECIMALS, _NEAR_US, _SAME_US = 100_000, 10, 10, 0.5
_USUAL_DAYS, _USUAL_LENGTH = (9_999, 100_000), 16
"""Days of five digits. A number of one of them with so many characters has at least ten decimals."""
_FROM_MILLISECOND = [datetime.timedelta(microseconds=each - 1000 * (each > 500)) for each in range(1000)]
"""The distance of a time from the next millisecond, by its last three digits."""
_FROM_1900 = 61
_PART_ROWS = 4096
_TIMES = frozenset({datetime.datetime, datetime.time, datetime.timedelta})
_CELL = re.compile(rb"<(?:[\w.-]+:)?(?:c|row)\b((?:[^<>\"']|\"[^\"]*\"|'[^']*')*)>")
_REF, _KIND = (re.compile(rb"""\b%s\s*=\s*["']([^"']*)["']""" % name) for name in (rb"r", rb"t"))
_VALUE = re.compile(rb"<(?:[\w.-]+:)?v[^>]*>([^<]*)<")


class ErrorCell(str):
    """The text of an error value, `#DIV/0!`, and its cell."""

    __slots__ = ("cell",)
    cell: str


def make_exact(sheet: UnpackedSheet, rows: list[list[Any]]) -> bool:
    """Put the times of a sheet into `rows`, which begin at A1, to microseconds, and an ErrorCell for each error.

    Returns whether there are error cells.
    """
    columns, has_blanks = _columns(rows)
    epoch = datetime.datetime.combine(EPOCH_1904 if sheet.date1904 else EPOCH_1900, datetime.time())
    has_errors = has_blanks and _errors(sheet.content, sheet.start, sheet.end, rows)
    for start, end in _pieces(sheet) if columns else ():
        for column in columns:
            for found in _found(sheet.content, start, end, column):
                _put_times(found, rows, column, epoch)
    return has_errors


def _columns(rows: list[list[Any]]) -> tuple[set[int], bool]:
    """The columns with times, and whether there are blank cells: the library gives error cells as such."""
    columns, has_blanks = set[int](), False
    for start in range(0, len(rows), _PART_ROWS):
        for index, cells in enumerate(zip_longest(*rows[start : start + _PART_ROWS])):
            types = set(map(type, cells))
            if not types.isdisjoint(_TIMES):
                columns.add(index)
            has_blanks = has_blanks or (str in types and "" in cells)
    return columns, has_blanks


def _pieces(sheet: UnpackedSheet) -> Iterator[tuple[int, int]]:
    """Start and end of pieces of the part that end with a row."""
    start, end = sheet.start, sheet.end
    while end - start > _PIECE and (row := sheet.content.rfind(b"row>", start, start + _PIECE)) > start:
        yield start, row + 4
        start = row + 4
    yield start, end


def _errors(sheet: mmap, start: int, end: int, rows: list[list[Any]]) -> bool:
    if sheet.find(b't="e"', start, end) < 0 and sheet.find(b"t='e'", start, end) < 0:
        return False
    for row, column, attributes, tag_end in _cells(sheet, start, end):
        kind = _KIND.search(attributes)
        if kind is None or kind[1] != b"e" or row > len(rows):
            continue
        value = _VALUE.search(sheet, tag_end, end)
        error = ErrorCell(value[1].decode(errors="replace") if value else "#N/A")
        error.cell = cell_name(row, column)
        cells = rows[row - 1]
        cells += [""] * (column - len(cells))
        cells[column - 1] = error
    return True


def _found(content: mmap, start: int, end: int, column: int) -> Iterator[list[tuple[bytes, bytes]]]:
    """Rows and numbers of the cells of a column that have decimals."""
    for quote in (b'"', b"'") if content.find(b" r='", start, end) >= 0 else (b'"',):
        # begins with what few other places have, so that the search goes through the rest in one stride
        pattern = re.compile(
            rb" r=%s%s(\d+)%s[^<>]*>(?:<(?:[\w.-]+:)?f\b[^<>]*(?:/>|>[^<]*</[^<>]*>))?"
            rb"<(?:[\w.-]+:)?v>(-?\d*\.\d+(?:[eE][+-]?\d\d?)?)<" % (quote, letters(column + 1).encode(), quote)
        )
        yield pattern.findall(content, start, end)


def _put_times(found: list[tuple[bytes, bytes]], rows: list[list[Any]], column: int, epoch: datetime.datetime) -> None:
    """Put the times of a column, given as row and number, to microseconds."""
    low, high = _USUAL_DAYS
    for row, text in found:
        number = float(text)
        micros = number % 1 * _DAY_US
        rest = micros % 1000
        # ten decimals or more, and no exponent
        is_usual = low < number < high and len(text) >= _USUAL_LENGTH and text[-4:].isdigit()
        if (
            (rest < _SAME_US or rest > 1000 - _SAME_US)
            and (is_usual or (micros + _SAME_US) % 1e6 < 2 * _SAME_US)
            and micros < _DAY_US - _SAME_US
        ):
            continue  # a whole millisecond, or second: the library gives it exactly
        index = int(row) - 1
        if index >= len(rows) or column >= len(rows[index]):
            continue
        cells = rows[index]
        value = cells[column]
        kind = type(value)
        if (
            is_usual
            and kind is datetime.datetime
            and (_NEAR_US < rest < 500 - _NEAR_US or 500 + _NEAR_US < rest < 1000 - _NEAR_US)
        ):
            cells[column] = value + _FROM_MILLISECOND[round(rest)]
        elif kind in _TIMES and not _is_millisecond(text, number):
            cells[column] = _exact(value, text, number, epoch)


def _is_millisecond(text: bytes, number: float) -> bool:
    """Whether a number with many decimals is a whole millisecond that was rounded to as many."""
    decimals = len(text) - text.find(b".") - 1
    return decimals >= _NEAR_DECIMALS and round(round(number * _DAY_MS) / _DAY_MS, decimals) == number


def _exact(value: Any, text: bytes, number: float, epoch: datetime.datetime) -> Any:
    """The time that a number means; `value` is what the library makes of it."""
    try:
        day = int(number // 1)
        micros = (number - day) * _DAY_US
        decimals = text[text.find(b".") + 1 :]
        # such a day and ten decimals give a time to 6 microseconds: the roundest one would be as near
        is_exact = day < _NEAR_DAYS and len(decimals) >= _NEAR_DECIMALS and decimals.isdigit()
        if not (is_exact and _NEAR_US < micros % 1000 < 1000 - _NEAR_US):
            micros = _roundest(text, day, micros)
        if type(value) is datetime.timedelta:
            return datetime.timedelta(day, 0, round(micros))
        time = min(round(micros), _DAY_US - 1)
        if type(value) is datetime.time:
            return (epoch + datetime.timedelta(0, 0, time)).time() if day == 0 else value
        if day < _FROM_1900 and epoch.date() == EPOCH_1900:
            return value
        return epoch + datetime.timedelta(day, 0, time)
    except OverflowError:
        return value


def _roundest(text: bytes, day: int, micros: float) -> float:
    """The roundest time of day whose number has this text when it is rounded to as many decimals; else `micros`."""
    number, whole = float(text), text.lower()
    given = len(whole.replace(b".", b"").lstrip(b"-0"))
    decimals = len(whole) - whole.find(b".") - 1 if given < _ALL_DIGITS and b"e" not in whole else _ALL_DIGITS
    rounded = (round(micros / step) * step for step in (1e6, 1e3))
    return next((each for each in rounded if round(day + each / _DAY_US, decimals) == number), micros)


def _cells(sheet: mmap, start: int, end: int) -> Iterator[tuple[int, int, bytes, int]]:
    """Row, column, attributes and end of the start tag of each cell; cells without a reference follow the last one."""
    row = column = 0
    for found in _CELL.finditer(sheet, start, end):
        attributes = found[1]
        ref = _REF.search(attributes)
        if found[0].split(b" ", 1)[0].rstrip(b">/").endswith(b"row"):
            row, column = int(ref[1]) if ref and ref[1].isdigit() else row + 1, 0
            continue
        place = parse_cell(ref[1].decode(errors="replace")) if ref else None
        row, column = place or (row, column + 1)
        yield row, column, attributes, found.end()
