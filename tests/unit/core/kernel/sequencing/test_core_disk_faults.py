"""Defects that the torture suites found, each as the smallest case that shows it."""

import os
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from aetherflow.core.base import durable


def test_a_failed_switch_of_the_journal_mode_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # SQLite answers a failed switch, after an I/O error too, with the mode that stays; a database in memory always does
    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda _name, **more: connect(":memory:", factory=more["factory"]))
    with pytest.raises(sqlite3.OperationalError, match="its journal mode stays memory"):
        durable.connect(tmp_path / "state.sqlite", busy_seconds=0)


def test_an_error_on_a_descriptor_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(5, os.strerror(5))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match=r"Input/output error: '.*/out\.txt'"), durable.AtomicFile(tmp_path / "out.txt"):
        pass
    with pytest.raises(OSError, match=str(tmp_path)):
        durable.sync_dir(tmp_path)


def test_a_database_whose_folder_cannot_be_synced_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = tmp_path / "state.sqlite"
    durable.connect(state, busy_seconds=0).close()
    fsync, folder = os.fsync, tmp_path.stat()
    connect, made = sqlite3.connect, list[sqlite3.Connection]()

    def note(*args: Any, **more: Any) -> sqlite3.Connection:
        made.append(connect(*args, **more))
        return made[-1]

    def fail(descriptor: int) -> None:
        if os.path.samestat(os.fstat(descriptor), folder):
            raise OSError(5, os.strerror(5))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", fail)
    monkeypatch.setattr(sqlite3, "connect", note)
    with pytest.raises(OSError, match=str(tmp_path)):
        durable.connect(state, busy_seconds=0)
    (connection,) = made
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        connection.execute("SELECT 1")
