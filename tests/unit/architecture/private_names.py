"""Where our code takes private names of other people's libraries: read from the sources.

A name is theirs if it begins with one underscore and is imported from them, is reached on an object under a name that
the module itself does not define, is reached on `self` under a name that the whole distribution does not define, or is
given anew by a class of ours to a class of theirs.
"""

import ast
import contextlib
import importlib
from collections.abc import Iterator
from functools import cache

from import_graph import by_kind, distribution, modules, tree

DOCUMENTED = {
    "_exit", "_getframe", "_current_frames",  # os, sys
    "_asdict", "_fields", "_make", "_replace",  # named tuples
    "_missing_", "_generate_next_value_", "_value_", "_name_", "_value2member_map_", "_member_map_",  # enum
    "_fields_",  # ctypes
}  # fmt: skip
"""Names with an underscore that the standard library documents."""


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name != "_" and name not in DOCUMENTED


def is_ours(module: str) -> bool:
    return module.partition(".")[0].startswith("aetherflow")


@cache
def defined(node: ast.AST) -> frozenset[str]:
    """Names that a module or class defines: functions, classes, variables, parameters, attributes that it sets."""
    kinds = by_kind(node)
    found = {each.id for each in kinds[ast.Name] if isinstance(each.ctx, ast.Store)}
    found.update(each.arg for each in kinds[ast.arg])
    found.update(each.attr for each in kinds[ast.Attribute] if isinstance(each.ctx, ast.Store) and on_self(each.value))
    for kind in (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef):
        found.update(each.name for each in kinds[kind])
    return frozenset(found)


def on_self(value: ast.AST) -> bool:
    return isinstance(value, ast.Name) and value.id in ("self", "cls")


def inherited(node: ast.ClassDef, imports: dict[str, str]) -> Iterator[str]:
    """Private names that a class gives anew to a foreign class it inherits from."""
    own = sorted(filter(is_private, defined(node)))
    for base in node.bases if own else ():
        target = base.value if isinstance(base, ast.Subscript) else base
        first, *rest = ast.unparse(target).split(".")
        full = ".".join([imports.get(first, ""), *rest])
        module, _, name = full.rpartition(".")
        if first not in imports or is_ours(full) or not module:
            continue
        with contextlib.suppress(ImportError):
            theirs = getattr(importlib.import_module(module), name, None)
            yield from (each for each in own if hasattr(theirs, each))


def imported(node: ast.AST) -> Iterator[tuple[str, str]]:
    """Each name that a module imports, in functions too, and what it is; a name may be imported in two ways."""
    for each in by_kind(node)[ast.Import]:
        yield from ((alias.asname or alias.name, alias.name) for alias in each.names)
    for each in by_kind(node)[ast.ImportFrom]:
        yield from ((alias.asname or alias.name, f"{each.module}.{alias.name}") for alias in each.names)


def reached(node: ast.AST) -> Iterator[tuple[str, bool]]:
    """Each private attribute that a module reads or sets, and whether it does so on `self` or `cls`."""
    for each in by_kind(node)[ast.Attribute]:
        if is_private(each.attr):
            yield each.attr, on_self(each.value)
    for each in by_kind(node)[ast.Call]:
        match each:
            case ast.Call(
                func=ast.Name(id="getattr" | "setattr" | "hasattr"), args=[value, ast.Constant(value=str(name)), *_]
            ) if is_private(name):
                yield name, on_self(value)


def taken(node: ast.AST, of_distribution: frozenset[str]) -> set[str]:
    """Private names of others that a module uses; the second are the names that its distribution defines."""
    imports, of_module = list(imported(node)), defined(node)
    found = {full for _, full in imports if not is_ours(full) and any(map(is_private, full.split(".")))}
    found |= {name for name, of_self in reached(node) if name not in (of_distribution if of_self else of_module)}
    for each in by_kind(node)[ast.ClassDef]:
        found.update(inherited(each, dict(imports)))
    return found


@cache
def names_of(package: str) -> frozenset[str]:
    """All names that a distribution defines."""
    return frozenset(
        name for module, path in modules().items() if distribution(module) == package for name in defined(tree(path))
    )


@cache
def findings() -> dict[str, set[str]]:
    """Each module that takes private names of others, with these names."""
    found = {name: taken(tree(path), names_of(distribution(name))) for name, path in modules().items()}
    return {name: names for name, names in found.items() if names}
