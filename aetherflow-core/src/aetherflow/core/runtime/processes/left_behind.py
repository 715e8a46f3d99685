"""What a run has left behind in its process: a process that is as it was before may execute another run.

Only runs of the code that is developed with the core qualify: what plugins of others keep in their modules, nobody
knows but they.
"""

import locale
import logging
import os
import resource
import signal
import socket
import sys
import sysconfig
import threading
import time
import weakref
from typing import Any, NamedTuple

from aetherflow.core.runtime.processes.interpreter_end import exit_functions

GROWTH = 64 << 10 if sys.platform != "darwin" else 64 << 20
"""Memory by which a process may grow and still be used again, in the unit of the system: what it has used once, it
keeps."""
ENDING_SECONDS = 0.2
"""How long threads are waited for that have done their work, but have not ended yet."""
_LIMITS = [value for name, value in vars(resource).items() if name.startswith("RLIMIT_")]
_INSTALLED = tuple(f"{sysconfig.get_path(name)}{os.sep}" for name in ("stdlib", "platstdlib", "purelib", "platlib"))


class Condition(NamedTuple):
    """What a run could change in its process for the one after it."""

    folder: str
    env: dict[str, str]
    umask: int
    ids: tuple[int, ...]
    priority: int
    limits: tuple[tuple[int, int], ...]
    handlers: tuple[Any, ...]
    blocked: set[Any]
    timer: tuple[float, float]
    open: tuple[str, ...]
    threads: tuple[int | None, ...]
    children: bool
    path: tuple[Any, ...]
    streams: tuple[Any, ...]
    logging: tuple[Any, ...]
    locale: str
    timeout: float | None
    exits: int

    @classmethod
    def now(cls) -> "Condition":
        """The condition of this process."""
        umask = os.umask(0o077)
        os.umask(umask)
        return cls(
            folder=os.getcwd(),  # noqa: PTH109 the text is enough
            env=dict(os.environ),
            umask=umask,
            ids=(os.getuid(), os.geteuid(), os.getgid(), os.getegid(), os.getpgrp()),
            priority=os.getpriority(os.PRIO_PROCESS, 0),
            limits=tuple(resource.getrlimit(number) for number in _LIMITS),
            handlers=tuple(signal.getsignal(number) for number in signal.valid_signals()),
            blocked=signal.pthread_sigmask(signal.SIG_BLOCK, []),
            timer=signal.getitimer(signal.ITIMER_REAL),
            open=tuple(sorted(os.listdir("/dev/fd"))),  # noqa: PTH208 likewise
            threads=tuple(thread.ident for thread in threading.enumerate()),
            children=_has_children(),
            path=(*sys.path, *sys.meta_path, *sys.path_hooks),
            streams=(sys.stdin, sys.stdout, sys.stderr, threading.excepthook),
            logging=(*logging.root.handlers, logging.root.level, logging.root.manager.disable),
            locale=locale.setlocale(locale.LC_ALL),
            timeout=socket.getdefaulttimeout(),
            exits=exit_functions(),
        )


def _condition() -> Condition | None:
    try:
        return Condition.now()
    except OSError:  # the run has removed its folder
        return None


def _has_children() -> bool:
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return False
    return True


class LeftBehind:
    """Compares a process with how it was when this was made."""

    def __init__(self, foreign: set[str]) -> None:
        """`foreign` are the packages of plugins that are not developed with the core."""
        self._foreign = foreign
        weakref.finalize(self, bool).detach()  # the first finalizer of a process adds an exit function, for all of them
        self._condition = _condition()
        self._modules = set(sys.modules)
        self._memory = _most_memory()

    def is_clean(self) -> bool:
        """Whether the process is as it was, but for modules of libraries, and some memory."""
        self._wait_for_threads()
        condition = _condition()
        return (
            condition is not None
            and condition == self._condition
            and _most_memory() - self._memory <= GROWTH
            and resource.getrlimit(resource.RLIMIT_CPU)[0] == resource.RLIM_INFINITY  # each run may take that much
            and not any(self._is_foreign(name) for name in sys.modules.keys() - self._modules)
        )

    def _wait_for_threads(self) -> None:
        known = set(self._condition.threads) if self._condition is not None else set()
        until = time.monotonic() + ENDING_SECONDS
        # not joined: that raises for threads that Python has not started, such as those of libraries
        while {thread.ident for thread in threading.enumerate()} - known and time.monotonic() < until:
            time.sleep(0.001)

    def _is_foreign(self, name: str) -> bool:
        top = name.partition(".")[0]
        if top in self._foreign or top.startswith("_aetherflow_"):  # see where such names are given
            return True
        file = getattr(sys.modules[name], "__file__", None)
        return not (top in self._modules or top in sys.stdlib_module_names or (file or "").startswith(_INSTALLED))


def _most_memory() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
