"""The narrowest type that keeps every value of a column exactly. Nothing is taken from a sample."""

import datetime
import decimal
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, TypeAlias

from aetherflow.core.api import ColumnType
from aetherflow_builtins_db.columns import INT_MAX, INT_MIN, MAX_DECIMAL_DIGITS, STRING
from aetherflow_builtins_db.formats.values import text_value

Texts: TypeAlias = Literal["all", "comma", "times", "none"]
"""What text may stand for: any type, as in CSV, perhaps with decimal commas; dates and times, as in JSON; itself, as in
a database."""

ROOMY_DIGITS = 15
"""Digits of a decimal that has no more: the next file may have longer ones, and every database keeps 15 exactly."""
_FLOAT_DIGITS = 15
"""Digits of which each number has a float of its own, whose shortest text is that number."""
_FLOAT_POWER = 300
"""Of ten, up to which there are floats with all their digits."""
_WHOLE = re.compile(r"-?(?:0|[1-9][0-9]*)").fullmatch
_PLAIN = re.compile(r"-?(?:(?:0|[1-9][0-9]*)?\.[0-9]+|0|[1-9][0-9]*)").fullmatch
_POWER = re.compile(r"-?(?:0|[1-9][0-9]*)?(?:\.[0-9]+)?[eE][+-]?[0-9]{1,3}").fullmatch
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII).fullmatch
_CLOCK = r"\d\d:\d\d(?::\d\d(?:\.\d{1,6}0*)?)?"
_TIME = re.compile(_CLOCK, re.ASCII).fullmatch
_LOCAL = re.compile(rf"\d{{4}}-\d\d-\d\d[ T]{_CLOCK}", re.ASCII).fullmatch
_INSTANT = re.compile(rf"\d{{4}}-\d\d-\d\d[ T]{_CLOCK}(?:Z|[+-]\d\d(?::?\d\d)?)", re.ASCII).fullmatch
_SIGNED = re.compile(r"[-+0-9eE]*[.,][-+0-9.,eE]*").fullmatch
_SWAP = str.maketrans(".,", ",.")
_BOOLS = frozenset({"true", "false"})
_ODD = frozenset({"nan", "inf", "-inf", "NaN", "Infinity", "-Infinity"})
"""Floats that are no number, as files hold them; a column of these alone is text."""
_MOST_DIGITS = 4000
_HASHED: frozenset[type] = frozenset({bool, datetime.date, datetime.datetime, datetime.time})
"""Types of which equal values are the same: 1.5 and 1.50 are not the same decimal, nor 0.0 and -0.0 the same float."""

Kind: TypeAlias = Literal["string", "bool", "int", "float", "decimal", "bytes", "date", "time", "local", "instant"]
_TIMES: dict[Kind, tuple[Callable[[str], object], Callable[[str], object]]] = {
    "date": (_DATE, datetime.date.fromisoformat),
    "local": (_LOCAL, datetime.datetime.fromisoformat),
    "instant": (_INSTANT, datetime.datetime.fromisoformat),
    "time": (_TIME, datetime.time.fromisoformat),
}
"""The form of each kind, and what raises ValueError for a text of that form that is no such value."""
_NUMBERS: frozenset[Kind] = frozenset({"int", "float", "decimal"})
_TYPES: dict[Kind, ColumnType] = {
    "string": STRING,
    "bool": ColumnType("bool"),
    "bytes": ColumnType("bytes"),
    "date": ColumnType("date"),
    "time": ColumnType("time"),
    "local": ColumnType("datetime"),
    "instant": ColumnType("datetime", zoned=True),
}


