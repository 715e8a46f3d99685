"""Programs decide on codes: nothing compares, searches or takes apart the words of a reason or of an error."""

import ast
from collections.abc import Iterator

import pytest

from import_graph import modules

WORDS = {"reason", "skip_reason", "message"}
SEARCHES = {"startswith", "endswith", "find", "index", "search", "match", "fullmatch", "findall"}
DEBTS = """
aetherflow.core.testing.step: 'time limit' in ran.error.message
aetherflow_builtins_db.connectors.duckdb: 'Out of Memory' in str(error)
aetherflow_builtins_db.connectors.exasol: 'refused' in str(error)
aetherflow_builtins_db.connectors.oracledb: 'ORA-01013' in str(error)
aetherflow_builtins_db.connectors.oracledb: word in str(error)
aetherflow_builtins_db.connectors.postgres: 'user request' in str(error)
aetherflow_builtins_db.connectors.postgres_copy: 'Empty CSV file' in str(error)
aetherflow_builtins_db.connectors.sqlalchemy_session: 'user request' in str(error)
aetherflow_builtins_db.connectors.sqlalchemy_session: word in str(error)
aetherflow_builtins_db.loading.duckdb: str(error).endswith(_STOPPED)
aetherflow_builtins_db.loading.duckdb: _LINE.search(str(error))
aetherflow_builtins_db.loading.job: re.search('duplicate|unique|conflict', str(error), re.IGNORECASE)
aetherflow_builtins_transfer.connectors.peer: str(error).startswith(self.label)
"""
"""Module and text of what does so still, one a line; a line that is paid is struck out, none is added."""


def is_words(node: ast.expr) -> bool:
    """Whether an expression is the words of a reason or an error: `row.reason`, `str(error)`, `row.reason or ""`."""
    if isinstance(node, ast.BoolOp):
        return any(is_words(value) for value in node.values)
    if isinstance(node, ast.Attribute):
        return node.attr in WORDS
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "str":
        return any(isinstance(each, ast.Name) and each.id in {"error", "exc", "caught", "cause"} for each in node.args)
    return False


def decisions(tree: ast.AST) -> Iterator[ast.expr]:
    """The expressions that decide on words; whether there are any at all may be asked."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            asks = all(isinstance(op, ast.Is | ast.IsNot) for op in node.ops)
            if not asks and any(is_words(each) for each in (node.left, *node.comparators)):
                yield node
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in SEARCHES
            and any(is_words(each) for each in (node.func.value, *node.args))
        ):
            yield node


@pytest.mark.parametrize(
    "code",
    [
        "row.reason == 'x'", "row.reason in RESUMED", "(row.reason or '').startswith('replaced')", "'x' in str(error)",
        "re.search('duplicate', str(error))", "turn.reason != row.reason",
    ],
)  # fmt: skip
def test_decisions_are_found(code: str) -> None:
    assert len(list(decisions(ast.parse(code)))) == 1


@pytest.mark.parametrize(
    "code", ["row.reason is None", "row.reason_code == X", "print(str(error))", "row.reason or ''"]
)
def test_other_uses_are_none(code: str) -> None:
    assert list(decisions(ast.parse(code))) == []


def test_nothing_is_decided_on_words() -> None:
    found = [
        f"{name}: {ast.unparse(node)}"
        for name, path in modules().items()
        for node in decisions(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert sorted(found) == sorted(line for line in DEBTS.strip().splitlines() if line)
