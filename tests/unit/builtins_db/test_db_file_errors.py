"""What goes wrong with SQLite and DuckDB is provoked for real, and told in one line: what, where, what to do."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from aetherflow.core.api import ConnectorError, ConnectorInit, CsvFormat
from aetherflow.core.cli import main
from aetherflow_builtins_db.connectors.common.time_limit import TimeLimit
from aetherflow_builtins_db.connectors.duckdb.connector import DuckDBConnector
from aetherflow_builtins_db.connectors.sqlalchemy.connector import SQLAlchemyConnector
from aetherflow_builtins_db.connectors.sqlite3.connector import Sqlite3Connector
from aetherflow_builtins_db.failures import DatabaseError, Failure
from db_project import stopping

CLASSES: dict[str, Any] = {"sqlite3": Sqlite3Connector, "duckdb": DuckDBConnector}
ENDLESS = {
    "sqlite3": "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT max(n) AS a, 1 AS b FROM r",
    "duckdb": "SELECT max(a.range * b.range) AS a, 1 AS b FROM range(10000000) a, range(10000000) b",
}
ASLEEP = {
    "sqlite3": "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + nap() FROM r) SELECT max(n) AS a, 1 AS b FROM r",
    "duckdb": "SELECT CAST(sleep_ms(60000) AS BIGINT) AS a, 1 AS b",
}
"""Statements that take as long, and no CPU time; SQLite has no function that sleeps, and is given `nap`."""

SLOW = {"sqlite3": "length(hex(zeroblob(200000 + a))) > 0", "duckdb": "sleep_ms(1) IS NULL"}
"""A check that takes its time with every row."""


@pytest.fixture(params=list(CLASSES))
def driver(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def made(driver: str, path: Path | str, **options: Any) -> Any:
    return CLASSES[driver](ConnectorInit("wh", "db", driver, {"path": str(path)}, options))


@contextmanager
def told(driver: str, what: str, advice: str) -> Iterator[None]:
    with pytest.raises(ConnectorError, match=what) as caught:
        yield
    text = str(caught.value)
    assert text.startswith(f"resource wh (db:{driver}): ")
    assert "\n" not in text
    assert advice in caught.value.fix


WAYS: dict[str, Any] = {
    "read": lambda db, sql: db.read(sql),
    "stream": lambda db, sql: list(db.stream(sql).batches()),
    "script": lambda db, sql: db.script(f"CREATE TABLE made AS {sql}"),
    "transaction": lambda db, sql: in_transaction(db, sql),  # noqa: PLW0108 - defined below
    "csv": lambda db, sql: list(db.stream_csv(sql, dialect=CsvFormat()).blocks()),
    "arrow": lambda db, sql: list(db.stream_arrow(sql, batch_rows=1000).record_batches()),
}


def nap() -> int:
    time.sleep(0.01)
    return 1


def in_transaction(db: Any, sql: str) -> None:
    with db.transaction() as tx:
        tx.execute("CREATE TABLE first (a INTEGER)")
        tx.read(sql)


@pytest.mark.parametrize("way", list(WAYS))
def test_a_statement_that_takes_too_long(driver: str, way: str, tmp_path: Path) -> None:
    sql = (ENDLESS if way == "read" else ASLEEP)[driver]
    if way in {"csv", "arrow"} and driver == "sqlite3":
        way = "read"
    with made(driver, tmp_path / "x.db", statement_timeout=0.3) as db:
        if driver == "sqlite3":
            db.connect().create_function("nap", 0, nap)
        db.execute("CREATE TABLE t (a INTEGER)")
        begun = time.monotonic()
        with told(driver, r"statement timeout: it ran longer than 0\.3 s", "raise options.statement_timeout"):
            WAYS[way](db, sql)
        assert time.monotonic() - begun < 20
        assert db.execute("INSERT INTO t VALUES (1)") == 1
        assert db.read("SELECT a FROM t")[1] == [(1,)], "the next statement has its own time"
        with pytest.raises(ConnectorError):
            db.read("SELECT * FROM first")


def test_many_rows_that_take_too_long(driver: str, tmp_path: Path) -> None:
    """`executemany` is one statement, as long as it may be; what it has done so far is undone."""
    with made(driver, tmp_path / "x.db", statement_timeout=0.3) as db:
        db.execute("CREATE TABLE t (a INTEGER)")
        begun = time.monotonic()
        with told(driver, r"statement timeout: it ran longer than 0\.3 s", "raise options.statement_timeout"):
            db.executemany("INSERT INTO t VALUES (:a)", ({"a": number} for number in range(2**31)))
        assert time.monotonic() - begun < 20
        assert db.read("SELECT count(*) AS n FROM t")[1] == [(0,)]


def test_a_load_that_takes_too_long(driver: str, tmp_path: Path, make_project: Any) -> None:
    resource = {"kind": "db", "driver": driver, "config": {"path": "x.db"}, "options": {"statement_timeout": 0.3}}
    project = make_project(tmp_path, {"wh": resource})
    project.sql(
        "CREATE TABLE t (a INTEGER, s VARCHAR)",
        f"CREATE TABLE slow (a INTEGER, s VARCHAR CHECK ({SLOW[driver]}))",
    )
    file = tmp_path / "in.csv"
    file.write_text("a,s\n" + "1,x\n" * 10_000)
    error = project.run(step={"type": "db_load", "table": "slow", "path": str(file), "batch_rows": 10_000}).error
    assert "statement timeout: it ran longer than 0.3 s" in error.message
    assert project.rows("SELECT count(*) AS n FROM slow") == [[0]]


@pytest.mark.parametrize("way", ["csv", "arrow"])
def test_the_time_of_who_uses_the_rows_does_not_count(way: str, tmp_path: Path) -> None:
    with made("duckdb", tmp_path / "x.db", statement_timeout=1) as db:
        db.script("CREATE TABLE t AS SELECT range AS a, 'text ' || range AS s FROM range(400000)")
        opened = (
            db.stream_csv("SELECT * FROM t", dialect=CsvFormat())
            if way == "csv"
            else db.stream_arrow("SELECT * FROM t", batch_rows=2048)
        )
        lines = 0
        with opened:
            for number, part in enumerate(opened.blocks() if way == "csv" else opened.record_batches()):
                lines += bytes(part).count(b"\n") if way == "csv" else part.num_rows
                if number == 0:
                    time.sleep(1.3)
        assert lines == 400_000


def test_the_time_limit_of_one_thread_is_not_told_in_another() -> None:
    limit, interrupted = TimeLimit(0.05), threading.Event()

    def elsewhere() -> BaseException | None:
        with suppress(RuntimeError), limit.on(lambda: None):
            raise RuntimeError
        return limit.over()

    with ThreadPoolExecutor(1) as pool:
        with suppress(RuntimeError), limit.on(interrupted.set):
            assert interrupted.wait(20)
            assert pool.submit(elsewhere).result() is None, "it was stopped by somebody else"
            raise RuntimeError
        assert pool.submit(elsewhere).result() is None
    assert "statement timeout" in str(limit.over())
    assert limit.over() is None, "a later stop is another matter"


def test_a_stop_is_no_time_limit(driver: str, tmp_path: Path) -> None:
    with (
        made(driver, tmp_path / "x.db", statement_timeout=60) as db,
        told(driver, "(?i)interrupted", "the run was being stopped"),
        stopping(db.interrupt),
    ):
        db.read(ENDLESS[driver])


def test_a_stop_at_any_moment_is_an_error_of_the_resource(driver: str, tmp_path: Path) -> None:
    """The drivers' own exceptions came out where the stop met BEGIN, or the look for the types of columns."""
    with made(driver, tmp_path / "x.db") as db, ThreadPoolExecutor(1) as pool:
        db.read("SELECT 1")
        ended, stopped = threading.Event(), 0

        def stop() -> None:
            while not ended.is_set():
                db.interrupt()

        stopping = pool.submit(stop)
        try:
            for _ in range(300):
                try:
                    db.read("SELECT 1")
                except ConnectorError:
                    stopped += 1
        finally:
            ended.set()
        stopping.result()
        assert driver != "duckdb" or stopped, "no stop met a query"


