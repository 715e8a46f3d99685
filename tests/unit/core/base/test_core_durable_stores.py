"""Stores in a server: which paths name one, and what stands beside it."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from aetherflow.core.base import durable
from aetherflow.core.base.errors import StateError
from file_as_server import use_file


@pytest.mark.parametrize("name", ["/a/b", "//a/b", "//a:b/c/d", "a:b", "/a:b", "//a"])
def test_most_paths_name_a_file(name: str) -> None:
    assert durable.server_at(Path(name)) is None
    assert not durable.is_there(Path(name))


def test_a_server_is_known_by_its_name(tmp_path: Path) -> None:
    path = use_file(tmp_path, "//sqlite:known")
    server = durable.server_at(path)
    assert server is not None
    assert (server.name, durable.side_folder(path)) == (str(path), tmp_path)
    assert (path.absolute(), durable.real_file(path)) == (path, path), "it is the same wherever it is written"
    assert durable.is_there(path)


def test_a_ledger_in_a_server_is_a_store_of_its_own(tmp_path: Path) -> None:
    path = use_file(tmp_path, "//sqlite:many") / "night"
    server = durable.server_at(path)
    assert server is not None
    assert (server.name, durable.side_folder(path), server.stores()) == ("//sqlite:many/night", tmp_path / "night", [])
    durable.open_store(path, "ledger", busy_seconds=1).close()
    assert (tmp_path / "ledger_night.sqlite").exists()
    assert server.stores() == ["ledger"]
    with pytest.raises(OSError, match="it is a ledger, and no state"):
        durable.open_store(path, "state", busy_seconds=1)


def test_a_server_that_nobody_has_named_is_refused() -> None:
    with pytest.raises(StateError, match="//sqlite:unknown is a database that nothing here says how to reach"):
        durable.server_at(Path("//sqlite:unknown"))


def test_a_transaction_is_not_begun_within_another(tmp_path: Path) -> None:
    with closing(durable.connect(tmp_path / "f.sqlite", busy_seconds=1)) as db:
        db.execute("CREATE TABLE numbers (n INTEGER)")
        with durable.transaction(db, "outer"):
            db.execute("INSERT INTO numbers (n) VALUES (1)")
            with pytest.raises(sqlite3.Error, match="within a transaction"), durable.transaction(db, "inner"):
                pytest.fail("it has begun")
            db.execute("INSERT INTO numbers (n) VALUES (2)")
        assert db.execute("SELECT n FROM numbers").fetchall() == [(1,), (2,)]
