import subprocess
import sys
from pathlib import Path

import pytest

import warm

SCHEDULE = "timezone: UTC\nstate: ledger.sqlite\nitems: [{id: a, cron: '0 0 1 1 *', flow: flow.yaml}]\n"
LOADED = """\
import contextlib, os, sys

before = set(sys.modules)  # what measures coverage has imported things of its own
from aetherflow.scheduler.cli import main

with open(os.devnull, "w") as silence, contextlib.redirect_stdout(silence), contextlib.redirect_stderr(silence):
    code = main(sys.argv[1:])
shown = ("aetherflow", "croniter", "importlib", "pydantic", "rich", "socket", "typer")
print(*(name for name in sys.modules.keys() - before if name.split(".")[0] in shown))
sys.exit(code)
"""


def loaded(folder: Path, *arguments: str) -> set[str]:
    """The modules that a command has imported when it ends."""
    (folder / "scheduler.yaml").write_text(SCHEDULE)
    argv = [sys.executable, "-c", LOADED, *arguments]
    return set(subprocess.run(argv, cwd=folder, check=True, capture_output=True, text=True).stdout.split())


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_help_and_version_import_little(option: str, tmp_path: Path) -> None:
    found = loaded(tmp_path, option)
    assert "typer" in found
    assert found & {"aetherflow.core.api", "croniter", "pydantic", "rich"} == set()


@pytest.mark.parametrize("command", ["tick", "status", "audit"])
def test_commands_import_what_they_use_of_the_core(command: str, tmp_path: Path) -> None:
    found = loaded(tmp_path, command, "scheduler.yaml")
    assert "aetherflow.core.embedding" in found
    beside = ("aetherflow.core.checks", "aetherflow.core.cli", "aetherflow.core.kernel.sequencing", "rich")
    slow = ("importlib.metadata", "socket")
    assert [name for name in found if name.startswith((*beside, *slow))] == []


def test_what_lies_in_the_working_folder_is_not_imported(tmp_path: Path) -> None:
    (tmp_path / "typer.py").write_text("raise SystemExit('imported from the working folder')\n")
    argv = [sys.executable, "-m", "aetherflow.scheduler", "--version"]
    started = warm.true_start("a forked interpreter has typer already")
    done = started.run(argv, cwd=tmp_path, check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