def test_a_subquery_per_row_is_read_to_its_end(tmp_path: Path) -> None:
    """`query_only`, which was changed while the query was open, ended its subqueries: "abort due to ROLLBACK"."""
    with made("sqlite3", tmp_path / "x.db") as db:
        db.script("CREATE TABLE t (a INTEGER); CREATE TABLE u (a INTEGER)")
        db.script(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 9) INSERT INTO t SELECT i FROM n"
        )
        db.execute("INSERT INTO u SELECT a FROM t WHERE a > 3")
        rows = db.stream("SELECT a, (SELECT u.a FROM u WHERE u.a = t.a) FROM t", fetch_size=2)
        read = [tuple(row) for batch in rows.batches() for row in batch]
        assert read == [(n, n if n > 3 else None) for n in range(1, 10)]
        for write in ("WITH x AS (SELECT 1) INSERT INTO u SELECT 1 FROM x RETURNING a", "PRAGMA user_version = 5"):
            with told("sqlite3", "would change the database", "db_execute"):
                db.read(write)
        assert db.read("SELECT (SELECT count(*) FROM u), user_version FROM pragma_user_version")[1] == [(6, 0)]


@pytest.mark.parametrize("path", ["x.db", ":memory:"])
def test_two_open_queries_with_subqueries_per_row(tmp_path: Path, path: str) -> None:
    """The view that tells the types of the second query ended the subqueries of the first one."""
    with made("sqlite3", path if path == ":memory:" else tmp_path / path) as db:
        db.script("CREATE TABLE t (a INTEGER, d DATE); CREATE TABLE u (a INTEGER)")
        db.script("INSERT INTO t (a) VALUES (1), (2), (3), (4), (5); INSERT INTO u VALUES (2), (4)")
        sql = "SELECT a, d, (SELECT u.a FROM u WHERE u.a = t.a) FROM t"
        first = db.stream(sql, fetch_size=1)
        batches = first.batches()
        read = [*next(batches)]
        with closing(db.stream(sql, fetch_size=2)) as second:
            assert [column.type.kind for column in second.columns] == ["int", "date", "int"]
            rows = second.batches()
            both = [*next(rows)]
            read += [row for batch in batches for row in batch]
            both += [row for batch in rows for row in batch]
        first.close()
        assert read == both == [(n, None, n if n in {2, 4} else None) for n in range(1, 6)]


