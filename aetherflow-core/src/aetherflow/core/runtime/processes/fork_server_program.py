"""The program of the fork server: it has imported all that a run needs, and forks itself for the runs.

It is asked by a socket that is its stdin, for a module that is to run as a program. What it forks is as a program that
was just started: environment, folder, streams, signals and process group are its own, and nothing of one run reaches
another. The server itself executes nothing, and never grows.

A process whose run has ended well, and that is as it was before, is given the next run of the same folder and the same
environment: the pages that a new process must copy cost more than a short run. `left_behind` says what counts.

It imports what is installed by us alone: other plugins are imported by the runs that may use them. What it has imported
must be what is installed. If that has changed, or if the environment of a run says anything else to the interpreter
itself, what it forks becomes a true start; and a changed server is replaced by the next.
"""

import gc
import importlib
import json
import os
import pkgutil
import selectors
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

from aetherflow.core.base.errors import UsageError
from aetherflow.core.base.secret_names import is_secret_name
from aetherflow.core.runtime.processes.fork_messages import (
    ENDED,
    LENGTH,
    ForkMessage,
    ForkRequest,
    next_message,
    received,
)
from aetherflow.core.runtime.processes.forked import ForkedRun, begin, execute
from aetherflow.core.runtime.processes.installed_code import foreign_packages, imported_from, installed

READ_AT_START = ("PYTHON", "LC_", "LANG", "LD_", "DYLD_", "MALLOC_", "GLIBC_", "OPENSSL_")
"""Beginnings of the variables that the interpreter and its libraries read when they start, and never again."""
LEFT_OUT = frozenset({"__main__", "child_run", "fork_server_program", "testing"})
"""Modules that are programs themselves; and the test kit."""
RUNS = 100
"""How many runs one process executes at most."""


_Told = Callable[[], ForkedRun | None]


class _Executor:
    """A process that was forked for a run, as the server sees it; `status` leads to who asked for its present run."""

    def __init__(self, pid: int, request: ForkRequest, line: socket.socket, status: socket.socket) -> None:
        self.pid = pid
        self.place = request.place
        self.line = line
        self.status: socket.socket | None = status
        self.runs = 1
        self.is_free = False


