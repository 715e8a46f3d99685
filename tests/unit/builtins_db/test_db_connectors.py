"""What the two drivers do beyond the suite of test_db_suites.py."""

import sqlite3
import stat
import threading
import time
from pathlib import Path
from typing import Any

import duckdb
import pytest

from aetherflow.core.api import ConnectorError
from aetherflow_builtins_db.connectors.sqlite3.connector import path_of_url
from db_project import stopping

ENDLESS = {
    "duckdb": "SELECT count(*) FROM range(100000000000) a, range(100000) b",
    "sqlite3": "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT count(*) FROM r",
}


@pytest.fixture
def db(connect: Any, driver: str) -> Any:
    """A connector with the table t(a, s) of two rows."""
    made = connect(driver)
    made.script("CREATE TABLE t (a INTEGER, s TEXT); INSERT INTO t VALUES (1, 'x'), (2, NULL)")
    return made


def rows(db: Any, sql: str = "SELECT a, s FROM t ORDER BY a") -> list[tuple[Any, ...]]:
    return list(db.read(sql)[1])


# Reading


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO t VALUES (3, 'y')",
        "INSERT INTO t VALUES (3, 'y') RETURNING a",
        "WITH x AS (SELECT 3 a) INSERT INTO t SELECT a, 'y' FROM x",
        "DELETE FROM t",
        "DROP TABLE t",
        "CREATE TABLE u (a INTEGER)",
        "SELECT 1; DELETE FROM t",
        "BEGIN",
        "ATTACH ':memory:' AS other",
        "",
    ],
)
def test_reading_changes_nothing(db: Any, sql: str) -> None:
    with pytest.raises(ConnectorError) as error:
        db.read(sql)
    assert "db_execute" in error.value.fix
    assert rows(db) == [(1, "x"), (2, None)]
    assert db.execute("INSERT INTO t VALUES (4, 'z')") == 1, "the connection still writes"


# Writing


def test_an_insert_behind_a_with_clause_is_counted(db: Any) -> None:
    assert db.script("WITH x AS (SELECT 3 a) INSERT INTO t SELECT a, 'y' FROM x").affected_rows == 1


@pytest.mark.parametrize("wrong", ["SELECT * FROM nope", "INSERT INTO t VALUES (1)", "CREATE TABLE t (a INTEGER)"])
def test_a_failing_script_leaves_everything_as_it_was(db: Any, wrong: str) -> None:
    with pytest.raises(ConnectorError, match="statement 4 of 5 failed"):
        db.script(f"DELETE FROM t; CREATE TABLE u (a INTEGER); INSERT INTO t VALUES (9, 'z'); {wrong}; DELETE FROM t")
    assert rows(db) == [(1, "x"), (2, None)]
    with pytest.raises(ConnectorError):
        rows(db, "SELECT * FROM u")


# Errors


@pytest.mark.parametrize(
    ("sql", "message", "advice"),
    [
        ("SELECT * FROM nope", "nope", "check the name"),
        ("SELECT nope FROM t", "nope", "column's name"),
        ("SELEC 1", "syntax error", "near the words quoted"),
    ],
)
def test_driver_errors_are_one_line_with_advice(db: Any, driver: str, sql: str, message: str, advice: str) -> None:
    with pytest.raises(ConnectorError) as caught:
        db.read(sql)
    text = str(caught.value)
    assert text.startswith(f"resource wh (db:{driver}): ")
    assert message in text
    assert "\n" not in text
    assert advice in caught.value.fix
    assert isinstance(caught.value.__cause__, sqlite3.Error | duckdb.Error)


def test_a_read_only_resource_refuses_writes_and_missing_files(connect: Any, driver: str, tmp_path: Path) -> None:
    path = str(tmp_path / "x.db")
    with pytest.raises(ConnectorError) as caught:
        connect(driver, path=path, read_only=True).read("SELECT 1")
    assert "config.path" in caught.value.fix
    assert not Path(path).exists()
    with connect(driver, path=path) as writable:
        writable.script("CREATE TABLE t (a INTEGER); INSERT INTO t VALUES (1)")
    reader = connect(driver, path=path, read_only="yes")
    assert rows(reader, "SELECT a FROM t") == [(1,)]
    with pytest.raises(ConnectorError) as caught:
        reader.execute("DELETE FROM t")
    assert "read_only" in caught.value.fix
    with pytest.raises(ConnectorError):
        reader.execute(f"ATTACH '{tmp_path / 'other.db'}' AS other")
    assert not (tmp_path / "other.db").exists()


def test_a_file_of_another_kind(connect: Any, driver: str, tmp_path: Path) -> None:
    (tmp_path / "x.db").write_text("hello " * 1000)
    with pytest.raises(ConnectorError) as caught:
        connect(driver, path=str(tmp_path / "x.db")).read("SELECT 1")
    assert "config.path" in caught.value.fix


def test_another_writer_is_named_as_the_cause(connect: Any, tmp_path: Path) -> None:
    path = str(tmp_path / "x.db")
    mine = connect("sqlite3", path=path, options={"busy_timeout_seconds": 0.05})
    mine.execute("CREATE TABLE t (a INTEGER)")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(ConnectorError, match="locked") as caught:
        mine.execute("INSERT INTO t VALUES (1)")
    other.close()
    assert "busy_timeout_seconds" in caught.value.fix
    assert mine.execute("INSERT INTO t VALUES (1)") == 1


