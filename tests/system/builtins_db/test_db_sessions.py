"""What a session keeps beyond a transaction: none of it reaches the next call, and no stop reaches another session."""

import datetime
import itertools
import ssl
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pymysql
import pytest

from aetherflow.core.api import ConnectorError, ConnectorInit, CsvFormat
from aetherflow_builtins_db.connectors.mysql.connector import MySQLConnector
from aetherflow_builtins_db.connectors.postgres.connector import PostgresConnector
from aetherflow_builtins_db.connectors.sqlalchemy.connector import SQLAlchemyConnector
from db_places import Place, mysql_by_url, mysql_place, postgres_place, settings, sqlalchemy_place
from services import Database
from svc import free_port

CLASSES: dict[str, Any] = {"postgres": PostgresConnector, "mysql": MySQLConnector, "sqlalchemy": SQLAlchemyConnector}
PATIENCE_SECONDS = 25
"""A busy machine has that long for what takes a second."""


@contextmanager
def connector(place: Place, **options: Any) -> Iterator[Any]:
    with CLASSES[place.driver](ConnectorInit("wh", "db", place.driver, place.resource["config"], options)) as db:
        yield db


@pytest.fixture(params=[*CLASSES, "postgres by url"])
def place(request: pytest.FixtureRequest) -> Place:
    if request.param == "postgres by url":
        return sqlalchemy_place(request.getfixturevalue("postgres"), "sessions_by_url")
    if request.param == "postgres":
        return postgres_place(request.getfixturevalue("postgres"), "sessions")
    server = request.getfixturevalue("mariadb")
    return mysql_place(server) if request.param == "mysql" else mysql_by_url(server)


def fail_in_the_middle(db: Any, statement: str) -> None:
    with db.transaction() as tx:
        tx.execute("CREATE TEMPORARY TABLE gathered (a int)")
        tx.read(statement)
        raise ZeroDivisionError


def test_nothing_of_a_failed_transaction_stays_in_its_session(place: Place) -> None:
    """Rolling back undoes neither locks with a name nor, on MariaDB, temporary tables."""
    take, look = "SELECT GET_LOCK('held', 1)", "SELECT count(*) FROM (SELECT 1 AS a) q WHERE IS_USED_LOCK('held')"
    if "postgres" in str(place.resource):
        take, look = "SELECT pg_advisory_lock(7)", "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
    with connector(place) as db:
        for _ in range(2):
            with pytest.raises(ZeroDivisionError):
                fail_in_the_middle(db, take)
        deadline = time.monotonic() + PATIENCE_SECONDS  # a server needs a moment to notice that its client has gone
        while (held := db.read(look)[1][0][0]) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert held == 0, "another process would wait for the lock as long as this one lives"


PLAIN = {
    "postgres": [
        ("SELECT set_config('search_path', 'pg_catalog', false)", "SELECT current_setting('search_path')"),
        ("SELECT set_config('my.note', 'x', false)", "SELECT coalesce(current_setting('my.note', true), '')"),
        ("SELECT pg_advisory_lock(7)", "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"),
        ("SELECT nextval('numbers')", "SELECT now_or_none()"),
        ("SELECT gather()", "SELECT count(*) FROM pg_class WHERE relname = 'gathered'"),
    ],
    "mysql": [
        ("SELECT @note := 7", "SELECT @note IS NULL AS free"),
        ("SELECT GET_LOCK('held', 1)", "SELECT IS_USED_LOCK('held') IS NULL AS free"),
        ("SELECT gather()", "SELECT @@sql_mode AS a, @@autocommit AS b, @@character_set_client AS c, @@time_zone AS d"),
    ],
}
"""Queries that change their session by a function, and those that show it."""
FUNCTIONS = {
    "postgres": (
        "CREATE SEQUENCE numbers",
        """CREATE FUNCTION gather() RETURNS int LANGUAGE plpgsql AS
        $$ BEGIN CREATE TEMPORARY TABLE gathered (a int); RETURN 1; END $$""",
        """CREATE FUNCTION now_or_none() RETURNS bigint LANGUAGE plpgsql AS
        $$ BEGIN RETURN lastval(); EXCEPTION WHEN OTHERS THEN RETURN NULL; END $$""",
    ),
    "mysql": (
        "DROP FUNCTION IF EXISTS gather",
        """CREATE FUNCTION gather() RETURNS int
        BEGIN SET SESSION sql_mode = 'ANSI_QUOTES', NAMES latin1, time_zone = '+05:00'; RETURN 1; END""",
    ),
}


