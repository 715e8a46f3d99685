"""The columns of a comparison: which kind of value both sides can give exactly, or which pair cannot be compared."""

import decimal
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from aetherflow.core.api import Column, ColumnType, StepInputError
from aetherflow_builtins_db.formats.coerce import coerce

Meaning: TypeAlias = Literal["bool", "number", "float", "string", "bytes", "date", "local", "instant", "time", "any"]
"""What is compared: whole numbers and decimals by value, instants by their moment, text character by character."""
Read: TypeAlias = Callable[[Any], Any]

_TYPED = frozenset({"postgresql", "mysql", "mariadb", "duckdb"})
"""Dialects whose columns hold values of their type only."""
_MYSQL = frozenset({"mysql", "mariadb"})
_IN_MYSQL: frozenset[tuple[Meaning, Meaning]] = frozenset({("number", "bool"), ("string", "time")})
"""What MySQL and MariaDB tell a column to be, and what it may be meant as: they have no bool, and TIME is a span."""
_TYPES: dict[Meaning, ColumnType] = {
    "bool": ColumnType("bool"),
    "float": ColumnType("float"),
    "string": ColumnType("string"),
    "bytes": ColumnType("bytes"),
    "date": ColumnType("date"),
    "local": ColumnType("datetime"),
    "instant": ColumnType("datetime", zoned=True),
    "time": ColumnType("time"),
}
_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)", re.ASCII).fullmatch
_MOST_DIGITS = 4000


@dataclass(frozen=True, slots=True)
class Told:
    """A column as a side tells it."""

    column: Column
    dialect: str
    resource: str

    @property
    def meaning(self) -> Meaning | None:
        """What the column's type means; None if only its values tell."""
        kind = self.column.type.kind
        if kind == "unknown":
            return "number" if self.dialect == "postgresql" else None  # a numeric without digits
        if kind == "datetime":
            return "instant" if self.column.type.zoned else "local"
        return "number" if kind == "int" or kind == "decimal" else kind  # noqa: PLR1714 - mypy narrows by this

    def gives(self, wanted: Meaning) -> bool:
        """Whether the column's values can be read as this."""
        return self.meaning in {wanted, None} or self.dialect not in _TYPED or self._stands_for(wanted)

    def _stands_for(self, wanted: Meaning) -> bool:
        return self.dialect in _MYSQL and (self.meaning, wanted) in _IN_MYSQL

    def is_sure(self, wanted: Meaning) -> bool:
        """Whether each value has this type already."""
        own = self.column.type.kind
        # Floats, and the decimals of PostgreSQL, may be NaN, which equals nothing, not even itself.
        may_be_odd = own in {"float", "unknown"} or (own == "decimal" and self.dialect == "postgresql")
        return self.meaning == wanted and self.dialect in _TYPED and not may_be_odd


@dataclass(frozen=True, slots=True)
class Pair:
    """A column of the source and the column of the target that is to hold the same."""

    source: Told
    target: Told
    meaning: Meaning

    @property
    def name(self) -> str:
        """The name of a difference in reports: that of the column of the target."""
        return self.target.column.name

    def readers(self) -> "tuple[Read | None, Read | None]":
        """For source and target: what makes a value of the common kind of one of theirs; None if it is one."""
        read = reader(self.meaning)
        return (
            None if self.source.is_sure(self.meaning) else read,
            None if self.target.is_sure(self.meaning) else read,
        )


def pair(source: Told, target: Told) -> Pair:
    """The pair; StepInputError if the two columns have no kind of value in common, or one is not exact."""
    for told in (source, target):
        if told.column.warning:
            raise StepInputError(
                f"column {told.column.name} of resource {told.resource} {told.column.warning}; it is not compared",
                fix="compare a query with that product, or leave the column out by columns",
            )
    wanted: list[Meaning] = [each for each in (source.meaning, target.meaning) if each is not None]
    wanted.sort(key=lambda each: (each == "string", each != "bool"))  # the more special one first
    for each in wanted or ["any"]:
        if source.gives(each) and target.gives(each):
            return Pair(source, target, each)
    raise StepInputError(
        f"column {source.column.name} of resource {source.resource} is {_shown(source)}, and {target.column.name} of "
        f"resource {target.resource} is {_shown(target)}: their values are not comparable",
        fix="make them the same type in a query (CAST), or leave the column out by columns",
    )


def _shown(told: Told) -> str:
    kind = told.column.type
    if kind.kind == "datetime":
        return "a datetime with zone" if kind.zoned else "a datetime without zone"
    return f"of type {kind.kind}"


def reader(meaning: Meaning) -> Read:
    """What makes a comparable value; one that is none stays as it is, and equals nothing of that kind."""

    def read(value: Any) -> Any:
        if value is None or meaning == "any":
            return value
        try:
            if meaning == "number":
                return _number(value)
            if meaning == "float":
                number = coerce(value, _TYPES[meaning])
                return number if number == number else "nan"  # noqa: PLR0124 - NaN is the value that differs from itself
            if meaning == "bytes":
                return bytes(value) if isinstance(value, bytes | bytearray | memoryview) else value
            return coerce(value, _TYPES[meaning])
        except ValueError:
            return value

    return read


def _number(value: Any) -> Any:
    if isinstance(value, str):
        if not _NUMBER(value) or len(value) > _MOST_DIGITS:
            raise ValueError("is no number")
        return decimal.Decimal(value)
    if isinstance(value, float):
        value = decimal.Decimal(repr(value))
    return "NaN" if isinstance(value, decimal.Decimal) and value.is_nan() else value
