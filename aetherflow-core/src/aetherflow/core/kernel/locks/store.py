"""The lock store: one file, shared by all flows of a host that name the same one."""

import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from aetherflow.core.base import durable
from aetherflow.core.base.actor import actor as account
from aetherflow.core.base.errors import LockBusyError, StateError, UsageError
from aetherflow.core.base.said import said
from aetherflow.core.kernel.locks.alive import AliveFile, dead_files, remove_files
from aetherflow.core.kernel.locks.clock import Clock
from aetherflow.core.kernel.locks.lease import Hold, Lease, OnLost
from aetherflow.core.kernel.locks.records import Holder, LostReason, Owner, Waiter
from aetherflow.core.kernel.locks.renewal import RENEWALS_PER_TTL, Renewal
from aetherflow.core.kernel.locks.schema import prepare_schema
from aetherflow.core.kernel.locks.table import Busy, LockTable, forget
from aetherflow.core.kernel.state.unusable import unreadable

T = TypeVar("T")
BUSY_SECONDS = 30.0
POLL_SECONDS = 0.02
"""Poll interval of the first in the queue; those behind it poll less often, the last ones ten times slower."""
MAX_KEY = 512
BEAT_MS = 1000
"""How often a waiter tells other hosts that it lives."""
log = logging.getLogger("aetherflow")


