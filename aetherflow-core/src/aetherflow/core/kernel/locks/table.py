"""The rules of the lock store: who may take a key, in which order, and when a lease is over.

Methods that change rows are called inside a write transaction, which is what makes each of them atomic.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aetherflow.core.base import durable
from aetherflow.core.base.actor import hostname
from aetherflow.core.base.said import Reason, said
from aetherflow.core.kernel.locks.alive import AliveFile, is_dead, last_beat
from aetherflow.core.kernel.locks.clock import Clock
from aetherflow.core.kernel.locks.records import Holder, LostReason, Owner, Waiter

WAITER_STALE_MS = 3000
"""A waiter that has not beaten for this long is passed over. A running one beats several times a second."""

_LOCK = "key, owner, token, acquired_at, renewed_at, expires_at, host, pid, boot, ttl_ms, expires_mono, alive"
_NEXT = "INSERT INTO tokens (key, last) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET last=excluded.last"
_GIVEN = (
    *("owner", "token", "acquired_at", "renewed_at", "expires_at", "ttl_ms", "boot"),
    *("expires_mono", "alive", "host", "pid"),
)
_TAKE = (
    f"INSERT INTO locks (key, {', '.join(_GIVEN)}) VALUES (?{', ?' * len(_GIVEN)}) "  # noqa: S608 names are ours
    f"ON CONFLICT (key) DO UPDATE SET {', '.join(f'{name}=excluded.{name}' for name in _GIVEN)}"
)
_WAITER = "key, ticket, owner, since, host, pid, boot, alive, beat_at"


@dataclass(frozen=True, slots=True)
class Grant:
    """A key was taken, or renewed: the token, and the end of the lease on the monotonic clock."""

    token: int
    expires_mono: int


@dataclass(frozen=True, slots=True)
class Busy:
    """A key could not be taken: its holder, or the next waiter, and how many waiters are ahead."""

    by: Holder | Waiter
    ahead: int


class LockTable:
    """The rows, read and written through one connection.

    Files in `folder` show which processes of this boot live. In a store that is `shared` by several hosts, processes
    that use another folder (another host, or another container of this one) are judged by the wall clock, which is the
    server's. In a file, processes of another boot have ended with it.
    """

    def __init__(self, db: durable.Database, clock: Clock, folder: Path, me: AliveFile, *, shared: bool) -> None:
        self._shared = shared
        self._db = db
        self._clock = clock
        self._folder = folder
        self._me = me
        self._host, self._pid = hostname(), os.getpid()
        self._place = clock.boot
        """Where the processes are whose files and monotonic clock this one sees; the column `boot`."""
        if shared:
            found = folder.stat()
            self._place += f" {found.st_dev}:{found.st_ino}"

    # Reading

    def holders(self, key: str | None = None) -> list[Holder]:
        """All locks, or the one of this key; ordered by key."""
        where, values = _where(key)
        rows = self._db.execute(f"SELECT {_LOCK} FROM locks {where} ORDER BY key", values)  # noqa: S608 names are ours
        return [self._holder(row) for row in rows.fetchall()]

    def waiters(self, key: str | None = None) -> list[Waiter]:
        """All waiters, or those for this key, in the order of the queue."""
        where, values = _where(key)
        rows = self._db.execute(f"SELECT {_WAITER} FROM waiters {where} ORDER BY ticket", values)  # noqa: S608
        return [self._waiter(row) for row in rows.fetchall()]

    def busy(self, key: str, owner: Owner, ticket: int | None) -> Busy | None:
        """Why the waiter with this ticket (None: a new request) cannot take the key now; None if it can."""
        if self._goes_on_here(key, owner):
            return None  # those that wait do so for this run
        limit = (1 << 62) if ticket is None else ticket
        query = f"SELECT {_WAITER} FROM waiters WHERE key=? AND ticket<? ORDER BY ticket"  # noqa: S608 names are ours
        rows = self._db.execute(query, (key, limit)).fetchall()
        for index, row in enumerate(rows):
            waiter = self._waiter(row)
            if waiter.alive:  # only the first in the queue checks the holder
                return Busy(waiter, len(rows) - index)
        holder = next(iter(self.holders(key)), None)
        return Busy(holder, 0) if holder is not None and holder.alive else None

    def _goes_on_here(self, key: str, owner: Owner) -> bool:
        """Whether the holder is the same run as it was elsewhere, whose lease of the run has ended since."""
        before = (self._shared and self._owner_before(key)) or owner
        same = (before.flow_id, before.run_id) == (owner.flow_id, owner.run_id)
        return same and before.generation < owner.generation

    def _owner_before(self, key: str) -> Owner | None:
        """The holder if its row is of another place."""
        row = self._db.execute("SELECT owner FROM locks WHERE key=? AND boot<>?", (key, self._place)).fetchone()
        return Owner.parse(row[0]) if row else None

    def is_foreign(self, key: str) -> bool:
        """True if the times in the holder's row are of another boot's clock, which nobody renews any more."""
        return not self._shared and self._owner_before(key) is not None

    def end_of(self, key: str, token: int) -> Reason:
        """Why a token is no longer valid."""
        broken = self._db.execute("SELECT actor, reason FROM broken WHERE key=? AND token=?", (key, token)).fetchone()
        if broken is not None:
            return said(LostReason.BROKEN, actor=broken[0], why=broken[1])
        holder = next(iter(self.holders(key)), None)
        return said(LostReason.HELD, holder=holder) if holder is not None else said(LostReason.TAKEN)

    # Writing

    def take(self, key: str, owner: Owner, ttl_ms: int, ticket: int | None) -> Grant | Busy:
        """Take the key under the next token; Busy if it cannot be taken."""
        self._adopt(key)
        self._db.await_turn(f"lock {key}")
        if (found := self.busy(key, owner, ticket)) is not None:
            return found
        row = self._db.execute("SELECT last FROM tokens WHERE key=?", (key,)).fetchone()
        token = row[0] + 1 if row else 1
        now, mono = self._clock.wall_ms(), self._clock.mono_ms()
        self._db.execute(_NEXT, (key, token))
        self._db.execute(
            _TAKE,
            (
                *(key, str(owner), token, now, now, now + ttl_ms, ttl_ms),
                *(self._place, mono + ttl_ms, self._me.name, self._host, self._pid),
            ),
        )
        self._drop_dead_waiters(key)
        self.leave(ticket)
        return Grant(token, mono + ttl_ms)

    def renew(self, key: str, token: int, ttl_ms: int) -> Grant | None:
        """Extend the lease to its full time to live from now; None if the token is no longer valid."""
        now, mono = self._clock.wall_ms(), self._clock.mono_ms()
        done = self._db.execute(
            "UPDATE locks SET renewed_at=?, expires_at=?, boot=?, expires_mono=?, alive=? WHERE key=? AND token=?",
            (now, now + ttl_ms, self._place, mono + ttl_ms, self._me.name, key, token),
        )
        return Grant(token, mono + ttl_ms) if done.rowcount else None

    def release(self, key: str, token: int) -> Reason | None:
        """Release the key; return why the token was no longer valid, None if it was."""
        done = self._db.execute("DELETE FROM locks WHERE key=? AND token=?", (key, token))
        return None if done.rowcount else self.end_of(key, token)

    def break_lock(self, key: str, actor: str, reason: str) -> Holder | None:
        """Take the key from its holder and keep a record of it; None if nobody holds it."""
        self._db.await_turn(f"lock {key}")
        holder = next(iter(self.holders(key)), None)
        if holder is not None:
            self.release(key, holder.token)
            values = (key, holder.token, str(holder.owner), self._clock.wall_ms(), actor, reason, self._host)
            query = "INSERT INTO broken (key, token, owner, at, actor, reason, host) VALUES (?, ?, ?, ?, ?, ?, ?)"
            self._db.execute(query, values)
        return holder

    def enqueue(self, key: str, owner: Owner) -> int:
        """Join the queue; returns the ticket."""
        self._me.beat(self._clock.mono_ms())
        now = self._clock.wall_ms()
        row = (key, str(owner), now, self._place, self._me.name, self._host, self._pid)
        done = self._db.execute(
            "INSERT INTO waiters (key, owner, since, boot, alive, host, pid, beat_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?) "
            "RETURNING ticket",
            (*row, now if self._shared else None),
        )
        return int(done.fetchone()[0])

    def beat(self, ticket: int) -> None:
        """Tell other hosts that the waiter lives."""
        self._db.execute("UPDATE waiters SET beat_at=? WHERE ticket=?", (self._clock.wall_ms(), ticket))

    def leave(self, ticket: int | None) -> None:
        """Leave the queue; None is ignored."""
        self._db.execute("DELETE FROM waiters WHERE ticket=?", (ticket,))

    def _adopt(self, key: str) -> None:
        """Convert a row of another boot to this boot's clock: its remaining time is read from the wall clock, once.

        The remaining time is at most the time to live, whatever the wall clock says.
        """
        row = self._db.execute("SELECT boot, expires_at, ttl_ms FROM locks WHERE key=?", (key,)).fetchone()
        if row is None or row[0] == self._place or self._shared:
            return
        left = max(0, min(row[2], row[1] - self._clock.wall_ms()))
        self._db.execute(
            "UPDATE locks SET boot=?, expires_mono=?, alive=NULL WHERE key=?",
            (self._place, self._clock.mono_ms() + left, key),
        )

    def _drop_dead_waiters(self, key: str) -> None:
        rows = self._db.execute("SELECT ticket, boot, alive, beat_at FROM waiters WHERE key=?", (key,)).fetchall()
        for ticket, boot, name, beat_at in rows:
            if boot != self._place:
                gone = not self._beats(beat_at)
            else:
                gone = is_dead(self._folder, name) or not (self._folder / name).exists()
            if gone:  # a stopped process keeps its place
                self.leave(ticket)

    def _beats(self, beat_at: int | None) -> bool:
        """Whether a waiter of another place lives."""
        return self._shared and self._clock.wall_ms() - (beat_at or 0) < WAITER_STALE_MS

    # Life

    def _holder(self, row: tuple[Any, ...]) -> Holder:
        key, owner, token, acquired, renewed, expires, host, pid, boot, ttl_ms, expires_mono, name = row
        if boot != self._place:
            alive = min(ttl_ms, expires - self._clock.wall_ms()) > 0
        elif self._clock.mono_ms() >= expires_mono:
            alive = False
        else:
            alive = name is None or not is_dead(self._folder, name)
        return Holder(key, Owner.parse(owner), token, acquired, renewed, expires, host, pid, alive)

    def _waiter(self, row: tuple[Any, ...]) -> Waiter:
        key, ticket, owner, since, host, pid, boot, name, beat_at = row
        here = boot == self._place
        alive = not is_dead(self._folder, name) if here else self._beats(beat_at)
        if alive and here and name != self._me.name:
            alive = self._clock.mono_ms() - last_beat(self._folder, name) < WAITER_STALE_MS
        return Waiter(key, ticket, Owner.parse(owner), since, host, pid, alive)


def forget(db: durable.Database, names: list[str]) -> None:
    """Remove the rows of dead processes, by the names of their files; inside a write transaction."""
    for name in names:
        db.execute("DELETE FROM locks WHERE alive=?", (name,))
        db.execute("DELETE FROM waiters WHERE alive=?", (name,))


def _where(key: str | None) -> tuple[str, tuple[str, ...]]:
    return ("", ()) if key is None else ("WHERE key=?", (key,))
