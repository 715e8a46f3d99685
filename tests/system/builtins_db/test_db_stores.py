"""The stores of the engine in PostgreSQL and MariaDB: the same suites as over SQLite's files."""

import os
import zlib
from collections.abc import Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import pytest

from aetherflow.core.base import durable
from aetherflow.core.kernel.locks import schema
from aetherflow.core.kernel.locks.store import LockStore
from aetherflow.core.kernel.state.records import Intervention, StepKey
from aetherflow.core.kernel.state.run_state import RunState
from aetherflow.core.kernel.state.store import StateStore
from aetherflow.core.kernel.state.transitions import Status
from aetherflow.core.testing import FlowProject, LockSuite, RegistrySuite, StateBackendSuite
from aetherflow.core.testing.state_base import FACTS, FLOW, FROZEN, RUN_ID, end, start
from aetherflow_builtins_db.stores.backend import ServerStores
from aetherflow_builtins_db.stores.sending import Found
from aetherflow_builtins_db.stores.server import ServerDatabase
from book_cases import BookCases
from db_places import new_database
from server_stores import SERVERS, ServerPlace, another_creates, new_place, place_of
from services import Database
from torture_tier import full


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Both servers, but T0 tries in MariaDB a third of what the suites ask."""
    if "filled" in metafunc.fixturenames:
        both = full() or metafunc.cls is None or zlib.crc32(metafunc.function.__name__.encode()) % 3 == 0
        metafunc.parametrize("filled", SERVERS if both else SERVERS[:1], indirect=True, scope="module")


@pytest.fixture(scope="module")
def filled(request: pytest.FixtureRequest) -> ServerPlace:
    return new_place(request, "stores")


@pytest.fixture
def place(filled: ServerPlace) -> Iterator[ServerPlace]:
    """A server whose stores have no rows."""
    yield filled
    filled.empty()


@pytest.fixture
def stores(place: ServerPlace, tmp_path: Path) -> ServerStores:
    found = durable.server_at(place.use(tmp_path))
    assert isinstance(found, ServerStores)
    return found


class TestState(StateBackendSuite):
    @pytest.fixture(autouse=True)
    def _place(self, place: ServerPlace) -> None:
        self.place = place

    def open_store(self, place: Path) -> StateStore:
        return StateStore(self.place.use(place))

    def open_run(self, store: StateStore, flow_id: str, run_id: str) -> RunState:
        return RunState(store, flow_id, run_id)


class TestRegistry(RegistrySuite):
    @pytest.fixture(autouse=True)
    def _place(self, place: ServerPlace) -> None:
        self.place = place

    def root(self, place: Path) -> Path:
        return self.place.use(place)

    def open_store(self, place: Path) -> StateStore:
        return StateStore(self.place.use(place))


class TestBook(BookCases):
    @pytest.fixture(autouse=True)
    def _place(self, place: ServerPlace) -> None:
        self.place = place

    def root(self, place: Path) -> Path:
        return self.place.use(place)


class TestLocks(LockSuite):
    @pytest.fixture(autouse=True)
    def _place(self, place: ServerPlace) -> None:
        self.place = place

    def open(self, place: Path) -> LockStore:
        return LockStore(self.place.use(place))

    def stop_renewing(self, store: LockStore) -> None:
        for hold in store._renewal.all():
            store._renewal.remove(hold)


def numbers(place: ServerPlace) -> list[object]:
    return [row[0] for row in place.ask(f"SELECT n FROM {place.schema('numbers')}.numbers ORDER BY n")]


def test_a_commit_whose_end_is_not_known_is_not_taken_for_the_next(
    place: ServerPlace, stores: ServerStores, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(stores.database("numbers", busy_seconds=0.1)) as db:
        db.execute("CREATE TABLE IF NOT EXISTS numbers (n INTEGER)")

        def add(number: int) -> None:
            with durable.transaction(db, "add"):
                db.execute("INSERT INTO numbers (n) VALUES (?)", (number,))

        add(1)
        line = db._connection
        ask = line.ask

        def lose_the_answer(*texts: str) -> list[Found]:
            found = ask(*texts)
            if "COMMIT" in texts:
                line.close()
                raise place.lost("the connection is lost")
            return found

        def refuse() -> None:
            raise place.lost("Connection refused")

        with monkeypatch.context() as broken:
            broken.setattr(line, "ask", lose_the_answer)
            broken.setattr(db, "_connect", refuse)
            with pytest.raises(OSError, match="Connection refused"):
                add(2)
        add(3)
        assert numbers(place) == [1, 2, 3]


def test_a_transaction_is_not_begun_within_another(place: ServerPlace, stores: ServerStores) -> None:
    with closing(stores.database("numbers", busy_seconds=5)) as db:
        db.execute("CREATE TABLE IF NOT EXISTS numbers (n INTEGER)")
        with durable.transaction(db, "outer"):
            db.execute("INSERT INTO numbers (n) VALUES (?)", (1,))
            with pytest.raises(OSError, match="transaction within a transaction"), durable.transaction(db, "inner"):
                pytest.fail("it has begun")
            db.execute("INSERT INTO numbers (n) VALUES (?)", (2,))
        assert numbers(place) == [1, 2]


def test_who_only_looks_connects_once(place: ServerPlace, stores: ServerStores, tmp_path: Path) -> None:
    with closing(stores.database("numbers", busy_seconds=5)) as db:
        db.execute("CREATE TABLE IF NOT EXISTS numbers (n INTEGER)")
        db.execute("INSERT INTO numbers (n) VALUES (1)")
    looking = durable.server_at(place.use(tmp_path))
    assert isinstance(looking, ServerStores)

    def look() -> int:
        with closing(looking.database("numbers", busy_seconds=5, reading=True)) as db:
            db.begin()
            assert db.execute("SELECT n FROM numbers").fetchall() == [(1,)]
            return int(db.execute(place.number_of_session).fetchone()[0])

    first = look()
    assert look() == first
    if (pid := os.fork()) == 0:
        os._exit(look() == first)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0, "a fork has used it"
    assert look() == first, "a fork has closed it"
    place.ask(place.end_session.format(first))
    assert look() != first, "it was not made anew"
    with closing(looking.database("numbers", busy_seconds=5)) as db:
        db.execute("SELECT 1")
    assert look() != look(), "who writes keeps no further connection"


def test_what_others_have_changed_meanwhile_ends_a_transaction(place: ServerPlace, stores: ServerStores) -> None:
    with closing(stores.database("numbers", busy_seconds=5)) as db:
        db.execute("CREATE TABLE IF NOT EXISTS numbers (n INTEGER)")
        db.execute("INSERT INTO numbers (n) VALUES (?)", (1,))

        def add() -> None:
            with durable.transaction(db, "add"):
                assert db.execute("SELECT n FROM numbers").fetchall() == [(1,)]
                ((session,),) = db._connection.ask(place.number_of_session)[0].rows
                place.ask(place.end_session.format(session))
                place.ask(f"UPDATE {place.schema('numbers')}.numbers SET n = 2")
                db.execute("INSERT INTO numbers (n) VALUES (?)", (3,))

        with pytest.raises(OSError, match="others have changed its rows since"):
            add()
        assert numbers(place) == [2]


def test_a_step_takes_two_messages(place: ServerPlace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One asks whether the run is still ours; its end and the start of the next one go with the commit."""
    with closing(StateStore(place.use(tmp_path))) as store:
        run = RunState(store, FLOW, RUN_ID)
        run.load()
        run.begin(FACTS, FROZEN, {}, Intervention())
        run.start_job("job", "")
        keys = [StepKey("job", f"step{number}") for number in range(10)]
        run.steps.start(start(keys[0]))
        db = store.connection
        assert isinstance(db, ServerDatabase)
        line, sent = db._connection, list[tuple[str, ...]]()
        ask = line.ask

        def count(*texts: str) -> list[Found]:
            sent.append(texts)
            return ask(*texts)

        with monkeypatch.context() as counted:
            counted.setattr(line, "ask", count)
            for key, following in pairwise(keys):
                run.steps.finish(key, end({"n": 1}, ledger={("seen", key.step): 1}), start(following))
        assert len(sent) == 2 * (len(keys) - 1)
        assert sum("COMMIT" in texts for texts in sent) == len(keys) - 1
        assert [row.status for row in run.steps.latest.values()] == [*[Status.SUCCESS] * 9, Status.RUNNING]


