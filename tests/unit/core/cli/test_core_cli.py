"""The command line: what each command imports, prints and returns."""

import gc
import json
import re
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from core_project import Project


def test_help_names_commands_and_exit_codes(project: "Project") -> None:
    result = project.cli("--help")
    assert result.code == 0
    for word in ("run", "validate", "plugins", "Exit codes", "143"):
        assert word in result.out
    for command in ("run", "validate", "plugins"):
        assert project.cli(command, "-h").code == 0


@pytest.mark.parametrize(
    "arguments",
    [
        (), ("nonsense",), ("run", "--nonsense"), ("run", "a.yaml", "b.yaml"), ("validate", "--run-id", "x", "a.yaml"),
        ("plugins",), ("plugins", "nonsense"), ("run", "a.yaml", "--run-id"),
    ],
)  # fmt: skip
def test_usage_errors_exit_2_and_print_nothing_on_stdout(project: "Project", arguments: tuple[str, ...]) -> None:
    result = project.cli(*arguments)
    assert result.code == 2
    if arguments not in ((), ("plugins",)):  # these show the help
        assert result.out == ""
        assert result.err.startswith(("Usage: aetherflow", "Error: "))
    assert "Traceback" not in result.err


def test_an_empty_argument_list_is_not_the_processes_own(project: "Project", monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["aetherflow", "--version"])
    assert project.cli().code == 2


def test_what_one_run_leaves_is_not_frozen_by_the_next(project: "Project") -> None:
    """A process of a user's own that calls `main` for run after run does not grow."""
    project.flow("jobs: []")
    counts = []
    for _ in range(3):
        assert project.cli("run", "flow.yaml").code == 0
        counts.append(gc.get_freeze_count())
    assert counts == sorted(counts, reverse=True)


def test_plugins_list(project: "Project") -> None:
    result = project.cli("plugins", "list")
    assert (result.code, result.err) == (0, "")
    header, *rows = result.out.splitlines()
    assert header.split() == ["kind", "name", "distribution", "version", "status"]
    wide = project.cli("plugins", "list", "--wide").out.splitlines()
    assert wide[0].split() == ["kind", "name", "distribution", "version", "target", "status"]
    names = [tuple(re.split(r" {2,}", row)[:2]) for row in rows]
    assert names == sorted(names)
    assert ("connector", "db:sqlite3") in names
    assert ("step", "external.process") in names
    report = json.loads(project.cli("plugins", "list", "--json").out)
    assert report["schema"] == 1
    assert [(row["kind"], row["name"]) for row in report["plugins"]] == names
    assert {tuple(row) for row in report["plugins"]} == {
        ("kind", "name", "distribution", "version", "target", "status", "locked")
    }
    assert {row["status"] for row in report["plugins"]} == {"ok"}
    for row in report["plugins"]:
        assert re.fullmatch(r"[\w.]+:\w+", row["target"])
        assert any(row["target"] in line for line in wide)


def test_plugins_of_one_kind(project: "Project") -> None:
    _, *rows = project.cli("plugins", "list", "--kind", "connector").out.splitlines()
    assert {row.split()[0] for row in rows} == {"connector"}
    report = json.loads(project.cli("plugins", "list", "--kind", "connector", "--json").out)
    assert len(report["plugins"]) == len(rows) > 5
    result = project.cli("plugins", "list", "--kind", "connectors")
    assert (result.code, result.out) == (2, "")
    assert "there is no plugin of kind 'connectors'" in result.err
    assert (
        "kinds here: bundle source, command, connector, hook, kind of document, launcher, state backend, step"
        in result.err
    )


def test_an_internal_error_is_one_line(project: "Project", monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("unexpected")

    monkeypatch.setattr("aetherflow.core.checks.report.check_flow", fail)
    result = project.cli("validate", "flow.yaml")
    assert (result.code, result.out) == (1, "")
    first, fix = result.err.splitlines()
    assert first == "AF0001 internal error: ZeroDivisionError: unexpected"
    assert "--debug" in fix