class LockStore:
    """One lock store: a file, which is created with its folder when it is missing, or a schema of a server.

    In the folder beside it the processes of this host tell that they live.

    Thread-safe. Raises StateError if it cannot be opened or written, or was made by another program or a newer engine.
    """

    def __init__(self, path: Path, *, clock: Clock | None = None, reading: bool = False) -> None:
        """`clock` is used instead of this host's, or that of the server. `reading` keeps the rows of dead processes."""
        self.path = path
        server = self._server = durable.server_at(path)
        self._folder = durable.side_folder(path)
        self._mutex = threading.RLock()
        self._closed = False
        self._stuck = False
        """A write failed, so a row of this process may remain: `close` keeps the alive file, from which others see
        that the owner is gone."""
        with self._reported():
            self._db = durable.open_store(path, "locks", busy_seconds=BUSY_SECONDS)
            self._clock = clock or Clock(None if server is None else self._db.now_ms)
            try:
                prepare_schema(self._db, path, self._clock)
                with durable.transaction(self._db, "enter lock store"):
                    self._db.await_turn(f"enter {self._clock.boot}")
                    dead = [] if reading else dead_files(self._folder)
                    forget(self._db, [path.name for path in dead])
                    self._me = AliveFile(self._folder)
                remove_files(dead)
            except BaseException:
                self._db.close()
                raise
        self._table = self._table_over(self._db)
        self._renewal = Renewal(self._db, self._second_table, self._clock)

    def acquire(
        self,
        key: str,
        owner: Owner,
        *,
        ttl_seconds: float = 600,
        wait_seconds: float = 0,
        check: Callable[[], None] | None = None,
        on_lost: OnLost | None = None,
    ) -> Lease:
        """Take a lock; the lease is renewed until it is released.

        A key that this owner holds already through this store is shared: same token, released with the last lease.
        `ttl_seconds`: how long others respect a holder that no longer renews and is not known to be dead.
        `wait_seconds`: 0 fails at once if the key is held or others wait for it; else waiters are served in order.
        `check` is called several times a second while waiting; what it raises ends the wait. `on_lost` is called once
        if the lease is lost, in the thread that notices. Raises LockBusyError, which names the holder.
        """
        if not key or len(key) > MAX_KEY:
            raise UsageError(
                f"the name of a lock has 1 to {MAX_KEY} characters, not {len(key)}", fix="name another key"
            )
        if ttl_seconds <= 0:
            raise UsageError("ttl_seconds must be more than 0", fix="leave it out for 600")
        deadline = time.monotonic() + wait_seconds
        ticket: int | None = None
        beat_ms = self._clock.mono_ms()
        try:
            while True:
                if check is not None:
                    check()
                found = self._attempt(key, owner, round(ttl_seconds * 1000), ticket, on_lost)
                if isinstance(found, Lease):
                    return found
                if (left := deadline - time.monotonic()) <= 0:
                    raise self._busy_error(key, found, wait_seconds)
                if ticket is None:
                    ticket = self._enqueue(key, owner)
                beat_ms = self._beat(ticket, beat_ms)
                time.sleep(min(left, POLL_SECONDS * min(found.ahead + 1, 10)))
        finally:
            if ticket is not None:
                self._leave(ticket)

    def holders(self) -> list[Holder]:
        """All locks, ordered by key; those of dead holders have `alive` False."""
        with self._mutex, self._reported():
            return self._table.holders()

    def waiters(self) -> list[Waiter]:
        """All waiters in the order of the queue; dead and stopped ones have `alive` False."""
        with self._mutex, self._reported():
            return self._table.waiters()

    def break_lock(self, key: str, *, reason: str, actor: str | None = None) -> Holder | None:
        """Take a lock from its holder, whose lease is lost from then on; returns the holder, None if there was none.

        The store keeps a record: `actor` (default: this user) and `reason`.
        """
        return self._write("break lock", lambda: self._table.break_lock(key, actor or account(), reason))

    def close(self) -> None:
        """Release all locks and close the file; a second call does nothing."""
        self._renewal.close()
        with self._mutex:
            if self._closed:
                return
            self._closed = True
            for hold in self._renewal.all():
                for lease in list(hold.leases):
                    lease.release()
            if self._stuck or self._is_gone():
                self._me.drop()  # the file stays, without its kernel lock: so others know that the holder is gone
            else:
                self._me.close()
            self._db.close()

    def _is_gone(self) -> bool:
        """Whether the file is another one by now: a copy may hold rows of this process."""
        try:
            self._db.require()
        except durable.ReplacedFileError:
            return True
        return False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _attempt(self, key: str, owner: Owner, ttl_ms: int, ticket: int | None, on_lost: OnLost | None) -> Lease | Busy:
        with self._mutex:
            hold = self._renewal.find(key, str(owner))
            if hold is not None and not self._renewal.is_lost(hold):
                return Lease(hold, self._renewal.is_lost, self._give_back, on_lost)
            with self._reported():
                # a look without a write transaction: many may wait for long
                self._db.require()
                if (found := self._table.busy(key, owner, ticket)) is not None and not self._table.is_foreign(key):
                    return found
            taken = self._write("take lock", lambda: self._table.take(key, owner, ttl_ms, ticket))
            if isinstance(taken, Busy):
                return taken
            renew_mono = taken.expires_mono - ttl_ms + ttl_ms // RENEWALS_PER_TTL
            hold = Hold(key, owner, taken.token, ttl_ms, taken.expires_mono, renew_mono)
            lease = Lease(hold, self._renewal.is_lost, self._give_back, on_lost)
            self._renewal.add(hold)
            return lease

    def _give_back(self, lease: Lease) -> bool:
        hold = lease.hold
        with self._mutex:
            hold.leases.remove(lease)
            if hold.lost is not None:
                return False
            if hold.leases:
                return True
            self._renewal.remove(hold)
            try:
                hold.lost = self._write("release lock", lambda: self._table.release(hold.key, hold.token))
                return hold.lost is None
            except durable.ReplacedFileError as error:
                hold.lost = said(LostReason.GONE, error=error)
                return False
            except StateError as error:
                # the work under the lock is done; the lock ends with its time to live, or with this process
                log.warning("lock %s could not be released: %s", hold.key, error)
                return self._clock.mono_ms() < hold.expires_mono

    def _enqueue(self, key: str, owner: Owner) -> int:
        return self._write("wait for lock", lambda: self._table.enqueue(key, owner))

    def _beat(self, ticket: int, last: int) -> int:
        """Show that the waiter lives; `last` and the result are when it was written last, by the monotonic clock."""
        now = self._clock.mono_ms()
        self._me.beat(now)
        if self._server is None or now - last < BEAT_MS:
            return last
        self._write("wait for lock", lambda: self._table.beat(ticket))
        return now

    def _leave(self, ticket: int) -> None:
        with suppress(StateError):
            self._write("leave queue", lambda: self._table.leave(ticket))

    def _busy_error(self, key: str, found: Busy, wait_seconds: float) -> LockBusyError:
        holder = next((each for each in self.holders() if each.key == key and each.alive), None)
        waited = f" after {wait_seconds:g} s" if wait_seconds else ""
        fix = "wait for it" if wait_seconds else "wait for it, or set wait_seconds"
        return LockBusyError(f"Lock not acquired: {key}{waited}; {holder or found.by}", fix=fix)

    def _second_table(self) -> tuple[durable.Database, LockTable]:
        db = self._db.again(busy_seconds=BUSY_SECONDS)
        return db, self._table_over(db)

    def _table_over(self, db: durable.Database) -> LockTable:
        return LockTable(db, self._clock, self._folder, self._me, shared=self._server is not None)

    def _write(self, name: str, work: Callable[[], T]) -> T:
        try:
            with self._mutex, self._reported():
                return durable.write(self._db, name, work)
        except BaseException:
            self._stuck = True
            raise

    @contextmanager
    def _reported(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise unreadable(self.path, error, "lock store") from error
