"""The suite for the contract of a command."""

from pathlib import Path
from typing import ClassVar

import pytest

from aetherflow.core.host.commands import load_command
from aetherflow.core.host.first_party import CORE
from aetherflow.core.host.metadata import PluginEntry, installed_commands
from aetherflow.core.testing.project import FlowProject

IMPORTS = {"PYTHONVERBOSE": "1"}
"""Environment with which Python reports imports on stderr."""


class CommandSuite:
    """Tests the contract of a command. Set `name`: that of its entry point in the group `aetherflow.commands`.

    class TestNotes(CommandSuite):
        name = "notes"
    """

    name: ClassVar[str]

    @pytest.fixture
    def project(self, tmp_path: Path) -> FlowProject:
        """The folder in which the command is called, empty at first."""
        return FlowProject(tmp_path / "project")

    @pytest.fixture
    def entry(self) -> PluginEntry:
        """The entry point of the command."""
        found = [entry for entry in installed_commands() if entry.name == self.name]
        assert len(found) == 1, f"{len(found)} installed distributions name a command {self.name!r}"
        return found[0]

    def test_the_entry_point_leads_to_a_command(self, entry: PluginEntry) -> None:
        """Its value is a typer app or a click command."""
        load_command(entry)

    def test_the_help_of_the_program_lists_it(self, entry: PluginEntry, project: FlowProject) -> None:
        """The help lists it without importing it, and no built-in command has its name."""
        done = project.command("--help", env=IMPORTS)
        assert done.code == 0, done.err
        assert any(line.split()[:1] == [self.name] for line in done.out.splitlines())
        if entry.distribution != CORE:
            assert not imported(entry, done.err), "the module is imported before the command is called"

    def test_its_own_help_says_what_it_does(self, entry: PluginEntry, project: FlowProject) -> None:
        """`aetherflow NAME --help` imports it, ends with 0 and prints more than a usage line."""
        done = project.command(self.name, "--help", env=IMPORTS)
        assert done.code == 0, done.err
        assert imported(entry, done.err)
        said = [line.strip() for line in done.out.splitlines() if line.strip()]
        assert len(said) > 1
        assert f"aetherflow {self.name}" in done.out

    def test_an_option_that_there_is_not_is_a_mistake_of_the_caller(self, project: FlowProject) -> None:
        """Exit code 2, and a message on stderr."""
        done = project.command(self.name, "--no-such-option")
        assert (done.code, done.out) == (2, "")
        assert "--no-such-option" in done.err


def imported(entry: PluginEntry, told: str) -> bool:
    """Whether a process imported the module of an entry, according to its stderr `told` with IMPORTS."""
    module = entry.target.partition(":")[0]
    return f"import '{module}' #" in told
