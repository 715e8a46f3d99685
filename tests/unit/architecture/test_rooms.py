"""The rooms of the house: imports point down a line of rooms, and nothing goes round in a circle."""

import ast

import pytest

from import_graph import SOURCES, circles, distribution, graph, modules, packages, room, tree
from rooms import ROWS
from size import floor_size, logical_lines

CORE, SCHEDULER = "aetherflow.core", "aetherflow.scheduler"
PUBLIC = (f"{CORE}.api", f"{CORE}.testing")
FOR_HOST_PROGRAMS = (*PUBLIC, f"{CORE}.embedding")
BUDGETS = {"kernel": 5_968, "base": 2_237, "contracts": 1_595}
"""Most logical lines of the kernel, and of what it stands on: no part of it hides next door. `CHANGELOG.md` names each
growth."""
FRONTS = {CORE, f"{CORE}.cli", f"{CORE}.testing", f"{CORE}.base.durable"} | {
    SCHEDULER,
    f"{SCHEDULER}.cli",
    f"{SCHEDULER}.launchers",
}
"""Packages with code of their own in `__init__.py`."""


def short(module: str, package: str) -> str:
    return module.removeprefix(f"{package}.")


def inside(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def test_every_distribution_has_its_rows() -> None:
    assert set(ROWS) == set(SOURCES)


@pytest.mark.parametrize("package", sorted(SOURCES))
def test_every_module_stands_in_a_room(package: str) -> None:
    homeless = [
        name
        for name, path in modules().items()
        if inside(name, package) and path.name != "__init__.py" and room(name, ROWS[package]) is None
    ]
    assert homeless == [], "give the new module its row in rooms.py"


@pytest.mark.parametrize("package", sorted(SOURCES))
def test_imports_point_down(package: str) -> None:
    ranks = {name: rank for rank, name in enumerate(ROWS[package])}
    found = []
    for name, imported in graph().items():
        own = room(name, ranks) if inside(name, package) else None
        if own is not None:  # the package's front may hand out names of any room
            above = [
                other for other in imported if inside(other, package) and ranks[room(other, ranks) or own] > ranks[own]
            ]
            found += [f"{short(name, package)} -> {short(other, package)}" for other in above]
    assert sorted(found) == []


def test_no_row_is_left_over() -> None:
    for package, names in ROWS.items():
        used = {room(name, names) for name in modules() if inside(name, package)}
        assert set(names) - used == set(), package


def test_the_kernel_stands_on_base_and_contracts_alone() -> None:
    assert list(dict.fromkeys(name.split(".")[0] for name in ROWS[CORE]))[:3] == ["base", "contracts", "kernel"]


def test_no_circle_of_packages() -> None:
    assert circles(packages()) == []


def test_no_circle_of_files() -> None:
    # imports for types alone count: what two files know of each other belongs in one, or in a third
    assert circles(graph()) == []


def test_circles_are_found() -> None:
    assert circles({"a": ["b"], "b": ["c"], "c": ["a"], "d": ["a"], "e": ["f"], "f": ["e"]}) == [
        ("a", "b", "c"),
        ("e", "f"),
    ]


@pytest.mark.parametrize("beside", [f"{CORE}.builtins", f"{CORE}.testing"])
def test_nothing_stands_on_the_built_ins_or_the_test_kit(beside: str) -> None:
    wrong = [
        f"{name} -> {other}"
        for name, imported in graph().items()
        if not inside(name, beside)
        for other in imported
        if inside(other, beside)
    ]
    assert wrong == []


def test_plugins_use_only_the_public_surface() -> None:
    wrong = []
    for name, imported in graph().items():
        own = f"{CORE}.builtins" if inside(name, f"{CORE}.builtins") else distribution(name)
        # a command of ours shows a run as `aetherflow run` does; the rest of the built-ins are like anybody's plugins
        if own not in (CORE, SCHEDULER) and not inside(name, f"{CORE}.builtins.commands"):
            wrong += [f"{name} -> {other}" for other in imported if not any(inside(other, p) for p in (*PUBLIC, own))]
    assert wrong == []


def test_the_scheduler_uses_the_doors() -> None:
    found = [
        f"{short(name, SCHEDULER)} -> {short(other, CORE)}"
        for name, imported in graph().items()
        if inside(name, SCHEDULER)
        for other in imported
        if inside(other, CORE) and not any(inside(other, door) for door in FOR_HOST_PROGRAMS)
    ]
    assert found == []


def test_fronts_of_rooms_are_empty() -> None:
    # a start pays for every line of every package on the way to the module that it wants
    wrong = []
    for name, path in modules().items():
        if path.name == "__init__.py" and (inside(name, CORE) or inside(name, SCHEDULER)) and name not in FRONTS:
            body = tree(path).body
            if len(body) != 1 or not isinstance(body[0], ast.Expr):
                wrong.append(name)
    assert wrong == []


@pytest.mark.parametrize("floor", sorted(BUDGETS))
def test_the_kernel_is_small(floor: str) -> None:
    assert floor_size(floor) <= BUDGETS[floor]


def test_logical_lines_say_something() -> None:
    module = '"""A module.\n\nOf two lines."""\n\nimport os  # why\n\n\n# what\n'
    values = 'X = """\na\n"""\n"""Of X."""\ny = f(\n    os,\n)\n'
    source = module + values
    assert logical_lines(source, ast.parse(source)) == 1 + 3 + 3
