"""A process that the fork server has forked: it executes a run, and may then be given others."""

import errno
import gc
import os
import runpy
import signal
import socket
import sys
import time
import warnings
import zoneinfo
from collections.abc import Mapping, Sequence
from typing import NamedTuple, NoReturn

from aetherflow.core.runtime.processes.between_runs import let_go_of_run
from aetherflow.core.runtime.processes.fork_messages import DESCRIPTORS, STARTED, ForkMessage, ForkRequest, next_message
from aetherflow.core.runtime.processes.installed_code import imported_from, installed
from aetherflow.core.runtime.processes.interpreter_end import end_interpreter, flush_c
from aetherflow.core.runtime.processes.left_behind import LeftBehind

_SECOND = 1_000_000_000


class ForkedRun(NamedTuple):
    """In a forked process: what it is to run, its line to the server, and whether that needs a true start."""

    request: ForkRequest
    line: socket.socket
    true_start: bool


def begin(message: ForkMessage, *, stale: bool) -> None:
    """Begin the run of a request, and say so; if its folder is not there, that, and end."""
    request, streams, status = message
    with status:
        try:
            become(request, streams)
        except OSError as error:
            status.sendall(STARTED.pack(0, error.errno or errno.EINVAL, stale))
            os._exit(1)
        status.sendall(STARTED.pack(os.getpid(), 0, stale))


def become(request: ForkRequest, streams: Sequence[int]) -> None:
    """Give a forked process what a program gets at its start. OSError if the folder is not there."""
    if os.getpgrp() != os.getpid():
        os.setpgid(0, 0)
    os.chdir(request.folder)
    signal.set_wakeup_fd(-1)
    for name in (signal.SIGCHLD, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.environ.clear()
    os.environ.update(request.env)
    time.tzset()
    zoneinfo.ZoneInfo.clear_cache()
    with warnings.catch_warnings():
        pass  # its end makes Python forget which warnings it has shown: this run shows its own
    sys.excepthook = sys.__excepthook__  # Typer has one of its own
    gc.enable()


def run_to_the_end(request: ForkRequest) -> int:
    """Run the module as a program; returns its exit code."""
    sys.argv[:] = [request.module, *request.arguments]
    try:
        runpy.run_module(request.module, run_name="__main__")
    except SystemExit as error:
        if error.code is None or isinstance(error.code, int):
            return error.code or 0
        sys.stderr.write(f"{error.code}\n")
        return 1
    except BaseException:  # noqa: BLE001 as an interpreter ends
        sys.excepthook(*sys.exc_info())
        return 1
    return 0


def execute(run: ForkedRun, known: Mapping[str, int], foreign: set[str]) -> NoReturn:
    """Execute a run, and those that follow in this process, to its end.

    `known` is what is installed and imported, `foreign` are the packages of plugins that are not developed with us.
    """
    request, line, true_start = run
    left = LeftBehind(foreign)
    while True:
        if true_start:
            argv = [sys.executable or "python3", "-P", "-m", request.module, *request.arguments]
            os.execvpe(argv[0], argv, os.environ)  # noqa: S606 the same program
        begun, modules = time.time_ns(), len(sys.modules)
        code = run_to_the_end(request)
        if code:
            end_interpreter(code)
        let_go_of_run()
        if not left.is_clean():
            end_interpreter(code)
        if len(sys.modules) != modules:
            ours = installed(imported_from())
            if not all(changed == known.get(folder, min(changed, begun - _SECOND)) for folder, changed in ours.items()):
                end_interpreter(code)  # what was imported while it was being installed may be of neither version
            known = ours
        message = next_message(line) if next_can_come(line) else None
        if message is None:
            end_interpreter(code)
        request, true_start = message[0], installed(known) != known
        begin(message, stale=true_start)


def next_can_come(line: socket.socket) -> bool:
    """Let go of the streams of a run that has ended well, and say that; False if that cannot be done."""
    try:
        sys.stdout.flush()
        sys.stderr.flush()
        flush_c()
        with open(os.devnull, "r+b", buffering=0) as nothing:  # noqa: PTH123
            for number in range(DESCRIPTORS - 1):
                os.dup2(nothing.fileno(), number)
        line.sendall(b"e")
    except (OSError, ValueError):
        return False
    return True