def test_virtual_tables_are_read_by_a_new_connection(tmp_path: Path) -> None:
    for sql, insert in (
        ("CREATE VIRTUAL TABLE r USING rtree(id, low, high)", "INSERT INTO r VALUES (1, 0, 2)"),
        ("CREATE VIRTUAL TABLE f USING fts5(word)", "INSERT INTO f VALUES ('x')"),
    ):
        with made("sqlite3", tmp_path / "x.db") as db:
            db.script(f"{sql}; {insert}")
    for query, rows in (("SELECT id, high FROM r WHERE low < 1", [(1, 2.0)]), ("SELECT word FROM f('x')", [("x",)])):
        with made("sqlite3", tmp_path / "x.db") as db:
            assert db.read(query)[1] == rows


def test_two_writers_of_one_row(tmp_path: Path) -> None:
    """DuckDB knows no locks to wait for: the second writer is refused, and may try again."""
    with made("duckdb", tmp_path / "x.db") as db:
        db.script("CREATE TABLE t (a INTEGER, n INTEGER); INSERT INTO t VALUES (1, 0)")
        with db.transaction() as one:
            one.execute("UPDATE t SET n = 1")
            with told("duckdb", "(?i)conflict", "run the step again"):
                db.execute("UPDATE t SET n = 2")
        assert db.execute("UPDATE t SET n = n + 10") == 1
        assert db.read("SELECT n FROM t")[1] == [(11,)]


def test_a_missing_folder_of_a_url_is_no_matter_of_hosts() -> None:
    config = {"url": "sqlite:////nowhere/at/all/wh.db"}
    database = SQLAlchemyConnector(ConnectorInit("wh", "db", "sqlalchemy", config, {}))
    with pytest.raises(DatabaseError) as caught:
        database.probe()
    assert caught.value.failure is Failure.CANNOT_OPEN
    assert caught.value.fix.startswith("check the file in config.url: its folder has to exist")


def test_a_variable_in_place_of_a_url_is_shown_how_it_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flow = tmp_path / "flow.yaml"
    flow.write_text(
        "version: 1\nflow: {id: f}\nresources: {wh: {kind: db, driver: sqlalchemy, config: {url: DB_URL}}}\njobs: []\n"
    )
    assert main(["validate", str(flow)]) == 2
    assert "  fix: write {{env.DB_URL}} if that is the name of a variable" in capsys.readouterr().out
