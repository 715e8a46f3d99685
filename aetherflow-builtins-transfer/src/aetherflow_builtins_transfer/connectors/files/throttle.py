"""A limit on bytes per second that all transfers of a connector share."""

import threading
import time

_SLICE_SECONDS = 0.2
"""Longest sleep in one go, so that a transfer that is to end notices soon."""


class Throttle:
    """Lets `rate` bytes per second pass, on average; None: all."""

    def __init__(self, rate: float | None) -> None:
        self._rate = rate
        self._lock = threading.Lock()
        self._free_at = 0.0
        """When all that was let through has passed at that rate."""

    def take(self, size: int) -> float:
        """Account for `size` bytes; the seconds to wait before more is moved."""
        if not self._rate:
            return 0.0
        with self._lock:
            now = time.monotonic()
            self._free_at = max(self._free_at, now) + size / self._rate
            return self._free_at - now


def sleep_slices(seconds: float) -> "list[float]":
    """A wait in parts, between which the caller looks whether to end."""
    parts = []
    while seconds > 0:
        parts.append(min(seconds, _SLICE_SECONDS))
        seconds -= parts[-1]
    return parts