class Profile:
    """The values of one column. `see` takes all of them, in parts; then `type` is known."""

    def __init__(self, texts: Texts = "none") -> None:
        self._texts: Texts = "all" if texts == "comma" else texts
        self._has_commas = texts == "comma"
        self._kinds: set[Kind] = set()
        self._first_string: str | None = None
        self._odd = False
        """Whether a text is a float that is no number."""
        self._exact = True
        """Whether each number is its nearest float's shortest text."""
        self.whole = self.scale = 0
        """Most digits before and behind the point."""
        self.least = self.most = 0
        """Of numbers that are all whole, and of zero."""
        self.length = 0
        """Characters of the longest text."""

    def see(self, cells: Iterable[Any]) -> None:
        """Take some of the values; None is none."""
        values = [cell for cell in cells if cell is not None]
        texts = [value for value in values if type(value) is str]
        if len(texts) < len(values):
            self._see_values([value for value in values if type(value) is not str] if texts else values)
        if texts:
            self._see_texts(list(map(swapped, texts)) if self._has_commas else texts)

    def _see_values(self, values: list[Any]) -> None:
        kinds = set(map(type, values))
        if kinds == {int}:  # at once, for speed
            self._see_ints(values)
            self.length = max(self.length, len(str(min(values))), len(str(max(values))))
            return
        # equal values of one type are one value; 1, 1.0 and True are not
        for value in set(values) if len(kinds) == 1 and kinds <= _HASHED else values:
            self._see_value(value)

    def _see_texts(self, texts: list[str]) -> None:
        self.length = max(self.length, *map(len, texts))
        if "string" in self._kinds:
            return
        if self._texts == "none":
            self._kinds.add("string")
        elif self._texts == "all" and all(map(_WHOLE, texts)):
            self._see_ints(list(map(_int, texts)))
        elif not self._are_times(texts):
            rest = dict.fromkeys(texts)
            if self._texts == "all" and (plain := list(filter(_PLAIN, rest))):
                self._see_plain(plain)
                rest = {text: None for text in rest if not _PLAIN(text)} if len(plain) < len(rest) else {}
            for text in rest:
                self._see_text(text)
                if "string" in self._kinds:  # for good
                    return

    def _see_plain(self, texts: list[str]) -> None:
        """Take numbers without exponent, of which not all are whole, at once for speed."""
        self._kinds.add("decimal")
        parts = [text.partition(".") for text in texts]
        self.whole = max(self.whole, *[len(head.lstrip("-0")) for head, _, _ in parts])
        self.scale = max(self.scale, *[len(tail) for _, _, tail in parts])
        if self._exact:
            self._exact = all(map(_is_float, [text for text in texts if len(text) > _FLOAT_DIGITS]))

    def _are_times(self, texts: list[str]) -> bool:
        """Whether these are dates or times of the one kind seen so far: at once, for speed."""
        if len(self._kinds) != 1 or (found := _TIMES.get(next(iter(self._kinds)))) is None:
            return False
        matches, parse = found
        try:
            return all(map(matches, texts)) and all(parse(text) is not None for text in set(texts))
        except ValueError:
            return False

    def _see_text(self, text: str) -> None:
        if self._texts == "all" and len(text) <= _MOST_DIGITS:
            if text.lower() in _BOOLS:
                self._kinds.add("bool")
                return None
            if text in _ODD:
                self._odd = True
                return None
            if _POWER(text):
                return self._see_float(text)
        kind = _kind_of_text(text)
        if kind == "string":
            self._first_string = text
        self._kinds.add(kind)
        return None

    def _see_ints(self, numbers: Sequence[int]) -> None:
        self._kinds.add("int")
        least, most = min(numbers), max(numbers)
        self.least, self.most = min(self.least, least), max(self.most, most)
        self.whole = max(self.whole, *[len(str(abs(number))) for number in (least, most) if number], 0)  # as 0.0: none
        if max(-least, most) >= 10**_FLOAT_DIGITS:
            self._exact = self._exact and all(map(_is_float, numbers))

    def _see_decimal(self, number: decimal.Decimal) -> None:
        _sign, figures, exponent = number.as_tuple()
        if not isinstance(exponent, int):
            self._kinds.add("string")
            return
        self._kinds.add("decimal")
        self.whole = max(self.whole, len(figures) + exponent if any(figures) else 0)
        self.scale = max(self.scale, -exponent)
        if len(figures) > _FLOAT_DIGITS or abs(number.adjusted()) > _FLOAT_POWER:
            self._exact = self._exact and _is_float(number)

    def _see_float(self, written: str) -> None:
        self._kinds.add("float")
        self._exact = self._exact and _is_float(written)

    def _see_value(self, value: Any) -> None:
        match value:
            case bool():
                self._kinds.add("bool")
                self.length = max(self.length, 5)
            case int():
                self._see_ints([value])
                self._see_length(value)
            case float():
                self._kinds.add("float")
                self._see_length(value)
            case decimal.Decimal():
                self._see_decimal(value)
                self._see_length(value)
            case datetime.datetime():
                self._kinds.add("local" if value.tzinfo is None else "instant")
            case datetime.date():
                self._kinds.add("date")
            case datetime.time() if value.tzinfo is None:
                self._kinds.add("time")
            case bytes() | bytearray() | memoryview():
                self._kinds.add("bytes")
            case _:
                self._kinds.add("string")
                self._see_length(value)

    def _see_length(self, value: Any) -> None:
        self.length = max(self.length, len(text_value(value)))

    @property
    def odd_text(self) -> str | None:
        """The text without which the others that were seen would be no text; None if there is none such."""
        found = self._first_string if self._kinds > {"string"} else None
        return found if found is None or not self._has_commas else swapped(found)

    @property
    def type(self) -> ColumnType:
        """The type of all values seen; text for none, and for values of different kinds."""
        kinds = self._kinds
        if kinds and kinds <= _NUMBERS:
            return self._number()
        if kinds == {"date", "local"}:
            return _TYPES["local"]
        return _TYPES[next(iter(kinds))] if len(kinds) == 1 and not self._odd else STRING

    def _number(self) -> ColumnType:
        if self._odd or "float" in self._kinds:
            return ColumnType("float") if self._exact else STRING
        if self._kinds == {"int"} and INT_MIN <= self.least <= self.most <= INT_MAX:
            return ColumnType("int")
        digits = self.whole + self.scale
        if digits > MAX_DECIMAL_DIGITS:  # JSON's 1e-300, which is a number there
            return ColumnType("float") if self._exact and self._kinds == {"decimal"} else STRING
        return ColumnType("decimal", ROOMY_DIGITS if digits <= ROOMY_DIGITS else MAX_DECIMAL_DIGITS, self.scale)


def swapped(text: str) -> str:
    """Swap points and commas in a text of figures, so that only decimal commas make a number."""
    return text.translate(_SWAP) if _SIGNED(text) else text


def _is_float(number: "int | str | decimal.Decimal") -> bool:
    """Whether the shortest text of its nearest float is the number."""
    try:
        text = repr(float(number))
        return text == number or decimal.Decimal(text) == decimal.Decimal(number)
    except OverflowError:
        return False


def _int(text: str) -> int:
    """The number; one beyond every type for a text of more digits than Python converts."""
    return int(text) if len(text) <= _MOST_DIGITS else 10**_MOST_DIGITS


def _kind_of_text(text: str) -> Kind:
    for kind, (matches, parse) in _TIMES.items():
        if matches(text):
            try:
                parse(text)
            except ValueError:  # the 30th of February
                return "string"
            return kind
    return "string"
