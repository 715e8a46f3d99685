"""Ledgers of 1.0.0: brought to today's schema after a backup, but not under a scheduler."""

import contextlib
import sqlite3
from pathlib import Path

import pytest

from aetherflow.core.base.errors import StateError
from aetherflow.core.kernel.locks.alive import AliveFile
from aetherflow.scheduler.ledger.schema import SCHEMA_VERSION
from aetherflow.scheduler.ledger.store import Ledger
from aetherflow.scheduler.time.clock import Clock
from old_data import OldData, expected, unpack


@pytest.fixture
def data(tmp_path: Path) -> OldData:
    return unpack(tmp_path / "data")


def test_rows_of_1_0_0_stay_as_they_are(data: OldData) -> None:
    for name in ("scheduler", "killed"):
        file = f"ledger/{name}.sqlite"
        Ledger(data.folder / file, Clock()).close()
        for table, rows in expected()[file].items():
            if table != "user_version":
                names = ", ".join(rows[0]) if rows else "*"
                assert data.rows(file, f"SELECT {names} FROM {table}") == rows, (name, table)
        (kept,) = (data.folder / "ledger").glob(f"{name}.sqlite.*bak")
        assert kept.name == f"{name}.sqlite.v2.bak"
        assert data.rows(f"ledger/{kept.name}", "PRAGMA user_version") == [{"user_version": 2}]


def test_a_migrated_ledger_and_a_new_one_have_the_same_columns(data: OldData) -> None:
    old, new = data.folder / "ledger/scheduler.sqlite", data.folder / "new.sqlite"

    def columns(path: Path) -> dict[str, set[str]]:
        Ledger(path, Clock()).close()
        with contextlib.closing(sqlite3.connect(path)) as db:
            names = [row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type IN ('table', 'index')")]
            return {name: {row[1] for row in db.execute(f"PRAGMA table_info({name})")} for name in names}

    assert columns(old) == columns(new)


def test_a_ledger_is_not_migrated_under_a_scheduler(data: OldData) -> None:
    path = data.folder / "ledger/scheduler.sqlite"
    alive = AliveFile(data.folder / "ledger/scheduler.sqlite.d/owners")
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("INSERT INTO owners VALUES (?, 'scheduler', 'host', 17, 1)", (alive.name,))
        db.commit()
    with pytest.raises(StateError, match=r"older schema 2 and is in use \(scheduler, pid 17 on host\): it is not"):
        Ledger(path, Clock())
    assert data.rows("ledger/scheduler.sqlite", "PRAGMA user_version") == [{"user_version": 2}]
    assert list(path.parent.glob("scheduler.sqlite*.bak")) == []
    alive.drop()  # as the kernel does when it dies
    Ledger(path, Clock()).close()
    assert data.rows("ledger/scheduler.sqlite", "PRAGMA user_version") == [{"user_version": SCHEMA_VERSION}]


@pytest.mark.parametrize("read_only", [True, False])
def test_a_ledger_of_a_newer_version_is_refused_in_words_and_stays(tmp_path: Path, read_only: bool) -> None:
    path = tmp_path / "ledger.sqlite"
    Ledger(path, Clock()).close()
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version=99")
    before = path.read_bytes()
    with pytest.raises(StateError, match=f"has schema 99, this engine knows up to {SCHEMA_VERSION}") as caught:
        Ledger(path, Clock(), read_only=read_only)
    assert caught.value.fix.startswith("install the release that wrote it: python3 install.py --to ")
    assert path.read_bytes() == before


def test_a_state_of_a_flow_is_not_taken_for_an_old_ledger(data: OldData) -> None:
    path = data.states / "failed.sqlite"
    before = path.read_bytes()
    with pytest.raises(StateError, match="is a database that is no ledger of a scheduler"):
        Ledger(path, Clock())
    assert path.read_bytes() == before
    assert list(path.parent.glob("failed.sqlite*.bak")) == []
