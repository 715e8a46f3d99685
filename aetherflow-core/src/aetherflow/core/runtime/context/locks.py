"""The locks of one attempt, for its context."""

from contextlib import AbstractContextManager

from aetherflow.core.contracts.handles import HeldLock
from aetherflow.core.kernel.locks.run_locks import RunLocks
from aetherflow.core.kernel.sequencing.attempt import Attempt


class AttemptLocks:
    """Locks for a block, and locks until the end of the run."""

    def __init__(self, locks: RunLocks, attempt: Attempt) -> None:
        self._locks = locks
        self._attempt = attempt

    def lease(self, key: str, ttl_seconds: float, wait_seconds: float) -> AbstractContextManager[HeldLock]:
        """As `RunContext.lease`; the wait ends when the attempt is cancelled."""
        return self._attempt.leases.hold(key, ttl_seconds, wait_seconds, self._attempt.control.check)

    def acquire(self, key: str, ttl_seconds: float) -> bool:
        """Take a lock until the end of the run; False if another run has it."""
        return self._locks.acquire(key, ttl_seconds)

    def release(self, key: str) -> None:
        """Release what was acquired last under this key; nothing happens if there is none."""
        self._locks.release(key)
