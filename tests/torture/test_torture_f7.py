"""L3, on F7's database half: rows extracted, filled into a workbook, loaded back and changed; killed at every point."""

import dataclasses
import functools
import json
import signal
from typing import Any

import pytest

from aetherflow.core.base.durable.failpoint import hit
from aetherflow_builtins_db.connectors.duckdb.connector import DuckDBConnector
from aetherflow_builtins_db.connectors.duckdb.transaction import DuckDBTransaction
from aetherflow_builtins_db.connectors.mysql.connector import MySQLConnector
from aetherflow_builtins_db.connectors.postgres.connector import PostgresConnector, PostgresTransaction
from aetherflow_builtins_db.connectors.sqlite3.connector import Sqlite3Connector
from aetherflow_builtins_db.connectors.sqlite3.transaction import Sqlite3Transaction
from db_places import Place, place_for
from torture_bench import Bench
from torture_flows import F7_DB
from torture_invariants import check_invariants, finished_artifacts, observe, undisturbed
from torture_loads import Database
from torture_tier import full, sample, sized, suite

pytestmark = pytest.mark.slow

KILLED = -signal.SIGKILL
PARTS = 2 if full() else 1
"""A test as a whole has ten minutes."""
REQUESTS: dict[type, tuple[str, ...]] = {
    PostgresConnector: ("open", "begin", "run", "run_many", "fetch", "commit", "rollback", "stream", "_copy"),
    PostgresTransaction: ("copy_in",),
    MySQLConnector: ("open", "begin", "run", "run_many", "fetch", "commit", "rollback", "stream"),
    Sqlite3Connector: ("script", "stream"),
    Sqlite3Transaction: ("execute", "executemany", "read"),
    DuckDBConnector: ("script", "stream", "stream_csv", "stream_arrow", "open_session", "close_session"),
    DuckDBTransaction: ("execute", "executemany", "read"),
}
"""What goes to a database; the process dies before and after each."""
SOURCE = ", ".join(
    f"({number}, {text}, {value})"
    for number, (text, value) in enumerate(
        [("'one'", 1), ("'two, \"quoted\"'", 2), ("''", "NULL"), ("NULL", 2), ("'a & b'", 3), ("'ä€😀'", 1)], 1
    )
)
TABLES = (
    "DROP TABLE IF EXISTS source",
    "DROP TABLE IF EXISTS target",
    "DROP TABLE IF EXISTS aetherflow_loads",
    "CREATE TABLE source (a INTEGER, s VARCHAR(40), n INTEGER)",
    "CREATE TABLE target (a INTEGER, s VARCHAR(40), n INTEGER)",
    f"INSERT INTO source VALUES {SOURCE}",
)


@pytest.fixture(params=["postgres", "mysql", "duckdb", "sqlite3"])
def place(request: pytest.FixtureRequest) -> Place:
    return place_for(request, request.param, "torture_f7")


def points_at_the_database() -> None:
    """Make every request to a database pass a failpoint before and after."""

    def around(owner: Any, name: str) -> None:
        original = getattr(owner, name)

        @functools.wraps(original)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            hit(f"before {owner.__name__}.{name}")
            result = original(*args, **kwargs)
            hit(f"after {owner.__name__}.{name}")
            return result

        setattr(owner, name, wrapped)

    for owner, names in REQUESTS.items():
        for name in names:
            around(owner, name)


@pytest.mark.parametrize("part", range(PARTS))
def test_kill_at_every_point_between_database_and_workbook(bench: Bench, place: Place, part: int) -> None:
    # A file of a database stands beside the runs, where nothing else may change.
    if "path" in place.resource["config"]:
        place.resource["config"]["path"] = str(bench.folder / "wh.file")
    database = Database(place, bench.work)
    database.file = bench.folder / "wh.file"
    flow = dataclasses.replace(F7_DB, resource=json.dumps(place.resource))
    bench.write(flow.text)
    database.do(*TABLES)
    oracle = undisturbed(bench, flow)
    held = database.do("SELECT a, s, n FROM target ORDER BY a")
    assert [row[2] for row in held] == [2, 3, None, 3, 2], "loaded, one more each, one deleted"
    database.do(*TABLES)
    log = bench.folder / "points"
    assert bench.attempt(f"log:{log}", before=points_at_the_database) == 0, bench.error_text()
    names = log.read_text().splitlines()
    assert any("Connector." in name for name in names)
    bench.forget()
    sentinels = bench.sentinels()
    points = sample(list(range(1, len(names) + 1)), sized(6, len(names)), f"L3-{place.driver}")[part::PARTS]
    with suite(f"L3 {place.driver} {part + 1}", 1, 2, 3, 7, 10) as counted:
        for point in points:
            with counted.case(f"kill at {point}, {names[point - 1]}"):
                database.do(*TABLES)
                assert bench.attempt(f"{point}", before=points_at_the_database) == KILLED
                before = observe(bench)
                finished_artifacts(bench, oracle)
                code = bench.attempt()
                check_invariants(bench, oracle, code, [before], 1)
                assert bench.sentinels() == sentinels, "I10: something outside of the run changed"
                assert database.do("SELECT a, s, n FROM target ORDER BY a") == held, "the table is not as it should be"
            bench.forget()
