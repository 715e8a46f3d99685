"""Encodes whole columns of a chunk with regular expressions and `map`; one irregular value sends a column to Caster."""

import datetime
import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

from aetherflow_builtins_reports.cells.casting import (
    FALSE,
    MISSING_VALUE,
    SWAPPED_SIGNS,
    TRUE,
    Caster,
    Conventions,
    Dtype,
    Formula,
)
from aetherflow_builtins_reports.cells.dates import Irregular
from aetherflow_builtins_reports.cells.rules import MAX_DIGITS, Rule
from aetherflow_builtins_reports.cells.texts import plain_texts
from aetherflow_builtins_reports.escaping import escape

_INT = r"-?(?:0|[1-9][0-9]{0,14})"
_NUMBER = r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,2})?"
_INTS, _NUMBERS = (re.compile(rf"(?:{each}\n)*+{each}") for each in (_INT, _NUMBER))
_NUMBER_LENGTH = 17
"""Longer texts may have more digits than a double holds."""
_NOT_TEXT = re.compile(r"(?:^|\n)\s*(?:[-+.0-9]|true\s*(?:\n|$)|false\s*(?:\n|$))", re.IGNORECASE)
_BOOLS = dict.fromkeys(TRUE, "1") | dict.fromkeys(FALSE, "0")
_INT_LIMIT = 10**MAX_DIGITS
_FEW_TEXTS = 2000
_BLANK_TYPES = frozenset({type(None), type(MISSING_VALUE)})
TextReader: TypeAlias = Callable[[Sequence[str]], tuple[str, Sequence[str]] | None]


class Column(NamedTuple):
    """The cells of one column of a chunk."""

    kind: str
    """The kind of all cells that are not blank; empty if `kinds` gives them one by one."""
    contents: Sequence[str | None]
    """The content of each cell; None for a blank one."""
    kinds: Sequence[str] = ()
    """The kind of each cell, if `kind` is empty."""
    whole: bool = True
    """Whether no cell is blank."""

    def cell(self, index: int) -> tuple[str, str]:
        """Kind and content of one cell."""
        content = self.contents[index]
        if self.kinds:
            return self.kinds[index], content or ""
        return (self.kind, content) if content is not None else ("", "")


class ColumnEncoder:
    """Encodes the chunks of one column; keeps a memo of texts from one chunk to the next."""

    def __init__(self, dtype: Dtype, conventions: Conventions, counter: "Counter[Rule]") -> None:
        self._caster = Caster(dtype, conventions, counter)
        self._texts: TextReader = {
            "int": _ints,
            "float": _floats,
            "bool": _bools,
            "date": self._dates,
            "datetime": self._datetimes,
            "basic": _basics,
            "basic comma": _with_commas(_basics),
            "float comma": _with_commas(_floats),
        }.get(dtype, self._plain)
        self._known: dict[str, str] | None = {}
        """Memo of texts and their contents, as most columns repeat a few texts; None once there are too many."""

    def encode(self, values: Sequence[Any]) -> Column:
        """The cells of one chunk."""
        types = set(map(type, values))
        if types == {str}:
            blanks = "" in values
            known = list(filter(None, values)) if blanks else values
        else:
            blanks = not types.isdisjoint(_BLANK_TYPES) or (str in types and "" in values)
            if type(MISSING_VALUE) in types:
                return self._one_by_one(values)
            known = [value for value in values if value is not None and value != ""] if blanks else values
            types -= _BLANK_TYPES
        if not known:
            return Column("t", [None] * len(values), whole=False)
        found = self._quick(known, types)
        if found is None:
            return self._one_by_one(values)
        kind, contents = found
        if not blanks:
            return Column(kind, contents)
        following = iter(contents)
        spread = [None if value is None or value == "" else next(following) for value in values]
        return Column(kind, spread, whole=False)

    def _quick(self, values: Sequence[Any], types: set[type]) -> tuple[str, Sequence[str]] | None:
        if len(types) != 1:
            return None
        (kind,) = types
        if kind is str:
            return self._texts(values)
        if kind is Formula:
            return "f", list(map(escape, values))
        if kind is int:
            return ("n", list(map(str, values))) if min(values) > -_INT_LIMIT and max(values) < _INT_LIMIT else None
        if kind is float:
            contents = list(map(repr, values))
            return None if "n" in "".join(contents) else ("n", contents)  # nan, inf
        if kind is bool:
            return "b", ["1" if value else "0" for value in values]
        if kind is datetime.date:
            return self._dates(list(map(datetime.date.isoformat, values)))
        return None

    def _plain(self, values: Sequence[str]) -> tuple[str, Sequence[str]] | None:
        known = self._known
        if known is None:
            return _plain(values)
        try:
            return "t", list(map(known.__getitem__, values))
        except KeyError:
            found = _plain(values)
        if found is not None:
            known.update(zip(values, found[1], strict=True))
            if len(known) > _FEW_TEXTS:
                self._known = None
        return found

    def _one_by_one(self, values: Sequence[Any]) -> Column:
        cells = list(map(self._caster.cell, values))
        return Column("", [content for _, content in cells], [kind for kind, _ in cells], whole=False)

    def _dates(self, values: Sequence[str]) -> tuple[str, Sequence[str]] | None:
        days = self._caster.conventions.days
        try:
            return "d", [days[value] for value in values]
        except Irregular:
            return None

    def _datetimes(self, values: Sequence[str]) -> tuple[str, Sequence[str]] | None:
        days, fractions = self._caster.conventions.days, self._caster.conventions.fractions
        try:
            return "s", [days[value[:10]] + fractions[value[10:]] for value in values]
        except Irregular:
            return None


def _plain(values: Sequence[str]) -> tuple[str, Sequence[str]] | None:
    contents = plain_texts(values)
    return None if contents is None else ("t", contents)


def _ints(values: Sequence[str]) -> tuple[str, Sequence[str]] | None:
    return ("n", values) if _fit(_INTS, values) else None


def _fit(pattern: re.Pattern[str], values: Sequence[str]) -> bool:
    joined = "\n".join(values)
    return pattern.fullmatch(joined) is not None and joined.count("\n") == len(values) - 1


def _floats(values: Sequence[str]) -> tuple[str, Sequence[str]] | None:
    return ("n", values) if max(map(len, values)) <= _NUMBER_LENGTH and _fit(_NUMBERS, values) else None


def _with_commas(read: TextReader) -> TextReader:
    def swapped(values: Sequence[str]) -> tuple[str, Sequence[str]] | None:
        found = read([value.translate(SWAPPED_SIGNS) for value in values])
        return found if found is None or found[0] == "n" else _plain(values)

    return swapped


def _bools(values: Sequence[str]) -> tuple[str, Sequence[str]] | None:
    try:
        return "b", [_BOOLS[value] for value in values]
    except KeyError:
        return None


def _basics(values: Sequence[str]) -> tuple[str, Sequence[str]] | None:
    if not _NOT_TEXT.search("\n".join(values)):
        return _plain(values)
    # whole numbers of 16 and 17 digits need the rules of Caster
    return ("n", values) if max(map(len, values)) <= MAX_DIGITS and _fit(_NUMBERS, values) else None
