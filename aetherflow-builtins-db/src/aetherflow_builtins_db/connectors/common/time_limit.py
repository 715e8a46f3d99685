"""`statement_timeout` for databases that work in this process and have none of their own."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar

from aetherflow_builtins_db.failures import StatementTimeoutError

RowT = TypeVar("RowT")

_AGAIN_SECONDS = 0.05
"""An interrupt that comes before the statement does is forgotten."""


class Clock:
    """The time that a statement has had so far."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._spent = 0.0
        self._since: float | None = None

    @contextmanager
    def running(self) -> Iterator[None]:
        """The time of the block counts."""
        with self._lock:
            self._since = time.monotonic()
        try:
            yield
        finally:
            with self._lock:
                self._spent += time.monotonic() - (self._since or 0)
                self._since = None

    def read(self) -> tuple[float, bool]:
        """The seconds so far, and whether it runs."""
        with self._lock:
            since = self._since
            return self._spent + (0 if since is None else time.monotonic() - since), since is not None


class _Last(threading.local):
    """Whether the thread's last limited statement has failed and was out of time."""

    passed = False


class TimeLimit:
    """Interrupts what runs longer than so many seconds; 0 is no limit."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._last = _Last()

    @contextmanager
    def on(self, interrupt: Callable[[], object]) -> Iterator[None]:
        """Limit the block; `interrupt` is called from another thread."""
        with self.counting(interrupt) as clock, clock.running():
            yield

    @contextmanager
    def counting(self, interrupt: Callable[[], object]) -> Iterator[Clock]:
        """Limit the time in which the clock runs: that of whoever uses the rows in between is not the statement's."""
        clock = Clock()
        self._last.passed = False
        if not self._seconds:
            yield clock
            return
        done, passed = threading.Event(), threading.Event()
        watching = threading.Thread(target=self._watch, args=(done, passed, clock, interrupt), daemon=True)
        watching.start()
        failed = True
        try:
            yield clock
            failed = False
        finally:
            done.set()
            watching.join()
            self._last.passed = failed and passed.is_set()

    def in_time(self, rows: Iterable[RowT]) -> Iterator[RowT]:
        """The rows; StatementTimeoutError when time is up. For work of many parts, each too short to be interrupted."""
        ends = time.monotonic() + self._seconds
        for row in rows:
            if self._seconds and time.monotonic() > ends:
                raise self._error()
            yield row

    def _error(self) -> StatementTimeoutError:
        return StatementTimeoutError(f"statement timeout: it ran longer than {self._seconds:g} s")

    def _watch(
        self, done: threading.Event, passed: threading.Event, clock: Clock, interrupt: Callable[[], object]
    ) -> None:
        pause = self._seconds
        while not done.wait(pause):
            spent, runs = clock.read()
            pause = max(self._seconds - spent, _AGAIN_SECONDS)
            if runs and spent >= self._seconds:
                passed.set()
                with suppress(Exception):  # it ended in this moment
                    interrupt()

    def over(self) -> StatementTimeoutError | None:
        """The error that says so, if this limit has interrupted the last statement of this thread; once."""
        if not self._last.passed:
            return None
        self._last.passed = False
        return self._error()
