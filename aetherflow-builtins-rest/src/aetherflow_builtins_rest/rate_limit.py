"""Waits between requests and before repeated attempts."""

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

PIECE = 0.1
"""Longest single sleep in seconds, so that a cancellation is noticed."""


def wait(seconds: float, check: Callable[[], None]) -> None:
    """Wait; call `check` in between, which raises if the step must stop."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        check()
        time.sleep(min(left, PIECE))


class RateLimit:
    """A rate limit of `per_second` requests, of which `burst` may be sent at once after a pause. Thread-safe."""

    def __init__(self, per_second: float, burst: int) -> None:
        self._gap = 1 / per_second
        self._burst = burst
        self._next = 0.0
        self._lock = threading.Lock()

    def take(self, check: Callable[[], None]) -> None:
        with self._lock:
            now = time.monotonic()
            self._next = max(self._next, now - self._gap * (self._burst - 1))
            due, self._next = self._next, self._next + self._gap
        wait(due - now, check)


def retry_after(value: str | None) -> float | None:
    """Seconds that a Retry-After header (RFC 9110, 10.2.3), a number or a date, asks for; None if unreadable."""
    if not value:
        return None
    text = value.strip()
    if text.isdecimal():
        return float(text)
    try:
        at = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return max((at - datetime.now(UTC)).total_seconds(), 0.0)
