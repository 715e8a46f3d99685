"""The advice in the sources of the product that names an option of a command."""

import ast
import re
from collections.abc import Iterator
from typing import NamedTuple

from docs_pages import ROOT
from import_graph import by_kind, tree

_OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
FILLED = "\0"
_NAMES = ("fix", "hint")
"""What advice is called, as a parameter and as a variable."""


class Advised(NamedTuple):
    """Advice as it stands in a module; FILLED is what is filled in."""

    module: str
    text: str

    @property
    def options(self) -> list[str]:
        """The options that it names."""
        return _OPTION.findall(self.text)

    def is_in(self, printed: str) -> bool:
        """Whether that is what is printed of it."""
        return re.fullmatch(re.escape(self.text).replace(re.escape(FILLED), ".+"), printed) is not None


def advised_options() -> Iterator[Advised]:
    """All of it that names an option and is more than a word."""
    for path in sorted(ROOT.glob("aetherflow-*/src/**/*.py")):
        source = path.read_text(encoding="utf-8")
        if "plugin_template" not in path.parts and _OPTION.search(source):
            found = (Advised(module_of(path.as_posix()), _text(each)) for each in _advice(tree(path)))
            yield from (each for each in found if each.options)


def module_of(path: str) -> str:
    """`core/cli/runs` of `…/aetherflow-core/src/aetherflow/core/cli/runs.py`, with or without a line."""
    inside = path.rpartition(".py")[0].partition("/src/")[2]
    return inside.removeprefix("aetherflow/").removeprefix("aetherflow_builtins_")


def _advice(module: ast.AST) -> Iterator[ast.expr]:
    """The literals that stand where advice is given."""
    for node in by_kind(module)[ast.keyword]:
        if node.arg in _NAMES:
            yield from _literals(node.value)
    for node in by_kind(module)[ast.Assign]:
        if any(isinstance(each, ast.Name) and each.id in _NAMES for each in node.targets):
            yield from _literals(node.value)


def _literals(value: ast.expr) -> Iterator[ast.expr]:
    if isinstance(value, ast.JoinedStr) or (isinstance(value, ast.Constant) and isinstance(value.value, str)):
        yield value
    elif isinstance(value, ast.IfExp):
        yield from (*_literals(value.body), *_literals(value.orelse))


def _text(value: ast.expr) -> str:
    """What a literal says; FILLED stands for what is filled in."""
    if isinstance(value, ast.JoinedStr):
        return "".join(_text(part) for part in value.values)
    return str(value.value) if isinstance(value, ast.Constant) else FILLED
