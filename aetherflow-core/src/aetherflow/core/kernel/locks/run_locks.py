"""The locks of one run: the store is opened for the first lock, and all locks are released when the run ends."""

import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from aetherflow.core.base.errors import LockBusyError
from aetherflow.core.contracts.running import EventSink

if TYPE_CHECKING:
    from aetherflow.core.kernel.locks.lease import Lease, OnLost
    from aetherflow.core.kernel.locks.records import Owner
    from aetherflow.core.kernel.locks.store import LockStore


class RunLocks:
    """The locks of one run. A run without locks creates no lock store."""

    def __init__(
        self, path: Path, owner: tuple[str, str, int], events: EventSink, around: "RunLocks | None" = None
    ) -> None:
        """`owner` is flow id, run id and generation; `events` receives `lock_wait`, `lock_acquired`, `lock_lost`.

        `around` are the locks of the run that started this one and waits for it: its locks are shared with this run.
        """
        self._around = around
        self._held: list[Lease] = []
        self._path = path
        self._of = owner
        self._events = events
        self._mutex = threading.Lock()
        self._store: LockStore | None = None
        self._by_hand: dict[str, list[Lease]] = {}

    def lease(
        self, key: str, *, ttl_seconds: float, wait_seconds: float, check: Callable[[], None], on_lost: "OnLost | None"
    ) -> "Lease":
        """Take a lock for this run; as `LockStore.acquire`."""
        if (holder := self._holder_around(key)) is not None:
            return holder.lease(key, ttl_seconds=ttl_seconds, wait_seconds=0, check=check, on_lost=on_lost)

        def lost(lease: "Lease") -> None:
            self._lost(lease)
            if on_lost is not None:
                on_lost(lease)

        acquire = partial(
            self._opened().acquire, key, self._owner(), ttl_seconds=ttl_seconds, check=check, on_lost=lost
        )
        try:
            lease = acquire(wait_seconds=0)
        except LockBusyError as error:
            if wait_seconds <= 0:
                raise
            flow_id, run_id, _ = self._of
            self._events.emit("lock_wait", flow_id=flow_id, run_id=run_id, key=key, note=str(error))
            lease = acquire(wait_seconds=wait_seconds)
        self._acquired(lease)
        return lease

    def acquire(self, key: str, ttl_seconds: float) -> bool:
        """Take a lock until `release(key)` or the end of the run; False if another run has it."""
        try:
            lease = self.lease(key, ttl_seconds=ttl_seconds, wait_seconds=0, check=lambda: None, on_lost=None)
        except LockBusyError:
            return False
        self._by_hand.setdefault(key, []).append(lease)
        return True

    def release(self, key: str) -> None:
        """Release what `acquire(key)` took last; nothing happens if there is none."""
        if leases := self._by_hand.get(key):
            leases.pop().release()

    def close(self) -> None:
        """Release all locks that the run still holds."""
        for leases in self._by_hand.values():  # one may be shared with the run around
            while leases:
                leases.pop().release()
        with self._mutex:
            if self._store is not None:
                self._store.close()
                self._store = None

    def holds(self, key: str) -> bool:
        """Whether this run, not one around it, holds a lock."""
        self._held = [lease for lease in self._held if lease in lease.hold.leases]
        return any(lease.key == key for lease in self._held)

    def lent(self) -> "list[tuple[Path, Lease]]":
        """The locks that a run inside this one shares, each with the path of its store: also those of runs around."""
        around = self._around.lent() if self._around is not None else []
        return [*((self._path, lease) for lease in self._held if lease in lease.hold.leases), *around]

    def _holder_around(self, key: str) -> "RunLocks | None":
        outer = self._around
        while outer is not None and not (outer._path == self._path and outer.holds(key)):
            outer = outer._around
        return outer

    def _acquired(self, lease: "Lease") -> None:
        self._held.append(lease)
        flow_id, run_id, _ = self._of
        self._events.emit("lock_acquired", flow_id=flow_id, run_id=run_id, key=lease.key, token=lease.token)

    def _lost(self, lease: "Lease") -> None:
        # called in the renewal thread, which must go on renewing other leases however slow an observer is
        flow_id, run_id, _ = self._of
        reason = str(lease.why_lost)
        self._events.defer("lock_lost", flow_id=flow_id, run_id=run_id, key=lease.key, token=lease.token, reason=reason)

    def _owner(self) -> "Owner":
        from aetherflow.core.kernel.locks.records import Owner

        return Owner(*self._of)

    def _opened(self) -> "LockStore":
        with self._mutex:
            if self._store is None:
                from aetherflow.core.kernel.locks.store import LockStore  # most runs need none of it

                self._store = LockStore(self._path)
            return self._store
