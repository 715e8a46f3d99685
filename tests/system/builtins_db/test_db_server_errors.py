"""What goes wrong on a database server is told in one line: what, where, what to do. And what comes after it."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pymysql
import pytest

from aetherflow.core.api import ConnectorError, ConnectorInit
from aetherflow_builtins_db.connectors.mysql.connector import MySQLConnector
from aetherflow_builtins_db.connectors.postgres.connector import PostgresConnector
from aetherflow_builtins_db.contract import CopyTransaction
from services import Database
from svc import free_port

CLASSES: dict[str, Any] = {"postgres": PostgresConnector, "mysql": MySQLConnector}


@pytest.fixture(params=list(CLASSES))
def driver(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def server(request: pytest.FixtureRequest, driver: str) -> Database:
    found: Database = request.getfixturevalue({"postgres": "postgres", "mysql": "mariadb"}[driver])
    return found


@pytest.fixture
def made(driver: str, server: Database) -> Iterator[Any]:
    """`made(options, **config)`: connectors, closed at the end."""
    opened: list[Any] = []

    def make(options: dict[str, Any] | None = None, **config: Any) -> Any:
        given = {**place_of(server), **config}
        opened.append(
            CLASSES[driver](ConnectorInit("wh", "db", driver, given, {"connect_attempts": 1, **(options or {})}))
        )
        return opened[-1]

    yield make
    for each in opened:
        each.close()


def place_of(server: Database) -> dict[str, Any]:
    return {"host": server.host, "port": server.port, "user": server.user, "password": server.password,
            "database": server.name}  # fmt: skip


@contextmanager
def told(driver: str, what: str, advice: str) -> Iterator[None]:
    """The block raises a ConnectorError of one line that says `what`, with `advice`, and no password."""
    with pytest.raises(ConnectorError, match=what) as caught:
        yield
    text = str(caught.value)
    assert text.startswith(f"resource wh (db:{driver}): ")
    assert "\n" not in text
    assert "s3cret" not in text + caught.value.fix
    assert advice in caught.value.fix


def test_a_wrong_password(made: Any, driver: str, server: Database) -> None:
    db = made(password="s3cret-but-wrong")
    with told(driver, f"connecting to app@127.0.0.1:{server.port}/{server.name} failed: ", "check config.user"):
        db.read("SELECT 1")


def test_an_unknown_host(made: Any, driver: str) -> None:
    with told(driver, "no-such-host.invalid", "check config.host"):
        made(host="no-such-host.invalid").probe()


def test_nobody_listens(made: Any, driver: str) -> None:
    begun = time.monotonic()
    with told(driver, "refused", "check config.host and config.port"):
        made({"connect_attempts": 2}, port=free_port()).probe()
    assert time.monotonic() - begun >= 0.2, "it tried again"


def test_a_failed_connect_counts_its_attempts(made: Any, driver: str) -> None:
    """Not those that were never made: a wrong password is not tried again."""
    with told(driver, r"failed \(attempt 2 of 2\): .*refused", "check config.host"):
        made({"connect_attempts": 2}, port=free_port()).probe()
    with told(driver, "failed: ", "check config.user"):
        made({"connect_attempts": 2}, password="s3cret-but-wrong").probe()


def test_a_stop_ends_the_attempts_to_connect(made: Any) -> None:
    db = made({"connect_attempts": 100}, port=free_port())
    stopping = threading.Timer(0.5, db.interrupt)
    stopping.start()
    begun = time.monotonic()
    with pytest.raises(ConnectorError, match=r"interrupted while connecting to |refused"):  # between two, or in one
        db.probe()
    stopping.join()
    assert time.monotonic() - begun < 25


def test_an_unknown_database(made: Any, driver: str) -> None:
    with told(driver, "nope", "check config.database" if driver == "postgres" else ""):
        made(database="nope").probe()


def test_an_unknown_table(made: Any, driver: str) -> None:
    with told(driver, "query failed: .*nope", "check the table's name"):
        made().read("SELECT * FROM nope")


def test_an_unknown_column(made: Any, driver: str) -> None:
    with told(driver, "query failed: .*nope", "check the column's name"):
        made().read("SELECT nope FROM information_schema.tables")


def test_a_syntax_error(made: Any, driver: str) -> None:
    with told(driver, "statement 2 of 2 failed: ", "check the SQL near the words quoted"):
        made().script("SELECT 1; SELEC 2")


@pytest.mark.parametrize("way", ["read", "script", "csv"])
def test_a_statement_that_takes_too_long(made: Any, driver: str, way: str) -> None:
    slow = {
        "postgres": "SELECT count(*), 1 FROM generate_series(1, 1000000000)",
        "mysql": "SELECT count(*), 1 FROM seq_1_to_1000000 a, seq_1_to_1000000 b WHERE a.seq + b.seq = 0",
    }[driver]
    db = made({"statement_timeout": 0.3})
    begun = time.monotonic()
    with told(driver, "timeout|max_statement_time", "raise options.statement_timeout"):
        if way == "csv" and driver == "postgres":
            from aetherflow.core.api import CsvFormat

            with db.stream_csv(slow, dialect=CsvFormat()) as blocks:
                list(blocks.blocks())
        else:
            getattr(db, "script" if way == "script" else "read")(slow)
    assert time.monotonic() - begun < 20
    assert db.read("SELECT 1")[1] == [(1,)]


def reraise(error: ConnectorError) -> None:
    raise error


def test_a_deadlock(made: Any, driver: str) -> None:
    db = made()
    db.script("CREATE TABLE dead (id int primary key, n int); INSERT INTO dead VALUES (1, 0), (2, 0)")
    engaged = threading.Barrier(2, timeout=30)
    errors: list[ConnectorError] = []

    def cross(first: int, second: int) -> None:
        try:
            with db.transaction() as tx:
                tx.execute("UPDATE dead SET n = n + 1 WHERE id = :id", {"id": first})
                engaged.wait()
                tx.execute("UPDATE dead SET n = n + 1 WHERE id = :id", {"id": second})
        except ConnectorError as error:
            errors.append(error)

    threads = [threading.Thread(target=cross, args=pair) for pair in ((1, 2), (2, 1))]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        (error,) = errors
        with told(driver, "(?i)deadlock", "run the step again"):
            reraise(error)
        assert db.read("SELECT sum(n) AS n FROM dead")[1][0][0] == 2, "one of the two came true as a whole"
    finally:
        db.execute("DROP TABLE dead")


# Lost connections


def kill_others(driver: str, server: Database) -> None:
    """End all sessions of others, as a restart of the server would."""
    if driver == "postgres":
        where = {**place_of(server), "dbname": server.name}
        del where["database"]
        with psycopg.connect(**where) as connection:
            connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() "
                               "AND application_name = 'aetherflow'")  # fmt: skip
        return
    with pymysql.connect(**place_of(server)) as other, other.cursor() as cursor:
        cursor.execute("SELECT id FROM information_schema.processlist WHERE id <> connection_id() AND user = 'app'")
        for (number,) in cursor.fetchall():
            cursor.execute(f"KILL {number}")


def test_an_idle_connection_that_was_lost_is_opened_anew(made: Any, driver: str, server: Database) -> None:
    db = made()
    assert db.ping()
    kill_others(driver, server)
    assert db.read("SELECT 1")[1] == [(1,)]
    kill_others(driver, server)
    assert db.script("SELECT 1").affected_rows is None


def test_a_connection_lost_in_the_middle_is_told(made: Any, driver: str, server: Database) -> None:
    source = "generate_series(1, 3000000) g(n)" if driver == "postgres" else "(SELECT seq AS n FROM seq_1_to_3000000) g"
    db = made()
    with db.stream(f"SELECT n, 'some text' AS s FROM {source}", fetch_size=100) as rows:
        batches = rows.batches()
        next(batches)
        kill_others(driver, server)
        with told(driver, "fetching rows failed after [1-9][0-9,]*00 rows: ", "the connection was lost"):
            list(batches)
    assert db.ping()


def test_a_connection_lost_in_a_load_tells_what_was_sent(made: Any, driver: str, server: Database) -> None:
    db = made()
    db.execute("CREATE TABLE sent (a int)")

    def numbers() -> Iterator[bytes]:
        yield b"1\n" * 500
        kill_others(driver, server)
        while True:
            yield b"2\n" * 5000

    try:
        sent = "failed after [1-9][0-9,]* (bytes|rows): "
        with told(driver, sent, "the connection was lost"), db.transaction() as tx:
            if driver == "postgres":
                tx.copy_in("COPY sent FROM STDIN", numbers())
            else:
                tx.executemany("INSERT INTO sent VALUES (:a)", [{"a": number} for number in range(500)])
                kill_others(driver, server)
                tx.executemany("INSERT INTO sent VALUES (:a)", [{"a": 1}])
        with told(driver, "commit failed after 3 rows: ", "nobody can tell"), db.transaction() as tx:
            tx.executemany("INSERT INTO sent VALUES (:a)", [{"a": number} for number in range(3)])
            kill_others(driver, server)
        assert db.read("SELECT a FROM sent")[1] == []
    finally:
        db.execute("DROP TABLE sent")


def test_a_connection_lost_in_a_transaction_leaves_nothing(made: Any, driver: str, server: Database) -> None:
    db = made()
    db.execute("CREATE TABLE lost (a int)")
    try:
        with told(driver, "failed", "the connection was lost"), db.transaction() as tx:
            tx.execute("INSERT INTO lost VALUES (1)")
            kill_others(driver, server)
            tx.execute("INSERT INTO lost VALUES (2)")
        assert db.read("SELECT a FROM lost")[1] == []
    finally:
        db.execute("DROP TABLE lost")


# Rules of the connection


def test_read_only_refuses_everything_that_writes(made: Any, driver: str) -> None:
    db = made(read_only=True)
    with told(driver, "read_only", "without read_only"):
        db.execute("CREATE TABLE t (a int)")
    with told(driver, "read_only", "without read_only"), db.transaction():
        pass
    assert db.read("SELECT 1")[1] == [(1,)]


def test_the_session_begins_with_init_sql_and_ends_clean(made: Any, driver: str) -> None:
    statement, question, value = {
        "postgres": ("SET search_path TO pg_catalog", "SHOW search_path", "pg_catalog"),
        "mysql": ("SET @mark = 'x'", "SELECT @mark AS m", "x"),
    }[driver]
    db = made({"init_sql": statement, "pool": {"size": 1}})
    assert db.read(question)[1] == [(value,)]
    temporary = "CREATE TEMPORARY TABLE gone (a int)"
    db.execute(temporary)
    db.execute(temporary)  # not in the session of the first
    assert db.read(question)[1] == [(value,)]


def test_more_connections_than_allowed_is_told(made: Any, driver: str) -> None:
    db = made({"pool": {"size": 1, "max_overflow": 0}, "connect_timeout": 2})
    with db.stream("SELECT 1 AS a"), told(driver, "all 1 connections are in use", "options.pool.max_overflow"):
        db.read("SELECT 1")
    assert db.read("SELECT 1")[1] == [(1,)]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"url": "ftp://x"}, "url must begin with"),
        ({"user": "a", "username": "b"}, "user and username are both given and differ"),
        ({"database": "a", "dbname": "b"}, "database and dbname are both given and differ"),
        ({"port": 70000}, "port"),
        ({"ssl": {"mode": "sometimes"}}, "ssl"),
    ],
)
def test_settings_that_cannot_be(made: Any, config: dict[str, Any], message: str) -> None:
    with pytest.raises(ConnectorError, match=message):
        made(**config)


def test_a_url_says_all(driver: str, server: Database) -> None:
    scheme = {"postgres": "postgresql+psycopg", "mysql": "mysql+pymysql"}[driver]
    url = f"{scheme}://{server.user}:{server.password}@{server.host}:{server.port}/{server.name}"
    with CLASSES[driver](ConnectorInit("wh", "db", driver, {"url": url}, {})) as db:
        assert db.ping()


def test_pool_options_of_older_flows(made: Any) -> None:
    pooling = made({"pool_size": 2, "pool_pre_ping": "false", "pool": {"max_overflow": 1}}).opts.pooling
    assert (pooling.size, pooling.max_overflow, pooling.pre_ping) == (2, 1, False)


def fill_and_fail(db: Any) -> None:
    with db.transaction() as tx:
        tx.executemany("INSERT INTO tx VALUES (:a, :s)", [{"a": n, "s": "100%"} for n in range(10)])
        assert tx.read("SELECT count(*) AS n FROM tx WHERE s LIKE '100%'") == (["n"], [(10,)])
        raise ZeroDivisionError


def test_a_transaction_is_all_or_nothing(made: Any, driver: str) -> None:
    db = made()
    db.execute("CREATE TABLE tx (a int, s varchar(10))")
    try:
        with pytest.raises(ZeroDivisionError):
            fill_and_fail(db)
        assert db.read("SELECT a FROM tx")[1] == []
        assert db.executemany("INSERT INTO tx VALUES (:a, NULL)", ({"a": n} for n in range(3))) == 3
        with db.transaction() as tx:
            assert tx.execute("DELETE FROM tx WHERE a > :a", {"a": 0}) == 2
        assert db.read("SELECT a FROM tx")[1] == [(0,)]
    finally:
        db.execute("DROP TABLE tx")


def test_a_failed_statement_that_was_swallowed_commits_nothing(postgres: Database) -> None:
    with PostgresConnector(ConnectorInit("wh", "db", "postgres", place_of(postgres), {})) as db:
        with told("postgres", "commit failed: a statement failed before", ""), db.transaction() as tx:
            tx.execute("CREATE TABLE never (a int)")
            with pytest.raises(ConnectorError):
                tx.execute("SELECT * FROM nope")
        with told("postgres", "never", ""):
            db.read("SELECT * FROM never")


def test_rows_come_in_as_a_stream(postgres: Database) -> None:
    db = PostgresConnector(ConnectorInit("wh", "db", "postgres", place_of(postgres), {}))
    with db, db.transaction() as tx:
        assert isinstance(tx, CopyTransaction)
        tx.execute("CREATE TABLE streamed (a int, s text)")
        assert tx.copy_in("COPY streamed FROM STDIN (FORMAT csv)", iter([b"1,x\n2,", b"\n"])) == 2
        assert tx.read("SELECT * FROM streamed ORDER BY a")[1] == [(1, "x"), (2, None)]
        tx.execute("DROP TABLE streamed")


def test_mysql_reads_its_own_quotes_and_comments(mariadb: Database) -> None:
    sql = r"SELECT 'it\'s :n' AS a, ':n' AS b, :n AS c # :n ;" + "\n, '\\\\' AS d"
    with MySQLConnector(ConnectorInit("wh", "db", "mysql", place_of(mariadb), {})) as db:
        assert db.read(sql, {"n": 5})[1] == [("it's :n", ":n", 5, "\\")]
        assert db.read("SELECT 5 % 3 AS m, '%s' AS p WHERE 1 IN :ids", {"ids": [1, 2]})[1] == [(2, "%s")]
