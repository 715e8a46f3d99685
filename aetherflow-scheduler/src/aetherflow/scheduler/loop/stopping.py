"""Signals: SIGINT and SIGTERM drain, a second one interrupts the runs at once, SIGHUP reads the document again."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

from aetherflow.core.embedding import recorded
from aetherflow.scheduler.time.clock import Clock


class StopRequest:
    """Requests to stop or reload, from signals or from other code."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.signal: int | None = None
        self.times = 0
        self.reload = False

    @property
    def asked(self) -> bool:
        """Whether a stop was requested."""
        return self.times > 0

    def stop(self, number: int = signal.SIGTERM) -> None:
        """Request a stop; a second request interrupts the runs at once. Safe in signal handlers."""
        self.signal = self.signal or number
        self.times += 1
        self._clock.wake()

    @contextlib.contextmanager
    def handling_signals(self, *, reloads: bool = False) -> Iterator[None]:
        """Turn signals into requests inside the block; does nothing outside of the main thread."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def handler(number: int, frame: FrameType | None) -> None:
            del frame
            if number == signal.SIGHUP and reloads:
                self.reload = True
                self._clock.wake()
            else:
                self.stop(number)

        numbers = [signal.SIGINT, signal.SIGTERM]
        # HUP ignored from the start means nohup; one that reloads is still heard
        if reloads or signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            numbers.append(signal.SIGHUP)
        before = {number: signal.signal(number, handler) for number in numbers}
        recorded()
        try:
            yield
        finally:
            for number, previous in before.items():
                signal.signal(number, previous)
