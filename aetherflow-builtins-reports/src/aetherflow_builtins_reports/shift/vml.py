"""Shifts comment boxes and form controls in VML, which is not always well-formed XML; hence regular expressions."""

import re

from aetherflow_builtins_reports.escaping import escape, unescape
from aetherflow_builtins_reports.shift.formulas import shift_formula
from aetherflow_builtins_reports.shift.moves import Moves, Shift, moved_end, moved_row

_CLIENT = re.compile(rb"<x:ClientData\b.*?</x:ClientData>", re.DOTALL)
_ROW = re.compile(rb"(<x:Row>\s*)(\d+)(?=\s*<)")
_ANCHOR = re.compile(rb"(<x:Anchor>)([\d\s,.-]+)(?=<)")
_FORMULA = re.compile(rb"(<x:Fmla(?:Link|Range|Group|Txbx|Pict)>)([^<]+)(?=<)")
_STAYS = {
    kind: re.compile(rb"<x:%sWithCells\s*(?:/>|>\s*(?:[Tt]rue|t)?\s*<)" % kind.encode()) for kind in ("Move", "Size")
}
"""The names mislead: Excel writes the element for objects that do NOT move, or do NOT change their size."""
_NUMBERS = 8
_TOP, _BOTTOM = 2, 6
"""Indexes of the rows among the numbers of an anchor."""


def shift_vml(data: bytes, own_sheet: str | None, shift: Shift, where: str) -> bytes:
    """A VML part after the insertions."""
    moves = shift.of(own_sheet) or Moves([])

    def client(found: re.Match[bytes]) -> bytes:
        text = _FORMULA.sub(lambda each: each[1] + _formula(each[2], own_sheet, shift, where), found.group())
        return _placed(text, moves) if moves else text

    return _CLIENT.sub(client, data)


def _formula(text: bytes, own_sheet: str | None, shift: Shift, where: str) -> bytes:
    plain = unescape(text.decode("utf-8"))
    moved = shift_formula(plain, own_sheet, shift, f"{where}, a control")
    return text if moved == plain else escape(moved).encode()


def _placed(text: bytes, moves: Moves) -> bytes:
    row = _ROW.search(text)
    if row is not None:  # a comment stays beside its cell
        old = int(row[2])
        new = moved_row(moves, old)
        text = _ROW.sub(rb"\g<1>%d" % new, text, count=1)
        return _ANCHOR.sub(lambda each: each[1] + _anchor(each[2], new - old, new - old), text)
    if _STAYS["Move"].search(text):
        return text
    sizes = not _STAYS["Size"].search(text)

    def moved(each: re.Match[bytes]) -> bytes:
        numbers = each[2].split(b",")
        if len(numbers) != _NUMBERS:
            return each.group()
        top, bottom = int(numbers[_TOP]), int(numbers[_BOTTOM])
        down = moved_row(moves, top) - top
        end = max(top + down, moved_end(moves, bottom, int(numbers[_BOTTOM + 1])))
        return each[1] + _anchor(each[2], down, end - bottom if sizes else down)

    return _ANCHOR.sub(moved, text)


def _anchor(text: bytes, top: int, bottom: int) -> bytes:
    numbers = text.split(b",")
    if len(numbers) != _NUMBERS or not (top or bottom):
        return text
    for place, by in ((_TOP, top), (_BOTTOM, bottom)):
        blank = numbers[place][: len(numbers[place]) - len(numbers[place].lstrip())]
        numbers[place] = blank + str(int(numbers[place]) + by).encode()
    return b",".join(numbers)
