"""Reasons: a code, on which programs decide, and a text, which only people read.

Each store has an enum of codes with a text template for each; only `said` makes texts from them.
"""

from enum import StrEnum
from typing import Any, Self


class ReasonCode(StrEnum):
    """Base of the enums of codes. A member is a code and a text template with `{fields}`: `GONE = "gone", "..."`."""

    words: str

    def __new__(cls, code: str, words: str = "") -> Self:
        found = str.__new__(cls, code)
        found._value_ = code
        found.words = words
        return found


class Reason(str):
    """A text with its code. It is a `str`, so that it is stored and shown like any text."""

    __slots__ = ("code",)
    code: str | None
    """None for a text that was stored without a code."""

    def __new__(cls, code: str | None, text: str) -> Self:
        found = super().__new__(cls, text)
        found.code = code
        return found

    def __getnewargs__(self) -> tuple[Any, ...]:
        return self.code, str(self)


def said(code: ReasonCode, **values: object) -> Reason:
    """Make the reason for a code, with `values` for the fields of its template."""
    return Reason(str(code), _words(code, values))


def read_reason(code: str | None, text: str | None) -> Reason | None:
    """The reason for a stored code and text; None if no text was stored."""
    return None if text is None else Reason(code, text)


def code_of(reason: Reason | None) -> str | None:
    """The code to store beside the text; None if there is none."""
    return None if reason is None else reason.code


def _words(code: ReasonCode, values: dict[str, object]) -> str:
    return code.words.format(**values)
