"""The core's code knows no plugin by name; what it tells about those of ours is data, which agrees with them."""

import ast
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest

from aetherflow.core.host import first_party
from aetherflow.core.host.names import BUNDLE_SOURCES, COMMANDS, CONNECTORS, DOCUMENTS, STATE_BACKENDS, STEPS
from import_graph import ROOT, SOURCES, by_kind, tree

CORE = SOURCES["aetherflow.core"]
OUTSIDE = ("builtins", "testing")
"""Folders that are no part of the core's own machine: the built-ins are plugins, the test kit is full of examples."""
KINDS = "contracts/kinds/names.py"
"""The one file with names: the kinds that `ctx.connectors` has accessors for, and the policy of one of them."""
WORDS = {
    "aetherflow": "the name of the program itself",
    "aetherflow-core": "this distribution",
    "run_flow": "the function of aetherflow.core and of its runner",
    "fail": "a value of --if-busy",
    "file": "a key of reports: the file of a problem",
    "os": "the operating system's environment, as a source of values",
}
"""Names of plugins that are words of the core, too, and what they mean there."""
PLACES = {
    ("checks/habits.py", "external.process"): "the step that stands for `run:` and `command:` of other tools",
    ("bundle/manifest_spec.py", "filesystem"): "what a manifest of version 1 means that names no type",
    ("contracts/kinds/archive.py", "zip"): "a format of archives",
    ("contracts/kinds/sql.py", "mysql"): "rules for text and comments, called after the database that made them",
    ("checks/host.py", "smb"): "a type of file system in /proc/mounts",
    ("base/engine_files.py", "scheduler"): "the folder of ledgers, which every version finds under this name",
    ("runtime/notify/command.py", "external.process"): "a policy that denies programs to steps denies them to rules",
    ("runtime/resuming.py", "wrap"): "what the states of 1.0 hold for a run of a flow that stands in no file",
}


@cache
def projects() -> dict[str, dict[str, Any]]:
    found = [tomllib.loads(path.read_text())["project"] for path in sorted(ROOT.glob("aetherflow-*/pyproject.toml"))]
    return {project["name"]: project for project in found}


@cache
def plugin_names() -> frozenset[str]:
    """What distributions, steps, connectors, kinds, drivers, sources, kinds of documents and commands are called."""
    found = set(projects()) | {"aetherflow"}
    for project in projects().values():
        groups = project["entry-points"]
        for group in (STEPS, CONNECTORS, BUNDLE_SOURCES, DOCUMENTS, COMMANDS):
            found |= groups.get(group, {}).keys()
        for name in groups.get(CONNECTORS, ()):
            kind, _, driver = name.partition(".")
            found |= {kind, driver, f"{kind}:{driver}"}
    return frozenset(found)


@cache
def odd_names() -> frozenset[str]:
    """Names of plugins that are no plain words."""
    return frozenset(name for name in plugin_names() if re.search(r"[_.:-]", name) and name not in WORDS)


def literals(module: ast.Module) -> Iterator[tuple[int, str]]:
    """Every text in a module that is no docstring."""
    plain = {id(node.value) for node in by_kind(module)[ast.Expr]}
    for node in by_kind(module)[ast.Constant]:
        if isinstance(node.value, str) and id(node) not in plain:
            yield node.lineno, node.value


def names_in(text: str) -> list[str]:
    """The names that a text is, and those in it that are no plain words."""
    words = set(re.findall(r"[\w.:-]*\w", text))
    return sorted(({text} & plugin_names()) | (words & odd_names()))


@cache
def found_names() -> set[tuple[str, str, int]]:
    found = set()
    for path in sorted(CORE.rglob("*.py")):
        file = path.relative_to(CORE).as_posix()
        if file.split("/")[0] not in OUTSIDE and file != KINDS:
            found |= {(file, name, line) for line, text in literals(tree(path)) for name in names_in(text)}
    return found


