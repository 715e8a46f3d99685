"""Private names of other libraries are used by the database plugins in one module per library."""

import ast
from collections.abc import Iterator

from import_graph import SOURCES

DB = SOURCES["aetherflow_builtins_db"]
FENCES = {"connectors/mysql/pymysql_parts.py"}


def private_names(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Attributes with an underscore of anything but `self`, also those that `getattr` and the like name."""
    for node in ast.walk(tree):
        match node:
            case (
                ast.Attribute(value=ast.Name(id="self" | "cls"))
                | ast.Attribute(value=ast.Call(func=ast.Name(id="super")))
            ):
                continue
            case (
                ast.Attribute(attr=name)
                | ast.Call(
                    func=ast.Name(id="getattr" | "hasattr" | "setattr"), args=[_, ast.Constant(value=str(name)), *_]
                )
            ):
                if name.startswith("_") and not name.endswith("__"):
                    yield node.lineno, name


def test_private_names_stand_behind_a_fence() -> None:
    found = {
        f"{path.relative_to(DB).as_posix()}:{line} {name}"
        for path in sorted(DB.rglob("*.py"))
        for line, name in private_names(ast.parse(path.read_text()))
        if path.relative_to(DB).as_posix() not in FENCES
    }
    assert found == set()


def test_every_fence_is_needed() -> None:
    assert [name for name in FENCES if not list(private_names(ast.parse((DB / name).read_text())))] == []


def test_a_private_name_is_found() -> None:
    code = "connection._sock.close()\ngetattr(cursor, '_result', None)\nself._mine\nvalue.__class__\n"
    assert sorted(private_names(ast.parse(code))) == [(1, "_sock"), (2, "_result")]