@pytest.mark.parametrize("way", ["script", "stream"])
def test_a_query_that_changes_its_session_changes_that_of_no_other_call(place: Place, way: str) -> None:
    kind = "postgres" if "postgres" in str(place.resource) else "mysql"
    with connector(place, pool_size=1, init_sql=["SET lc_time = 'C'"] if kind == "postgres" else []) as db:
        for statement in FUNCTIONS[kind]:
            db.script(statement)
        for change, look in PLAIN[kind]:
            before = db.read(look)[1]
            if way == "script":
                db.script(f"{change}; {change}" if "lock" in change.lower() else change)
            elif "gather" not in change and "nextval" not in change:  # which a read-only transaction refuses
                assert db.read(change)[1]
            assert db.read(look)[1] == before, change
        if kind == "mysql":
            db.script("DROP FUNCTION gather")


def test_a_session_that_was_reset_is_set_up_again(place: Place) -> None:
    setting, look = "SET lc_time = 'C'", "SELECT current_setting('lc_time'), current_setting('TimeZone')"
    if "postgres" not in str(place.resource):
        setting, look = "SET @@div_precision_increment = 9", "SELECT @@div_precision_increment AS a, @@time_zone AS b"
    with connector(place, pool_size=1, init_sql=[setting], statement_timeout=60) as db:
        first = db.read(look)[1]
        assert first[0][0] in ("C", 9)
        assert [db.read(look)[1] for _ in range(3)] == [first] * 3
        text = "ü\U0001f600"
        assert db.read("SELECT :s AS s", {"s": text})[1] == [(text,)]


def test_a_connection_that_is_reset_stays_open(place: Place) -> None:
    number = "SELECT pg_backend_pid()" if "postgres" in str(place.resource) else "SELECT connection_id() AS n"
    with connector(place, pool_size=1) as db:
        assert len({db.read(number)[1][0] for _ in range(5)}) == 1


def test_nothing_of_a_failed_script_stays_in_its_session(place: Place) -> None:
    with connector(place) as db:
        for _ in range(2):
            with pytest.raises(ConnectorError, match=r"statement 2 of 2 failed.*nope"):
                db.script("CREATE TEMPORARY TABLE gathered (a int); INSERT INTO nope VALUES (1)")


@pytest.mark.parametrize("first", ["CREATE TABLE IF NOT EXISTS other (a int)", "ANALYZE TABLE u", "TRUNCATE TABLE u"])
def test_what_stands_behind_ddl_is_one_transaction(mariadb: Database, first: str) -> None:
    """DDL commits and ends the transaction: without a new one every statement behind it would commit itself."""
    script = f"{first}; INSERT INTO u VALUES (1); INSERT INTO u VALUES (1)"
    for make in (mysql_place, mysql_by_url):
        with connector(make(mariadb)) as db:
            db.execute("CREATE TABLE u (a int PRIMARY KEY)")
            with pytest.raises(ConnectorError, match="statement 3 of 3 failed"):
                db.script(script)
            assert db.read("SELECT a FROM u")[1] == []
            with pytest.raises(ZeroDivisionError):
                db.script(f"{first}; INSERT INTO u VALUES (1)", before_commit=lambda _: 1 / 0)
            assert db.read("SELECT a FROM u")[1] == []
            assert db.script(f"{first}; INSERT INTO u VALUES (1)").affected_rows == 1
            assert db.read("SELECT a FROM u")[1] == [(1,)]


WRITES = (
    "INSERT INTO u (a) VALUES (1); SELECT SLEEP(1) AS b; TRUNCATE TABLE u; SELECT SLEEP(1) AS c; "
    "INSERT INTO u (a) VALUES (2), (3)"
)
READS = "SELECT SLEEP(1) AS b; DO 1; SELECT SLEEP(1) AS c"


