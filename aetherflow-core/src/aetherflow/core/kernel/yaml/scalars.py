"""Plain YAML scalars by the YAML 1.2 core schema: `yes`, `on` and `2013-01-01` are text, `010` is ten.

A number keeps its written form for text fields.
"""

import re
from typing import Any

from aetherflow.core.contracts.written import written_number

WORDS = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
INTEGER = re.compile(r"[-+]?[0-9]+\Z")
OCTAL = re.compile(r"0o[0-7]+\Z")
HEXADECIMAL = re.compile(r"0x[0-9a-fA-F]+\Z")
FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?\Z")
SPECIAL_FLOATS = {
    **{sign + text: float(sign + "inf") for sign in ("", "+", "-") for text in (".inf", ".Inf", ".INF")},
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
}
MAX_DIGITS = 4_000
"""Python refuses integers of more than 4,300 digits; such a scalar stays text."""


def plain_scalar(text: str) -> Any:
    """Value of an unquoted scalar (https://yaml.org/spec/1.2.2/#103-core-schema)."""
    if (word := WORDS.get(text, text)) is not text:
        return word
    if text[0] in "+-.0123456789" and len(text) < MAX_DIGITS:
        if INTEGER.match(text):
            return written_number(int(text), text)
        if OCTAL.match(text) or HEXADECIMAL.match(text):
            return written_number(int(text, 0), text)
        if FLOAT.match(text):
            return written_number(float(text), text)
        return written_number(SPECIAL_FLOATS[text], text) if text in SPECIAL_FLOATS else text
    return text
