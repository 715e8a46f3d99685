"""Leader election: of several schedulers on one ledger, the one that holds the lease leads."""

import os
from pathlib import Path

from aetherflow.core.api import LockBusyError
from aetherflow.core.embedding import Holder, Lease, LockStore, durable
from aetherflow.core.embedding import Owner as LockOwner
from aetherflow.scheduler.ledger.records import insert
from aetherflow.scheduler.ledger.store import DeposedError, Ledger

KEY = "leader"


class Leadership:
    """The lease of the leader, kept in a lock store beside the ledger, and its token in the ledger itself.

    The store renews the lease in the background; a leader that was stopped for longer than the lease finds a later
    token in the ledger with its next transaction, which is refused.
    """

    def __init__(self, ledger: Ledger, lease_seconds: float) -> None:
        self._ledger = ledger
        self._seconds = lease_seconds
        durable.make_dir(ledger.side)
        self._store = LockStore(store_path(ledger))
        self._lease: Lease | None = None
        self._tries = 0

    def leads(self) -> bool:
        """Whether this process leads, by its own knowledge; the ledger may already know a later leader."""
        return self._lease is not None and not self._lease.lost

    def lost(self) -> bool:
        """Whether this process held the lease and has lost it."""
        return self._lease is not None and self._lease.lost

    def retake(self) -> bool:
        """Take a lost lease again if nobody else has led since, for example after a full disk; returns success."""
        return self._ledger.fence() == self._ledger.token and self.take(again=True)

    def take(self, *, again: bool = False) -> bool:
        """Become the leader if there is none; returns success. The ledger then refuses writes of earlier leaders.

        `again`: only if this process was the last leader.
        """
        self._tries += 1
        owner = LockOwner("scheduler", f"{self._ledger.host}-{os.getpid()}", self._tries)
        try:
            lease = self._store.acquire(_key(self._ledger), owner, ttl_seconds=self._seconds, on_lost=self._wake)
        except LockBusyError:
            return False
        try:
            self._ledger.token = self._enter_token(lease, self._ledger.token if again else None)
        except BaseException:
            lease.release()
            raise
        self._lease = lease
        return True

    def _enter_token(self, lease: Lease, before: int | None) -> int:
        ledger = self._ledger
        with ledger.transaction("take the lead", fenced=False):
            lease.check()  # inside: from here on nobody else can enter a token before this one
            if before is not None and ledger.fence() != before:
                raise DeposedError("another scheduler has led meanwhile")
            # a lock store that was deleted counts from 1 again
            token = max(lease.token, ledger.fence() + 1)
            values = {"id": 1, "token": token, "owner": ledger.me or "", "host": ledger.host}
            ledger.db.execute("DELETE FROM fence")
            insert(ledger.db, "fence", {**values, "pid": os.getpid(), "since": ledger.clock.now_ms()})
            ledger.journal("leader", token=token, host=ledger.host, pid=os.getpid())
        return token

    def _wake(self, lease: Lease) -> None:
        del lease
        self._ledger.clock.wake()

    def give_up(self) -> None:
        """Release the lease, and write to the ledger without a leader's token from now on."""
        self._ledger.token = None
        if self._lease is not None:
            lease, self._lease = self._lease, None
            lease.release()

    def close(self) -> None:
        """Release the lease and close the lock store; a standby takes over at its next attempt."""
        self.give_up()
        self._store.close()


def store_path(ledger: Ledger) -> Path:
    """The lock store of a ledger's leader: a file in its side folder, or that of its server."""
    return ledger.shared or ledger.side / "leader.sqlite"


def _key(ledger: Ledger) -> str:
    """In a server the locks of flows and of other leaders have names, too."""
    return KEY if ledger.shared is None else f"scheduler {KEY} {ledger.path.name}"


def current_leader(ledger: Ledger) -> Holder | None:
    """The process that currently holds the lease; None if there is no leader."""
    holder = last_leader(ledger)
    return holder if holder is not None and holder.alive else None


def last_leader(ledger: Ledger) -> Holder | None:
    """The process that holds the lease, or held it until it ended without a stop; None if nothing is known of one."""
    path = store_path(ledger)
    if not durable.is_there(path):
        return None
    with LockStore(path, reading=True) as store:
        return next((each for each in store.holders() if each.key == _key(ledger)), None)
