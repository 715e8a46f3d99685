"""A program decides on codes and types, never on the text that it shows to people."""

import ast
from functools import cache

import pytest

from import_graph import modules, nodes, tree

pytestmark = pytest.mark.xdist_group("house")  # one worker parses every module, once

TEXTS = {"message", "reason", "skip_reason"}
"""Attributes that hold a text for people."""
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


def is_text(node: ast.AST, caught: set[str]) -> bool:
    """True for an expression that is, or is made of, a text for people."""
    match node:
        case ast.Attribute(attr=name):
            return name in TEXTS
        case ast.Name(id=name):
            return name in TEXTS
        case ast.Call(func=ast.Name(id="str" | "repr"), args=[ast.Name(id=name)]):
            return name in caught or name in NAMES
        case ast.Call(func=ast.Name(id="str" | "repr"), args=[ast.Attribute(attr=name)]):
            return name in NAMES
        case ast.Call(func=ast.Attribute(value=inner)):  # .lower(), .strip()
            return is_text(inner, caught)
        case ast.BoolOp(values=values):
            return any(is_text(each, caught) for each in values)
        case ast.FormattedValue(value=ast.Name(id=name)):
            return name in caught
        case ast.JoinedStr(values=values):
            return any(is_text(each, caught) for each in values)
        case ast.Subscript(value=inner) if not isinstance(inner, ast.Name):  # `message["flags"]` is a packet
            return is_text(inner, caught)
    return False


def decides(node: ast.AST, caught: set[str]) -> bool:
    """True for a comparison or a search of such a text; whether there is one at all may be asked."""
    match node:
        case ast.Compare(left=left, ops=ops, comparators=others):
            sides = [left, *others]
            if all(isinstance(op, ast.Is | ast.IsNot) for op in ops):
                return False
            if any(isinstance(side, ast.Constant) and side.value in (None, "") for side in sides):
                return False
            return any(is_text(side, caught) for side in sides)
        case ast.Call(func=ast.Attribute(value=value, attr=name), args=arguments):
            asked = name in ASKING and bool(arguments) and is_text(value, caught)  # without: blanks are made one
            return asked or (name in SEARCHING and any(is_text(each, caught) for each in arguments))
        case ast.Match(subject=subject):
            return is_text(subject, caught)
    return False


def decisions(tree: ast.AST) -> list[tuple[str, int]]:
    """The functions that decide on a text, and where."""
    # few modules could: what any handler of a module calls its exception is looked for without regard to the place
    names = {node.name for node in nodes(tree) if isinstance(node, ast.ExceptHandler) and node.name}
    if not any(isinstance(node, DECIDING) and decides(node, names) for node in nodes(tree)):
        return []
    found = []

    def walk(node: ast.AST, function: str, caught: set[str]) -> None:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            function = node.name
        if isinstance(node, ast.ExceptHandler) and node.name:
            caught = {*caught, node.name}
        if isinstance(node, DECIDING) and decides(node, caught):
            found.append((function, node.lineno))
        for child in ast.iter_child_nodes(node):
            walk(child, function, caught)

    walk(tree, "", set())
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