def test_what_is_refused_with_the_commit_changes_nothing(place: ServerPlace, stores: ServerStores) -> None:
    with closing(stores.database("numbers", busy_seconds=5)) as db:
        db.execute("CREATE TABLE IF NOT EXISTS numbers (n INTEGER)")
        db.execute("CREATE UNIQUE INDEX each_once ON numbers (n)")

        def add(*numbers: int) -> None:
            with durable.transaction(db, "add"):
                for number in numbers:
                    db.execute("INSERT INTO numbers (n) VALUES (?)", (number,))

        with pytest.raises(OSError, match="each_once"):
            add(1, 2, 1)
        add(3)
        assert numbers(place) == [3]
        with durable.transaction(db, "count"):
            changed = db.execute("UPDATE numbers SET n = n + 1")
            gone = db.executemany("DELETE FROM numbers WHERE n=?", [(number,) for number in range(250)])
            assert (changed.rowcount, gone.rowcount) == (1, 1)
            assert not db.execute("SELECT n FROM numbers").fetchall()
            assert db.attempt("INSERT INTO numbers (n) VALUES (?)", (7,))
            assert not db.attempt("INSERT INTO numbers (n) VALUES (?)", (7,))
            late = db.execute("UPDATE numbers SET n=8")
        assert late.rowcount == 1
        assert numbers(place) == [8]


def test_a_run_commits_at_most_four_times_for_each_step(place: ServerPlace, tmp_path: Path) -> None:
    """With its state and its locks in the server: the transactions that got a number there, as all that write do."""
    state = place.use(tmp_path / "here")
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
    before = place.commits()
    assert project.run(run_id="r").summary.status == Status.SUCCESS
    # about 1.45 times; more where the machine is slow, and the server's own upkeep (autovacuum) takes numbers, too
    assert place.commits() - before - 1 <= 2 * steps


def test_a_lock_store_that_another_run_creates_meanwhile_is_taken(mariadb: Database, tmp_path: Path) -> None:
    path = place_of(new_database(mariadb, "meanwhile")).use(tmp_path)
    with (
        another_creates(path, "locks", durable.statements_of(*schema.TABLES), schema.SCHEMA_VERSION),
        closing(LockStore(path)) as store,
    ):
        assert store.holders() == []