@pytest.mark.parametrize(
    ("by", "locks", "work"),
    [
        (mysql_place, "LOCK TABLES u WRITE", WRITES),
        (mysql_place, "LOCK TABLE other READ, u WRITE", WRITES),
        (mysql_place, "FLUSH TABLES u WITH READ LOCK", READS),
        (mysql_by_url, "LOCK TABLES u WRITE", WRITES),
    ],
)
def test_locks_of_tables_hold_until_they_are_given_back(mariadb: Database, by: Any, locks: str, work: str) -> None:
    """LOCK TABLES commits like DDL, but a START TRANSACTION behind it would give the locks back."""
    server = replace(mariadb, user="root", password="") if "FLUSH" in locks else mariadb
    place = by(server)
    waited: list[float] = []

    def insert() -> None:
        with closing(pymysql.connect(**settings(server), autocommit=True)) as other, other.cursor() as cursor:
            asleep = "SELECT count(*) FROM information_schema.processlist WHERE info LIKE 'SELECT SLEEP(1)%'"
            deadline = time.monotonic() + PATIENCE_SECONDS
            while cursor.execute(asleep) and cursor.fetchone() == (0,) and time.monotonic() < deadline:
                time.sleep(0.02)
            begun = time.monotonic()
            cursor.execute("INSERT INTO u (a) VALUES (99)")
            waited.append(time.monotonic() - begun)

    with connector(place) as db:
        db.execute("CREATE TABLE u (n int AUTO_INCREMENT PRIMARY KEY, a int)")
        db.execute("CREATE TABLE other (a int)")
        inserting = threading.Thread(target=insert)
        inserting.start()
        db.script(f"{locks}; {work}; UNLOCK TABLES", allow_implicit_commit=True)
        inserting.join()
        assert waited[0] > 0.1, "the other session did not wait"
        assert [a for (a,) in db.read("SELECT a FROM u ORDER BY n")[1]] == [*([2, 3] if work == WRITES else []), 99]
        assert db.execute("INSERT INTO u (a) VALUES (4)") == 1
    with connector(place) as db:
        assert db.read("SELECT max(a) AS m, min(a) AS k FROM u WHERE a IN (4, 99)")[1] == [(99, 4)]


@pytest.mark.parametrize("by", [mysql_place, mysql_by_url])
def test_what_is_done_under_locks_of_tables_is_one_transaction(mariadb: Database, by: Any) -> None:
    with connector(by(mariadb)) as db:
        db.execute("CREATE TABLE u (a int PRIMARY KEY)")
        locked = "LOCK TABLES u WRITE; INSERT INTO u VALUES (1); INSERT INTO u VALUES "
        with pytest.raises(ConnectorError, match="statement 3 of 3 failed"):
            db.script(f"{locked} (1)")
        with pytest.raises(ZeroDivisionError):
            db.script(f"{locked} (2)", before_commit=lambda _: 1 / 0)
        assert db.read("SELECT a FROM u")[1] == []
        with pytest.raises(ConnectorError, match="statement 4 of 4 failed: UNLOCK would commit") as caught:
            db.script(f"{locked} (2); UNLOCK TABLES", before_commit=lambda _: 1 / 0)
        assert "leave it out, as the locks end with the script" in caught.value.fix
        with pytest.raises(ConnectorError, match="statement 2 of 2 failed: LOCK would commit"):
            db.script("INSERT INTO u VALUES (1); LOCK TABLES u READ")
        assert db.read("SELECT a FROM u")[1] == []
        assert db.script(f"{locked} (2)").affected_rows == 2
        assert db.execute("INSERT INTO u VALUES (3)") == 1
        assert db.read("SELECT a FROM u")[1] == [(1,), (2,), (3,)]


