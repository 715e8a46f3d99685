"""`statement_timeout` for databases that work in this process and have none of their own."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

_AGAIN_SECONDS = 0.05
"""An interrupt that comes before the statement does is forgotten."""


class TimeLimit:
    """Interrupts what runs longer than so many seconds; 0 is no limit."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._passed = False

    @contextmanager
    def on(self, interrupt: Callable[[], object]) -> Iterator[None]:
        """Limit the block; `interrupt` is called from another thread."""
        if not self._seconds:
            yield
            return
        self._passed = False
        done = threading.Event()
        watching = threading.Thread(target=self._watch, args=(done, interrupt), daemon=True)
        watching.start()
        try:
            yield
        finally:
            done.set()
            watching.join()

    def _watch(self, done: threading.Event, interrupt: Callable[[], object]) -> None:
        if done.wait(self._seconds):
            return
        self._passed = True
        while not done.wait(_AGAIN_SECONDS):
            with suppress(Exception):  # it ended in this moment
                interrupt()

    def explain(self, error: BaseException) -> BaseException:
        """The error, or, if it is the interrupt of this limit, one that says so."""
        if self._passed and "interrupt" in str(error).lower():
            return TimeoutError(f"statement timeout: it ran longer than {self._seconds:g} s")
        return error
