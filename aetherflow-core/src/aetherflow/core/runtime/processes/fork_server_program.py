"""The program of the fork server: it has imported all that a run needs, and forks itself for each run.

It is asked by a socket that is its stdin, for a module that is to run as a program. What it forks is as a program that
was just started: environment, folder, streams, signals and process group are its own, and nothing of one run reaches
another. The server itself executes nothing, and never grows.

It imports what is installed by us alone: other plugins are imported by the runs that may use them. What it has imported
must be what is installed. If that has changed, or if the environment of a run says anything else to the interpreter
itself, what it forks becomes a true start; and a changed server is replaced by the next.
"""

import errno
import gc
import importlib
import json
import os
import pkgutil
import runpy
import selectors
import signal
import socket
import struct
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from aetherflow.core.base.secret_names import is_secret_name

READ_AT_START = ("PYTHON", "LC_", "LANG", "LD_", "DYLD_", "MALLOC_", "GLIBC_", "OPENSSL_")
"""Beginnings of the variables that the interpreter and its libraries read when they start, and never again."""
LEFT_OUT = frozenset({"__main__", "child_run", "fork_server_program", "testing"})
"""Modules that are programs themselves; and the test kit."""
LENGTH = struct.Struct("=I")
"""Before each request, which is JSON; with it come stdin, stdout, stderr, and the socket for what follows."""
STARTED = struct.Struct("=ii?")
"""Process id, error number, and whether the server is no longer up to date."""
ENDED = struct.Struct("=i")
"""The exit code, or the negative number of a signal."""
_DESCRIPTORS = 4


class ForkRequest(NamedTuple):
    """A program that is to be started."""

    module: str
    arguments: Sequence[str]
    folder: str
    env: Mapping[str, str]


def received(by: socket.socket, size: int) -> bytes | None:
    """So many bytes; None if the other side is gone."""
    found = b""
    while len(found) < size:
        try:
            more = by.recv(size - len(found))
        except ConnectionError:
            return None
        if not more:
            return None
        found += more
    return found


class _Server:
    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._children: dict[int, socket.socket] = {}
        self._installed = installed()
        self._env = _at_start(os.environ)

    def serve(self) -> tuple[ForkRequest, bool] | None:
        """Serve until nobody can ask any more, and the last process has ended: None.

        In a forked process: what it is to run, and whether that needs a true start.
        """
        ended, wake = socket.socketpair()
        wake.setblocking(False)
        ended.setblocking(False)
        with self._control, ended, wake, selectors.PollSelector() as selector:
            signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
            signal.signal(signal.SIGCHLD, lambda *_: None)
            selector.register(self._control, selectors.EVENT_READ)
            selector.register(ended, selectors.EVENT_READ)
            asked = True
            while asked or self._children:
                for key, _ in selector.select():
                    if key.fileobj is ended:
                        ended.recv(1 << 12)
                        self._reap()
                    elif (message := self._message()) is None:
                        selector.unregister(self._control)
                        asked = False
                    elif (found := self._forked(*message)) is not None:
                        return found
        return None

    def _message(self) -> tuple[ForkRequest, list[int], socket.socket] | None:
        head, descriptors, _, _ = socket.recv_fds(self._control, LENGTH.size, _DESCRIPTORS)
        body = received(self._control, *LENGTH.unpack(head)) if len(head) == LENGTH.size else None
        if body is None:
            return None
        *streams, status = descriptors
        return ForkRequest(*json.loads(body)), streams, socket.socket(fileno=status)

    def _forked(
        self, request: ForkRequest, streams: list[int], status: socket.socket
    ) -> tuple[ForkRequest, bool] | None:
        """Fork; None in the server."""
        stale = installed() != self._installed
        if (pid := os.fork()) == 0:
            for other in self._children.values():
                other.close()
            with status:
                try:
                    become(request, streams)
                except OSError as error:
                    status.sendall(STARTED.pack(0, error.errno or errno.EINVAL, stale))
                    os._exit(1)
                status.sendall(STARTED.pack(os.getpid(), 0, stale))
            return request, stale or _at_start(request.env) != self._env
        for number in streams:
            os.close(number)
        self._children[pid] = status
        return None

    def _reap(self) -> None:
        while self._children:
            pid, code = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            with self._children.pop(pid) as status, suppress(OSError):  # who asked is gone
                status.sendall(ENDED.pack(os.waitstatus_to_exitcode(code)))


def become(request: ForkRequest, streams: Sequence[int]) -> None:
    """Give a forked process what a program gets at its start. OSError if the folder is not there."""
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


def _at_start(env: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in env.items() if name.startswith(READ_AT_START)}


def installed() -> dict[str, int]:
    """When the folders of `sys.path` and of all modules that are imported were changed last: installers replace files,
    and do not write into them.
    """
    files = [getattr(module, "__file__", None) for module in list(sys.modules.values())]
    folders = {os.path.dirname(file) for file in files if file}  # noqa: PTH120 of a thousand files before each run
    return {folder: _changed(folder) for folder in folders.union(sys.path)}


def _changed(folder: str) -> int:
    try:
        return os.stat(folder).st_mtime_ns  # noqa: PTH116 likewise
    except OSError:
        return 0


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
        importlib.import_module(found.name)
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
    found = _Server(control).serve()
    if found is None:
        return 0
    request, true_start = found
    if true_start:
        argv = [sys.executable or "python3", "-P", "-m", request.module, *request.arguments]
        os.execvpe(argv[0], argv, os.environ)  # noqa: S606 the same program
    from aetherflow.core.runtime.processes.interpreter_end import end_interpreter

    end_interpreter(run_to_the_end(request))
    return 0


if __name__ == "__main__":
    sys.exit(main())
