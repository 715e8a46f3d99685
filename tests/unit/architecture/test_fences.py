"""What the core uses of other libraries beside their public names stands in one module for each library."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from aetherflow.core.base.errors import UsageError
from aetherflow.core.base.pydantic_internals import spare_plugin_scan
from aetherflow.core.base.typer_internals import completion_script, prepare_completion, read_plainly
from import_graph import ROOT, SOURCES

CORE = SOURCES["aetherflow.core"]
FENCES = {"typer": "base/typer_internals.py", "pydantic": "base/pydantic_internals.py"}
NAMES = {"type_descriptor": "typer", "process_value": "typer"}
"""Attributes of objects of a library that no page of it names."""


def private_parts(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """The libraries whose private modules or attributes are used, and where."""
    for node in ast.walk(tree):
        names: list[str] = []
        match node:
            case ast.ImportFrom(module=str(module)):
                names = [module, *(f"{module}.{alias.name}" for alias in node.names)]
            case ast.Import():
                names = [alias.name for alias in node.names]
            case ast.Constant(value=str(text)) if re.fullmatch(r"\w+(\.\w+)+", text):
                names = [text]
            case ast.Attribute(value=ast.Name(id=library), attr=name):
                names = [f"{library}.{name}"]
        for name in names:
            library, *parts = name.split(".")
            if library in FENCES and any(part.startswith("_") and not part.endswith("__") for part in parts):
                yield library, getattr(node, "lineno", 0)
        attribute = node.attr if isinstance(node, ast.Attribute) else getattr(node, "value", None)
        if isinstance(node, ast.Attribute | ast.Constant) and isinstance(attribute, str) and attribute in NAMES:
            yield NAMES[attribute], node.lineno


def test_private_parts_stand_behind_their_fence() -> None:
    wrong = [
        f"{path.relative_to(CORE)}:{line}: {library}"
        for path in sorted(CORE.rglob("*.py"))
        for library, line in private_parts(ast.parse(path.read_text()))
        if path != CORE / FENCES[library]
    ]
    assert wrong == []


@pytest.mark.parametrize("library", FENCES)
def test_a_fence_is_needed_and_says_what_it_was_tried_with(library: str) -> None:
    text = (CORE / FENCES[library]).read_text()
    assert any(name == library for name, _ in private_parts(ast.parse(text)))
    said = ast.get_docstring(ast.parse(text)) or ""
    project = tomllib.loads((ROOT / "aetherflow-core/pyproject.toml").read_text())["project"]
    (bounds,) = [line.removeprefix(library) for line in project["dependencies"] if line.startswith(library)]
    floor, ceiling = re.fullmatch(r">=([\d.]+),<(\d+)", bounds).groups()  # type: ignore[union-attr]
    assert f"Tried with {library} {floor}" in " ".join(said.split())
    assert f"below {ceiling}" in " ".join(said.split())


@pytest.mark.parametrize(
    ("code", "libraries"),
    [
        ("from typer._completion_classes import completion_init", ["typer"]),
        ("import pydantic._internal._fields", ["pydantic"]),
        ("sys.modules.get('pydantic.plugin._loader')", ["pydantic"]),
        ("param.type_descriptor", ["typer"]),
        ("param.__dict__['process_value'] = f", ["typer"]),
        ("from typer.core import TyperGroup\nmodel.__pydantic_root_model__", []),
    ],
)
def test_private_parts_are_found(code: str, libraries: list[str]) -> None:
    assert [library for library, _ in private_parts(ast.parse(code))][:1] == libraries


# Without the private names


def test_a_parameter_of_another_typer_is_left_alone() -> None:
    for param in (SimpleNamespace(), SimpleNamespace(type_descriptor=None), SimpleNamespace(process_value=len)):
        before = dict(vars(param))
        read_plainly(param)
        assert vars(param) == before


def test_completion_without_its_private_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "typer._completion_classes", None)
    monkeypatch.setitem(sys.modules, "typer._completion_shared", None)
    prepare_completion()
    with pytest.raises(UsageError, match="makes no scripts"):
        completion_script("aetherflow", "_X", "bash")


def test_pydantic_without_its_private_part(monkeypatch: pytest.MonkeyPatch) -> None:
    loader = SimpleNamespace()
    monkeypatch.setitem(sys.modules, "pydantic.plugin._loader", loader)
    spare_plugin_scan()
    assert vars(loader) == {}
    loader._plugins = None
    spare_plugin_scan()
    assert loader._plugins == {}