@pytest.mark.parametrize("by", [mysql_place, mysql_by_url])
def test_comments_that_the_server_runs_are_run(mariadb: Database, by: Any) -> None:
    """As mysqldump writes them; they may commit, for all that anybody knows."""
    with connector(by(mariadb)) as db:
        db.execute("CREATE TABLE u (a int)")
        script = "/*!40101 SET @seven = 7 */; /* nothing */; /*M!100000 INSERT INTO u VALUES (@seven) */; -- end"
        db.script(script, allow_implicit_commit=True)
        assert db.read("SELECT a FROM u")[1] == [(7,)]
        with pytest.raises(ConnectorError, match="would commit the changes before it"):
            db.script(f"INSERT INTO u VALUES (8); {script}")
        assert db.read("SELECT a FROM u")[1] == [(7,)]
        db.execute("DROP TABLE u")


@pytest.mark.parametrize(
    ("driver", "level"),
    [("mysql", "REPEATABLE READ"), ("mysql", "READ COMMITTED"), ("sqlalchemy", "READ COMMITTED"), ("postgres", "")],
)
def test_two_merges_of_the_same_new_keys_double_nothing(
    request: pytest.FixtureRequest, make_project: Any, tmp_path: Path, driver: str, level: str
) -> None:
    """There is no row yet that a row lock could hold, and no unique key."""
    server: Database = request.getfixturevalue("postgres" if driver == "postgres" else "mariadb")
    if driver == "postgres":  # by SQLAlchemy: the way of its own has a lock of its own
        own = postgres_place(server, "merges").server
        assert own is not None
        url = f"postgresql+psycopg://{own.user}:{own.password}@{own.host}:{own.port}/{own.name}"
        place = Place("sqlalchemy", {"kind": "db", "driver": "sqlalchemy", "config": {"url": url}}, own)
        init, gate = "SET lock_timeout = '60s'", ""
    else:
        place = mysql_place(server) if driver == "mysql" else mysql_by_url(server)
        init = f"SET SESSION TRANSACTION ISOLATION LEVEL {level}"
        gate = "SET NEW.s = CONCAT(NEW.s, LEFT(GET_LOCK('gate', 60) + RELEASE_LOCK('gate'), 0))"
    place.resource["options"] = {"init_sql": init}
    projects = []
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "in.csv").write_text("a,s\n" + "".join(f"{number},x\n" for number in range(20)))
        projects.append(make_project(folder, {"wh": place.resource}, place))
    projects[0].sql("CREATE TABLE t (a INTEGER, s VARCHAR(20))")
    if gate:
        projects[0].sql(f"CREATE TRIGGER slow BEFORE INSERT ON t FOR EACH ROW {gate}")
    else:
        projects[0].sql(
            "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS "
            "$$BEGIN PERFORM pg_advisory_xact_lock_shared(7); RETURN NEW; END$$",
            "CREATE TRIGGER slow BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION slow()",
        )
    ran: dict[int, Any] = {}

    def merge(number: int) -> None:
        step = {"type": "db_load", "table": "t", "mode": "merge", "keys": ["a"]}
        ran[number] = projects[number].run(m=step | {"path": str(projects[number].root / "in.csv")})

    merging = [threading.Thread(target=merge, args=(number,)) for number in range(2)]
    with connector(place) as holder, holder.transaction() as tx:
        tx.read("SELECT pg_advisory_lock(7)" if driver == "postgres" else "SELECT GET_LOCK('gate', 1)")
        for each in merging:
            each.start()
        if driver == "postgres":
            time.sleep(2)  # both have looked for their keys by then, if they are let
        deadline = time.monotonic() + PATIENCE_SECONDS
        while driver != "postgres" and not waiting_for(tmp_path) and time.monotonic() < deadline:
            time.sleep(0.1)
    for each in merging:
        each.join()
    for each in ran.values():
        assert each.status["m"] == "SUCCESS", each.error
    assert projects[0].rows("SELECT count(*) AS n, count(DISTINCT a) AS keys_there FROM t") == [[20, 20]]
    assert sorted(each.outputs["m"]["updated"] for each in ran.values()) == [0, 20]
    if driver != "postgres":
        assert waiting_for(tmp_path) == 1, "who waits for another merge says so, and nobody else does"