class _Server:
    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._executors: dict[int, _Executor] = {}
        self._asked = True
        self.installed = installed(imported_from())
        self._env = _at_start(os.environ)
        self._selector = selectors.PollSelector()

    def serve(self) -> ForkedRun | None:
        """Serve until nobody can ask any more, and the last process has ended: None. In a forked process: its run."""
        ended, wake = socket.socketpair()
        wake.setblocking(False)
        ended.setblocking(False)
        with self._control, ended, wake, self._selector:
            signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
            signal.signal(signal.SIGCHLD, lambda *_: None)
            self._when(self._control, self._take)
            self._when(ended, partial(self._reap, ended))
            while self._asked or self._executors:
                # who asks for a run knows that others have ended: that comes first
                for key, _ in sorted(self._selector.select(), key=lambda each: each[0].fileobj is self._control):
                    told: _Told = key.data
                    if self._selector.get_map().get(key.fd) is key and (found := told()) is not None:
                        return found
        return None

    def _when(self, by: socket.socket, told: _Told) -> None:
        self._selector.register(by, selectors.EVENT_READ, told)

    def _take(self) -> ForkedRun | None:
        message = next_message(self._control)
        if message is None:
            self._close(self._control)
            self._asked = False
            for executor in self._free():
                self._dismiss(executor)
            return None
        request, streams, status = message
        for executor in self._free():
            if executor.place == request.place and self._handed(executor, message):
                return None
        if free := self._free():  # there are never more processes than there were runs at the same time
            self._dismiss(free[0])
        ours, theirs = socket.socketpair()
        stale = installed(self.installed) != self.installed
        if (pid := os.fork()) == 0:
            ours.close()
            for executor in self._executors.values():
                executor.line.close()
                if executor.status is not None:
                    executor.status.close()
            self._executors.clear()  # their environments hold secrets
            begin(message, stale=stale)
            return ForkedRun(request, theirs, stale or _at_start(request.env) != self._env)
        theirs.close()
        for number in streams:
            os.close(number)
        self._executors[pid] = executor = _Executor(pid, request, ours, status)
        self._when(ours, partial(self._ended, executor))
        return None

    def _free(self) -> list[_Executor]:
        return [executor for executor in self._executors.values() if executor.is_free]

    def _dismiss(self, executor: _Executor) -> None:
        """Let a process end, which reads from its line that nothing more comes."""
        executor.is_free = False
        self._close(executor.line)

    def _handed(self, executor: _Executor, message: ForkMessage) -> bool:
        """Give a free process its next run; False if it is gone, or stopped by a signal."""
        request, streams, status = message
        pid, state = os.waitpid(executor.pid, os.WNOHANG | os.WUNTRACED)
        if pid:
            if os.WIFSTOPPED(state):
                executor.is_free = False
                os.kill(executor.pid, signal.SIGKILL)  # it would hold up all that waits for a start
            else:
                self._has_ended(executor, state)
            return False
        body = json.dumps(request).encode()
        try:
            socket.send_fds(executor.line, [LENGTH.pack(len(body))], [*streams, status.fileno()])
            executor.line.sendall(body)
        except OSError:
            executor.is_free = False
            return False
        for number in streams:
            os.close(number)
        executor.status, executor.is_free, executor.runs = status, False, executor.runs + 1
        return True

    def _ended(self, executor: _Executor) -> None:
        """The run of a process has ended well. It is free when who asked knows, who might send signals until then."""
        if received(executor.line, 1) is None or executor.status is None:
            self._dismiss(executor)  # it ends, and is reaped
            return
        self._when(executor.status, partial(self._known, executor, executor.status))
        with suppress(OSError):  # who asked is gone
            executor.status.sendall(ENDED.pack(0))

    def _known(self, executor: _Executor, status: socket.socket) -> None:
        self._close(status)
        executor.status, executor.is_free = None, True
        if executor.runs == RUNS or not self._asked:
            self._dismiss(executor)

    def _reap(self, ended: socket.socket) -> None:
        ended.recv(1 << 12)
        while self._executors:
            pid, state = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            self._has_ended(self._executors[pid], state)

    def _has_ended(self, executor: _Executor, state: int) -> None:
        del self._executors[executor.pid]
        self._close(executor.line)
        if executor.status is not None:
            with suppress(OSError):  # who asked is gone
                executor.status.sendall(ENDED.pack(os.waitstatus_to_exitcode(state)))
            self._close(executor.status)

    def _close(self, by: socket.socket) -> None:
        with suppress(KeyError, ValueError):  # it is closed, or nothing was expected from it
            self._selector.unregister(by)
        by.close()


def _at_start(env: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in env.items() if name.startswith(READ_AT_START)}


def import_all() -> None:
    """Import the core and the plugins that are developed with it, and make what each process makes once."""
    from pydantic import BaseModel

    from aetherflow.core.host.catalog import installed_catalog
    from aetherflow.core.host.first_party import first_party
    from aetherflow.core.host.loading import load_plugin
    from aetherflow.core.host.metadata import installed_plugins

    _import_below("aetherflow.core")
    installed_catalog()
    for entry in installed_plugins():
        if entry.distribution in first_party():
            with suppress(Exception):  # the run that uses it says why
                load_plugin(entry)
    for model in _below(BaseModel):
        if model.__module__.startswith("aetherflow"):
            with suppress(Exception):
                model.model_rebuild()  # only if pydantic has put it off
    for name in os.environ:
        is_secret_name(name)  # remembered


def _import_below(package: str) -> None:
    for found in pkgutil.iter_modules(importlib.import_module(package).__path__, f"{package}."):
        if found.name.rpartition(".")[2] in LEFT_OUT:
            continue
        try:
            importlib.import_module(found.name)
        except UsageError:  # without the library of an extra; a run that uses it says so
            continue
        if found.ispkg:
            _import_below(found.name)


def _below(parent: type[Any]) -> Iterator[type[Any]]:
    for child in parent.__subclasses__():
        yield child
        yield from _below(child)


def main() -> int:
    """Serve; in a forked process, go on as the program that was asked for."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # it ends with the last run, after who asks
    gc.disable()
    import_all()
    gc.collect()
    gc.freeze()
    control = socket.socket(fileno=os.dup(0))
    with open(os.devnull, "rb") as nothing:  # noqa: PTH123
        os.dup2(nothing.fileno(), 0)
    server, foreign = _Server(control), foreign_packages()
    if (found := server.serve()) is not None:
        execute(found, server.installed, foreign)
    return 0


if __name__ == "__main__":
    sys.exit(main())
