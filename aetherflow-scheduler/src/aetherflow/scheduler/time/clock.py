"""The clocks of the scheduler: the wall clock that slots are due by, and one that nobody sets, for spans."""

import datetime as dt
import time
from queue import Empty, SimpleQueue


class Clock:
    """What time it is, and waiting. Tests bring one of their own."""

    def __init__(self) -> None:
        # put() may be called by a signal handler while the same thread waits in get(), which Event.set() may not
        self._wakes: SimpleQueue[None] = SimpleQueue()

    def now(self) -> dt.datetime:
        """The wall clock, in UTC; it may jump."""
        return dt.datetime.now(dt.UTC)

    def monotonic(self) -> float:
        """Seconds since an arbitrary start; they only grow."""
        return time.monotonic()

    def wait(self, seconds: float) -> None:
        """Wait, but not after `wake()` was called; what was called meanwhile counts once."""
        try:
            self._wakes.get(timeout=max(0.0, seconds))
            while True:
                self._wakes.get_nowait()
        except Empty:
            return

    def wake(self) -> None:
        """End the wait, from any thread or from a signal handler."""
        self._wakes.put(None)

    def now_ms(self) -> int:
        """The wall clock in UTC epoch milliseconds."""
        return to_ms(self.now())


def to_ms(instant: dt.datetime) -> int:
    """UTC epoch milliseconds of an aware instant; what is below a millisecond is cut."""
    return (instant - _EPOCH) // _MILLISECOND


def from_ms(epoch_ms: int) -> dt.datetime:
    return _EPOCH + epoch_ms * _MILLISECOND


def iso(epoch_ms: int) -> str:
    """`2026-11-25T01:00:00Z`, for people and for `--slot`."""
    return from_ms(epoch_ms).strftime("%Y-%m-%dT%H:%M:%SZ")


_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MILLISECOND = dt.timedelta(milliseconds=1)
