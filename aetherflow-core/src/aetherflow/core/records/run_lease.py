"""Ownership of a run among all hosts that share a server: the kernel lock of this host, and a lease in the server.

The lease ends by itself when its holder does not renew it. Before that, by its own monotonic clock, the holder stops
and does nothing more to the run; the generation of the run refuses what it still tries to write. A process of
the host of a holder that was killed need not wait: it has the kernel lock of the same file.
"""

import logging
import os
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from aetherflow.core.base import durable
from aetherflow.core.base.actor import boot_id, hostname
from aetherflow.core.base.errors import LostOwnershipError, RunBusyError, StateError
from aetherflow.core.kernel.state.ownership import RunLock
from aetherflow.core.kernel.state.unit import RunBegan, RunEvent, RunPart, Unit

LEASE_SECONDS, RENEW_SECONDS, RETRY_SECONDS = 60.0, 10.0, 1.0
HOLD_SECONDS = 45.0
"""How long a holder goes on that cannot renew its lease; the rest is for its step to end."""
CHILDREN_SECONDS = 54.0
"""How long the children of a holder live that cannot renew its lease, even if it is stopped itself."""
_FIND = "SELECT host, pid FROM owners WHERE flow_id=? AND run_id=? AND place<>? AND expires_at>{clock}"
_TAKE = (
    "INSERT INTO owners (flow_id, run_id, holder, place, host, pid, expires_at) VALUES (?, ?, ?, ?, ?, ?, {clock} + ?) "
    "ON CONFLICT (flow_id, run_id) DO UPDATE SET holder=excluded.holder, place=excluded.place, host=excluded.host, "
    "pid=excluded.pid, expires_at=excluded.expires_at"
)
_OWN = (
    "INSERT INTO owners (flow_id, run_id, holder, place, host, pid, expires_at) VALUES {marks} "
    "ON CONFLICT (flow_id, run_id) DO UPDATE SET holder=excluded.holder "
    "WHERE owners.expires_at<={clock} OR owners.place=excluded.place"
)
_MINE = "SELECT run_id FROM owners WHERE flow_id=? AND holder=?"
_DISOWN = "DELETE FROM owners WHERE flow_id=? AND holder=?"
_RENEW = "UPDATE owners SET expires_at={clock} + ? WHERE flow_id=? AND run_id=? AND holder=?"
_DROP = "DELETE FROM owners WHERE flow_id=? AND run_id=? AND holder=?"
_Beats = tuple[Callable[[durable.Database], object] | None, Callable[[], None] | None, Callable[[float], None] | None]
log = logging.getLogger("aetherflow")


