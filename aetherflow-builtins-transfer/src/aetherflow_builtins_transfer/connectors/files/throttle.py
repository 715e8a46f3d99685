"""The bandwidth limit that all transfers of a connector share."""

import threading
import time


class Throttle:
    """Limits the average rate to `rate` bytes per second; None is no limit. Thread-safe."""

    def __init__(self, rate: float | None) -> None:
        self._rate = rate
        self._lock = threading.Lock()
        self._free_at = 0.0
        """Time at which all counted bytes would have passed at that rate."""

    def take(self, size: int) -> float:
        """Count `size` bytes; return the seconds to wait before more is transferred."""
        if not self._rate:
            return 0.0
        with self._lock:
            now = time.monotonic()
            self._free_at = max(self._free_at, now) + size / self._rate
            return self._free_at - now
