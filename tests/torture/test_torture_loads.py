"""L1, L2, L5: db_load and db_execute killed, or cut off from the server, at any moment; then the same command again."""

import functools
import json
import os
import random
import signal
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from aetherflow.core.base.durable.failpoint import hit
from aetherflow_builtins_db.connectors.common.transaction import PooledTransaction
from aetherflow_builtins_db.connectors.duckdb.loading import DuckDBServer
from aetherflow_builtins_db.connectors.duckdb.transaction import DuckDBTransaction
from aetherflow_builtins_db.connectors.mysql.loading import MySqlServer
from aetherflow_builtins_db.connectors.postgres.loading import PostgresServer
from aetherflow_builtins_db.connectors.sqlite3.loading import SqliteServer
from aetherflow_builtins_db.connectors.sqlite3.transaction import Sqlite3Transaction
from aetherflow_builtins_db.loading.job import Load
from db_places import Place, place_for
from proxy import How, Proxy
from torture_bench import Bench, warm_up
from torture_loads import SOURCE_ROWS, Database, Facts, Work, flow, works, write_file
from torture_tier import SEED, Suite, full, sample, sized, suite

pytestmark = pytest.mark.slow

L5_KINDS = sample(["create", "create-merge", "copy", "copy-merge", "copy-night"], 5 if full() else 1, "L5")
KINDS = sample([work.name for work in works("")], 12 if full() else 2, "L")


@pytest.fixture(params=["sqlite3", "duckdb", "postgres", "mysql"])
def place(request: pytest.FixtureRequest) -> Place:
    return place_for(request, request.param, "torture")


class Trial:
    """One kind of work on one database: what is there before it, and after it."""

    def __init__(self, bench: Bench, place: Place, work: Work, port: int | None = None) -> None:
        self.bench, self.place, self.work = bench, place, work
        self.database = Database(place, bench.work)
        self.aim(port)
        self.again()
        self.before = self.facts()
        started = time.monotonic()
        assert bench.attempt() == 0, bench.error_text()
        self.seconds = time.monotonic() - started
        self.after = self.facts()
        assert self.after != self.before
        bench.forget()

    def aim(self, port: int | None) -> None:
        """Reach the server through a proxy at this port, or directly."""
        self.bench.write(flow(self.work, self.place, port))

    def again(self) -> None:
        """Everything as before the run."""
        self.bench.forget()
        self.database.reset(empty=self.work.makes)

    def facts(self) -> Facts:
        return self.database.facts(made=self.work.makes)

    def points(self) -> list[str]:
        """The engine's failpoints of an undisturbed run."""
        self.again()
        return self.bench.points()

    def check(self) -> None:
        """The table is as before or as after; the same command brings it to its end, and no row twice."""
        found = self.facts()
        assert found in {self.before, self.after}, f"half done: {found}, not {self.before} or {self.after}"
        code = self.bench.attempt()
        waiting = self.database.waiting() if code else ""
        assert code == 0, f"the second run ended with {code}: {self.bench.error_text()} {waiting}"
        finished = self.facts()
        assert finished == self.after, f"after the second run {finished}, not {self.after} (found {found})"
        assert self.database.leftovers() == 0, "a table of the load was left"
        if self.work.then is not None:
            with closing(sqlite3.connect(self.bench.state)) as state:
                rows = state.execute("SELECT key, value FROM ledger WHERE namespace = 'db_watermarks'").fetchall()
            found_marks = {key: json.loads(value)["value"] for key, value in rows}
            last = SOURCE_ROWS - 1
            assert found_marks == {"a.one.source": last, "a.two.source": last}, f"remembered: {found_marks}"


@pytest.fixture
def data(bench: Bench) -> Path:
    path = bench.folder / "in.csv"
    write_file(path)
    return path


def work_named(name: str, data: Path) -> Work:
    return next(work for work in works(str(data)) if work.name == name)


