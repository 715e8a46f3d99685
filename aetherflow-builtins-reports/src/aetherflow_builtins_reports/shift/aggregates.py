"""Single cells that a formula adds up. `SUM(E5)` below one row of samples means all rows that will stand there."""

import re
from collections.abc import Sequence

from aetherflow_builtins_reports.shift.references import Piece

_EVERY = frozenset({
    "SUM", "SUBTOTAL", "AGGREGATE", "AVERAGE", "AVERAGEA", "COUNT", "COUNTA", "COUNTBLANK", "MIN", "MAX", "MINA",
    "MAXA", "PRODUCT", "MEDIAN", "MODE", "SUMSQ", "STDEV", "STDEVP", "STDEV.S", "STDEV.P", "VAR", "VARP", "VAR.S",
    "VAR.P", "TEXTJOIN", "CONCAT",
})  # fmt: skip
"""Functions for which a cell is a range of one cell in whatever place."""
_FIRST = frozenset({"LARGE", "SMALL", "PERCENTILE", "QUARTILE"})
_EVEN = frozenset({"SUMIF", "AVERAGEIF", "COUNTIF", "COUNTIFS"})
"""Arguments in turn: range, criterion, range."""
_ODD = frozenset({"SUMIFS", "AVERAGEIFS", "MAXIFS", "MINIFS"})
"""Range, range, criterion, range, criterion."""
_ELEMENTS = frozenset({"SUMPRODUCT"})
"""Functions that go through the cells of expressions, too."""
_STEP = re.compile(r'"(?:[^"]|"")*"|([A-Za-z_][A-Za-z0-9_.]*)?\(|\)|,')
_PREFIXES = re.compile(r"^(?:_XLFN\.|_XLWS\.)+")


def added_up(parts: Sequence[Piece]) -> set[int]:
    """Which of the parts of a formula are single cells that are added up, counted or compared as a range."""
    found: set[int] = set()
    functions = [("", 0)]
    """Those that are open, and the number of the argument that is read."""
    for index, part in enumerate(parts):
        if not isinstance(part, str):
            inside = next((name for name, _ in reversed(functions) if name), "")
            if part.last is None and (inside in _ELEMENTS or (_takes_ranges(*functions[-1]) and _alone(parts, index))):
                found.add(index)
            continue
        for step in _STEP.finditer(part):
            if step.group().endswith("("):
                functions.append((_PREFIXES.sub("", (step.group(1) or "").upper()), 0))
            elif step.group() == ")" and len(functions) > 1:
                functions.pop()
            elif step.group() == ",":
                name, argument = functions[-1]
                functions[-1] = (name, argument + 1)
    return found


def _takes_ranges(function: str, argument: int) -> bool:
    """Whether a function takes a range in a place, counted from 0."""
    if function in _ODD:
        return argument == 0 or argument % 2 == 1
    return function in _EVERY or (function in _FIRST and argument == 0) or (function in _EVEN and argument % 2 == 0)


def _alone(parts: Sequence[Piece], index: int) -> bool:
    """Whether a part is a whole argument."""
    before = parts[index - 1] if index else ""
    behind = parts[index + 1] if index + 1 < len(parts) else ""
    if not isinstance(before, str) or not isinstance(behind, str):
        return False
    return before.rstrip().endswith(("(", ",")) and behind.lstrip().startswith((")", ","))
