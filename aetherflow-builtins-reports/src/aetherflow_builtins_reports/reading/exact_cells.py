"""Cells of .xlsx and .xlsm that the reading library gives less exactly: times to microseconds, and error values."""

import datetime
import re
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any

from aetherflow_builtins_reports.cells.dates import EPOCH_1900, EPOCH_1904
from aetherflow_builtins_reports.errors import WorkbookError
from aetherflow_builtins_reports.package.archive import Archive
from aetherflow_builtins_reports.package.refs import cell_name, letters, parse_cell
from aetherflow_builtins_reports.package.workbook import Workbook

_DAY_US = 86_400_000_000
_PIECE = 1 << 20
_ALL_DIGITS = 17
"""With fewer digits a number is a rounded one: the roundest time is taken that it can mean."""
_DAY_MS, _NEAR_MS = 86_400_000.0, 0.0005
_NEAR_DAYS, _NEAR_DECIMALS, _NEAR_US = 100_000, 10, 10
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


def make_exact(path: Path, sheet: str, rows: list[list[Any]]) -> bool:
    """Put the times of a sheet into `rows`, which begin at A1, to microseconds, and an ErrorCell for each error.

    False if the file is of another format, whose errors are not known; nothing is changed then.
    """
    columns, has_blanks = _columns(rows)
    with Archive(path) as archive:
        try:
            book = Workbook(archive)
            part = book.sheet(sheet).part
        except WorkbookError:
            return False
        for piece in _pieces(archive.stream(part)) if columns or has_blanks else ():
            if has_blanks:
                _errors(piece, rows)
            if columns:
                _times(piece, rows, columns, date1904=book.date1904)
    return True


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


def _pieces(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """The part in pieces that end with a row."""
    held = bytearray()
    for block in blocks:
        held += block
        if len(held) >= _PIECE and (end := held.rfind(b"row>") + 4) > 4:
            yield bytes(held[:end])
            del held[:end]
    yield bytes(held)


def _errors(piece: bytes, rows: list[list[Any]]) -> None:
    if b't="e"' not in piece and b"t='e'" not in piece:
        return
    for row, column, attributes, end in _cells(piece):
        kind = _KIND.search(attributes)
        if kind is None or kind[1] != b"e" or row > len(rows):
            continue
        value = _VALUE.search(piece, end)
        error = ErrorCell(value[1].decode(errors="replace") if value else "#N/A")
        error.cell = cell_name(row, column)
        cells = rows[row - 1]
        cells += [""] * (column - len(cells))
        cells[column - 1] = error


def _times(piece: bytes, rows: list[list[Any]], columns: set[int], *, date1904: bool) -> None:
    if b" r='" in piece:
        piece = piece.replace(b" r='", b' r="')
    epoch = datetime.datetime.combine(EPOCH_1904 if date1904 else EPOCH_1900, datetime.time())
    for column in columns:
        # begins with what few other places have, so that the search goes through the rest in one stride
        pattern = re.compile(
            rb' r="%s(\d+)["\'][^<>]*>(?:<(?:[\w.-]+:)?f\b[^<>]*(?:/>|>[^<]*</[^<>]*>))?<(?:[\w.-]+:)?v>(-?\d*\.[^<]*)<'
            % letters(column + 1).encode()
        )
        for number, text in _inexact(pattern.findall(piece)):
            row = int(number) - 1
            if row < len(rows) and column < len(rows[row]) and type(value := rows[row][column]) in _TIMES:
                rows[row][column] = _exact(value, text, epoch)


def _inexact(found: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """The times that are no whole millisecond, or just before midnight; the library gives the others exactly."""
    try:
        numbers = [float(text) for _, text in found]
    except ValueError:
        return found
    return [
        each
        for each, number in zip(found, numbers, strict=True)
        if (_NEAR_MS < (time := number * _DAY_MS) % 1000 < 1000 - _NEAR_MS and not _is_millisecond(each[1], number))
        or time % _DAY_MS > _DAY_MS - _NEAR_MS
    ]


def _is_millisecond(text: bytes, number: float) -> bool:
    """Whether a number with many decimals is a whole millisecond that was rounded to as many."""
    decimals = len(text) - text.find(b".") - 1
    return decimals >= _NEAR_DECIMALS and round(round(number * _DAY_MS) / _DAY_MS, decimals) == number


def _exact(value: Any, text: bytes, epoch: datetime.datetime) -> Any:
    """The time that a number means; `value` is what the library makes of it."""
    try:
        number = float(text)
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
    except (ValueError, OverflowError):
        return value


def _roundest(text: bytes, day: int, micros: float) -> float:
    """The roundest time of day whose number has this text when it is rounded to as many decimals; else `micros`."""
    number, whole = float(text), text.lower()
    given = len(whole.replace(b".", b"").lstrip(b"-0"))
    decimals = len(whole) - whole.find(b".") - 1 if given < _ALL_DIGITS and b"e" not in whole else _ALL_DIGITS
    rounded = (round(micros / step) * step for step in (1e6, 1e3))
    return next((each for each in rounded if round(day + each / _DAY_US, decimals) == number), micros)


def _cells(piece: bytes) -> Iterator[tuple[int, int, bytes, int]]:
    """Row, column, attributes and end of the start tag of each cell; cells without a reference follow the last one."""
    row = column = 0
    for found in _CELL.finditer(piece):
        attributes = found[1]
        ref = _REF.search(attributes)
        if found[0].split(b" ", 1)[0].rstrip(b">/").endswith(b"row"):
            row, column = int(ref[1]) if ref and ref[1].isdigit() else row + 1, 0
            continue
        place = parse_cell(ref[1].decode(errors="replace")) if ref else None
        row, column = place or (row, column + 1)
        yield row, column, attributes, found.end()
