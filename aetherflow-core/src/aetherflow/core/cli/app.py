import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import typer
from typer.main import get_command

from aetherflow.core.base.typed import given_project
from aetherflow.core.console.commands import Command, LazyGroup
from aetherflow.core.console.outcome import exit_code

if TYPE_CHECKING:
    from aetherflow.core.base.errors import PluginError
    from aetherflow.core.cli.plugin_commands import PluginCommands

EPILOG = """Exit codes: 0 success; 1 a job failed; 2 bad input; 3 the run is busy; 4 state unusable;
129, 130, 131, 143 stopped by a signal: `aetherflow resume` goes on."""

COMPLETE_VARIABLE = "_AETHERFLOW_COMPLETE"


class Commands(LazyGroup):
    """The commands, in the order of the help."""

    lazy: ClassVar = {
        name: f"aetherflow.core.cli.{target}"
        for name, target in {
            "run": "run:run",
            "plan": "plan:plan",
            "resume": "resume:resume",
            "status": "status:status",
            "runs": "runs:app",
            "validate": "validate:validate",
            "doctor": "doctor:doctor",
            "explain": "explain:explain",
            "graph": "graph:graph",
            "schema": "schema:schema",
            "init": "init:init",
            "bundle": "bundle:app",
            "plugins": "plugins:app",
            "locks": "locks:app",
            "claims": "claims:app",
            "state": "state:app",
            "completion": "completion:completion",
        }.items()
    }

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of a name; plugins are loaded only for a name that is not built in."""
        if cmd_name not in self.lazy and cmd_name not in self.commands:
            if (found := self._plugins.command(cmd_name)) is None:
                self._add_summaries()  # misspelt: click suggests names from `commands`
            else:
                self.commands[cmd_name] = found
        return super().get_command(ctx, cmd_name)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the list of commands; those of plugins come last and are not imported.

        A plugin that is wrong is reported and left out: you ask for help to mend it.
        """
        for error in self._add_summaries():
            typer.echo(f"{error.code} {error.message}\n  fix: {error.fix}", err=True)
        super().format_commands(ctx, formatter)

    def shell_complete(self, ctx: Any, incomplete: str) -> Any:
        """The completions of a command's name; commands of plugins are not imported."""
        from aetherflow.core.base.errors import AetherflowError

        built = dict(self.commands)
        # what is wrong, in plugins or the project file, `--help` tells; here it would disturb the line being typed
        with suppress(AetherflowError):
            self._add_summaries()
        found = super().shell_complete(ctx, incomplete)
        self.commands = built
        return found

    def _add_summaries(self) -> "list[PluginError]":
        found, wrong = self._plugins.summaries()
        for name, text in found.items():
            self.commands.setdefault(name, Command(name, help=text, rich_markup_mode=None))
        return wrong

    @property
    def _plugins(self) -> "PluginCommands":
        from aetherflow.core.cli.plugin_commands import PluginCommands

        return PluginCommands(self.lazy)


app = typer.Typer(
    cls=Commands,
    name="aetherflow",
    help="Run YAML flows, Flow -> Job -> Step: deterministic, resumable, explainable.",
    epilog=EPILOG,
    rich_markup_mode=None,  # importing rich takes longer than all the rest of a start
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(value: bool) -> None:
    if value:
        from aetherflow.core.host.distributions import version_of

        typer.echo(f"aetherflow {version_of('aetherflow-core')}")
        raise typer.Exit


@app.callback()
def _options(
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks of errors.")] = False,
    show_version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    del debug, show_version


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code. None means the arguments of the process."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in arguments[:1]
    _prepare_completion()
    try:
        return exit_code(lambda: _call(arguments), program="aetherflow", debug=debug, ends=argv is None)
    finally:
        given_project((), {})  # of a process that calls several


def _call(arguments: list[str]) -> Any:
    given_project(arguments, os.environ)
    wanted = next((argument for argument in arguments if not argument.startswith("-")), None)
    program = _for_its_own() if wanted in Commands.lazy else get_command(app)
    return program.main(args=arguments, prog_name="aetherflow", standalone_mode=False)


@cache
def _for_its_own() -> Any:
    """The program for commands that no plugin adds, which stay the same in a process that calls several."""
    return get_command(app)


def _prepare_completion() -> None:
    """Import the completion classes only when a shell requests completions."""
    if COMPLETE_VARIABLE in os.environ:
        from aetherflow.core.console.typer_internals import prepare_completion

        prepare_completion()
