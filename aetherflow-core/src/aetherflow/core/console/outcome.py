"""Turning errors into messages and exit codes, for the command lines of all first-party programs."""

import os
import sys
from collections.abc import Callable
from typing import Any

import typer

from aetherflow.core.base.errors import AetherflowError, SpecError

Show = Callable[[AetherflowError], None]


def exit_code(call: Callable[[], Any], *, program: str, debug: bool, show: Show | None = None) -> int:
    """Call a command line; returns its exit code. Errors are shown on stderr; with `debug` they are raised instead.

    `show` replaces `show_error` for expected errors.
    """
    try:
        return call() or 0
    except typer.TyperException as error:
        if callable(usage := getattr(error, "show", None)):
            usage()  # writes the usage line, the message and the hint at --help
        else:
            typer.echo(error.format_message(), err=True)
        return error.exit_code
    except typer.Abort:
        return 130
    except AetherflowError as error:
        if debug:
            raise
        (show or show_error)(error)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # the reader of stdout has gone; redirect it, so that the interpreter's last flush does not fail
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:  # a problem of a disk or folder, not a defect of the program
        if debug:
            raise
        typer.echo(f"AF0003 {error}", err=True)
        typer.echo("  fix: check the disk and the permissions, then run the same command again", err=True)
        return 1
    except Exception as error:
        if debug:
            raise
        typer.echo(f"AF0001 internal error: {type(error).__name__}: {error}", err=True)
        typer.echo(f"  fix: repeat with `{program} --debug …` and report the traceback", err=True)
        return 1


def show_error(error: AetherflowError) -> None:
    """Write an expected error to stderr: its code, what is wrong, what to do."""
    if error.told:
        return  # its command has shown it
    if isinstance(error, SpecError) and error.problems:
        from aetherflow.core.console.findings import install_lines, problem_lines

        for line in (*problem_lines(error.problems), *install_lines(error.problems)):
            typer.echo(line, err=True)
        return
    typer.echo(f"{error.code} {error}", err=True)
    if error.fix:
        typer.echo(f"  fix: {error.fix}", err=True)
