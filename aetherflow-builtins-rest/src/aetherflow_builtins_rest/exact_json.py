"""JSON whose numbers keep the text by which they were written: `1.10`, `1e400`, more digits than a float has."""

import json
from typing import Any, NoReturn

_PLAIN = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode


class _Written(float):
    """A number whose text a float of the same value would not have."""

    __slots__ = ("text",)
    text: str


_Written.__name__ = "float"  # JMESPath's functions know the types of their arguments by this name


class ExactJson:
    """Reads JSON texts, and writes the values that were read last, or parts of them."""

    def __init__(self) -> None:
        self._has_written = False

    def parse(self, content: bytes) -> Any:
        """The value of a JSON text; ValueError or RecursionError if it isn't JSON, or is nested too deeply."""
        self._has_written = False
        return json.loads(content, parse_float=self._number, parse_constant=_refuse)

    def line(self, value: Any) -> bytes:
        """The value as a line of JSON, UTF-8; ValueError for infinity and NaN, which an expression may have made."""
        return _encoded(self._text(value) if self._has_written else _PLAIN(value))

    def _number(self, text: str) -> float:
        value = float(text)
        if repr(value) == text:
            return value
        self._has_written = True
        written = _Written(value)
        written.text = text
        return written

    def _text(self, value: Any) -> str:
        match value:
            case _Written():
                return value.text
            case dict():
                return "{" + ",".join(f"{_PLAIN(key)}:{self._text(each)}" for key, each in value.items()) + "}"
            case list():
                return "[" + ",".join(map(self._text, value)) + "]"
            case _:
                return _PLAIN(value)


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _encoded(text: str) -> bytes:
    try:
        return text.encode() + b"\n"
    except UnicodeEncodeError:  # a lone surrogate, which JSON can escape and UTF-8 cannot encode
        escaped = (f"\\u{ord(each):04x}" if "\ud800" <= each <= "\udfff" else each for each in text)
        return "".join(escaped).encode() + b"\n"
