"""When a failed attempt is tried again, and after how long."""

import time

from aetherflow.core.kernel.sequencing.stopping import Stop
from aetherflow.core.kernel.yaml.flow import RetrySpec

POLL_SECONDS = 0.1


class RetryBudget:
    """The attempts that one step has in this process; a resumed run starts with a new one."""

    def __init__(self, spec: RetrySpec | None) -> None:
        self._spec = spec or RetrySpec()
        self._failed = 0
        self._started = time.monotonic()

    def next_delay(self) -> float | None:
        """Seconds to wait after one more failed attempt, or None if there is no other.

        The wait before attempt n is backoff_seconds x backoff_multiplier^(n-2), at most max_backoff_seconds.
        """
        spec = self._spec
        self._failed += 1
        if self._failed >= spec.max_attempts:
            return None
        try:
            delay = spec.backoff_seconds * spec.backoff_multiplier ** (self._failed - 1)
        except OverflowError:
            delay = float("inf")
        if spec.max_backoff_seconds is not None:
            delay = min(delay, spec.max_backoff_seconds)
        elapsed = time.monotonic() - self._started
        if spec.max_elapsed_seconds is not None and elapsed + delay > spec.max_elapsed_seconds:
            return None
        return delay


def pause(seconds: float, stop: Stop) -> None:
    """Wait in short pieces; returns early once the run is being stopped."""
    end = time.monotonic() + seconds
    while not stop.requested and (left := end - time.monotonic()) > 0:
        time.sleep(min(left, POLL_SECONDS))
