"""A program decides on codes and types, never on the text that it shows to people."""

import ast
from functools import cache
from typing import NamedTuple

import pytest

from import_graph import by_kind, modules, tree

TEXTS = {"message", "reason", "skip_reason"}
"""Attributes that hold a text for people."""
TEXTS_OF_ERRORS = TEXTS | {"args", "context", "msg", "problem", "strerror"}
"""Those of an exception, asked by `getattr`."""
NAMES = {"error", "exc", "exception", "failure", "cause", "annotation"}
"""What an exception, or a type, is called: its text is no more to be decided on than that of a caught one."""
ASKING = {"startswith", "endswith", "find", "index", "count", "partition", "rpartition", "split", "removeprefix"}
SEARCHING = {"search", "match", "fullmatch", "findall", "finditer"}
DECIDING = (ast.Compare, ast.Call, ast.Match)

DB = "aetherflow_builtins_db"
DRIVERS = {f"{DB}.connectors.{room}.errors" for room in ("duckdb", "mysql", "postgres", "sqlite3")} | {f"{DB}.failures"}
"""What a driver tells by its message alone is read in these, each with its reason, and nowhere else."""
SHORTENED = "aetherflow_builtins_transfer.connectors.smb.pysmb explain"
"""Cuts a text for people; what it decides on is the status."""


class Known(NamedTuple):
    """Names at a place of a module."""

    caught: frozenset[str] = frozenset()
    """Exceptions."""
    texts: frozenset[str] = frozenset()
    """What was given a text for people in the same function."""


def is_text(node: ast.AST, known: Known) -> bool:
    """True for an expression that is, or is made of, a text for people."""
    match node:
        case ast.Attribute(attr=name):
            return name in TEXTS
        case ast.Name(id=name):
            return name in TEXTS or name in known.texts
        case ast.Call(func=ast.Name(id="str" | "repr"), args=[ast.Name(id=name)]):
            return name in known.caught or name in NAMES
        case ast.Call(func=ast.Name(id="getattr"), args=[ast.Name(id=name), ast.Constant(value=attr), *_]):
            return (name in known.caught or name in NAMES) and attr in TEXTS_OF_ERRORS
        case ast.Call(func=ast.Name(id="str" | "repr"), args=[ast.Attribute(attr=name)]):
            return name in NAMES
        case ast.Call(func=ast.Attribute(value=inner)):  # .lower(), .strip()
            return is_text(inner, known)
        case ast.BoolOp(values=values):
            return any(is_text(each, known) for each in values)
        case ast.FormattedValue(value=ast.Name(id=name)):
            return name in known.caught or name in known.texts
        case ast.JoinedStr(values=values):
            return any(is_text(each, known) for each in values)
        case ast.Subscript(value=inner) if not isinstance(inner, ast.Name):  # `message["flags"]` is a packet
            return is_text(inner, known)
    return False


def decides(node: ast.AST, known: Known) -> bool:
    """True for a comparison or a search of such a text; whether there is one at all may be asked."""
    match node:
        case ast.Compare(left=left, ops=ops, comparators=others):
            sides = [left, *others]
            if all(isinstance(op, ast.Is | ast.IsNot) for op in ops):
                return False
            if any(isinstance(side, ast.Constant) and side.value in (None, "") for side in sides):
                return False
            return any(is_text(side, known) for side in sides)
        case ast.Call(func=ast.Attribute(value=value, attr=name), args=arguments):
            asked = name in ASKING and bool(arguments) and is_text(value, known)  # without: blanks are made one
            return asked or (name in SEARCHING and any(is_text(each, known) for each in arguments))
        case ast.Match(subject=subject):
            return is_text(subject, known)
    return False


