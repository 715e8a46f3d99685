"""The command tree of `aetherflow-scheduler`."""

import sys
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import typer
from typer.main import get_command

from aetherflow.core.embedding import LazyGroup, exit_code, print_json, show_error

if TYPE_CHECKING:
    from aetherflow.core.api import AetherflowError

EPILOG = """Exit codes: 0 success; 1 a run failed, or a check found something; 2 bad input; 3 busy, or held;
4 the ledger cannot be used; 129, 130, 131, 143 stopped by a signal."""
SCHEMA = 1
"""Version of all JSON that the commands print."""


class Commands(LazyGroup):
    """The commands, in the order of the help."""

    lazy: ClassVar = {
        name: f"aetherflow.scheduler.cli.{target}"
        for name, target in {
            "run": "run:run",
            "tick": "tick:tick",
            "run-item": "run_item:run_item",
            "validate": "validate:validate",
            "list": "list_items:list_items",
            "next": "next_slots:next_slots",
            "forecast": "forecast:forecast",
            "diff": "diff:diff",
            "status": "status:status",
            "audit": "audit:audit",
            "backfill": "backfill:backfill",
            "rerun": "rerun:rerun",
            "prune": "prune:prune",
            "ack": "ack:ack",
            "hold": "slot_verbs:hold",
            "release": "slot_verbs:release",
            "skip": "slot_verbs:skip",
            "pause": "pause:pause",
            "resume": "resume:resume",
            "worker": "worker:worker",
            "export": "export:app",
            "import": "import_items:app",
        }.items()
    }


# No markup mode and no completion: with either, typer imports rich, which costs more than the rest of the start.
app = typer.Typer(
    cls=Commands,
    name="aetherflow-scheduler",
    help="Start flows when their time has come, and account for every slot.",
    epilog=EPILOG,
    rich_markup_mode=None,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(value: bool) -> None:
    if value:
        from importlib.metadata import version

        typer.echo(f"aetherflow-scheduler {version('aetherflow-scheduler')}")
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
    """Run the command line; returns the exit code. Only None falls back to the process's own arguments."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    return exit_code(
        lambda: _program().main(args=arguments, prog_name="aetherflow-scheduler", standalone_mode=False),
        program="aetherflow-scheduler",
        debug="--debug" in arguments[:1],
        ends=argv is None,
        show=_as_json if "--json" in arguments else show_error,
    )


@cache
def _program() -> Any:
    """The program, which stays the same in a process that calls several commands."""
    return get_command(app)


def _as_json(error: "AetherflowError") -> None:
    from aetherflow.core.api import SpecError

    if error.told:
        return
    problems = error.problems if isinstance(error, SpecError) else []
    errors: list[dict[str, Any]] = [each.as_json() for each in problems if each.severity == "error"]
    if not errors:
        errors = [{"code": "", "loc": "", "msg": str(error), "af": error.code, "fix": error.fix}]
    print_json({"schema": SCHEMA, "ok": False, "errors": errors})