@pytest.mark.parametrize(
    ("config", "options", "message"),
    [
        ({"pth": "x"}, {}, "pth"),
        ({}, {"timeot": 1}, "timeot"),
        ({"read_only": "maybe"}, {}, "true, false"),
        ({"path": ""}, {}, "path"),
        ({}, {"pragmas": {"x; DROP TABLE t": 1}}, "pragmas"),
    ],
)
def test_wrong_settings_are_refused(connect: Any, driver: str, config: Any, options: Any, message: str) -> None:
    with pytest.raises(ConnectorError, match=message):
        connect(driver, options=options, **config)


def test_an_unknown_setting_fails_at_the_first_use(connect: Any) -> None:
    with pytest.raises(ConnectorError, match="nope"):
        connect("duckdb", options={"pragmas": {"nope": 1}}).read("SELECT 1")


# Life


def test_memory_lasts_until_close_and_closing_twice_is_fine(connect: Any, driver: str) -> None:
    db = connect(driver)
    db.execute("CREATE TABLE t (a INTEGER)")
    assert rows(db, "SELECT * FROM t") == []
    db.close()
    db.close()
    with pytest.raises(ConnectorError):
        rows(db, "SELECT * FROM t")


def test_new_files_and_folders_are_private(connect: Any, driver: str, tmp_path: Path) -> None:
    path = tmp_path / "deep" / "er" / "x.db"
    connect(driver, path=str(path)).execute("CREATE TABLE t (a INTEGER)")
    modes = [stat.S_IMODE(each.stat().st_mode) for each in (path, path.parent, path.parent.parent)]
    assert modes == [0o600, 0o700, 0o700]


def test_pragmas_are_set(connect: Any) -> None:
    assert rows(connect("sqlite3", options={"pragmas": {"foreign_keys": True}}), "PRAGMA foreign_keys") == [(1,)]
    duck = connect("duckdb", options={"pragmas": {"TimeZone": "Asia/Tokyo"}})
    assert rows(duck, "SELECT current_setting('TimeZone')") == [("Asia/Tokyo",)]


def test_sqlite_urls() -> None:
    for url, path in {
        "sqlite:///a.db": "a.db",
        "sqlite:////data/a%20b.db": "/data/a b.db",
        "sqlite://": ":memory:",
        "sqlite:///:memory:": ":memory:",
        ":memory:": ":memory:",
    }.items():
        assert path_of_url(url) == path
    with pytest.raises(ValueError, match="sqlite:///path"):
        path_of_url("postgres://x")


def test_sqlite_path_and_url_must_agree(connect: Any, tmp_path: Path) -> None:
    path = str(tmp_path / "x.db")
    connect("sqlite3", url=f"sqlite:///{path}", path=path).execute("CREATE TABLE t (a INTEGER)")
    assert Path(path).exists()
    with pytest.raises(ConnectorError, match="differ"):
        connect("sqlite3", url="sqlite:///a.db", path="b.db")


def test_sqlite_says_that_a_pragma_would_do_nothing(connect: Any) -> None:
    with pytest.raises(ConnectorError, match="foreign_keys"):
        connect("sqlite3").script("PRAGMA foreign_keys = on; SELECT 1")


def test_vacuum_runs_alone(connect: Any, driver: str) -> None:
    connect(driver).script("VACUUM")


def test_duckdb_does_not_see_python_variables(connect: Any) -> None:
    secret = duckdb.sql("SELECT 42 AS answer")  # a name that DuckDB would otherwise find on the Python stack
    with pytest.raises(ConnectorError, match="secret"):
        connect("duckdb").read("SELECT * FROM secret")
    assert secret is not None


def run_in_way(db: Any, way: str, sql: str) -> None:
    if way == "arrow":
        with db.stream_arrow(sql, batch_rows=10) as result:
            list(result.record_batches())
    elif way == "stream":
        with db.stream(sql) as result:
            list(result.batches())
    else:
        getattr(db, way)(sql)


@pytest.mark.parametrize(
    ("driver", "way"),
    [(driver, way) for driver in ENDLESS for way in ("read", "script", "stream")] + [("duckdb", "arrow")],
)
def test_interrupt_ends_a_running_query(connect: Any, driver: str, way: str) -> None:
    db = connect(driver)
    db.read("SELECT 1")
    begun = time.monotonic()
    with stopping(db.interrupt), pytest.raises(ConnectorError, match=r"(?i)interrupt"):
        run_in_way(db, way, ENDLESS[driver])
    assert time.monotonic() - begun < 60
    assert rows(db, "SELECT 1") == [(1,)], "the connector still works"
    db.interrupt()  # nothing runs: nothing happens
    assert rows(db, "SELECT 1") == [(1,)]


def test_close_ends_a_query_of_another_thread(connect: Any) -> None:
    """A step may be given up whose query began just after the step had been interrupted."""
    db, begun, ended = connect("sqlite3"), threading.Event(), threading.Event()
    db.read("SELECT 1")

    def query() -> None:
        begun.set()
        with pytest.raises(ConnectorError):
            rows(db, ENDLESS["sqlite3"])
        ended.set()

    threading.Thread(target=query, daemon=True).start()
    assert begun.wait(60)
    time.sleep(0.05)  # it runs by then, as a rule
    closing = threading.Thread(target=db.close, daemon=True)
    closing.start()
    closing.join(60)
    closed = not closing.is_alive()
    while not ended.wait(0.05):  # also where `close` did not do it
        db.interrupt()
    assert closed
