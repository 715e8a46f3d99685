"""Renewing leases: one thread renews all leases of a store and notifies the holder of a lease that is lost."""

import logging
import threading
from collections.abc import Callable, Sequence

from aetherflow.core.base import durable
from aetherflow.core.base.said import Reason, said
from aetherflow.core.kernel.locks.clock import Clock
from aetherflow.core.kernel.locks.lease import Hold
from aetherflow.core.kernel.locks.records import LostReason
from aetherflow.core.kernel.locks.table import LockTable

RENEWALS_PER_TTL = 3
LEAST_WAIT_MS = 100
log = logging.getLogger("aetherflow")


class Renewal:
    """The leases of one store, and the thread that renews them through a connection of its own."""

    def __init__(
        self, store: durable.Database, open_table: Callable[[], tuple[durable.Database, LockTable]], clock: Clock
    ) -> None:
        self._store = store
        self._open_table = open_table
        self._clock = clock
        self._changed = threading.Condition()
        self._holds: dict[tuple[str, str], Hold] = {}
        self._closed = False
        self._thread: threading.Thread | None = None
        self._writing = threading.RLock()
        self._db: durable.Database | None = None
        self._table: LockTable | None = None

    def find(self, key: str, owner: str) -> Hold | None:
        """The hold of this owner on the key through this store; None if there is none."""
        with self._changed:
            return self._holds.get((key, owner))

    def add(self, hold: Hold) -> None:
        """Start to renew a hold."""
        with self._changed:
            self._holds[hold.key, str(hold.owner)] = hold
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="locks", daemon=True)
                self._thread.start()
            self._changed.notify()

    def remove(self, hold: Hold) -> None:
        """Stop renewing a hold; nothing happens if it is not renewed."""
        with self._changed:
            if self._holds.get((hold.key, str(hold.owner))) is hold:
                del self._holds[hold.key, str(hold.owner)]

    def all(self) -> list[Hold]:
        """The holds that are renewed, of all owners."""
        with self._changed:
            return list(self._holds.values())

    def close(self) -> None:
        """End the thread and close its connection; the remaining leases expire."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()
        with self._writing:
            if self._db is not None:
                self._db.close()
                self._db = None

    def is_lost(self, hold: Hold) -> bool:
        """Whether the key was lost; when nobody has renewed it in time (this process stood still), ask now."""
        if hold.lost is None and not self._closed:
            try:
                self._store.require()
                due = self._clock.mono_ms() >= hold.expires_mono
            except durable.ReplacedFileError:
                due = True
            if due:
                self._renew([hold])
        return hold.lost is not None

    def _run(self) -> None:
        while True:
            with self._changed:
                if self._closed:
                    return
                now = self._clock.mono_ms()
                due = [hold for hold in self._holds.values() if hold.renew_mono <= now]
                if not due:
                    next_one = min((hold.renew_mono for hold in self._holds.values()), default=None)
                    self._changed.wait(None if next_one is None else (next_one - now) / 1000)
                    continue
            self._renew(due)

    def _renew(self, holds: Sequence[Hold]) -> None:
        with self._writing:
            try:
                ended = self._write(holds)
            except Exception as error:  # noqa: BLE001 if the thread died, every lease would expire unnoticed
                ended = self._try_again(holds, error)
        for hold, reason in ended:
            self._lose(hold, reason)

    def _write(self, holds: Sequence[Hold]) -> list[tuple[Hold, Reason]]:
        self._store.require()  # all of them: the second connection would make a lost log again
        if self._db is None or self._table is None:
            self._db, self._table = self._open_table()
        ended = []
        # wait no longer than this for a busy store, so that the end of a lease is noticed in time
        left = min(hold.expires_mono for hold in holds) - self._clock.mono_ms()
        wait = min(min(hold.ttl_ms for hold in holds) // RENEWALS_PER_TTL, max(left, LEAST_WAIT_MS))
        self._db.wait_for_others(wait / 1000)
        with durable.transaction(self._db, "renew locks"):
            renewed = [(hold, self._table.renew(hold.key, hold.token, hold.ttl_ms)) for hold in holds]
            for hold, grant in renewed:
                if grant is None and hold.leases:  # without leases it was released meanwhile
                    ended.append((hold, self._table.end_of(hold.key, hold.token)))
        for hold, grant in renewed:
            if grant is not None:
                hold.expires_mono = grant.expires_mono
            hold.renew_mono = hold.expires_mono - hold.ttl_ms + hold.ttl_ms // RENEWALS_PER_TTL
        return ended

    def _try_again(self, holds: Sequence[Hold], error: Exception) -> list[tuple[Hold, Reason]]:
        now = self._clock.mono_ms()
        for hold in holds:
            hold.renew_mono = now + max(1, min(hold.ttl_ms // 10, 1000))
        log.warning("%d lock(s) could not be renewed, trying again: %s", len(holds), error)
        if isinstance(error, durable.ReplacedFileError):  # a new file may grant the same keys at once
            return [(hold, said(LostReason.GONE, error=error)) for hold in holds]
        late = said(LostReason.NOT_RENEWED, error=error)
        return [(hold, late) for hold in holds if now >= hold.expires_mono]

    def _lose(self, hold: Hold, reason: Reason) -> None:
        with self._changed:
            if hold.lost is not None:
                return
            hold.lost = reason
            leases = list(hold.leases)
        self.remove(hold)
        for lease in leases:
            if lease.on_lost is not None:
                try:
                    lease.on_lost(lease)
                except Exception:
                    log.exception("the loss of lock %s could not be acted upon", hold.key)