@pytest.mark.parametrize("kind", KINDS)
def test_killed(bench: Bench, place: Place, data: Path, kind: str) -> None:
    work = work_named(kind, data)
    bench.write(flow(work, place))
    Database(place, bench.work).reset(empty=work.makes)
    warm_up(bench)  # the imports are no part of the time that a run takes
    trial = Trial(bench, place, work)
    chance = random.Random(f"{SEED}-L1-{place.driver}-{kind}")
    points = trial.points()
    with suite(f"L1 {place.driver} {kind}", 3, 7) as counted:
        # Every point of one kind on one database, a sample of the others.
        every = full() and (kind, place.driver) == ("append", "postgres")
        for number in chance.sample(range(1, len(points) + 1), len(points) if every else sized(1, 4)):
            with counted.case(f"kill at {number}, {points[number - 1]}"):
                trial.again()
                assert bench.attempt(f"{number}") == -signal.SIGKILL
                trial.check()
        for _ in range(sized(1, 6)):
            delay = chance.uniform(0, trial.seconds)
            with counted.case(f"kill after {delay:.4f} s of {trial.seconds:.4f}"):
                trial.again()
                child = bench.fork()
                time.sleep(delay)
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
                trial.check()


@pytest.mark.parametrize("place", ["postgres", "mysql"], indirect=True)
@pytest.mark.parametrize("kind", KINDS)
def test_cut_off(bench: Bench, place: Place, data: Path, kind: str) -> None:
    work = work_named(kind, data)
    assert place.server is not None
    with Proxy(place.server.port) as proxy:
        trial = Trial(bench, place, work, proxy.port)
        passed = {"up": proxy.up, "down": proxy.down}
    chance = random.Random(f"{SEED}-L2-{place.driver}-{kind}")
    ways: list[How] = ["rst", "fin"]
    with suite(f"L2 {place.driver} {kind}", 3, 7) as counted:
        for number in range(sized(2, 16)):
            direction = chance.choice(["up", "down"])
            total = passed[direction]
            # At the end is the commit, which would else be met too rarely.
            at = total - chance.randint(0, 400) if number % 2 else chance.randint(1, total)
            _cut(trial, counted, direction, max(at, 1), chance.choice(ways))


def _cut(trial: Trial, counted: Suite, direction: str, at: int, how: How) -> None:
    assert trial.place.server is not None
    with counted.case(f"cut {direction} after {at} bytes by {how}"):
        trial.again()
        limits = {"up": None, "down": None, direction: at}
        with Proxy(trial.place.server.port, up=limits["up"], down=limits["down"], how=how, faults=None) as proxy:
            trial.aim(proxy.port)
            code = trial.bench.attempt()
            assert code in {0, 1}, f"ended with {code}: {trial.bench.error_text()}"
            proxy.mend()
            trial.check()


def points_at_the_database() -> None:
    """Make every statement of a transaction, and its commit, pass a failpoint before and after."""

    def around(owner: Any, name: str) -> None:
        original = getattr(owner, name)

        @functools.wraps(original)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            shown = " ".join(str(args[1]).split()[:2]) if name == "execute" else ""
            hit(f"before {name} {shown}")
            result = original(*args, **kwargs)
            hit(f"after {name} {shown}")
            return result

        setattr(owner, name, wrapped)

    for transaction in (Sqlite3Transaction, DuckDBTransaction, PooledTransaction):
        around(transaction, "execute")
    for loader in (SqliteServer, DuckDBServer, PostgresServer, MySqlServer):
        around(loader, "insert")
    around(Load, "run")


@pytest.mark.parametrize("kind", L5_KINDS)
def test_killed_around_every_statement_of_a_table_that_is_made(
    bench: Bench, place: Place, data: Path, kind: str
) -> None:
    work = work_named(kind, data)
    trial = Trial(bench, place, work)
    trial.again()
    log = bench.folder / "points"
    assert bench.attempt(f"log:{log}", before=points_at_the_database) == 0, bench.error_text()
    names = log.read_text().splitlines()
    ours = [number for number, name in enumerate(names, 1) if name.startswith(("before ", "after "))]
    assert any("CREATE TABLE" in name for name in names)
    chance = random.Random(f"{SEED}-L5-{place.driver}-{kind}")
    # The last statements are those where rows, their entry and the name of the table become visible.
    chosen = sorted({*chance.sample(ours, sized(1, len(ours))), *ours[-2:]})
    with suite(f"L5 {place.driver} {kind}", 3, 7) as counted:
        for number in chosen:
            with counted.case(f"kill at {number}, {names[number - 1]}"):
                trial.again()
                assert bench.attempt(f"{number}", before=points_at_the_database) == -signal.SIGKILL
                trial.check()
