"""The stores of the engine in PostgreSQL: the same suites as over SQLite's files."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest

from aetherflow.core.base import durable
from aetherflow.core.kernel.locks.store import LockStore
from aetherflow.core.kernel.state.run_state import RunState
from aetherflow.core.kernel.state.store import StateStore
from aetherflow.core.testing import LockSuite, RegistrySuite, StateBackendSuite
from aetherflow_builtins_db.stores.backend import PostgresStores
from db_places import postgres_place
from server_stores import connected, use_postgres
from services import Database

SCHEMAS = ("aetherflow_state", "aetherflow_locks")


@pytest.fixture(scope="module")
def own_database(postgres: Database) -> Database:
    server = postgres_place(postgres, "stores").server
    assert server is not None
    return server


@pytest.fixture
def server(own_database: Database) -> Iterator[Database]:
    """A database whose stores have no rows."""
    yield own_database
    with connected(own_database) as connection:
        connection.execute("DROP SCHEMA IF EXISTS aetherflow_registry CASCADE")
        for schema, name in connection.execute(
            "SELECT table_schema, table_name FROM information_schema.tables WHERE table_schema = ANY(%s) "
            "AND table_name <> 'schema_version'",
            (list(SCHEMAS),),
        ).fetchall():
            connection.execute(f"DELETE FROM {schema}.{name}")


class TestPostgresState(StateBackendSuite):
    @pytest.fixture(autouse=True)
    def _server(self, server: Database) -> None:
        self.server = server

    def open_store(self, place: Path) -> StateStore:
        return StateStore(use_postgres(self.server, place))

    def open_run(self, store: StateStore, flow_id: str, run_id: str) -> RunState:
        return RunState(store, flow_id, run_id)


class TestPostgresRegistry(RegistrySuite):
    @pytest.fixture(autouse=True)
    def _server(self, server: Database) -> None:
        self.server = server

    def root(self, place: Path) -> Path:
        return use_postgres(self.server, place)

    def open_store(self, place: Path) -> StateStore:
        return StateStore(use_postgres(self.server, place))


class TestPostgresLocks(LockSuite):
    @pytest.fixture(autouse=True)
    def _server(self, server: Database) -> None:
        self.server = server

    def open(self, place: Path) -> LockStore:
        return LockStore(use_postgres(self.server, place))

    def stop_renewing(self, store: LockStore) -> None:
        for hold in store._renewal.all():
            store._renewal.remove(hold)


def numbers(server: Database) -> list[object]:
    with connected(server) as connection:
        return [row[0] for row in connection.execute("SELECT n FROM aetherflow_state.numbers ORDER BY n").fetchall()]


def test_a_commit_whose_end_is_not_known_is_not_taken_for_the_next(
    server: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = durable.server_at(use_postgres(server, tmp_path))
    assert isinstance(store, PostgresStores)
    with closing(store.database("state", busy_seconds=0.1)) as db:
        db.execute("CREATE TABLE IF NOT EXISTS numbers (n INTEGER)")

        def add(number: int) -> None:
            with durable.transaction(db, "add"):
                db.execute("INSERT INTO numbers (n) VALUES (?)", (number,))

        add(1)
        raw = db._connection
        execute = raw.execute

        def lose_the_answer(query: str, *values: Any) -> Any:
            found = execute(query, *values)
            if "COMMIT" in query:
                raw.close()
                raise psycopg.OperationalError("the connection is lost")
            return found

        def refuse() -> None:
            raise psycopg.OperationalError("Connection refused")

        with monkeypatch.context() as broken:
            broken.setattr(raw, "execute", lose_the_answer)
            broken.setattr(db, "_connect", refuse)
            with pytest.raises(OSError, match="Connection refused"):
                add(2)
        add(3)
        assert numbers(server) == [1, 2, 3]


def test_what_others_have_changed_meanwhile_ends_a_transaction(server: Database, tmp_path: Path) -> None:
    store = durable.server_at(use_postgres(server, tmp_path))
    assert isinstance(store, PostgresStores)
    with closing(store.database("state", busy_seconds=5)) as db:
        db.execute("CREATE TABLE IF NOT EXISTS numbers (n INTEGER)")
        db.execute("INSERT INTO numbers (n) VALUES (?)", (1,))

        def add() -> None:
            with durable.transaction(db, "add"):
                assert db.execute("SELECT n FROM numbers").fetchall() == [(1,)]
                with connected(server) as other:
                    other.execute("SELECT pg_terminate_backend(%s)", (db._connection.info.backend_pid,))
                    other.execute("UPDATE aetherflow_state.numbers SET n = 2")
                db.execute("INSERT INTO numbers (n) VALUES (?)", (3,))

        with pytest.raises(OSError, match="the rows are others since"):
            add()
        assert numbers(server) == [2]
