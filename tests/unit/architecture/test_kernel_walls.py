"""The kernel knows no environment variable, and no file but those of its state and of its locks."""

import ast
from collections.abc import Iterator

import pytest

from import_graph import modules, nodes, tree

KERNEL = "aetherflow.core.kernel"
WITH_FILES = (f"{KERNEL}.state", f"{KERNEL}.locks")
"""The rooms whose business is a file: the state of runs, and the locks that runs share."""
ENVIRONMENT = {"environ", "environb", "getenv", "getuser", "expanduser", "expandvars", "home", "gettempdir"}
"""Names of the standard library that read the environment of the process."""
PROGRAMS = {"importlib", "multiprocessing", "pluggy", "runpy", "subprocess"}
FILES = {"fcntl", "fileinput", "glob", "io", "os", "pathlib", "shutil", "sqlite3", "tempfile"}
OWN_FILES = "aetherflow.core.base.durable"
EXEMPT: dict[str, str] = {}


def breaches(module: ast.Module, name: str) -> Iterator[str]:
    """What in a module of the kernel reaches beyond it."""
    with_files = any(name == room or name.startswith(f"{room}.") for room in WITH_FILES)
    for node in nodes(module):
        if isinstance(node, ast.Import | ast.ImportFrom):
            from_module = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for imported in from_module or [alias.name for alias in node.names]:
                top = imported.partition(".")[0]
                names = {f"{imported}.{alias.name}" for alias in node.names} | {imported}
                if top in PROGRAMS or (not with_files and (top in FILES or OWN_FILES in names)):
                    yield f"{name}: {imported}"
            yield from (f"{name}: {alias.name}" for alias in node.names if alias.name in ENVIRONMENT)
        elif isinstance(node, ast.Attribute) and node.attr in ENVIRONMENT:
            yield f"{name}: {node.attr}"
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "open":
            yield f"{name}: open"


def test_the_kernel_reads_no_environment_and_no_files() -> None:
    found = {
        breach
        for name, path in modules().items()
        if name == KERNEL or name.startswith(f"{KERNEL}.")
        for breach in breaches(tree(path), name)
    }
    assert found == set(EXEMPT)


@pytest.mark.parametrize(
    ("source", "room", "found"),
    [
        ("import os\n\nx = os.environ['A']\n", "resolver.x", ["os", "environ"]),
        ("from os import getenv\n", "state.x", ["getenv"]),
        ("from os import fsync\n", "state.x", []),
        ("from pathlib import Path\n", "yaml.x", ["pathlib"]),
        ("from pathlib import Path\n\nx = Path.home()\n", "locks.x", ["home"]),
        ("def f(path):\n    return open(path)\n", "state.x", ["open"]),
        ("from aetherflow.core.base import durable\n", "sequencing.x", ["aetherflow.core.base"]),
        ("from aetherflow.core.base import durable\n", "state.x", []),
        ("def f():\n    import subprocess\n", "state.x", ["subprocess"]),
    ],
)
def test_breaches_are_found(source: str, room: str, found: list[str]) -> None:
    name = f"{KERNEL}.{room}"
    assert list(breaches(ast.parse(source), name)) == [f"{name}: {what}" for what in found]