def waiting_for(folder: Path) -> int:
    """How often a log says that another merge is waited for; two runs in one process hear each other's lines."""
    logs = [path.read_text() for path in folder.rglob("*.jsonl")]
    return max((text.count("waiting for another merge into ") for text in logs), default=0)


# A stop reaches the session that is meant, or none


@pytest.mark.parametrize("moved", [False, True])
def test_sqlalchemy_stops_only_what_runs_on_that_server(mariadb: Database, moved: bool) -> None:
    root = settings(replace(mariadb, user="root", password=""))
    errors: list[str] = []

    def work(db: Any) -> None:
        try:
            db.read("SELECT SLEEP(4) AS a")
        except ConnectorError as error:
            errors.append(str(error))

    with closing(pymysql.connect(**root, autocommit=True)) as other, other.cursor() as cursor:
        cursor.execute("SELECT @@server_id")
        (usual,) = cursor.fetchone() or (1,)
        with connector(mysql_by_url(mariadb)) as db:
            assert db.ping()
            working = threading.Thread(target=work, args=(db,))
            working.start()
            try:
                time.sleep(0.5)
                if moved:
                    cursor.execute(f"SET GLOBAL server_id = {usual + 1}")
                begun = time.monotonic()
                while working.is_alive() and time.monotonic() - begun < (1.5 if moved else PATIENCE_SECONDS):
                    db.interrupt()
                    working.join(0.2)
                assert bool(errors) is not moved
            finally:
                cursor.execute(f"SET GLOBAL server_id = {usual}")
                working.join()


@pytest.mark.parametrize("same", [True, False])
def test_postgres_ends_only_the_session_that_was_lost(postgres: Database, same: bool) -> None:
    """Another server may have a session of that number; it has not begun in the same microsecond."""
    lives = "SELECT count(*) FROM pg_stat_activity WHERE pid = :pid"
    place = postgres_place(postgres, "sessions")
    with connector(place) as db, connector(place) as watching:
        victim = db.acquire()
        (pid,) = victim.execute("SELECT pg_backend_pid()").fetchone()
        if not same:
            victim.begun -= datetime.timedelta(microseconds=1)
        with suppress(ConnectorError):
            db.end_session(victim)
        deadline = time.monotonic() + (0.5 if not same else PATIENCE_SECONDS)
        while (count := watching.read(lives, {"pid": pid})[1][0][0]) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert count == int(not same)
        db.discard(victim)


# SQLAlchemy tells what the drivers of our own tell


def test_sqlalchemy_counts_its_attempts(mariadb: Database) -> None:
    nowhere = mysql_by_url(mariadb)
    config = nowhere.resource["config"]
    config["url"] = config["url"].replace(f":{mariadb.port}/", f":{free_port()}/")
    said = r"connecting to app@127.0.0.1:\d+/app failed \(attempt 2 of 2\): "
    begun = time.monotonic()
    with (
        connector(nowhere, connect_attempts=2) as db,
        pytest.raises(ConnectorError, match=said) as caught,
    ):
        db.read("SELECT 1")
    assert time.monotonic() - begun >= 0.2, "it tried again"
    assert mariadb.password not in str(caught.value)


def insert_and_lose(db: Any, kill: Callable[[Any], object], statement: str) -> None:
    """Three rows, then the session ends, which a statement finds out, or else the commit."""
    with db.transaction() as tx:
        tx.executemany("INSERT INTO sent VALUES (:a)", [{"a": each} for each in range(3)])
        kill(tx)
        time.sleep(0.2)
        if statement:
            tx.execute(statement)


