"""The command `aetherflow-scheduler`."""

import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import Annotated

import typer

# No markup mode and no completion: with either, typer imports rich, which costs more than the rest of the start.
app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"aetherflow-scheduler {version('aetherflow-scheduler')}")
        raise typer.Exit


@app.command(no_args_is_help=True)
def scheduler(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Start flows when their time has come.

    This version starts nothing yet: it only tells its version. Until then, let cron call `aetherflow run flow.yaml`.
    """


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code.

    :param argv: the arguments without the program's name; only None means those of the process.
    """
    args = sys.argv[1:] if argv is None else list(argv)
    try:
        app(args=args, prog_name="aetherflow-scheduler")
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 0
    return 0
