"""No decision of the database plugins hangs on the text of an error, but in the modules that answer for a driver."""

import ast
from functools import cache

import pytest

from import_graph import SOURCES, by_kind, tree

DB = SOURCES["aetherflow_builtins_db"]
ANSWERING = {
    f"connectors/{room}/errors.py" for room in ("duckdb", "exasol", "mysql", "postgres", "sqlalchemy", "sqlite3")
}
"""What a driver tells by its message alone is read there, each with its reason."""
TESTS = {"startswith", "endswith", "find", "rfind", "index", "count", "search", "match", "fullmatch", "finditer",
         "findall", "first_match"}  # fmt: skip
TEXT_OF_ERRORS = {"args", "message", "msg", "reason", "strerror", "fix"}
PASSED_ON = {"str", "repr", "one_line", "getattr", "format"}
LEARNT = (ast.ExceptHandler, ast.arg, ast.Assign, ast.NamedExpr, ast.AnnAssign)
ERRORS_OF_ERRORS = {"__cause__", "__context__", "orig"}


class Decisions(ast.NodeVisitor):
    """Finds tests of texts that come from an error; texts are followed through the names of a module."""

    def __init__(self, tree: ast.AST) -> None:
        self.errors: set[str] = set()
        self.texts: set[str] = set()
        self.found: list[int] = []
        learnt = [node for kind in LEARNT for node in by_kind(tree)[kind]]
        for _ in range(3):  # a name may be used above the line that says what it is
            for node in learnt:
                self._learn(node)
        self.visit(tree)

    def _learn(self, node: ast.AST) -> None:
        if isinstance(node, ast.ExceptHandler) and node.name:
            self.errors.add(node.name)
        elif isinstance(node, ast.arg) and node.annotation is not None:
            if any(word in ast.unparse(node.annotation) for word in ("Exception", "Error")):
                self.errors.add(node.arg)
        elif isinstance(node, ast.Assign | ast.NamedExpr | ast.AnnAssign) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = {each.id for target in targets for each in ast.walk(target) if isinstance(each, ast.Name)}
            if self.is_error(node.value):
                self.errors |= names
            elif self.is_text(node.value):
                self.texts |= names

    def is_error(self, node: ast.AST) -> bool:
        if isinstance(node, ast.Name):
            return node.id in self.errors
        if isinstance(node, ast.BoolOp):
            return any(map(self.is_error, node.values))
        return isinstance(node, ast.Attribute) and node.attr in ERRORS_OF_ERRORS and self.is_error(node.value)

    def is_text(self, node: ast.AST) -> bool:
        match node:
            case ast.Name():
                return node.id in self.texts
            case ast.Attribute():
                return node.attr in TEXT_OF_ERRORS and self.is_error(node.value)
            case ast.Subscript():
                return self.is_text(node.value)
            case ast.JoinedStr() | ast.BoolOp():
                return any(self.is_error(each) or self.is_text(each) for each in node.values)
            case ast.FormattedValue():
                return self.is_error(node.value) or self.is_text(node.value)
            case ast.Call(func=ast.Name(id=name)):
                return name in PASSED_ON and any(self.is_error(each) or self.is_text(each) for each in node.args)
            case ast.Call(func=ast.Attribute(value=value)):
                return self.is_text(value)
        return False

    def visit_Compare(self, node: ast.Compare) -> None:
        if any(map(self.is_text, (node.left, *node.comparators))):
            self.found.append(node.lineno)
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        receiver = [node.func.value] if isinstance(node.func, ast.Attribute) else []
        if name in TESTS and any(map(self.is_text, (*receiver, *node.args))):
            self.found.append(node.lineno)
        self.generic_visit(node)


@cache
def decisions() -> list[tuple[str, int]]:
    paths = sorted(DB.rglob("*.py"))
    return [(path.relative_to(DB).as_posix(), line) for path in paths for line in Decisions(tree(path)).found]


@pytest.mark.parametrize(
    "line",
    [
        "'duplicate' in str(error)",
        "re.search('duplicate', str(error), re.IGNORECASE) is None",
        "str(error).endswith('!')",
        "error.args[0] == 'x'",
        "one_line(f'{error}').lower().startswith('x')",
        "(text := str(error.__cause__)) and text.find('x') == 0",
        "any(word in str(getattr(error, 'orig', None) or error) for word in WORDS)",
    ],
)
def test_a_decision_is_found(line: str) -> None:
    assert Decisions(ast.parse(f"try:\n    pass\nexcept Exception as error:\n    {line}\n")).found


def test_what_is_only_told_is_no_decision() -> None:
    code = "def told(error: Exception) -> str:\n    return f'{error}: {str(error).replace(password, stars)}'\n"
    assert Decisions(ast.parse(code)).found == []


def test_no_decision_hangs_on_the_text_of_an_error() -> None:
    assert [f"{path}:{line}" for path, line in decisions() if path not in ANSWERING] == []


def test_every_exception_is_in_use() -> None:
    assert {path for path, _ in decisions() if path in ANSWERING} == ANSWERING
