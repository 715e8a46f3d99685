"""The walls of the house: the shared namespace, the direction of imports, short modules, what no file may name."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[3]


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Every module that a file imports, wherever the import stands: in functions and under TYPE_CHECKING too.

    `from a.b import c` yields `a.b.c`: c may be a module.
    """
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            for alias in node.names:
                yield node.lineno, f"{node.module}.{alias.name}"


# Written so that this file does not contain what they look for.
REGISTRY = re.compile(r"(pypi|pythonhosted|npmjs|anaconda)\.(org|com)")
MACHINE = re.compile(r"(?<![\w.~$})-])/(?:work|root)/")


def test_no_tracked_file_names_a_registry_or_a_machine(tracked: list[str]) -> None:
    wrong = []
    for name in tracked:
        text = (ROOT / name).read_bytes().decode(errors="replace")
        wrong += [f"{name}: {match[0]}" for pattern in (REGISTRY, MACHINE) for match in pattern.finditer(text)]
    assert wrong == []
