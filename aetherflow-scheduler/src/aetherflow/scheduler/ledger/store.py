"""A ledger, in a file or a server: opening it, fenced transactions, and the owners of slots."""

import contextlib
import json
import os
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from aetherflow.core.api import StateError
from aetherflow.core.embedding import (
    AliveFile,
    LockStore,
    LostOwnershipError,
    actor,
    durable,
    hostname,
    is_dead,
    living_files,
    unreadable,
)
from aetherflow.core.embedding import Owner as LockOwner
from aetherflow.scheduler.ledger.records import Owner, SlotRow, insert
from aetherflow.scheduler.ledger.schema import no_ledger, prepare_schema
from aetherflow.scheduler.time.clock import Clock

BUSY_SECONDS = 10.0
OWNER_SECONDS = 60.0
"""In a server: how long an owner on another host, of which nothing is heard, counts as living."""
SCHEDULER = "scheduler"
"""The kind of owner that `run` enters as."""

Fault = tuple[type[BaseException] | None, int | None]


def fault_of(error: StateError) -> Fault:
    """A comparable key of an error, so that a repeated error is reported only once."""
    cause = error.__cause__
    number = getattr(cause, "sqlite_errorcode", getattr(cause, "errno", None))
    return None if cause is None else type(cause), number


class DeposedError(LostOwnershipError):
    """Another scheduler has become the leader; this process must not write to the ledger."""