class RunLease(RunLock, RunPart):
    """Exclusive ownership of one run, held until `release()`, the end of the process, or the end of its lease."""

    def __init__(self, path: Path, server: durable.StoreServer, flow_id: str, run_id: str) -> None:
        super().__init__(path)
        self._server = server
        self._key = (flow_id, run_id)
        self._holder = secrets.token_hex(8)
        self._db: durable.Database | None = None
        self._renewed = -HOLD_SECONDS
        self._lost = False
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._beats: _Beats = None, None, None
        self._writing = threading.Lock()

    def acquire(self, run_id: str) -> None:
        """Take the lock without waiting. Raises RunBusyError, which names the holder, StateError."""
        super().acquire(run_id)
        try:
            self._take()
        except (sqlite3.Error, OSError) as error:
            self.release()
            message = f"run {run_id} cannot be owned in {self._server.name}: {error}"
            raise StateError(message, fix="try again") from error
        except BaseException:
            self.release()
            raise
        self._stop.clear()
        self._thread = threading.Thread(target=self._run, name="lease", daemon=True)
        self._thread.start()

    def _take(self) -> None:
        db = self._db = self._server.database("state", busy_seconds=RENEW_SECONDS)
        place = _place_of(self)
        with durable.transaction(db, "own run"):
            db.await_turn(f"own {self._key}")
            other = db.execute(_FIND.format(clock=db.clock), (*self._key, place)).fetchone()
            if other is not None:
                message = f"run {self._key[1]} is being executed by pid {other[1]} on {other[0]}"
                raise RunBusyError(message, fix="wait for it, or use another --run-id")
            self._renewed = time.monotonic()
            mine = (*self._key, self._holder, place, hostname(), os.getpid(), _ms(LEASE_SECONDS))
            db.execute(_TAKE.format(clock=db.clock), mine)

    @property
    def _deadline(self) -> float:
        return self._renewed + HOLD_SECONDS

    def check(self) -> None:
        """Raise LostOwnershipError once another process may own the run."""
        if self._db is not None and (self._lost or time.monotonic() >= self._deadline):
            message = f"the lease of run {self._key[1]} in {self._server.name} has ended"
            raise LostOwnershipError(f"{message}: another process may own the run")

    def apply(self, unit: Unit, event: RunEvent) -> None:
        """A run that begins has the whole time of a lease. LostOwnershipError if another process has it."""
        if isinstance(event, RunBegan) and not self._keep(unit.db):
            raise LostOwnershipError(f"run {unit.run_id} was taken over by another process")

    def _keep(self, db: durable.Database) -> bool:
        mine = (_ms(LEASE_SECONDS), *self._key, self._holder)
        return db.execute(_RENEW.format(clock=db.clock), mine).rowcount == 1

    @contextmanager
    def beating(
        self,
        beat: Callable[[durable.Database], object],
        lost: Callable[[], None],
        kept: Callable[[float], None],
    ) -> Iterator[None]:
        """While the block runs, in another thread: `beat` with each renewal, `lost` once the lease is lost.

        `kept` is called with the monotonic time by which children must have ended, a later one with each renewal.
        """
        with self._writing:
            self._beats = beat, lost, kept
        try:
            kept(self._renewed + CHILDREN_SECONDS)
            if self._lost:
                lost()
            yield
        finally:
            with self._writing:
                self._beats = None, None, None

    def release(self) -> None:
        """Release the lock; the file stays."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if self._db is not None and os.getpid() == self._process:  # a forked copy must not use its connection
            with suppress(sqlite3.Error, OSError):  # else it ends by itself
                self._db.execute(_DROP, (*self._key, self._holder))
            self._db.close()
            self._db = None
        super().release()

    def _run(self) -> None:
        pause = RENEW_SECONDS
        while not self._stop.wait(min(pause, max(self._deadline - time.monotonic(), 0.0))):
            try:
                kept, pause = self._renew(), RENEW_SECONDS
            except Exception as error:  # noqa: BLE001 if the thread died, the end of the lease would be noticed late
                kept, pause = time.monotonic() < self._deadline, RETRY_SECONDS
                log.warning("run %s could not be kept in %s: %s", self._key[1], self._server.name, error)
            if not kept:
                self._lose()
                return

    def _renew(self) -> bool:
        db, began = self._db, time.monotonic()
        if db is None:
            return False
        db.wait_for_others(min(RENEW_SECONDS, max(self._deadline - began, RETRY_SECONDS / 10)))
        with self._writing, durable.transaction(db, "renew run"):
            if not (kept := self._keep(db)):
                return False
            if self._beats[0] is not None:
                self._beats[0](db)
        if (told := self._beats[2]) is not None:
            told(began + CHILDREN_SECONDS)
        if time.monotonic() >= self._renewed + CHILDREN_SECONDS:
            return False  # too late for the children: they were ended, which must not be recorded as their failure
        self._renewed = began
        return kept

    def _lose(self) -> None:
        self._lost = True
        log.warning("the lease of run %s in %s has ended: it stops", self._key[1], self._server.name)
        if (lost := self._beats[1]) is not None:
            lost()


@contextmanager
def owned_for_now(db: durable.Database, flow_id: str, locks: Mapping[str, RunLock]) -> Iterator[set[str]]:
    """Within a transaction: own runs whose kernel locks are held; gives those that no other host executes.

    The rows are gone when the block ends, so nobody ever sees them. A process that wants such a run waits for the end
    of the transaction.
    """
    holder, host, pid = secrets.token_hex(8), hostname(), os.getpid()
    rows = [(flow_id, run_id, holder, _place_of(lock), host, pid, 0) for run_id, lock in sorted(locks.items())]
    marks = ", ".join(["(?, ?, ?, ?, ?, ?, ?)"] * len(rows))
    db.execute(_OWN.format(marks=marks, clock=db.clock), [value for row in rows for value in row])
    yield {run_id for (run_id,) in db.execute(_MINE, (flow_id, holder))}
    db.execute(_DISOWN, (flow_id, holder))


def _place_of(lock: RunLock) -> str:
    """The file of the kernel lock, and no other one that has the same path, as in another container."""
    found = os.fstat(lock.descriptor)
    return f"{boot_id()} {found.st_dev}:{found.st_ino}"


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
