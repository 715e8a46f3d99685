"""Splits a formula into its references and the text between them. This module knows nothing about insertions."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TypeAlias

from aetherflow_builtins_reports.package.refs import MAX_COLUMN, MAX_ROW, number
from aetherflow_builtins_reports.shift.tokenizer import tokenizer

_PREFIX = r"(?:'(?:[^']|'')+'|[^'!:\[\]]*(?:\[[^\]]*\])?[^'!:\[\]]+|\[[^\]]*\])!"
_CELL = re.compile(rf"(?P<prefix>{_PREFIX})?(?P<column>\$?[A-Za-z]{{1,3}})(?P<fixed>\$?)(?P<row>[1-9]\d{{0,6}})")
_WHOLE_ROW = re.compile(rf"(?P<prefix>{_PREFIX})?(?P<column>)(?P<fixed>\$?)(?P<row>[1-9]\d{{0,6}})")
_WHOLE_COLUMN = re.compile(rf"(?P<prefix>{_PREFIX})?(?P<column>\$?[A-Za-z]{{1,3}})(?P<fixed>)(?P<row>)")
_PIECES = re.compile(r"((?:[^:'\[\]]|'(?:[^']|'')*'|\[(?:[^\[\]']|'.|\[(?:[^\[\]']|'.)*\])*\])+|:)")

# The tokenizer fails on escapes and # in brackets, # after a reference, newer error values, white space other than
# blanks, and LibreOffice's ~ for unions. They are replaced by the same number of harmless characters; the pieces are
# cut from the original formula.
_MASKED = re.compile(
    r"""(?P<text>"(?:[^"]|"")*"|'(?:[^']|'')*')|(?P<bracket>\[(?:[^\[\]']|'.|\[(?:[^\[\]']|'.)*\])*\])"""
    r"""|(?P<spill>(?<=[\w)\]])\#)|(?P<error>\#(?!(?:NULL!|DIV/0!|VALUE!|REF!|NAME\?|NUM!|N/A|GETTING_DATA))[A-Z_]+[!?]?)"""
    r"""|(?P<space>[\t\r\n\xa0])|(?P<union>~)""",
    re.DOTALL,
)  # fmt: skip
_MAY_MASK = re.compile("[\"'~\\[#\t\r\n\xa0]")
_ESCAPE = re.compile(r"'.|#", re.DOTALL)


class FormulaError(ValueError):
    """A formula cannot be read."""


@dataclass(frozen=True, slots=True)
class Point:
    """One end of a reference: a cell, a whole row (empty column), or a whole column (row 0)."""

    column: str
    """The column as written, with its `$`."""
    fixed: str
    """`$` if the row is absolute; otherwise empty."""
    row: int

    def __str__(self) -> str:
        return f"{self.column}{self.fixed}{self.row or ''}"


@dataclass(frozen=True, slots=True)
class Reference:
    """A cell or range as written in a formula."""

    prefix: str
    """The sheet as written, with its `!`; empty if there is none."""
    first: Point
    last: Point | None
    last_prefix: str = ""
    loose: bool = False
    """Whether it is one end of a range whose other end is computed or a name."""

    def __str__(self) -> str:
        end = f":{self.last_prefix}{self.last}" if self.last else ""
        return f"{self.prefix}{self.first}{end}"


Piece: TypeAlias = str | Reference


@lru_cache(maxsize=4096)
def pieces(formula: str) -> tuple[Piece, ...]:
    """The references of a formula (without `=`) and the text between them; joined, they give the formula.

    FormulaError if it cannot be read.
    """
    found: list[Piece] = []
    for text, may_refer in _tokens(formula):
        for piece in _operand(text) if may_refer else (text,):
            if isinstance(piece, str) and found and isinstance(found[-1], str):
                found[-1] += piece
            else:
                found.append(piece)
    return tuple(found)


