"""`when` expressions: comparisons over the results of earlier jobs.

    or      := and ("or" and)*
    and     := not ("and" not)*
    not     := "not" not | cmp
    cmp     := operand (("==" | "!=" | ">" | ">=" | "<" | "<=") operand)*     chained as in mathematics
    operand := NUMBER | STRING | true | false | null | none | PATH | "(" or ")"

Literals are case-insensitive, numbers may carry a minus. A path without value is null. A number against numeric text
compares as numbers; other values of unequal types are unequal, and ordering them is an error.
"""

import operator
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import lru_cache
from typing import Any, NamedTuple

from aetherflow.core.base.errors import WhenError

MAX_LENGTH = 4096
MAX_DEPTH = 32

_LEXER = r"""\s*(?:
  (?P<number>-?\s*(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?)
| (?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
| (?P<op>==|!=|>=|<=|>|<|\(|\))
| (?P<path>[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)
)"""
_LITERALS = {"true": True, "false": False, "null": None, "none": None}
_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq, "!=": operator.ne, ">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le,
}  # fmt: skip
_NUMERIC_TEXT = r"(?a)[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d{1,4})?"
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}


class Lexeme(NamedTuple):
    """A token of the expression; kind is number, string, op, word, path or end."""

    kind: str
    text: str
    offset: int


class Node(NamedTuple):
    """A node of the parsed expression: `literal`, `path`, `not`, `and`, `or`, `cmp`."""

    kind: str
    value: Any = None
    items: tuple["Node", ...] = ()
    offset: int = 0


@lru_cache(maxsize=1024)
def parse_when(text: str) -> Node:
    """Parse an expression; raises WhenError with the offset of the fault."""
    if len(text) > MAX_LENGTH:
        raise WhenError(f"the expression is longer than {MAX_LENGTH} characters")
    parser = _Parser(_lex(text))
    node = parser.either(0)
    parser.expect_end()
    return node


def paths_of(node: Node) -> list[tuple[tuple[str, ...], int]]:
    """Every path in the expression with its offset."""
    found = [(node.value, node.offset)] if node.kind == "path" else []
    for item in node.items:
        found += paths_of(item)
    return found


def evaluate_when(text: str | None, scope: Mapping[str, Any]) -> bool:
    """Evaluate an expression; null or blank is true. Raises WhenError."""
    if text is None or not text.strip():
        return True
    return bool(_value(parse_when(text), scope))


def _lex(text: str) -> list[Lexeme]:
    lexemes: list[Lexeme] = []
    lexer, position = re.compile(_LEXER, re.VERBOSE | re.ASCII | re.DOTALL), 0  # here: most flows have no `when`
    while position < len(text.rstrip()):
        match = lexer.match(text, position)
        if match is None or match.lastgroup is None:
            at = position + len(text[position:]) - len(text[position:].lstrip())
            raise WhenError(f"unexpected {text[at]!r}", offset=at)
        kind, body = match.lastgroup, match[match.lastgroup]
        if kind == "path" and body.lower() in ("and", "or", "not", *_LITERALS):
            kind, body = "word", body.lower()
        lexemes.append(Lexeme(kind, body, match.start(match.lastgroup)))
        position = match.end()
    lexemes.append(Lexeme("end", "", len(text)))
    return lexemes


