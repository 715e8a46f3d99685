"""The door of first-party programs: each name is what its module has, and is imported when it is asked for."""

import ast
from importlib import import_module
from pathlib import Path

import pytest

from aetherflow.core import embedding


def test_names_are_those_that_mypy_knows() -> None:
    tree = ast.parse(Path(embedding.__file__).read_text())
    (typed,) = [node for node in tree.body if isinstance(node, ast.If)]
    known = {
        alias.asname: f"{node.module}".removeprefix("aetherflow.core.")
        for node in typed.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert known == embedding._MODULES
    assert {node.module for node in tree.body if isinstance(node, ast.ImportFrom)} == {"typing"}, "lazy, all of it"


@pytest.mark.parametrize("name", sorted(embedding._MODULES))
def test_each_name_is_that_of_its_module(name: str) -> None:
    module = import_module(f"aetherflow.core.{embedding._MODULES[name]}")
    assert getattr(embedding, name) is getattr(module, name)


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'run_flow'"):
        embedding.run_flow  # noqa: B018 asking is the test
