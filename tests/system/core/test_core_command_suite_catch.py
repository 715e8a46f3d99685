"""The suite of commands notices: a right command passes it, and each of these faults in one does not."""

import os
import sys
from pathlib import Path

import pytest

import warm

pytestmark = pytest.mark.slow
BARE = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
"""Plugins that libraries of ours bring are half of what a start of pytest takes."""
APP = """\
import typer

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def hello(name: str) -> None:
    "Greet somebody."
    typer.echo(name)
"""
LENIENT = '@app.command(context_settings={"ignore_unknown_options": True, "allow_extra_args": True})'
TEST = """\
from aetherflow.core.testing import CommandSuite


class TestHello(CommandSuite):
    name = "NAME"
"""
FAULTS = [
    ("hello", "app = typer", "app = print  # typer", "test_the_entry_point_leads_to_a_command"),
    ("hello", "import typer\n", "raise ImportError\n", "test_its_own_help_says_what_it_does"),
    ("hello", "@app.command()", LENIENT, "test_an_option_that_there_is_not_is_a_mistake_of_the_caller"),
    ("hello", '"Greet somebody."', "raise SystemExit(0)", None),
    ("run", "import typer\n", "import typer\n\n", "test_its_own_help_says_what_it_does"),  # that of ours is shown
]


def run_suite(folder: Path, name: str, source: str) -> str:
    (folder / "acme.py").write_text(source)
    (folder / "test_hello.py").write_text(TEST.replace("NAME", name))
    info = folder / "acme-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[aetherflow.commands]\n{name} = acme:app\n")
    (folder / "pytest.ini").write_text("[pytest]\naddopts = -p no:cacheprovider\n")
    command = [sys.executable, "-m", "pytest", "-q", "-rA", "--import-mode=importlib", "test_hello.py"]
    env = {**os.environ, **BARE, **warm.forking(), "PYTHONPATH": str(folder)}
    return str(warm.run(command, cwd=folder, env=env, capture_output=True, text=True).stdout)


@pytest.mark.parametrize(("name", "right", "wrong", "test"), FAULTS)
def test_a_fault_is_caught(tmp_path: Path, name: str, right: str, wrong: str, test: str | None) -> None:
    assert right in APP
    said = run_suite(tmp_path, name, APP.replace(right, wrong, 1))
    if test is None:  # what the command does is its own affair
        assert "4 passed" in said, said
    else:
        assert f"FAILED test_hello.py::TestHello::{test}" in said, said


def test_a_right_command_passes(tmp_path: Path) -> None:
    assert "4 passed" in run_suite(tmp_path, "hello", APP)
