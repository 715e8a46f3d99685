"""The lock store through its Python interface."""

import contextlib
import os
import sqlite3
import stat
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from aetherflow.core.base import durable
from aetherflow.core.base.errors import LeaseLostError, LockBusyError, StateError
from aetherflow.core.kernel.locks.clock import Clock
from aetherflow.core.kernel.locks.lease import Lease
from aetherflow.core.kernel.locks.records import Owner
from aetherflow.core.kernel.locks.scopes import flow_key, job_key
from aetherflow.core.kernel.locks.store import LockStore

if TYPE_CHECKING:
    from core_project import Project

A, B, C = Owner("load", "a"), Owner("load", "b"), Owner("other", "c", 2)
WaitFor = Callable[..., None]


class HandClock(Clock):
    """Both clocks move only when they are told to."""

    def __init__(self) -> None:
        super().__init__()
        self.mono, self.wall = 5_000_000, 1_700_000_000_000

    def mono_ms(self) -> int:
        return self.mono

    def wall_ms(self) -> int:
        return self.wall


@pytest.fixture
def path(project: "Project") -> Path:
    return project.folder / "new" / "locks.sqlite"


@pytest.fixture
def store(path: Path) -> Iterator[LockStore]:
    with LockStore(path) as found:
        yield found


@pytest.fixture
def other(path: Path, store: LockStore) -> Iterator[LockStore]:
    with LockStore(path) as found:
        yield found


def rows(path: Path, sql: str) -> list[tuple[object, ...]]:
    with contextlib.closing(sqlite3.connect(path)) as db:
        return db.execute(sql).fetchall()


def forget(store: LockStore) -> None:
    """As if its process stood still: nothing is renewed any more."""
    for hold in store._renewal.all():
        store._renewal.remove(hold)


# Taking and giving back


def test_closing_gives_everything_back(path: Path, other: LockStore) -> None:
    with LockStore(path) as store:
        store.acquire("k", A)
        store.acquire("l", A)
    store.close()
    assert other.holders() == []
    assert len(list(path.with_name(path.name + ".d").iterdir())) == 2, "only those of the stores that are open"


def test_keys_of_scopes() -> None:
    assert (flow_key("f"), job_key("f", "j")) == ("flow/f", "job/f/j")


# Waiting


def test_who_does_not_wait_does_not_push_in(store: LockStore, other: LockStore, wait_for: WaitFor) -> None:
    lease = store.acquire("k", A)
    got: list[Lease] = []
    waiter = threading.Thread(target=lambda: got.append(other.acquire("k", C, wait_seconds=10)))
    waiter.start()
    wait_for(store.waiters)
    (queued,) = store.waiters()
    assert (queued.key, queued.owner, queued.pid, queued.alive) == ("k", C, os.getpid(), True)
    with store._mutex, durable.transaction(store._db, "test"):  # free, but somebody waits
        store._table.release("k", lease.token)
        assert str(getattr(store._table.busy("k", A, None), "by", "")).startswith("run c of flow other")
    waiter.join()
    assert got[0].token == 2


# Time and life


def test_a_lease_that_is_not_renewed_ends(path: Path) -> None:
    clock = HandClock()
    with LockStore(path, clock=clock) as store, LockStore(path, clock=clock) as other:
        lease = store.acquire("k", A, ttl_seconds=10)
        forget(store)
        clock.mono += 9_999
        with pytest.raises(LockBusyError):
            other.acquire("k", B)
        clock.mono += 1
        assert other.acquire("k", B).token == 2
        assert lease.lost
        with pytest.raises(LeaseLostError, match=r"the lock k was lost \(token 1\): it is held by run b of flow load"):
            lease.check()
        assert not lease.release(), "no error"
        assert [holder.token for holder in other.holders()] == [2]


def test_a_holder_that_stood_still_keeps_what_nobody_took(path: Path) -> None:
    clock = HandClock()
    with LockStore(path, clock=clock) as store:
        lease = store.acquire("k", A, ttl_seconds=10)
        clock.mono += 60_000
        assert not lease.lost
        (holder,) = store.holders()
        assert holder.alive


def test_a_callback_that_fails_stops_no_renewal(
    store: LockStore, caplog: pytest.LogCaptureFixture, wait_for: WaitFor
) -> None:
    def fail(lease: Lease) -> None:
        raise ValueError("no")

    store.acquire("k", A, ttl_seconds=0.2, on_lost=fail)
    kept = store.acquire("l", A, ttl_seconds=0.2)
    store.break_lock("k", reason="test")
    wait_for(lambda: "the loss of lock k could not be acted upon" in caplog.text)
    known = kept.hold.expires_mono
    wait_for(lambda: kept.hold.expires_mono > known)
    assert not kept.lost


