r"""One parameter style on every driver: `:name` in the SQL, a map beside it.

A marker is `:` and a name. It is none in quoted text or identifiers, comments and dollar quotes, after another `:`
(`x::date`), before `=` (`:=`), or right behind a name, a quote or a closing bracket (`list[a:b]`, `{'key':value}`).
`\:name` writes a plain `:name`. Values are handed to the driver and never become part of the SQL.
"""

import difflib
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from aetherflow.core.api import StepInputError


class Token(NamedTuple):
    """A piece of SQL; `kind` is text, quoted, comment, param (its text is the name) or semicolon."""

    kind: str
    text: str


# One alternative per lexical form; unclosed quotes and comments run to the end, as the database will say better.
# `e'…'` comes before plain quotes, because a backslash escapes there; `''` inside quotes is a quote.
_TOKEN = re.compile(
    r"""
      (?P<comment>  --[^\n]* | /\*(?:[^*]|\*(?!/))*(?:\*/|\Z) )
    | (?P<quoted>   (?<![\w$])[eE]'(?:[^'\\]|\\.|'')*(?:'|\Z)
                  | '(?:[^']|'')*(?:'|\Z)
                  | "(?:[^"]|"")*(?:"|\Z)
                  | `(?:[^`]|``)*(?:`|\Z)
                  | (?<![\w$])\$(?P<tag>(?:[^\W\d]\w*)?)\$.*?(?:\$(?P=tag)\$|\Z) )
    | (?P<escaped>  \\:(?=[A-Za-z_]) )
    | (?P<param>    (?<![\w:'"`)\]$]):[A-Za-z_]\w* )
    | (?P<semicolon> ; )
    | (?P<text>     [^\s\w]|\w+|\s+ )
    """,
    re.VERBOSE | re.DOTALL,
)


def tokens(sql: str) -> Iterator[Token]:
    """The pieces of the SQL, in order."""
    for found in _TOKEN.finditer(sql):
        kind, text = found.lastgroup or "text", found.group()
        if kind == "tag":  # the group inside `quoted`
            kind = "quoted"
        if kind == "param":
            yield Token("param", text[1:])
        elif kind == "escaped":
            yield Token("text", ":")
        else:
            yield Token(kind, text)


def translate(sql: str, marker: Callable[[str], str]) -> tuple[str, list[str]]:
    """The SQL with every `:name` replaced by `marker(name)`, and the names in order of first use."""
    pieces: list[str] = []
    names: dict[str, None] = {}
    for token in tokens(sql):
        if token.kind == "param":
            names.setdefault(token.text)
            pieces.append(marker(token.text))
        else:
            pieces.append(token.text)
    return "".join(pieces), list(names)


def bind(names: list[str], params: Mapping[str, Any] | None) -> dict[str, Any]:
    """The values for `names`; StepInputError if one is missing or one too many."""
    given = dict(params or {})
    missing = [name for name in names if name not in given]
    unused = [name for name in given if name not in names]
    if missing:
        near = difflib.get_close_matches(missing[0], unused, 1)
        hint = f"; did you mean :{near[0]} in the SQL?" if near else ""
        raise StepInputError(
            f"no value for {_markers(missing)}{hint}",
            fix="give it under params, or write \\:name where no parameter is meant",
        )
    if unused:
        raise StepInputError(
            f"params not used by the SQL: {', '.join(map(str, unused))}", fix="write :name where the value belongs"
        )
    return {name: given[name] for name in names}


def _markers(names: list[str]) -> str:
    return ", ".join(f":{name}" for name in names)