class Ledger:
    """One ledger: a file, which is created with its folder if it is missing, unless `read_only`, or a server's schema.

    Raises StateError if it cannot be opened or written, is not a ledger, or has a newer schema.
    """

    def __init__(self, path: Path, clock: Clock, *, read_only: bool = False) -> None:
        self.path = path
        self.side = durable.side_folder(path)
        """Folder next to the file for the logs of attempts, the alive files of owners and the leader's lease."""
        self.clock = clock
        self.host = hostname()
        self.me: str | None = None
        """The name of this process as an owner of slots; None before `enter`."""
        self.token: int | None = None
        """The leader's token, which every transaction compares with the ledger's.

        None if this process does not lead.
        """
        self.active: tuple[object, list[SlotRow]] | None = None
        """The active slots as they were read last, and what `seen` was then."""
        self._alive: AliveFile | None = None
        self._kind: str | None = None
        self.shared = path.parent if durable.server_at(path) is not None else None
        """The server, if the ledger is in one; its locks tell which owners live, on whatever host."""
        self._locks: LockStore | None = None
        with self.reported():
            self.db = self._open(read_only)

    def _open(self, read_only: bool) -> durable.Database:
        db = self._to_read() if read_only else None
        known = db is not None
        if db is None:
            opened = durable.memory_database() if read_only else None
            db = opened or durable.open_store(self.path, "ledger", busy_seconds=BUSY_SECONDS)
        try:
            prepare_schema(db, self.path, lambda: self._living_in(db), read_only=known)
        except BaseException:
            db.close()
            raise
        return db

    def _to_read(self) -> durable.Database | None:
        """What there is; None if there is nothing."""
        if (server := durable.server_at(self.path)) is None:
            return durable.connect_to_read(self.path, immutable=False) if os.path.lexists(self.path) else None
        try:
            return server.database("ledger", busy_seconds=BUSY_SECONDS, reading=True)
        except FileNotFoundError:
            return None

    def _living_in(self, db: durable.Database) -> list[str]:
        """The owners that live, in a ledger of any version."""
        if self.shared is None:
            return living_files(self._owners)
        return [name for (name,) in db.execute("SELECT name FROM owners") if _of_owner(name) in self._living()]

    def enter(self, kind: str) -> None:
        """Register this process as an owner of slots; other processes notice its end at once, even if it is killed."""
        with self.transaction("enter"):
            self._alive = AliveFile(self._owners)
            self.me = self._alive.name
            if self.shared is not None:
                locks = self._locks = LockStore(self.shared)
                locks.acquire(_of_owner(self.me), LockOwner("scheduler", self.me), ttl_seconds=OWNER_SECONDS)
            now = self.clock.now_ms()
            values = {"name": self.me, "kind": kind, "host": self.host, "pid": os.getpid(), "since": now}
            insert(self.db, "owners", values)
            self._kind = kind
            self._bury()

    def leave(self) -> None:
        """Unregister this process; its waiting slots lose their owner, so another process can start them."""
        if self._alive is None:
            return
        try:
            with self.transaction("leave", fenced=False):
                self.db.execute("UPDATE slots SET owner=NULL WHERE owner=? AND status='WAITING'", (self.me,))
                self.db.execute("DELETE FROM owners WHERE name=?", (self.me,))
                self._bury()
        finally:
            self._release()
            self._alive.close()
            self._alive = None

    def _release(self) -> None:
        if self._locks is not None:
            self._locks.close()
            self._locks = None

    def close(self) -> None:
        """Close the ledger and release the alive file of this process."""
        self._release()
        if self._alive is not None:
            self._alive.drop()
        self.db.close()

    @contextlib.contextmanager
    def transaction(self, name: str, *, fenced: bool = True) -> Iterator[None]:
        """Run the block in one transaction.

        Raises DeposedError if another scheduler leads, StateError if the file fails.
        """
        with self.reported(), durable.transaction(self.db, name):
            self.db.await_turn("ledger")
            if fenced and self.token is not None and self.fence() != self.token:
                raise DeposedError("another scheduler has taken the lead", fix="nothing; this one stands by")
            yield

    def read(self, query: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """All rows of a query. Raises StateError if the file cannot be read."""
        try:  # and not `reported`: each pass reads many times, and a generator costs as much as a short query
            return self.db.execute(query, values).fetchall()
        except (sqlite3.Error, OSError) as error:
            raise self._failed(error) from error

    def note_document(self, path: Path) -> None:
        """Note whose ledger this is, for those who find it in a server."""
        if not self.read("SELECT 1 FROM meta WHERE name='document'"):
            with self.transaction("note document"):
                query = "INSERT INTO meta (name, value) VALUES ('document', ?) ON CONFLICT (name) DO NOTHING"
                self.db.execute(query, (str(path),))

    def fence(self) -> int:
        """The token of the latest leader; 0 if there was none."""
        rows = self.read("SELECT token FROM fence")
        return int(rows[0][0]) if rows else 0

    def journal(self, event: str, item: str | None = None, slot: int | None = None, **detail: Any) -> None:
        """Add an entry to the journal, in the same transaction as the change that it describes."""
        text = json.dumps(detail, ensure_ascii=False)
        values = {"at": self.clock.now_ms(), "event": event, "item": item, "slot": slot, "actor": actor()}
        insert(self.db, "journal", {**values, "detail": text})

    def seen(self) -> tuple[object, int]:
        """What changes with every change to the ledger, by this connection too."""
        return self.changes(), self.db.total_changes

    def changes(self) -> object:
        """What is another one when another connection has committed a change to the ledger."""
        try:
            self.db.require()
            return self.db.changes()
        except (sqlite3.Error, OSError) as error:
            raise self._failed(error) from error

    # Owners

    @property
    def _owners(self) -> Path:
        return self.side / "owners"

    def owners(self) -> dict[str, Owner]:
        """Name to owner, for all processes that have entered and not left, including dead ones."""
        rows = self.read("SELECT name, kind, host, pid, since FROM owners ORDER BY since")
        return {row[0]: Owner(*row) for row in rows}

    def is_gone(self, name: str | None) -> bool:
        """Whether the owner process of this name has ended; True for None."""
        if name is None:
            return True
        if name == self.me:
            return False
        if self.shared is not None:
            return _of_owner(name) not in self._living()
        return not (self._owners / name).exists() or is_dead(self._owners, name)

    def _living(self) -> set[str]:
        """The locks of the owners on all hosts that live, as far as this one knows."""
        with self.reported():
            if self._locks is not None:
                return {holder.key for holder in self._locks.holders() if holder.alive}
            assert self.shared is not None  # noqa: S101 a file has none
            with LockStore(self.shared, reading=True) as locks:
                return {holder.key for holder in locks.holders() if holder.alive}

    def _bury(self) -> None:
        """Remove dead owners. Their slots still count as those of a dead process, as the alive file is missing.

        Only a scheduler removes dead schedulers: until then `status` reports that one ended without a stop.
        """
        for path in sorted(self._owners.glob("*.alive")) if self._owners.is_dir() else ():
            if path.name != self.me and is_dead(self._owners, path.name):
                with contextlib.suppress(OSError):
                    durable.remove_file(path)
        for name, owner in self.owners().items():
            if self.is_gone(name) and (owner.kind != SCHEDULER or self._kind == SCHEDULER):
                self.db.execute("DELETE FROM owners WHERE name=?", (name,))

    @contextlib.contextmanager
    def reported(self) -> Iterator[None]:
        """Raise errors of SQLite and the file system inside the block as StateError with the path of the ledger."""
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise self._failed(error) from error

    def _failed(self, error: Exception) -> StateError:
        if self.shared is None:
            if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_ERROR:  # it has not our tables
                return no_ledger(self.path)
            return unreadable(self.path, error, "ledger")
        return StateError(f"ledger {self.path}: {error}", fix="check the server, and the rights of its account")


def _of_owner(name: str) -> str:
    """The lock by which the owner of this name is seen to live, from all hosts that share a server."""
    return f"scheduler {name}"