def given(function: ast.AST, known: Known) -> Known:
    """The names, with those that a function gives a text for people to."""
    kinds = by_kind(function)
    caught = {node.name for node in kinds[ast.ExceptHandler] if node.name}
    known = known._replace(caught=known.caught | caught)
    before = None
    while known != before:  # a text may be given on
        before = known
        for node in (*kinds[ast.Assign], *kinds[ast.NamedExpr]):
            match node:
                case ast.Assign(targets=[ast.Name(id=name)], value=value) if is_text(value, known):
                    known = known._replace(texts=known.texts | {name})
                case ast.NamedExpr(target=ast.Name(id=name), value=value) if is_text(value, known):
                    known = known._replace(texts=known.texts | {name})
    return known


def decisions(tree: ast.AST) -> list[tuple[str, int]]:
    """The functions that decide on a text, and where."""
    # few modules could: what any place of a module calls an exception or a text is looked for at every place
    anywhere = given(tree, Known())
    if not any(decides(node, anywhere) for kind in DECIDING for node in by_kind(tree)[kind]):
        return []
    found = []

    def walk(node: ast.AST, function: str, known: Known) -> None:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            function, known = node.name, given(node, known)
        if isinstance(node, ast.ExceptHandler) and node.name:
            known = known._replace(caught=known.caught | {node.name})
        if isinstance(node, DECIDING) and decides(node, known):
            found.append((function, node.lineno))
        for child in ast.iter_child_nodes(node):
            walk(child, function, known)

    walk(tree, "", Known())
    return found


@cache
def found() -> dict[str, list[int]]:
    """Module and function of every decision on a text, with its lines."""
    places: dict[str, list[int]] = {}
    for name, path in modules().items():
        for function, line in decisions(tree(path)):
            places.setdefault(f"{name} {function}".strip(), []).append(line)
    return places


def test_nothing_is_decided_on_a_text() -> None:
    exempt = {place for place in found() if place == SHORTENED or place.split()[0] in DRIVERS}
    assert {place: lines for place, lines in found().items() if place not in exempt} == {}


def test_every_exemption_is_needed() -> None:
    places = {place.split()[0] for place in found()}
    assert DRIVERS - places == set()
    assert SHORTENED in found()


@pytest.mark.parametrize(
    ("code", "count"),
    [
        ("try: f()\nexcept E as e:\n    if 'refused' in str(e): pass", 1),
        ("try: f()\nexcept E as e:\n    x = f'{e}'.startswith('a')", 1),
        ("def f(error): return 'word' in str(error).lower()", 1),
        ("x = row.reason.startswith(REPLACED)", 1),
        ("x = (row.reason or '').startswith(REPLACED)", 1),
        ("x = row.reason in RESUMED", 1),
        ("x = turn.reason != row.reason", 1),
        ("x = 'time limit' in ran.error.message", 1),
        ("x = re.search('duplicate', str(error), re.I) is None", 1),
        ("x = LINE.match(str(error))", 1),
        ("x = 'SecretStr' in str(field.annotation)", 1),
        ("match error.message:\n    case 'a': pass", 1),
        ("def f(error):\n    text = str(error)\n    return 'word' in text", 1),
        ("def f(error):\n    text = str(error)\n    line = text.lower()\n    return 'word' in line", 1),
        ("def f(error):\n    what = getattr(error, 'problem', None) or '?'\n    return 'token' in what", 1),
        ("def f(error):\n    return f(x) if (text := error.message.lower()) and text.startswith('a') else text", 1),
        ("def f(error):\n    text = str(error)\n    return text or None\ndef g(text):\n    return 'word' in text", 0),
        ("x = row.reason is None or row.reason == ''", 0),
        ("x = error.code == 'AF5006'", 0),
        ("raise E(str(error))", 0),
        ("x = str(number) == text", 0),
        ("lines = error.message.splitlines()", 0),
        ("try: f()\nexcept E as e: pass\nx = 'a' in str(e)", 0),
    ],
)
def test_decisions_are_found(code: str, count: int) -> None:
    assert len(decisions(ast.parse(code))) == count
