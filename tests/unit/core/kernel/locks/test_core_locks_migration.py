"""Lock stores of 1.0.0: brought to today's schema after a backup, but not under somebody who holds a lock."""

import contextlib
import sqlite3
import time
from pathlib import Path

import pytest

from aetherflow.core.base.errors import StateError
from aetherflow.core.kernel.locks.alive import AliveFile
from aetherflow.core.kernel.locks.clock import Clock
from aetherflow.core.kernel.locks.records import Owner
from aetherflow.core.kernel.locks.store import LockStore
from old_data import OldData, unpack

OWNER = "locked/locked-1/1"


@pytest.fixture
def data(tmp_path: Path) -> OldData:
    return unpack(tmp_path / "data")


@pytest.fixture
def path(data: OldData) -> Path:
    return data.states / "locks.sqlite"


def hold(path: Path, *, alive: str | None, boot: str, expires_at: int) -> None:
    """A lock as 1.0.0 writes it."""
    with contextlib.closing(sqlite3.connect(path)) as db:
        values = ("held.lock", OWNER, 1, 1, 1, expires_at, 600_000, boot, 1 << 60, alive, "host", 17)
        db.execute("INSERT INTO locks VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", values)
        db.commit()


def version(path: Path) -> int:
    with contextlib.closing(sqlite3.connect(path)) as db:
        return int(db.execute("PRAGMA user_version").fetchone()[0])


def test_an_old_store_is_migrated_after_a_backup(data: OldData, path: Path) -> None:
    with LockStore(path) as store:
        lease = store.acquire("dead.lock", Owner("f", "r"))
        assert lease.token == 2, "tokens go on"
        store.break_lock("dead.lock", reason="look", actor="ann")
    assert (version(path), version(path.with_name("locks.sqlite.v1.bak"))) == (2, 1)
    (row,) = data.rows(str(path.relative_to(data.folder)), "SELECT actor, reason, host IS NOT NULL AS host FROM broken")
    assert row == {"actor": "ann", "reason": "look", "host": 1}


def test_a_store_is_not_migrated_under_a_holder(path: Path) -> None:
    holder = AliveFile(path.with_name("locks.sqlite.d"))
    hold(path, alive=holder.name, boot=Clock().boot, expires_at=1)
    with pytest.raises(StateError, match="in use by run locked-1 of flow locked, pid 17 on host: it is not migrated"):
        LockStore(path)
    assert version(path) == 1
    assert list(path.parent.glob("locks.sqlite*.bak")) == []
    holder.drop()  # as the kernel does when it dies
    LockStore(path).close()
    assert version(path) == 2


def test_a_store_is_not_migrated_under_one_who_has_it_open(path: Path) -> None:
    other = AliveFile(path.with_name("locks.sqlite.d"))
    with pytest.raises(StateError, match="in use by 1 other process"):
        LockStore(path)
    other.close()
    LockStore(path).close()


def test_a_lease_of_another_boot_counts_until_it_ends(path: Path) -> None:
    hold(path, alive="gone.alive", boot="another", expires_at=time.time_ns() // 1_000_000 + 60_000)
    with pytest.raises(StateError, match="in use by run locked-1"):
        LockStore(path)
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("UPDATE locks SET expires_at=1")
        db.commit()
    LockStore(path).close()
