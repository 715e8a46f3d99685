"""Casts single values to cells by the complete rules; `columns` has faster equivalents for regular columns."""

import base64
import datetime
import json
import math
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal, TypeAlias

from aetherflow_builtins_reports.cells.dates import Days, Fractions, Irregular, parse_moment, time_fraction
from aetherflow_builtins_reports.cells.rules import MAX_DIGITS, Rule
from aetherflow_builtins_reports.cells.texts import text_cell
from aetherflow_builtins_reports.escaping import escape

Dtype: TypeAlias = Literal[
    "none", "basic", "string", "int", "float", "bool", "date", "datetime", "basic comma", "float comma"
]
"""What text is cast to; with ` comma`, numbers have a decimal comma."""
CellContent: TypeAlias = tuple[str, str]
"""Kind and content. Kinds: `n` number, `b` boolean, `t` text, `p` text with blanks at an edge, `d` date, `s` date and
time, `h` time of day, `f` formula, and those of BLANK and MISSING."""
BLANK: CellContent = ("", "")
"""An empty cell: it replaces the template's value."""
MISSING: CellContent = ("-", "")
"""No cell, beyond the end of a short row: the template's value stays."""

TRUE, FALSE = frozenset({"1", "true", "t", "yes", "y"}), frozenset({"0", "false", "f", "no", "n"})
_INT = re.compile(r"[+-]?\d+", re.ASCII)
_FLOAT = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_BASIC_INT = re.compile(r"[+-]?(?:0|[1-9]\d*)", re.ASCII)
_COMMA_NUMBER = re.compile(r"[-+0-9.,eE]+", re.ASCII)
SWAPPED_SIGNS = str.maketrans(",.", ".,")
"""Swaps commas and points, so that only decimal commas make a number."""
_NOT_FINITE = frozenset({"nan", "inf", "infinity"})
_FLOAT_DIGITS = 17
"""Maximum number of significant digits of a double; more are lost."""


class Formula(str):
    """A formula given in the flow, without `=`. Data values never become formulas."""

    __slots__ = ()


class Missing:
    """The type of MISSING_VALUE, the placeholder for fields that a short row lacks."""


MISSING_VALUE = Missing()


@dataclass(slots=True)
class Conventions:
    """Settings of one workbook for the conversion of values."""

    date1904: bool = False
    zone: datetime.tzinfo = datetime.UTC
    """Times with a UTC offset are converted to this zone."""
    long_numbers: Literal["text", "number"] = "text"
    days: Days = field(init=False)
    fractions: Fractions = field(init=False)

    def __post_init__(self) -> None:
        self.days = Days(date1904=self.date1904)
        self.fractions = Fractions()