def _tokens(formula: str) -> Iterator[tuple[str, bool]]:
    """The texts of the tokens, and whether each may hold references."""
    library = tokenizer()
    token_kinds = library.Token
    masked = _MASKED.sub(_mask, formula) if _MAY_MASK.search(formula) else formula
    try:
        tokens = library.Tokenizer(f"={masked}").items
    except (library.TokenizerError, IndexError, AssertionError) as error:
        raise FormulaError(f"the formula ={formula} cannot be read: {error}") from error
    at = 0
    for token in tokens:
        start, length = at, len(token.value)
        if token.type == token_kinds.WSPACE:
            at += len(masked[at:]) - len(masked[at:].lstrip(" "))
        elif masked.startswith(token.value, at):
            at += length
        if at == start:
            raise FormulaError(f"the formula ={formula} cannot be read at character {at + 1}")
        operand = token.type == token_kinds.OPERAND and token.subtype == token_kinds.RANGE
        yield formula[start:at], operand or (token.type == token_kinds.FUNC and token.subtype == token_kinds.OPEN)
    if at != len(masked):
        raise FormulaError(f"the formula ={formula} cannot be read at character {at + 1}")


def _mask(found: re.Match[str]) -> str:
    text = found.group()
    match found.lastgroup:
        case "text":
            return re.sub(r"[\t\r\n\xa0]", " ", text)
        case "bracket":
            return _ESCAPE.sub(lambda escape: "_" * len(escape.group()), text)
        case "space":
            return " "
        case "union":
            return ","
    return "_" * len(text)


def _operand(text: str) -> Iterator[Piece]:
    """The pieces of an operand, or of a function's name with a preceding reference (`A1:INDEX(`)."""
    parts = _PIECES.findall(text)
    if "".join(parts) != text:
        raise FormulaError(f"the reference {text} cannot be read")
    names = [part for part in parts if part != ":"]
    linked = len(names) > 1 or text.endswith(("(", ":")) or text.startswith(":")
    index = 0
    while index < len(parts):
        part = parts[index]
        lead, used = _range(parts[index:])
        if lead is not None:
            yield from _marked(lead, parts[index], parts[index + used - 1], loose=used < len(parts))
        else:
            single, used = _point(part), 1
            if single is not None and single[1].column and single[1].row:
                yield from _marked(Reference(single[0], single[1], None), part, part, loose=linked)
            else:
                yield part
        index += used


def _marked(reference: Reference, first: str, last: str, *, loose: bool) -> Iterator[Piece]:
    """The reference, with `@` before it and `#` after it if its first and last part have them."""
    if first.startswith("@"):
        yield "@"
    yield replace(reference, loose=loose)
    if last.endswith("#"):
        yield "#"


def _range(parts: list[str]) -> tuple[Reference | None, int]:
    """The range at the start of the parts, and the number of its parts; None if there is no range."""
    if len(parts) < 3 or parts[1] != ":" or parts[0].endswith("#"):
        return None, 0
    ends = [_point(part) if part != ":" else None for part in parts[:5]]
    first, second, third = ends[0], ends[2], ends[4] if len(ends) == 5 else None
    if second is not None and second[0] and "!" not in parts[0]:  # Jan:Mar!A1
        prefix = f"{parts[0].removeprefix('@')}:{second[0]}"
        if third is not None and not third[0] and _alike(second, third) and not parts[2].endswith("#"):
            return Reference(prefix, second[1], third[1]), 5
        return (Reference(prefix, second[1], None), 3) if second[1].column and second[1].row else (None, 0)
    if first is not None and second is not None and _alike(first, second):
        return Reference(first[0], first[1], second[1], second[0]), 3
    return None, 0


def _point(text: str) -> tuple[str, Point] | None:
    """Prefix and Point of a text; None if it is no end of a reference."""
    plain = text.removeprefix("@").removesuffix("#")
    for pattern in (_CELL, _WHOLE_ROW, _WHOLE_COLUMN):
        found = pattern.fullmatch(plain)
        if found is not None:
            row = int(found["row"] or 0)
            column = number(found["column"].replace("$", "")) if found["column"] else 0
            if row <= MAX_ROW and column <= MAX_COLUMN:
                return found["prefix"] or "", Point(found["column"], found["fixed"], row)
    return None


def _alike(first: tuple[str, Point], last: tuple[str, Point]) -> bool:
    """Whether both are cells, both rows, or both columns, of the same sheet."""
    same = bool(first[1].column) == bool(last[1].column) and bool(first[1].row) == bool(last[1].row)
    return same and (not last[0] or first[0].casefold() == last[0].casefold())
