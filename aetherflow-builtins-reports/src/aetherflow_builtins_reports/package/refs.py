"""Parses and writes cell references."""

import re
from functools import lru_cache
from typing import NamedTuple

MAX_ROW, MAX_COLUMN = 1_048_576, 16_384

_CELL = re.compile(r"\$?([A-Za-z]{1,3})\$?(\d{1,7})")
_SHEET = re.compile(r"(?:'((?:[^']|'')+)'|([^'!]+))!(.+)", re.DOTALL)


@lru_cache(maxsize=4096)
def letters(column: int) -> str:
    """1 -> A, 27 -> AA."""
    text = ""
    while column:
        column, rest = divmod(column - 1, 26)
        text = chr(65 + rest) + text
    return text


def number(column_letters: str) -> int:
    """A -> 1, AA -> 27."""
    value = 0
    for letter in column_letters.upper():
        value = value * 26 + ord(letter) - 64
    return value


def cell_name(row: int, column: int) -> str:
    """The name of a cell: row 5, column 1 is `A5`."""
    return f"{letters(column)}{row}"


def parse_cell(text: str) -> tuple[int, int] | None:
    """`$A$5` -> (5, 1), row and column; None if it is no cell of a sheet."""
    found = _CELL.fullmatch(text.strip())
    if found is None:
        return None
    row, column = int(found.group(2)), number(found.group(1))
    return (row, column) if 1 <= row <= MAX_ROW and 1 <= column <= MAX_COLUMN else None


def split_sheet(text: str) -> tuple[str | None, str]:
    """`'My Sheet'!A1` -> ('My Sheet', 'A1'); the sheet is None if none is named."""
    found = _SHEET.fullmatch(text.strip())
    if found is None:
        return None, text.strip()
    quoted, plain, rest = found.groups()
    return (quoted.replace("''", "'") if quoted is not None else plain), rest


def quoted(sheet: str) -> str:
    """A sheet name in quotes, for formulas and defined names."""
    return "'" + sheet.replace("'", "''") + "'"


class Area(NamedTuple):
    top: int
    left: int
    bottom: int
    right: int

    def __str__(self) -> str:
        first, last = cell_name(self.top, self.left), cell_name(self.bottom, self.right)
        return first if first == last else f"{first}:{last}"

    @property
    def absolute(self) -> str:
        """The area with absolute columns and rows: `$A$1:$C$5`."""
        return f"${letters(self.left)}${self.top}:${letters(self.right)}${self.bottom}"

    def meets(self, other: "Area") -> bool:
        """Whether the areas have a cell in common."""
        return (
            self.top <= other.bottom
            and other.top <= self.bottom
            and self.left <= other.right
            and other.left <= self.right
        )


def parse_area(text: str) -> Area | None:
    """`A1:C5` or `A1`, with or without `$`; whole columns `A:C` and rows `1:5` too. None if it is neither."""
    first, colon, last = text.strip().partition(":")
    if colon and not last:
        return None
    start, end = parse_cell(first), parse_cell(last or first)
    if start and end:
        rows, columns = sorted((start[0], end[0])), sorted((start[1], end[1]))
        return Area(rows[0], columns[0], rows[1], columns[1])
    plain_first, plain_last = first.replace("$", ""), last.replace("$", "")
    if plain_first.isascii() and plain_last.isascii():
        if plain_first.isalpha() and plain_last.isalpha() and max(len(plain_first), len(plain_last)) <= 3:
            columns = sorted((number(plain_first), number(plain_last)))
            return Area(1, columns[0], MAX_ROW, columns[1])
        if plain_first.isdigit() and plain_last.isdigit():
            rows = sorted((int(plain_first), int(plain_last)))
            return Area(rows[0], 1, rows[1], MAX_COLUMN)
    return None