@pytest.mark.parametrize("driver", ["postgres", "mysql"])
def test_sqlalchemy_tells_of_a_lost_connection(request: pytest.FixtureRequest, driver: str) -> None:
    server: Database = request.getfixturevalue("postgres" if driver == "postgres" else "mariadb")
    place = mysql_by_url(server) if driver == "mysql" else sqlalchemy_place(server, "sessions")
    own = place.server
    assert own is not None
    kill = "SELECT pg_terminate_backend({})" if driver == "postgres" else "KILL {}"
    number = "SELECT pg_backend_pid()" if driver == "postgres" else "SELECT connection_id()"
    with connector(place) as db, connector(place) as other:
        db.execute("CREATE TABLE sent (a int)")
        for statement, advice in (("INSERT INTO sent VALUES (7)", "the connection was lost"), ("", "nobody can tell")):
            with pytest.raises(ConnectorError, match=r"failed after 3 rows: ") as caught:
                insert_and_lose(db, lambda tx: other.script(kill.format(tx.read(number)[1][0][0])), statement)
            assert f"127.0.0.1:{own.port}" in str(caught.value)
            assert advice in caught.value.fix
        assert db.read("SELECT a FROM sent")[1] == []
        db.execute("DROP TABLE sent")


@pytest.mark.parametrize("lost", [mysql_place, mysql_by_url])
def test_a_lost_connection_does_no_harm_to_others_of_its_thread(
    mariadb: Database, lost: Callable[[Database], Place]
) -> None:
    """Python 3.13.5 takes what a lost TLS connection left in OpenSSL's queue for an error of the next that waits."""
    whole = mysql_place(mariadb)
    with connector(lost(mariadb)) as db, connector(whole, read_timeout=60) as other:
        db.execute("CREATE TABLE sent (a int)")
        for statement in ("INSERT INTO sent VALUES (7)", ""):
            with pytest.raises(ConnectorError, match="failed after 3 rows: "):
                insert_and_lose(
                    db, lambda tx: other.script(f"KILL {tx.read('SELECT connection_id()')[1][0][0]}"), statement
                )
            assert other.read("SELECT SLEEP(0.2) + 1 AS a")[1] == [(1,)]
        with pytest.raises(ConnectorError, match="failed after 3 rows: "):
            insert_and_lose(db, lambda tx: other.script(f"KILL {tx.read('SELECT connection_id()')[1][0][0]}"), "")
        with connector(whole, read_timeout=60) as new:
            assert new.read("SELECT SLEEP(0.2) + 1 AS a")[1] == [(1,)]
        db.execute("DROP TABLE sent")


@pytest.mark.parametrize("place", [mysql_place, mysql_by_url])
def test_a_server_that_is_not_checked_is_logged_in_to_without_the_systems_certificates(
    mariadb: Database, monkeypatch: pytest.MonkeyPatch, place: Callable[[Database], Place]
) -> None:
    """On this machine MariaDB is not checked; to read all certificates was most of the time of a login."""

    def refuse(*_: object) -> None:
        raise AssertionError("certificates are read")

    monkeypatch.setattr(ssl.SSLContext, "load_default_certs", refuse)
    with connector(place(mariadb)) as db:
        _, [(_, cipher)] = db.read("SHOW STATUS LIKE 'Ssl_cipher'")
    assert cipher, "not encrypted, though the server offers it"


def test_a_query_in_brackets_is_not_read_into_memory(place: Place) -> None:
    many = "FROM generate_series(1, 150000) AS g(seq)" if "postgres" in str(place.resource) else "FROM seq_1_to_150000"
    half = f"(SELECT seq, repeat('x', 200) AS filler {many})"
    with connector(place) as db, db.stream(f"{half} UNION ALL {half}", fetch_size=1000) as rows:
        batches = rows.batches()
        tracemalloc.start()
        try:
            held = sum(map(len, itertools.islice(batches, 100)))
            assert held == 100_000
            assert tracemalloc.get_traced_memory()[1] < 5_000_000, "one batch of 1,000 rows at a time"
        finally:
            tracemalloc.stop()
        assert sum(map(len, batches)) == 200_000


def test_postgresql_declares_a_cursor_for_a_query_in_brackets(postgres: Database) -> None:
    with connector(postgres_place(postgres, "cursors")) as db:
        sql = "(SELECT name, statement FROM pg_cursors) UNION ALL (SELECT 'x', 'y')"
        assert [name for name, _statement in db.read(sql)[1]] == ["aetherflow", "x"]
        with db.stream_csv(sql, dialect=CsvFormat()) as copied:
            assert b"".join(copied.blocks()) == b"x,y\n"