def test_no_text_of_the_core_names_a_plugin() -> None:
    wrong = [
        f"{file}:{line}: {name}"
        for file, name, line in sorted(found_names())
        if name not in WORDS and (file, name) not in PLACES
    ]
    assert wrong == []


def test_every_exemption_is_used() -> None:
    found = found_names()
    assert {name for _, name, _ in found} >= WORDS.keys()
    assert {(file, name) for file, name, _ in found} >= PLACES.keys()


@pytest.mark.parametrize(
    ("code", "names"),
    [
        ("x = 'sftp'", ["sftp"]),
        ("x = f'wrap it in with_lock, {y}'", ["with_lock"]),
        ("x = 'type: external.process'", ["external.process"]),
        ("f(fix='pip install aetherflow-builtins-db')", ["aetherflow-builtins-db"]),
        ("x = 'a file: sftp is a word here'", []),
        ("def f():\n    '''Of sftp.'''\n    # smb\n", []),
    ],
)
def test_names_are_found(code: str, names: list[str]) -> None:
    assert [name for _, text in literals(ast.parse(code)) for name in names_in(text)] == names


# The data in aetherflow-core's pyproject.toml


def core() -> dict[str, Any]:
    return projects()["aetherflow-core"]


def brought_by(extra: str) -> set[str]:
    return {re.split(r"[\[<>=]", line)[0] for line in core()["optional-dependencies"][extra]}


def test_hints_name_every_plugin_of_ours_and_the_extra_of_its_distribution() -> None:
    hints = core()["entry-points"][first_party.HINTS]
    wanted = {
        f"{group.removeprefix('aetherflow.')}.{name}": distribution
        for distribution, project in projects().items()
        for group in (STEPS, CONNECTORS, BUNDLE_SOURCES, DOCUMENTS, STATE_BACKENDS)
        for name in project["entry-points"].get(group, ())
        if distribution != "aetherflow-core"
    }
    # a hook knows them, which has no name of its own
    wanted["formats.prometheus"] = "aetherflow-builtins-rest"
    wanted |= {f"pages.{name}": "aetherflow-builtins-reports" for name in ("graph", "run", "schedule", "status")}
    assert hints.keys() == wanted.keys()
    packages = {package: name for name, package in core()["entry-points"][first_party.FIRST_PARTY].items()}
    for key, distribution in wanted.items():
        extra, _, note = hints[key].partition(":")
        assert ({packages[extra]} if extra in packages else brought_by(extra)) == {distribution}, key
        assert note in ("", first_party.WITHOUT_DRIVER), key


def test_the_first_party_is_what_is_in_this_repository() -> None:
    named = core()["entry-points"][first_party.FIRST_PARTY]
    assert named.keys() == projects().keys()
    assert set(named.values()) == SOURCES.keys()


def test_hints_can_be_read_as_references_to_objects() -> None:
    # the format of entry points asks for it, though nothing loads these
    for group in (first_party.HINTS, first_party.FIRST_PARTY):
        for value in core()["entry-points"][group].values():
            assert re.fullmatch(r"\w+(\.\w+)*(:\w+)?", value), value


def test_the_installed_metadata_says_the_same() -> None:
    assert first_party.first_party() == projects().keys()
    assert first_party.extra_for(CONNECTORS, "db.postgres") == "postgres"
    assert first_party.extra_for(STEPS, "db.postgres") is None
    assert first_party.distribution_for("postgres") == "aetherflow-builtins-db"
    assert first_party.driver_extra("db.postgres") == "postgres"
    assert first_party.driver_extra("archive.pyminizip") == ""
    assert first_party.extra_for(CONNECTORS, "archive.pyminizip") == "zip"
    assert first_party.program_for("scheduler") == "aetherflow-scheduler"
    assert first_party.program_for("flow") is None


def test_an_extra_that_another_one_brings_along_is_left_out() -> None:
    assert first_party.without_implied(["postgres", "db", "mail", "transfer", "excel"]) == ["excel", "mail", "postgres"]
    assert first_party.without_implied(["db", "transfer"]) == ["db", "transfer"]
