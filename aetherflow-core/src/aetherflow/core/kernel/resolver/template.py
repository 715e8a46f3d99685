"""The template grammar, `{{PATH}}` and `{{PATH:DEFAULT}}`, and nothing else.

    TOKEN   := "{{" WS* PATH [ ":" DEFAULT ] WS* "}}"
    PATH    := IDENT ("." IDENT)*
    IDENT   := [A-Za-z_][A-Za-z0-9_]*
    DEFAULT := text after the first ":", without braces, trailing blanks trimmed

Only source text is parsed; a rendered value is never scanned again. The pattern for editors is defined in
`checks/schema/texts.py`.
"""

import json
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from aetherflow.core.base.errors import ResolverError, ResolverMissingKeyError, ResolverSyntaxError
from aetherflow.core.base.location import DocPath
from aetherflow.core.contracts.written import WRITTEN
from aetherflow.core.kernel.yaml.loader import RawString

_TOKEN = re.compile(r"\s*([A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*)\s*(?::([^{}]*))?\Z", re.ASCII)
_FORBIDDEN = {
    "${": "shell expansions are not templates; pass the value through env, or mark the text !raw",
    "{%": "there are no statements; use `when`, or mark the text !raw",
    "%}": "there are no statements; use `when`, or mark the text !raw",
    "{#": "there are no comments in templates; use a YAML comment, or mark the text !raw",
    "#}": "there are no comments in templates; use a YAML comment, or mark the text !raw",
    "{}": "empty braces are not a template; mark the text !raw to keep them",
}
VALUE_BYTES, STEP_BYTES = 64 << 20, 256 << 20
"""The most that templates make of one value, as large as an output may be, and of all values of a step."""
_MISSING = object()


class ResolverSizeError(ResolverError):
    """A value, or all values of a step, would be larger than templates may make them."""

    code = "AF1307"


class Room:
    """The bytes that templates may still make for one step: a short flow could ask for any number of copies."""

    left = STEP_BYTES

    def take(self, size: int) -> None:
        """Raise ResolverSizeError if a value of this size does not fit."""
        self.left -= size
        if size > VALUE_BYTES or self.left < 0:
            what = "a value of more than 64 MiB" if size > VALUE_BYTES else "values of more than 256 MiB for one step"
            fix = "write the data to a file in a step, and give its path to the next one"
            raise ResolverSizeError(f"the templates make {what}", fix=fix)


class Token(NamedTuple):
    """One `{{…}}`: its path, its default (None if there is none), its offset in the text."""

    path: tuple[str, ...]
    default: str | None
    offset: int

    @property
    def dotted(self) -> str:
        """The path as written: names joined by dots."""
        return ".".join(self.path)


class Template(NamedTuple):
    """A parsed string: text and tokens in order."""

    parts: tuple[str | Token, ...]

    @property
    def tokens(self) -> list[Token]:
        """The parts that are looked up, without the text between them."""
        return [part for part in self.parts if isinstance(part, Token)]

    @property
    def standalone(self) -> Token | None:
        """The token, if the whole string is exactly one."""
        only = self.parts[0] if len(self.parts) == 1 else None
        return only if isinstance(only, Token) else None


@lru_cache(maxsize=4096)
def parse_template(text: str) -> Template:
    """Parse a string; raises ResolverSyntaxError with the offset of the fault."""
    for bad, hint in _FORBIDDEN.items():
        if (at := text.find(bad)) >= 0:
            raise ResolverSyntaxError(hint, offset=at)
    parts: list[str | Token] = []
    position = 0
    while (start := text.find("{{", position)) >= 0:
        _no_stray_end(text, position, start)
        end = text.find("}}", start)
        if end < 0:
            raise ResolverSyntaxError("{{ is never closed with }}", offset=start)
        if start > position:
            parts.append(text[position:start])
        parts.append(_token(text[start + 2 : end], start))
        position = end + 2
    _no_stray_end(text, position, len(text))
    if position < len(text):
        parts.append(text[position:])
    return Template(tuple(parts))


def has_template(value: Any) -> bool:
    """True if the value, or anything inside it, is a string with a token."""
    if isinstance(value, str):
        return not isinstance(value, RawString) and "{{" in value
    if isinstance(value, Mapping):
        return any(map(has_template, value.values()))
    return isinstance(value, list) and any(map(has_template, value))


