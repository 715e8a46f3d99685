"""Retries: whether a failed attempt is repeated, and after how long."""

import time

from aetherflow.core.kernel.sequencing.stopping import Stop
from aetherflow.core.kernel.yaml.flow import RetrySpec

POLL_SECONDS = 0.1
NO_RETRY = RetrySpec.model_construct()


class RetryBudget:
    """The attempts that one step has in this process; a resumed run starts with a new budget."""

    def __init__(self, spec: RetrySpec | None) -> None:
        self._spec = spec or NO_RETRY
        self._failed = 0
        self._started = time.monotonic()

    def next_delay(self) -> float | None:
        """Count a failed attempt; returns the seconds until the next one, or None if none is left."""
        self._failed += 1
        delay, most = self._spec.wait_after(self._failed), self._spec.max_elapsed_seconds
        if delay is not None and most is not None and time.monotonic() - self._started + delay > most:
            return None
        return delay


def pause(seconds: float, stop: Stop) -> None:
    """Wait in short pieces; returns early once the run is being stopped."""
    end = time.monotonic() + seconds
    while not stop.requested and (left := end - time.monotonic()) > 0:
        time.sleep(min(left, POLL_SECONDS))
