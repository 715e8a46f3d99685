"""Waiting: between requests, and before a request is sent again."""

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

PIECE = 0.1
"""Longest single sleep, so that a stop is noticed."""


def wait(seconds: float, check: Callable[[], None]) -> None:
    """Wait; `check` raises if the step is to end."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        check()
        time.sleep(min(left, PIECE))


class Pace:
    """At most so many requests per second, `burst` of them at once after a pause; for all threads together."""

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
    """Seconds that a Retry-After header asks for: a number, or a date; None if it says nothing that can be read."""
    if not value:
        return None
    if value.strip().isdecimal():
        return float(value)
    try:
        at = parsedate_to_datetime(value)
    except ValueError:
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return max((at - datetime.now(UTC)).total_seconds(), 0.0)
