"""The walls of the house: the shared namespace, the direction of imports, short modules."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
CORE = ROOT / "aetherflow-core/src/aetherflow/core"
MODULES = sorted(ROOT.glob("aetherflow-*/src/**/*.py"))

# Bottom up: a module may import from its own row and from the rows above it in this table, never from those below.
LAYERS = [
    {"errors", "failpoint", "location", "problems", "run_id", "summary"},
    {"contracts", "durable"},
    {"documents", "spec"},
    {"resolve", "plugins", "state", "locks", "bundle", "observe"},
    {"engine", "checks", "schema"},
    {"api", "exception", "runner", "validation"},
    {"cli", "__main__"},
]
RANKS = {name: rank for rank, names in enumerate(LAYERS) for name in names}
BESIDE = {"builtins", "testing"}  # plugins and the test kit stand beside the kernel
SCHEDULER_USES = {  # a host program of the same release train; a run is always a process of its own, never the engine
    "api",
    "checks",
    "cli",
    "documents",
    "durable",
    "errors",
    "location",
    "locks",
    "plugins",
    "problems",
    "resolve",
    "run_id",
}
PUBLIC = ("aetherflow.core.api", "aetherflow.core.testing")


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


def part(module: str) -> str:
    """`aetherflow.core.engine.plan` -> `engine`."""
    return module.split(".")[2]


def own_part(path: Path) -> str:
    return path.relative_to(CORE).parts[0].removesuffix(".py")


def kernel_modules() -> list[Path]:
    return [path for path in MODULES if path.is_relative_to(CORE) and own_part(path) not in BESIDE]


def test_nobody_owns_the_namespace() -> None:
    assert [str(path) for path in ROOT.glob("aetherflow-*/src/aetherflow/__init__.py")] == []


def test_no_top_level_folder_shadows_the_namespace() -> None:
    # Python would take it for a part of the namespace whenever the repository is the working directory.
    assert not (ROOT / "aetherflow").exists()


def test_tests_are_no_packages() -> None:
    # importlib mode needs none, and with one mypy finds a module under two names.
    assert [str(path) for path in (ROOT / "tests").rglob("__init__.py")] == []


def test_every_part_of_the_core_has_its_layer() -> None:
    parts = {own_part(path) for path in kernel_modules() if path.name != "__init__.py" or path.parent != CORE}
    assert parts - set(RANKS) == set(), "give the new module its row in LAYERS"


def test_imports_point_down() -> None:
    wrong = []
    for path in kernel_modules():
        if path == CORE / "__init__.py":
            continue  # the package's front: it may re-export from any layer
        own = own_part(path)
        for line, module in imports(path):
            if module.startswith("aetherflow.core.") and RANKS.get(part(module), -1) > RANKS.get(own, 99):
                wrong.append(f"{path.relative_to(ROOT)}:{line}: {own} imports {module}")
    assert wrong == []


def test_the_kernel_imports_no_plugin() -> None:
    forbidden = (*(f"aetherflow.core.{name}" for name in BESIDE), "aetherflow_builtins_", "aetherflow.scheduler")
    wrong = [
        f"{path.relative_to(ROOT)}:{line}: {module}"
        for path in kernel_modules()
        for line, module in imports(path)
        if module.startswith(forbidden)
    ]
    assert wrong == []


def test_plugins_use_only_the_public_surface() -> None:
    wrong = []
    for path in MODULES:
        own = path.relative_to(ROOT).parts[2]
        if path.is_relative_to(CORE / "builtins"):
            own = "aetherflow.core.builtins"
        elif not own.startswith("aetherflow_builtins_"):
            continue
        wrong += [
            f"{path.relative_to(ROOT)}:{line}: {module}"
            for line, module in imports(path)
            if module.startswith("aetherflow") and not module.startswith((*PUBLIC, own))
        ]
    assert wrong == []


def test_the_scheduler_knows_neither_engine_nor_state() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line}: {module}"
        for path in MODULES
        if path.is_relative_to(ROOT / "aetherflow-scheduler")
        for line, module in imports(path)
        if module.startswith("aetherflow.core.") and part(module) not in SCHEDULER_USES
    ]
    assert wrong == []


def test_modules_are_short() -> None:
    sizes = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in MODULES}
    assert {name: size for name, size in sizes.items() if size > 350} == {}, "does it still do one job?"


# Written so that this file does not contain what they look for.
REGISTRY = re.compile(r"(pypi|pythonhosted|npmjs|anaconda)\.(org|com)")
MACHINE = re.compile(r"(?<![\w.~$})-])/(?:work|root)/")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("see https://" + "pypi" + ".org/project/x", True),
        ("cd /" + "work/main", True),
        ('"/' + 'root/.venv/bin"', True),
        ("$(CURDIR)/.demo/work/state", False),
        ("$root/work/flow", False),
        ("{home}/" + "work/x", False),
    ],
)
def test_the_patterns_find_what_they_should(text: str, found: bool) -> None:
    assert bool(REGISTRY.search(text) or MACHINE.search(text)) is found
