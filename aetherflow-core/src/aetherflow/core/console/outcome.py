"""Turning errors into messages and exit codes, for the command lines of all first-party programs."""

import contextlib
import os
import resource
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import typer

from aetherflow.core.base.errors import AetherflowError, SpecError
from aetherflow.core.console.streams import StandardStreams

Show = Callable[[AetherflowError], None]

PR_SET_DUMPABLE = 4
STOPPED = 128
"""Greater exit codes are those of commands that a signal has stopped."""


def exit_code(
    call: Callable[[], Any], *, program: str, debug: bool, show: Show | None = None, ends: bool = False
) -> int:
    """Call a command line; returns its exit code. Errors are shown on stderr, whether it can be written or not.

    With `debug` they are shown as tracebacks, and unexpected ones are raised. `show` replaces `show_error` for expected
    errors. `ends`: the process ends with the command; neither it nor what it starts writes a core file.
    """
    if ends:  # memory holds secrets; the hard limit stays, for a program that asks for a core file of its own
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    with StandardStreams(ends=ends) as streams:
        code = _called(call, program, debug, show or show_error)
        streams.stopped = code > STOPPED
        return code


def hide_memory() -> None:
    """For processes that live long: others of the same account read neither its memory nor its environment (Linux)."""
    if sys.platform == "linux":
        import ctypes  # takes 2 ms

        dumpable = partial(ctypes.CDLL(None).prctl, PR_SET_DUMPABLE)
        dumpable(0, 0, 0, 0)
        if not os.access("/proc/self/fdinfo/0", os.R_OK):  # before Linux 5.14: containers read mounts there
            dumpable(1, 0, 0, 0)


def _called(call: Callable[[], Any], program: str, debug: bool, show: Show) -> int:
    try:
        return call() or 0
    except typer.TyperException as error:
        usage = getattr(error, "show", None)
        with contextlib.suppress(OSError):
            if callable(usage):
                usage()  # writes the usage line, the message and the hint at --help
            else:
                typer.echo(error.format_message(), err=True)
        return error.exit_code
    except (typer.Abort, KeyboardInterrupt):
        return 130
    except AetherflowError as error:
        with contextlib.suppress(OSError):
            if debug:
                import traceback

                sys.stderr.write("".join(traceback.format_exception(error)))
            else:
                show(error)
        return error.exit_code
    except BrokenPipeError:  # its reader has gone
        return 1
    except OSError as error:  # a problem of a disk or folder, not a defect of the program
        if debug:
            raise
        _tell(f"AF0003 {error}", "check the disk and the permissions, then run the same command again")
        return 1
    except Exception as error:
        if debug:
            raise
        from aetherflow.core.host.faults import message_with_place  # for a defect alone

        message, fix = message_with_place(error), f"repeat with `{program} --debug …` and report the traceback"
        _tell(f"AF0001 internal error: {message}", getattr(error, "fix", "") or fix)
        return 1


def _tell(message: str, fix: str) -> None:
    with contextlib.suppress(OSError):
        typer.echo(f"{message}\n  fix: {fix}", err=True)


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
