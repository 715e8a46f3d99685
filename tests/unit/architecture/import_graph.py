"""Which module imports which, in every distribution: read from the sources, nothing is imported."""

import ast
import functools
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

ROOT = next(folder for folder in Path(__file__).parents if (folder / "aetherflow-core").is_dir())
SOURCES = {
    "aetherflow.core": ROOT / "aetherflow-core/src/aetherflow/core",
    "aetherflow.scheduler": ROOT / "aetherflow-scheduler/src/aetherflow/scheduler",
    **{path.name: path for path in sorted(ROOT.glob("aetherflow-*/src/aetherflow_*"))},
}
"""The package of each distribution, and its folder."""
Graph = dict[str, set[str]]
SILENT_FIELDS = frozenset({"ctx", "op", "ops", "type_ignores"})
"""Fields of a syntax tree whose nodes hold nothing: contexts and operators."""


@functools.cache
def modules() -> dict[str, Path]:
    """Every module by its full name; a package is its `__init__.py`."""
    found = {}
    for package, folder in SOURCES.items():
        for path in sorted(folder.rglob("*.py")):
            parts = path.relative_to(folder).with_suffix("").parts
            found[".".join([package, *parts]).removesuffix(".__init__")] = path
    return found


@functools.cache
def tree(path: Path) -> ast.Module:
    """The syntax tree of a module; all tests of the house share it."""
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


@functools.cache
def nodes(node: ast.AST) -> list[ast.AST]:
    """`ast.walk` without contexts and operators, walked once for all tests of the house."""
    found = [node]
    for each in found:
        for name in each._fields:
            if name in SILENT_FIELDS:
                continue
            value = getattr(each, name, None)
            if isinstance(value, list):
                found += [inner for inner in value if isinstance(inner, ast.AST)]
            elif isinstance(value, ast.AST):
                found.append(value)
    return found


@functools.cache
def by_kind(node: ast.AST) -> dict[type[ast.AST], list[Any]]:
    """The same by their types: most tests look for some of them only."""
    found: dict[type[ast.AST], list[Any]] = defaultdict(list)
    for each in nodes(node):
        found[type(each)].append(each)
    return found


@functools.cache
def graph() -> Graph:
    """Each module with the modules of ours that it imports: at the top, in functions, under TYPE_CHECKING."""
    return {name: set(_imports(path)) - {name} for name, path in modules().items()}


def _imports(path: Path) -> Iterator[str]:
    kinds = by_kind(tree(path))
    for node in kinds[ast.Import]:
        yield from (alias.name for alias in node.names if alias.name in modules())
    for node in kinds[ast.ImportFrom]:
        assert node.level == 0, f"{path}:{node.lineno}: relative import"
        for alias in node.names:
            full = f"{node.module}.{alias.name}"  # the name may be a module
            found = full if full in modules() else node.module
            if found in modules():
                yield str(found)


def distribution(module: str) -> str:
    """The package of the distribution that a module belongs to."""
    return next(name for name in SOURCES if module == name or module.startswith(f"{name}."))


def room(module: str, rooms: Collection[str]) -> str | None:
    """The innermost of the named rooms that a module stands in; names are those below the distribution's package."""
    parts = module.removeprefix(distribution(module)).strip(".").split(".")
    names = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
    return next((name for name in names if name in rooms), None)


def package(module: str) -> str:
    """The folder that a module stands in; a file in the root folder of a distribution is a room of its own."""
    folder = module.rpartition(".")[0]
    return module if modules()[module].name == "__init__.py" or folder in SOURCES else folder


def packages() -> Graph:
    """The same graph between folders."""
    found: Graph = {}
    for name, imported in graph().items():
        found.setdefault(package(name), set()).update({package(other) for other in imported} - {package(name)})
    return found


def circles(edges: Mapping[str, Iterable[str]]) -> list[tuple[str, ...]]:
    """Groups of nodes that reach each other, by Tarjan's algorithm; each sorted, alone standing ones left out."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[tuple[str, ...]] = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in sorted(edges.get(node, ())):
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            at = stack.index(node)
            if len(group := stack[at:]) > 1:
                found.append(tuple(sorted(group)))
            del stack[at:]

    for node in sorted(edges):
        if node not in index:
            visit(node)
    return sorted(found)
