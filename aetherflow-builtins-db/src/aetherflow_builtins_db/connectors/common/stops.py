"""Ends what waits for a server that is not yet reached: drivers offer no way to interrupt a connect."""

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

ConnectionT = TypeVar("ConnectionT")


class StoppedError(Exception):
    """The connector was interrupted since the work began."""


class Stops:
    """Counts the interrupts of one connector. All methods are thread-safe; `since` is an earlier `count`."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self.count = 0

    def add(self) -> None:
        """Interrupt: what waits ends, and what connects is closed as soon as it is connected."""
        with self._changed:
            self.count += 1
            self._changed.notify_all()

    def pause(self, seconds: float, since: int) -> None:
        """Wait for some seconds, or until the next stop."""
        with self._changed:
            self._changed.wait_for(lambda: self.count != since, seconds)

    def opened(
        self, since: int, connect: Callable[[], ConnectionT], close: Callable[[ConnectionT], object]
    ) -> ConnectionT:
        """The result of `connect`, which runs in a thread of its own, or its error.

        StoppedError at the next stop; `connect` then ends by its own limits, and what it returns is closed.
        """
        found: list[ConnectionT] = []
        errors: list[BaseException] = []
        left = False

        def work() -> None:
            try:
                found.append(connect())
            except BaseException as error:  # noqa: BLE001 raised by the caller
                errors.append(error)
            with self._changed:
                self._changed.notify_all()
                unwanted = list(found) if left else []
            for each in unwanted:
                with suppress(Exception):
                    close(each)

        threading.Thread(target=work, name="db-connect", daemon=True).start()
        with self._changed:
            try:
                self._changed.wait_for(lambda: found or errors or self.count != since)
            finally:
                left = not found
        if errors:
            raise errors[0]
        if not found:
            raise StoppedError
        return found[0]
