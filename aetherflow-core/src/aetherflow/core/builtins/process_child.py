"""One start of a program: reads its output to the end, enforces its time limit, measures its resource usage."""

import errno
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from aetherflow.core.api import ProcessError, RunContext, StepTimeoutError
from aetherflow.core.builtins.process_streams import Reader, Sink

DRAIN_SECONDS = 5.0
"""How long to read on without output after the end of the process group: a daemon may keep the pipe open for ever."""
_RSS_UNIT = 1 if sys.platform == "darwin" else 1024
_FIXES = {
    errno.ENOENT: "check the program's name and PATH, cwd, and the interpreter in the first line of a script",
    errno.EACCES: "make it executable (chmod +x), and check the permissions of its folder",
    errno.ENOEXEC: "give the script a first line such as #!/bin/sh, or start it by its interpreter",
    errno.E2BIG: "pass long data in a file instead",
}


Failure = Literal["start", "exit_codes", "timeout", "invalid_output"]
"""Why one start of a program failed."""


class TryError(ProcessError):
    """One start of a program failed; `failure` gives the kind of failure."""

    failure: Failure = "exit_codes"
    child_code: int | None = None
    """The exit code, for failure `exit_codes`."""


class StartError(TryError):
    """The program could not be started."""

    failure = "start"


class TimeLimitError(TryError, StepTimeoutError):
    """The program was ended at its time limit."""

    failure = "timeout"


class InvalidOutputError(TryError):
    """The program ended successfully, but its files or outputs violate a rule."""

    failure = "invalid_output"


@dataclass(frozen=True, slots=True)
class Exit:
    """How one start of a program ended, and its resource usage."""

    code: int | None
    """Exit code, or the negative number of a signal; None if the time limit was reached."""
    wall_seconds: float
    cpu_seconds: float | None = None
    peak_memory_bytes: int | None = None


def run_child(
    ctx: RunContext,
    argv: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    stdout: Sink,
    stderr: Sink,
    timeout_seconds: float | None = None,
    kill_grace_seconds: float = 15,
) -> Exit:
    """Start a program in its own process group and wait for its end; at the time limit the whole tree is ended.

    Both streams are read to their end and passed to the sinks, from two threads. Raises StartError if the program
    cannot be started, at the end the first failure of a sink, and StepCancelledError if the step is to end.
    """
    started = time.monotonic()
    try:
        process = ctx.spawn(argv, cwd=cwd, env=env)
    except OSError as error:
        reason = error.strerror or str(error)
        fix = _FIXES.get(error.errno or 0, "check the program's name, PATH, its permissions and cwd")
        raise StartError(f"{error.filename or argv[0]}: {reason}", fix=fix) from error
    except ValueError as error:  # arguments that cannot be passed, such as a lone surrogate
        raise StartError(f"{argv[0]}: {error}", fix="check the arguments and the variables in env") from error
    readers = [Reader(process.stdout, stdout), Reader(process.stderr, stderr)]
    timed_out = False
    try:
        process.wait(timeout_seconds)
    except subprocess.TimeoutExpired:
        timed_out = True
    # the group is ended before the pipes are read to their end, since a grandchild may hold them open
    ctx.end_process(process, kill_grace_seconds)
    wall = time.monotonic() - started
    for reader in readers:
        reader.finish(DRAIN_SECONDS, ctx.check_cancelled)
    for reader in readers:
        if reader.failure is not None:
            raise reader.failure
    ctx.check_cancelled()
    usage = getattr(process, "usage", None)  # another implementation of `spawn` may not have it
    if usage is None:
        return Exit(None if timed_out else process.returncode, wall)
    cpu, peak = usage.ru_utime + usage.ru_stime, usage.ru_maxrss * _RSS_UNIT
    return Exit(None if timed_out else process.returncode, wall, cpu, peak)
