"""Private names of other people's libraries are used behind fences: one module each, which says why."""

import ast
import re
import tomllib
from itertools import chain

import pytest
from packaging.requirements import Requirement

from import_graph import ROOT, modules, tree
from private_names import defined, findings, taken

DB, TRANSFER, REPORTS = (f"aetherflow_builtins_{name}" for name in ("db", "transfer", "reports"))
FENCES = {
    "aetherflow.core.host.pydantic_internals": "pydantic",
    "aetherflow.core.console.typer_internals": "typer",
    "aetherflow.core.runtime.processes.guard_program": "signal",
    "aetherflow.core.runtime.processes.interpreter_end": "threading",
    f"{DB}.connectors.mysql.pymysql_parts": "pymysql",
    f"{TRANSFER}.archives.zip_member": "zipfile",
    f"{TRANSFER}.connectors.sftp.client": "paramiko",
    f"{TRANSFER}.connectors.smb.connection": "smbprotocol",
    f"{TRANSFER}.connectors.smb.pysmb_connection": "pysmb",
    f"{REPORTS}.shift.tokenizer": "openpyxl",
}
"""The module that holds all of a library's private parts that we use, and the library."""
PAST_THE_PACKAGE = {f"{REPORTS}.shift.tokenizer"}
"""Fences that take no private name, but a public module from its file, without its package."""
STANDARD = {"signal", "threading", "zipfile"}


def test_private_names_are_used_behind_fences() -> None:
    assert {name: names for name, names in findings().items() if name not in FENCES} == {}


def test_every_fence_holds_something() -> None:
    assert set(FENCES) - set(findings()) == PAST_THE_PACKAGE


@pytest.mark.parametrize("fence", sorted(FENCES))
def test_a_fence_says_why_and_what_without_it_and_with_which_versions_it_was_tried(fence: str) -> None:
    text = ast.get_docstring(tree(modules()[fence])) or ""
    assert re.search(r"^Why: ", text, re.MULTILINE)
    assert re.search(r"\b(Without|Where)\b", text)
    assert re.search(r"Tried\s+with\s+(Python [\d. to]+\s+and\s+)?(\w+ [\d.]+\s+to\s+[\d.]+)", text)
    assert FENCES[fence] in text


@pytest.mark.parametrize("fence", sorted(fence for fence, library in FENCES.items() if library not in STANDARD))
def test_a_library_behind_a_fence_has_an_upper_bound(fence: str) -> None:
    folder = next(path for path in ROOT.glob("aetherflow-*") if (path / "src" / fence.partition(".")[0]).is_dir())
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    lines = chain(project["dependencies"], *project.get("optional-dependencies", {}).values())
    bounds = [each.specifier for each in map(Requirement, lines) if each.name == FENCES[fence]]
    assert bounds
    assert all({"<", "<=", "==", "~="} & {each.operator for each in bound} for bound in bounds)


@pytest.mark.parametrize(
    ("code", "names"),
    [
        ("import theirs._inner", {"theirs._inner"}),
        ("from theirs._inner import thing", {"theirs._inner.thing"}),
        ("from theirs import _thing", {"theirs._thing"}),
        ("try:\n    import _theirs as it\nexcept ImportError:\n    import it", {"_theirs"}),
        ("def f(it):\n    return it._sock", {"_sock"}),
        ("def f(it):\n    return getattr(it, '_sock', None)", {"_sock"}),
        ("class A:\n    def f(self):\n        return self._sock", {"_sock"}),
        ("class A:\n    _sock = None\n    def f(self, other):\n        return self._sock or other._sock", set()),
        ("from json import JSONEncoder\nclass A(JSONEncoder):\n    def _own(self):\n        pass", set()),
        ("import ast\nclass A(ast.NodeVisitor):\n    _fields = ()", set()),
        ("from threading import Thread\nclass A(Thread):\n    def _bootstrap(self):\n        pass", {"_bootstrap"}),
        ("import threading\nclass A(threading.Thread):\n    _bootstrap = None", {"_bootstrap"}),
    ],
)
def test_private_names_are_found(code: str, names: set[str]) -> None:
    node = ast.parse(code)
    assert taken(node, frozenset(defined(node))) == names
