r"""The parameter style of all drivers: `:name` in the SQL, and a map of values.

A marker is `:` and a name. No marker is recognized in quoted text or identifiers, comments and dollar quotes, after
another `:` (`x::date`), before `=` (`:=`), or right after a name, a quote or a closing bracket (`list[a:b]`,
`{'key':value}`). `\:name` writes a plain `:name`.
"""

import difflib
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, NamedTuple, TypeAlias

from aetherflow.core.api import StepInputError

Lexis: TypeAlias = Literal["standard", "mysql", "oracle", "postgresql", "mssql", "sqlite"]
"""The lexical rules for text, names and comments in the SQL, as `SqlDialect.lexis`."""


class Token(NamedTuple):
    """A piece of SQL; `kind` is text, quoted, comment, param (its text is the name) or semicolon."""

    kind: str
    text: str


# One alternative per lexical form. Unclosed quotes and comments run to the end: the database reports them better.
# `e'…'`, in which a backslash escapes, comes before plain quotes; `''` inside quotes is a quote.
_COMMENT = r"/\*(?:[^*]|\*(?!/))*(?:\*/|\Z)"
# A comment without another one inside; `_nested` finds the end of all others.
_NESTING = r"/\*(?:[^*/]|\*(?!/)|/(?!\*))*+\*/"
_ESCAPES = r"(?<![\w$])[eE]'(?:[^'\\]|\\(?:.|\Z)|'')*(?:'|\Z)"
_PLAIN = r"""'(?:[^']|'')*(?:'|\Z) | "(?:[^"]|"")*(?:"|\Z)"""
_BACKTICKS = r"`(?:[^`]|``)*(?:`|\Z)"
_BRACKETS = r"\[(?:[^\]]|\]\])*(?:\]|\Z)"
_DOLLARS = r"(?<![\w$])\$(?P<tag>(?:[^\W\d]\w*)?)\$.*?(?:\$(?P=tag)\$|\Z)"
_STANDARD = rf"(?P<comment> --[^\n]* | {_COMMENT}) | (?P<quoted> {_ESCAPES} | {_PLAIN} | {_BACKTICKS} | {_DOLLARS})"
_POSTGRESQL = (
    rf"(?P<comment> --[^\n\r]* | {_NESTING}) | (?P<nested> /\*) | (?P<quoted> {_ESCAPES} | {_PLAIN} | {_DOLLARS})"
)
_MSSQL = rf"(?P<comment> --[^\n]* | {_NESTING}) | (?P<nested> /\*) | (?P<quoted> {_PLAIN} | {_BRACKETS})"
_SQLITE = rf"(?P<comment> --[^\n]* | {_COMMENT}) | (?P<quoted> {_PLAIN} | {_BACKTICKS} | \[[^\]]*(?:\]|\Z))"
# MySQL and MariaDB: a backslash escapes in every text, and `#` starts a comment.
_MYSQL = rf"""
      (?P<comment>  (?:\#|--(?=\s|\Z))[^\n]* | {_COMMENT} )
    | (?P<quoted>   '(?:[^'\\]|\\(?:.|\Z)|'')*(?:'|\Z)
                  | "(?:[^"\\]|\\(?:.|\Z)|"")*(?:"|\Z)
                  | {_BACKTICKS} )
"""
_REST = r"""
    | (?P<escaped>  \\:(?=[A-Za-z_]) )
    | (?P<param>    (?<![\w:'"`)\]$]):[A-Za-z_]\w* )
    | (?P<semicolon> ; )
    | (?P<text>     [^\s\w]|\w+|\s+ )
"""
# Oracle: q'[it's]'.
_ORACLE = rf"""
      (?P<comment>  --[^\n]* | {_COMMENT} )
    | (?P<quoted>   (?<![\w$])[nN]?[qQ]'(?:\[.*?(?:\]'|\Z)|\{{.*?(?:\}}'|\Z)|\(.*?(?:\)'|\Z)|<.*?(?:>'|\Z)
                      |(?P<tag>\S).*?(?:(?P=tag)'|\Z))
                  | {_PLAIN} )
"""
_LEXES: dict[Lexis, str] = {
    "standard": _STANDARD,
    "postgresql": _POSTGRESQL,
    "mssql": _MSSQL,
    "sqlite": _SQLITE,
    "oracle": _ORACLE,
    "mysql": _MYSQL,
}
_TOKEN = {lexis: re.compile(forms + _REST, re.VERBOSE | re.DOTALL) for lexis, forms in _LEXES.items()}
_COMMENT_SIGNS = re.compile(r"/\*|\*/")


def tokens(sql: str, lexis: Lexis = "standard") -> Iterator[Token]:
    """The tokens of the SQL, in order."""
    return (token for token, _written in tokens_as_written(sql, lexis))


def tokens_as_written(sql: str, lexis: Lexis = "standard") -> Iterator[tuple[Token, str]]:
    """The tokens of the SQL, each with its original text."""
    end = -1
    while end < len(sql):
        start, end = max(end, 0), len(sql)
        for found in _TOKEN[lexis].finditer(sql, start):
            kind, text = found.lastgroup or "text", found.group()
            if kind == "nested":
                end = _end_of_comment(sql, found.start())
                text = sql[found.start() : end]
                yield Token("comment", text), text
                break
            if kind == "tag":  # the group inside `quoted`
                kind = "quoted"
            if kind == "param":
                yield Token("param", text[1:]), text
            elif kind == "escaped":
                yield Token("text", ":"), text
            else:
                yield Token(kind, text), text


def _end_of_comment(sql: str, start: int) -> int:
    """The end of a comment that has others inside."""
    depth = 0
    for found in _COMMENT_SIGNS.finditer(sql, start):
        depth += 1 if found.group() == "/*" else -1
        if depth == 0:
            return found.end()
    return len(sql)


def translate(
    sql: str,
    marker: Callable[[str], str],
    *,
    lexis: Lexis = "standard",
    escape: Callable[[str], str] | None = None,
) -> tuple[str, list[str]]:
    """The SQL with every `:name` replaced by `marker(name)`, and the names in order of first use.

    `escape` is applied to all other text, for drivers that give some of its characters a meaning.
    """
    if ":" not in sql:  # most statements of a load, one of which may be long
        return (escape(sql) if escape else sql), []
    pieces: list[str] = []
    names: dict[str, None] = {}
    for token in tokens(sql, lexis):
        if token.kind == "param":
            names.setdefault(token.text)
            pieces.append(marker(token.text))
        else:
            pieces.append(escape(token.text) if escape else token.text)
    return "".join(pieces), list(names)


def percent_style(sql: str, lexis: Lexis = "standard") -> tuple[str, list[str]]:
    """The SQL with `%(name)s` markers and `%` doubled. `%` stays single if there is no marker, as drivers expect."""
    translated, names = translate(
        sql, lambda name: f"%({name})s", lexis=lexis, escape=lambda text: text.replace("%", "%%")
    )
    return (translated, names) if names else (translate(sql, str, lexis=lexis)[0], names)


def bind(names: list[str], params: Mapping[str, Any] | None) -> dict[str, Any]:
    """The values for `names`; StepInputError if one is missing or a given one is not used."""
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