class _Parser:
    def __init__(self, lexemes: list[Lexeme]) -> None:
        self.lexemes = lexemes
        self.at = 0

    def _next(self) -> Lexeme:
        lexeme = self.lexemes[self.at]
        self.at += 1
        return lexeme

    def _accept(self, kind: str, *texts: str) -> Lexeme | None:
        lexeme = self.lexemes[self.at]
        if lexeme.kind == kind and lexeme.text in texts:
            return self._next()
        return None

    def expect_end(self) -> None:
        lexeme = self.lexemes[self.at]
        if lexeme.kind != "end":
            raise WhenError(f"unexpected {lexeme.text!r}", offset=lexeme.offset)

    def either(self, depth: int) -> Node:
        items = [self._both(depth)]
        while self._accept("word", "or"):
            items.append(self._both(depth))
        return items[0] if len(items) == 1 else Node("or", items=tuple(items))

    def _both(self, depth: int) -> Node:
        items = [self._negation(depth)]
        while self._accept("word", "and"):
            items.append(self._negation(depth))
        return items[0] if len(items) == 1 else Node("and", items=tuple(items))

    def _negation(self, depth: int) -> Node:
        if depth > MAX_DEPTH:
            raise WhenError(f"nested deeper than {MAX_DEPTH} levels", offset=self.lexemes[self.at].offset)
        if self._accept("word", "not"):
            return Node("not", items=(self._negation(depth + 1),))
        return self._comparison(depth)

    def _comparison(self, depth: int) -> Node:
        items = [self._operand(depth)]
        operators: list[tuple[str, int]] = []
        while found := self._accept("op", *_OPERATORS):
            operators.append((found.text, found.offset))
            items.append(self._operand(depth))
        return items[0] if not operators else Node("cmp", tuple(operators), tuple(items))

    def _operand(self, depth: int) -> Node:
        lexeme = self._next()
        if lexeme.kind == "number":
            text = re.sub(r"\s", "", lexeme.text)
            number = int(text) if re.fullmatch(r"-?\d+", text) else float(text)
            return Node("literal", number, offset=lexeme.offset)
        if lexeme.kind == "string":
            text = _ESCAPE.sub(lambda match: _ESCAPES.get(match[1], match[1]), lexeme.text[1:-1])
            return Node("literal", text, offset=lexeme.offset)
        if lexeme.kind == "word" and lexeme.text in _LITERALS:
            return Node("literal", _LITERALS[lexeme.text], offset=lexeme.offset)
        if lexeme.kind == "path":
            return Node("path", tuple(lexeme.text.split(".")), offset=lexeme.offset)
        if lexeme == Lexeme("op", "(", lexeme.offset):
            node = self.either(depth + 1)
            if not self._accept("op", ")"):
                raise WhenError("( is never closed with )", offset=lexeme.offset)
            return node
        if lexeme.kind == "end":
            raise WhenError("the expression ends too early", offset=lexeme.offset)
        raise WhenError(f"unexpected {lexeme.text!r}", offset=lexeme.offset)


def _value(node: Node, scope: Mapping[str, Any]) -> Any:
    if node.kind == "literal":
        return node.value
    if node.kind == "path":
        value: Any = scope
        for name in node.value:
            value = value.get(name) if isinstance(value, Mapping) else None
        return value
    if node.kind == "not":
        return not _value(node.items[0], scope)
    if node.kind == "and":
        return all(_value(item, scope) for item in node.items)
    if node.kind == "or":
        return any(_value(item, scope) for item in node.items)
    values = [_value(item, scope) for item in node.items]
    pairs = zip(node.value, values, values[1:], strict=False)
    return all(_compare(name, left, right, offset) for (name, offset), left, right in pairs)


def _compare(name: str, left: Any, right: Any, offset: int) -> bool:
    if _is_number(left) and isinstance(right, str):
        right = _as_number(right, like=left)
    elif isinstance(left, str) and _is_number(right):
        left = _as_number(left, like=right)
    comparable = (_is_number(left) and _is_number(right)) or type(left) is type(right)
    if not comparable:
        if name in ("==", "!="):
            return name == "!="
        raise WhenError(f"cannot order {_kind(left)} and {_kind(right)} with {name}", offset=offset)
    if name not in ("==", "!=") and (left is None or isinstance(left, bool | Mapping | list)):
        raise WhenError(f"{_kind(left)} has no order, {name} cannot compare it", offset=offset)
    return _OPERATORS[name](left, right)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool)


def _as_number(text: str, like: Any) -> Any:
    if not re.fullmatch(_NUMERIC_TEXT, text.strip()):
        return text
    return float(text) if isinstance(like, float) else Decimal(text.strip())


def _kind(value: Any) -> str:
    names = {bool: "a boolean", str: "text", list: "a list", dict: "a map", type(None): "null"}
    return names.get(type(value), "a number")