class Caster:
    """Casts the values of one column to cells and counts the values that each rule changed."""

    def __init__(self, dtype: Dtype, conventions: Conventions, counter: "Counter[Rule]") -> None:
        self.dtype = dtype
        self.conventions = conventions
        self.counter = counter
        self._cast = {
            "int": self._int, "float": self._float, "bool": self._bool, "date": self._date,
            "datetime": self._datetime, "basic": self._basic, "basic comma": self._with_comma(self._basic),
            "float comma": self._with_comma(self._float),
        }.get(dtype)  # fmt: skip

    def cell(self, value: Any) -> CellContent:
        """The cell for one value; text that the dtype does not accept stays text."""
        if value is None or value == "":
            return BLANK
        if value is MISSING_VALUE:
            return MISSING
        if isinstance(value, Formula):
            return "f", escape(value)
        if isinstance(value, str):
            if self._cast is None:
                return text_cell(value, self.counter)
            text = value.strip()
            if not text:
                return text_cell(value, self.counter)
            found = self._cast(text)
            if found is not None:
                return found
            if not self.dtype.startswith("basic"):
                self.counter["failed_casts"] += 1
            return text_cell(value, self.counter)
        return self._typed(value)

    # Text

    @staticmethod
    def _with_comma(cast: Callable[[str], CellContent | None]) -> Callable[[str], CellContent | None]:
        def swapped(text: str) -> CellContent | None:
            if not _COMMA_NUMBER.fullmatch(text):
                return cast(text)
            found = cast(text.translate(SWAPPED_SIGNS))
            return ("t", text) if found and found[0] == "t" else found

        return swapped

    def _int(self, text: str) -> CellContent | None:
        return self._whole(text) if _INT.fullmatch(text) else None

    def _whole(self, text: str) -> CellContent:
        digits = text.lstrip("+-").lstrip("0") or "0"
        if len(digits) > MAX_DIGITS and self.conventions.long_numbers == "text":
            self.counter["long_numbers"] += 1
            return "t", text
        if len(digits) > 300:  # beyond the range of a double, whatever the option says
            self.counter["long_numbers"] += 1
            return text_cell(text, self.counter)
        return "n", f"-{digits}" if text.startswith("-") and digits != "0" else digits

    def _float(self, text: str) -> CellContent | None:
        if not _FLOAT.fullmatch(text):
            if text.lstrip("+-").lower() in _NOT_FINITE:
                return self._not_finite()
            return None
        return self._decimal(text)

    def _decimal(self, text: str) -> CellContent:
        mantissa = re.split("[eE]", text)[0]
        digits = mantissa.lstrip("+-0.").replace(".", "").rstrip("0")
        if len(digits) > _FLOAT_DIGITS and self.conventions.long_numbers == "text":
            self.counter["long_numbers"] += 1
            return "t", text
        number = float(text)
        return ("n", repr(number)) if math.isfinite(number) else self._not_finite()

    def _not_finite(self) -> CellContent:
        self.counter["not_finite"] += 1
        return BLANK

    @staticmethod
    def _bool(text: str) -> CellContent | None:
        word = text.lower()
        return ("b", "1") if word in TRUE else ("b", "0") if word in FALSE else None

    def _date(self, text: str) -> CellContent | None:
        moment = parse_moment(text)
        if moment is None or moment.time() != datetime.time() or moment.tzinfo is not None:
            return None
        return self._day(moment.date())

    def _datetime(self, text: str) -> CellContent | None:
        moment = parse_moment(text)
        return None if moment is None else self._moment(moment)

    def _basic(self, text: str) -> CellContent | None:
        if (word := text.lower()) in {"true", "false"}:
            return "b", "1" if word == "true" else "0"
        if _BASIC_INT.fullmatch(text):
            return self._whole(text)
        if ("." in text or "e" in word) and _FLOAT.fullmatch(text):
            return self._decimal(text)
        return self._datetime(text)

    # Values that have a type

    def _typed(self, value: Any) -> CellContent:
        match value:
            case bool():
                return "b", "1" if value else "0"
            case int():
                if abs(value) < 10**MAX_DIGITS:
                    return "n", str(value)
                # str() of an int raises ValueError above 4,300 digits
                return self._whole(str(value)) if abs(value) < 10**4000 else self._not_finite()
            case float():
                return ("n", repr(value)) if math.isfinite(value) else self._not_finite()
            case Decimal():
                return self._of_decimal(value)
            case datetime.datetime():
                return self._moment(value)
            case datetime.date():
                return self._day(value)
            case datetime.time():
                return "h", "0" + time_fraction(value)
            case bytes() | bytearray() | memoryview():
                return text_cell(base64.b64encode(value).decode("ascii"), self.counter)
            case Mapping() | list() | tuple():
                return text_cell(json.dumps(value, ensure_ascii=False, default=str), self.counter)
            case _:
                return text_cell(str(value), self.counter)

    def _of_decimal(self, value: Decimal) -> CellContent:
        if not value.is_finite():
            return self._not_finite()
        digits = len(value.normalize().as_tuple().digits)
        if digits > MAX_DIGITS and self.conventions.long_numbers == "text":
            self.counter["long_numbers"] += 1
            return text_cell(format(value, "f"), self.counter)
        number = float(value)
        return ("n", repr(number)) if math.isfinite(number) else self._not_finite()

    def _moment(self, moment: datetime.datetime) -> CellContent:
        if moment.tzinfo is not None:
            self.counter["zoned_times"] += 1
            try:
                moment = moment.astimezone(self.conventions.zone).replace(tzinfo=None)
            except OverflowError:  # the conversion leaves Python's years 1 to 9999
                return self._early(moment)
        try:
            day = self.conventions.days.of(moment.date())
        except Irregular:
            return self._early(moment)
        number = day + time_fraction(moment.time())
        if float(number) >= int(day) + 1:
            self.counter["late_times"] += 1
            return "t", moment.isoformat(" ")
        return "s", number

    def _day(self, day: datetime.date) -> CellContent:
        try:
            return "d", self.conventions.days.of(day)
        except Irregular:
            return self._early(day)

    def _early(self, value: datetime.date) -> CellContent:
        self.counter["early_dates"] += 1
        return "t", value.isoformat(" ") if isinstance(value, datetime.datetime) else value.isoformat()
