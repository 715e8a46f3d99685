"""The clocks of the scheduler: the wall clock for slots, and the monotonic clock for durations."""

import datetime as dt
import time
from queue import Empty, SimpleQueue


class Clock:
    """Reads the clocks, and waits. Tests replace it."""

    def __init__(self) -> None:
        # unlike Event.set(), put() is safe in a signal handler while the same thread waits in get()
        self._wakes: SimpleQueue[None] = SimpleQueue()

    def now(self) -> dt.datetime:
        """The wall clock in UTC; it can jump forward and back."""
        return dt.datetime.now(dt.UTC)

    def monotonic(self) -> float:
        """Seconds since an arbitrary start; never decreases."""
        return time.monotonic()

    def wait(self, seconds: float) -> None:
        """Wait for at most `seconds`; `wake` ends the wait, also if it was called before. Clears all pending wakes."""
        try:
            self._wakes.get(timeout=max(0.0, seconds))
            while True:
                self._wakes.get_nowait()
        except Empty:
            return

    def wake(self) -> None:
        """End the current or next wait; safe in any thread and in signal handlers."""
        self._wakes.put(None)

    def now_ms(self) -> int:
        """The wall clock in UTC epoch milliseconds."""
        return to_ms(self.now())


def to_ms(instant: dt.datetime) -> int:
    """UTC epoch milliseconds of an aware datetime, rounded down."""
    return (instant - _EPOCH) // _MILLISECOND


def from_ms(epoch_ms: int) -> dt.datetime:
    return _EPOCH + epoch_ms * _MILLISECOND


_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MILLISECOND = dt.timedelta(milliseconds=1)
