"""Reasons: a code that programs decide on, and the words for it, which only people read.

Each store has an enum of codes, with the words beside each code; `said` is the one place that puts words together.
"""

from enum import StrEnum
from typing import Any, Self


class ReasonCode(StrEnum):
    """Codes of one store; a member is written as its code and its words, with `{fields}`: `GONE = "gone", "..."`."""

    words: str

    def __new__(cls, code: str, words: str = "") -> Self:
        found = str.__new__(cls, code)
        found._value_ = code
        found.words = words
        return found


class Reason(str):
    """Words with their code: text wherever text is wanted, so that it is stored and shown as it is."""

    __slots__ = ("code",)
    code: str | None
    """None for words that were stored without one."""

    def __new__(cls, code: str | None, text: str) -> Self:
        found = super().__new__(cls, text)
        found.code = code
        return found

    def __getnewargs__(self) -> tuple[Any, ...]:
        return self.code, str(self)


def said(code: ReasonCode, **values: object) -> Reason:
    """The reason of that code, in words."""
    return Reason(str(code), _words(code, values))


def read_reason(code: str | None, text: str | None) -> Reason | None:
    """A reason as it was stored; None if there was none."""
    return None if text is None else Reason(code, text)


def code_of(reason: Reason | None) -> str | None:
    """What is stored beside the words."""
    return None if reason is None else reason.code


def _words(code: ReasonCode, values: dict[str, object]) -> str:
    return code.words.format(**values)
