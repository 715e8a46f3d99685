"""The stores of the engine in PostgreSQL: the same suites as over SQLite's files."""

from collections.abc import Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any

import psycopg
import pytest

from aetherflow.core.base import durable
from aetherflow.core.kernel.locks.store import LockStore
from aetherflow.core.kernel.state.records import Intervention, StepKey
from aetherflow.core.kernel.state.run_state import RunState
from aetherflow.core.kernel.state.store import StateStore
from aetherflow.core.kernel.state.transitions import Status
from aetherflow.core.testing import FlowProject, LockSuite, RegistrySuite, StateBackendSuite
from aetherflow.core.testing.state_base import FACTS, FLOW, FROZEN, RUN_ID, end, start
from aetherflow_builtins_db.stores.backend import PostgresStores
from aetherflow_builtins_db.stores.postgres import PostgresDatabase
from book_cases import BookCases
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
        connection.execute("DROP SCHEMA IF EXISTS aetherflow_registry, aetherflow_notify, aetherflow_numbers CASCADE")
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


class TestPostgresBook(BookCases):
    @pytest.fixture(autouse=True)
    def _server(self, server: Database) -> None:
        self.server = server

    def root(self, place: Path) -> Path:
        return use_postgres(self.server, place)


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
        return [row[0] for row in connection.execute("SELECT n FROM aetherflow_numbers.numbers ORDER BY n").fetchall()]


def test_a_commit_whose_end_is_not_known_is_not_taken_for_the_next(
    server: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = durable.server_at(use_postgres(server, tmp_path))
    assert isinstance(store, PostgresStores)
    with closing(store.database("numbers", busy_seconds=0.1)) as db:
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
    with closing(store.database("numbers", busy_seconds=5)) as db:
        db.execute("CREATE TABLE IF NOT EXISTS numbers (n INTEGER)")
        db.execute("INSERT INTO numbers (n) VALUES (?)", (1,))

        def add() -> None:
            with durable.transaction(db, "add"):
                assert db.execute("SELECT n FROM numbers").fetchall() == [(1,)]
                with connected(server) as other:
                    other.execute("SELECT pg_terminate_backend(%s)", (db._connection.info.backend_pid,))
                    other.execute("UPDATE aetherflow_numbers.numbers SET n = 2")
                db.execute("INSERT INTO numbers (n) VALUES (?)", (3,))

        with pytest.raises(OSError, match="the rows are others since"):
            add()
        assert numbers(server) == [2]


def test_a_step_takes_two_messages(server: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One asks whether the run is still ours; its end and the start of the next one go with the commit."""
    with closing(StateStore(use_postgres(server, tmp_path))) as store:
        run = RunState(store, FLOW, RUN_ID)
        run.load()
        run.begin(FACTS, FROZEN, {}, Intervention())
        run.start_job("job", "")
        keys = [StepKey("job", f"step{number}") for number in range(10)]
        run.steps.start(start(keys[0]))
        db = store.connection
        assert isinstance(db, PostgresDatabase)
        raw, sent = db._connection, list[str]()

        def execute(query: str, *values: Any) -> Any:
            sent.append(query)
            return psycopg.Connection.execute(raw, query, *values)

        with monkeypatch.context() as counted:
            counted.setattr(raw, "execute", execute)
            for key, following in pairwise(keys):
                run.steps.finish(key, end({"n": 1}, ledger={("seen", key.step): 1}), start(following))
        assert len(sent) == 2 * (len(keys) - 1)
        assert sum("COMMIT" in query for query in sent) == len(keys) - 1
        assert [row.status for row in run.steps.latest.values()] == [*[Status.SUCCESS] * 9, Status.RUNNING]


def test_what_is_refused_with_the_commit_changes_nothing(server: Database, tmp_path: Path) -> None:
    store = durable.server_at(use_postgres(server, tmp_path))
    assert isinstance(store, PostgresStores)
    with closing(store.database("numbers", busy_seconds=5)) as db:
        db.execute("CREATE TABLE IF NOT EXISTS numbers (n INTEGER)")
        db.execute("CREATE UNIQUE INDEX IF NOT EXISTS each_once ON numbers (n)")

        def add(*numbers: int) -> None:
            with durable.transaction(db, "add"):
                for number in numbers:
                    db.execute("INSERT INTO numbers (n) VALUES (?)", (number,))

        with pytest.raises(OSError, match="each_once"):
            add(1, 2, 1)
        add(3)
        assert numbers(server) == [3]
        with durable.transaction(db, "count"):
            changed = db.execute("UPDATE numbers SET n = n + 1")
            gone = db.executemany("DELETE FROM numbers WHERE n=?", [(number,) for number in range(250)])
            assert (changed.rowcount, gone.rowcount) == (1, 1)
            assert not db.execute("SELECT n FROM numbers").fetchall()
            assert db.attempt("INSERT INTO numbers (n) VALUES (?)", (7,))
            assert not db.attempt("INSERT INTO numbers (n) VALUES (?)", (7,))
            late = db.execute("UPDATE numbers SET n=8")
        assert late.rowcount == 1
        assert numbers(server) == [8]
        db.execute("DROP INDEX each_once")


def test_a_run_commits_at_most_four_times_for_each_step(server: Database, tmp_path: Path) -> None:
    """With its state and its locks in the server: the transactions that got a number there, as all that write do."""
    state = use_postgres(server, tmp_path / "here")
    project = FlowProject(tmp_path / "project")
    project.env["AETHERFLOW_LOCK_STORE"] = str(state)
    steps = 40
    listed = "".join(f'\n      - {{id: s{n}, type: assert, inputs: {{condition: "1 == 1"}}}}' for n in range(steps))
    project.write(f"""\
version: 1
flow: {{id: f, state: {{path: "{state}"}}, locks: {{scope: flow}}}}
jobs:
  - id: a
    steps:{listed}
""")
    assert project.run(run_id="first").summary.status == Status.SUCCESS  # it makes the tables
    with connected(server) as admin:
        current = "SELECT pg_current_xact_id()::text::bigint"
        ((before,),) = admin.execute(current).fetchall()
        assert project.run(run_id="r").summary.status == Status.SUCCESS
        ((after,),) = admin.execute(current).fetchall()
    assert isinstance(before, int)
    assert isinstance(after, int)
    assert after - before - 1 <= 1.5 * steps
