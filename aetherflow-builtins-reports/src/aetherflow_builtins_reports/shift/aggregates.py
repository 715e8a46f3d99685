"""Finds single cells that a formula aggregates: `SUM(E5)` below one sample row means all rows inserted there."""

import re
from collections.abc import Sequence

from aetherflow_builtins_reports.shift.references import Piece

_EVERY = frozenset({
    "SUM", "SUBTOTAL", "AGGREGATE", "AVERAGE", "AVERAGEA", "COUNT", "COUNTA", "COUNTBLANK", "MIN", "MAX", "MINA",
    "MAXA", "PRODUCT", "MEDIAN", "MODE", "SUMSQ", "STDEV", "STDEVP", "STDEV.S", "STDEV.P", "VAR", "VARP", "VAR.S",
    "VAR.P", "TEXTJOIN", "CONCAT",
})  # fmt: skip
"""Functions that take a range in every argument."""
_FIRST = frozenset({"LARGE", "SMALL", "PERCENTILE", "QUARTILE"})
_EVEN = frozenset({"SUMIF", "AVERAGEIF", "COUNTIF", "COUNTIFS"})
"""Functions whose arguments alternate: range, criterion, range."""
_ODD = frozenset({"SUMIFS", "AVERAGEIFS", "MAXIFS", "MINIFS"})
"""Functions with the arguments range, range, criterion, range, criterion."""
_ELEMENTS = frozenset({"SUMPRODUCT"})
"""Functions that also evaluate expressions cell by cell."""
_STEP = re.compile(r'"(?:[^"]|"")*"|([A-Za-z_][A-Za-z0-9_.]*)?\(|\)|,')
_PREFIXES = re.compile(r"^(?:_XLFN\.|_XLWS\.)+")


def added_up(parts: Sequence[Piece]) -> set[int]:
    """Indexes of the parts of a formula that are single cells in the place of a range argument."""
    found: set[int] = set()
    functions = [("", 0)]
    """Open function calls, with the index of the current argument."""
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
    """Whether a function takes a range as its argument with this index, from 0."""
    if function in _ODD:
        return argument == 0 or argument % 2 == 1
    return function in _EVERY or (function in _FIRST and argument == 0) or (function in _EVEN and argument % 2 == 0)


def _alone(parts: Sequence[Piece], index: int) -> bool:
    """Whether a part is a complete argument."""
    before = parts[index - 1] if index else ""
    behind = parts[index + 1] if index + 1 < len(parts) else ""
    if not isinstance(before, str) or not isinstance(behind, str):
        return False
    return before.rstrip().endswith(("(", ",")) and behind.lstrip().startswith((")", ","))
