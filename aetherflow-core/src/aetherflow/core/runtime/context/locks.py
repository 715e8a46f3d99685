"""Locks that one attempt takes."""

from contextlib import AbstractContextManager

from aetherflow.core.contracts.handles import HeldLock
from aetherflow.core.kernel.locks.run_locks import RunLocks
from aetherflow.core.kernel.sequencing.execution import Attempt


class AttemptLocks:
    """Locks for a block, and locks until the end of the run."""

    def __init__(self, locks: RunLocks, attempt: Attempt) -> None:
        self._locks = locks
        self._attempt = attempt

    def lease(self, key: str, ttl_seconds: float, wait_seconds: float) -> AbstractContextManager[HeldLock]:
        """As `RunContext.lease`."""
        return self._attempt.leases.hold(key, ttl_seconds, wait_seconds, self._attempt.control.check)

    def acquire(self, key: str, ttl_seconds: float) -> bool:
        """As `RunContext.acquire_lock`."""
        return self._locks.acquire(key, ttl_seconds)

    def release(self, key: str) -> None:
        """As `RunContext.release_lock`."""
        self._locks.release(key)