def test_a_store_that_cannot_be_written_loses_the_lease(path: Path, store: LockStore, wait_for: WaitFor) -> None:
    lease = store.acquire("k", A, ttl_seconds=0.3)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        started = time.monotonic()
        wait_for(lambda: lease.hold.lost)
        assert time.monotonic() - started > 0.25
    with pytest.raises(LeaseLostError, match="could not be renewed before it expired"):
        lease.check()


def test_a_short_stall_of_the_store_is_survived(
    path: Path, store: LockStore, caplog: pytest.LogCaptureFixture, wait_for: WaitFor
) -> None:
    lease = store.acquire("k", A, ttl_seconds=4)  # renewed after 1.3 s, which fails after 1.3 more
    known = lease.hold.expires_mono
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        wait_for(lambda: "could not be renewed, trying again" in caplog.text)
    wait_for(lambda: lease.hold.expires_mono > known)
    assert not lease.lost


@pytest.mark.parametrize(("jump", "left"), [(0, 10_000), (4_000, 6_000), (-3_600_000, 10_000), (3_600_000, 0)])
def test_a_lease_of_an_earlier_boot_lasts_no_longer_than_its_time(path: Path, jump: int, left: int) -> None:
    clock, later = HandClock(), HandClock()
    later.boot, later.mono, later.wall = "another", 100, clock.wall + jump
    with LockStore(path, clock=clock) as store, LockStore(path, clock=later) as other:
        store.acquire("k", A, ttl_seconds=10)
        forget(store)
        if left:
            with pytest.raises(LockBusyError):
                other.acquire("k", B)
            later.wall = clock.wall - 10 * 3_600_000  # from now on only the monotonic clock counts
            later.mono += left - 1
            with pytest.raises(LockBusyError):
                other.acquire("k", B)
            later.mono += 1
        assert other.acquire("k", B).token == 2


# The file


def test_the_store_is_private_and_synced(path: Path, store: LockStore) -> None:
    store.acquire("k", A)
    side = path.with_name(path.name + ".d")
    modes = {each: stat.S_IMODE(each.stat().st_mode) for each in (path, path.parent, side, *side.iterdir())}
    assert set(modes.values()) == {0o600, 0o700}
    assert modes[path] == 0o600
    assert modes[side] == 0o700
    assert store._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert store._db.execute("PRAGMA synchronous").fetchone() == (2,)


def test_files_of_the_dead_are_removed(path: Path) -> None:
    side = path.with_name(path.name + ".d")
    side.mkdir(parents=True)
    (side / "0123.alive").write_text("")
    with LockStore(path) as store:
        assert [each.name for each in side.iterdir()] == [store._me.name]


def test_a_missing_file_takes_no_lock_from_a_live_holder(path: Path, store: LockStore, other: LockStore) -> None:
    store.acquire("k", A)
    for each in path.with_name(path.name + ".d").iterdir():
        each.unlink()
    with pytest.raises(LockBusyError):
        other.acquire("k", B)


def test_a_newer_store_and_a_foreign_database_are_refused(path: Path) -> None:
    LockStore(path).close()
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version=7")
    with pytest.raises(StateError, match="has schema 7, this engine knows up to 2"):
        LockStore(path)
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version=0")
    with pytest.raises(StateError, match="a database that AetherFlow did not create"):
        LockStore(path)
    path.write_bytes(b"no database at all" * 99)
    with pytest.raises(StateError, match="file is not a database"):
        LockStore(path)


def test_breaking_a_lock_leaves_a_record(path: Path, store: LockStore) -> None:
    store.acquire("k", A)
    store.break_lock("k", reason="stuck")
    ((key, token, owner, actor, reason),) = rows(path, "SELECT key, token, owner, actor, reason FROM broken")
    assert (key, token, owner, reason) == ("k", 1, "load/a/1", "stuck")
    assert actor


def test_a_release_that_cannot_be_written_is_no_failure(
    path: Path, other: LockStore, caplog: pytest.LogCaptureFixture
) -> None:
    store = LockStore(path)
    lease = store.acquire("k", A)
    store._db.execute("PRAGMA busy_timeout=50")
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        assert lease.release()
    assert "lock k could not be released" in caplog.text
    store.close()
    assert other.acquire("k", B).token == 2, "its holder is known to be gone"