def render(value: Any, scope: Mapping[str, Any], at: DocPath = (), room: Room | None = None) -> Any:
    """Render every string value inside `value`, through maps and lists; keys and other scalars stay as they are.

    `room` is shared by all values of a step. Raises ResolverMissingKeyError for a path without value and default,
    ResolverSyntaxError for bad syntax, ResolverSizeError; the error's `at` is the document path of the string, starting
    from `at`.
    """
    if isinstance(value, RawString):
        return str(value)
    room = room or Room()
    if isinstance(value, str):
        try:
            return _render_text(value, scope, room)
        except ResolverError as error:
            error.at = at
            raise
    if isinstance(value, Mapping):
        return {key: render(item, scope, (*at, key), room) for key, item in value.items()}
    if isinstance(value, list):
        return [render(item, scope, (*at, index), room) for index, item in enumerate(value)]
    return value


def _render_text(text: str, scope: Mapping[str, Any], room: Room) -> Any:
    if "{" not in text and "}" not in text:
        return text
    template = parse_template(text)
    if (token := template.standalone) is not None:
        room.take(_size(value := _lookup(token, scope)))
        return _copied(value)
    parts, size = [], 0
    for part in template.parts:
        parts.append(part if isinstance(part, str) else _inline(part, _lookup(part, scope)))
        size += _size(parts[-1])
        if size > VALUE_BYTES:
            break  # `take` says so
    room.take(size)
    return "".join(parts)


def _copied(value: Any) -> Any:
    # a step may change its inputs; the outputs that later templates read must stay equal to those in the state
    if isinstance(value, dict):
        return {key: _copied(item) for key, item in value.items()}
    return [_copied(item) for item in value] if isinstance(value, list) else value


def _size(value: Any) -> int:
    """The bytes of all texts in a value in UTF-8, and two for each other one: JSON has no shorter one."""
    if isinstance(value, str):
        return len(value) if value.isascii() else len(value.encode("utf-8", "surrogatepass"))
    if isinstance(value, Mapping):
        return sum(_size(key) + _size(item) for key, item in value.items())
    return sum(map(_size, value)) if isinstance(value, list) else 2


def _lookup(token: Token, scope: Mapping[str, Any]) -> Any:
    if token.path[0] not in scope:
        known = ", ".join(sorted(scope))
        raise ResolverSyntaxError(f"unknown root {token.path[0]!r} here; known: {known}", offset=token.offset)
    value: Any = scope
    for name in token.path:
        value = value.get(name, _MISSING) if isinstance(value, Mapping) else _MISSING
        if value is _MISSING:
            break
    if len(token.path) == 1 and token.path[0] == "env":
        raise ResolverSyntaxError("the whole environment is not a value; name a key: {{env.NAME}}", offset=token.offset)
    if value is _MISSING or value == "":
        if token.default is None:
            raise ResolverMissingKeyError(token.dotted, hint=_missing_hint(token))
        return token.default
    return value


def _missing_hint(token: Token) -> str:
    if token.path[0] == "env" and len(token.path) == 2:
        return f"set the environment variable {token.path[1]}, or give a default: {{{{{token.dotted}:value}}}}"
    return f"produce the value before it is used, or give a default: {{{{{token.dotted}:value}}}}"


def _inline(token: Token, value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, WRITTEN):
        return value.text
    if value is None:
        raise ResolverMissingKeyError(
            token.dotted, hint="the value is null, which has no text; give the whole field to it"
        )
    return json.dumps(dict(value) if isinstance(value, Mapping) else value, ensure_ascii=False)


def _token(body: str, offset: int) -> Token:
    if not body.strip():
        raise ResolverSyntaxError("the token is empty", offset=offset)
    match = _TOKEN.match(body)
    if match is None:
        hint = (
            "filters and expressions are not supported"
            if re.search(r"[|()+*/\[\]]", body)
            else "PATH is names joined by dots"
        )
        raise ResolverSyntaxError(hint, offset=offset)
    path, default = match.groups()
    return Token(tuple(path.split(".")), default.rstrip() if default is not None else None, offset)


def _no_stray_end(text: str, start: int, end: int) -> None:
    at = text.find("}}", start, end)
    if at >= 0:
        raise ResolverSyntaxError("}} without a {{ before it", offset=at)
