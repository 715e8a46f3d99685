"""`statement_timeout` for databases that run inside this process and have no time limit."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar

from aetherflow_builtins_db.failures import StatementTimeoutError

RowT = TypeVar("RowT")

_AGAIN_SECONDS = 0.05
"""Pause before an interrupt is repeated: one that arrives before the statement starts has no effect."""


class Clock:
    """Measures the time that a statement has run so far; thread-safe."""

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
        """The seconds so far, and whether the clock is running."""
        with self._lock:
            since = self._since
            return self._spent + (0 if since is None else time.monotonic() - since), since is not None


class _Last(threading.local):
    """Per thread: whether its last limited statement failed after the limit had passed."""

    passed = False


class TimeLimit:
    """Interrupts statements that run longer than `seconds`; 0 is no limit."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._last = _Last()

    @contextmanager
    def on(self, interrupt: Callable[[], object]) -> Iterator[None]:
        """Limit the time of the block; `interrupt` is called from another thread."""
        with self.counting(interrupt) as clock, clock.running():
            yield

    @contextmanager
    def counting(self, interrupt: Callable[[], object]) -> Iterator[Clock]:
        """Limit the time in which the yielded clock runs; time in which the caller processes rows does not count."""
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
        """Yield the rows; StatementTimeoutError when the time is up. For many operations too short for an interrupt."""
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
                with suppress(Exception):  # the statement may have ended meanwhile
                    interrupt()

    def over(self) -> StatementTimeoutError | None:
        """The error to raise if this limit interrupted the thread's last statement, else None. Reading it clears it."""
        if not self._last.passed:
            return None
        self._last.passed = False
        return self._error()
