"""A server that does not answer any more: given up in time, ended on the server, and never in the way of a stop."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from typing import Any

import psycopg
import pymysql
import pytest

from aetherflow.core.api import ConnectorError, ConnectorInit, CsvFormat
from aetherflow_builtins_db.connectors.common import server as server_base
from aetherflow_builtins_db.connectors.exasol.connector import ExasolConnector
from aetherflow_builtins_db.connectors.mysql.connector import MySQLConnector
from aetherflow_builtins_db.connectors.mysql.limits import Login
from aetherflow_builtins_db.connectors.postgres.connector import PostgresConnector
from db_places import settings
from exasol_standin import ExasolStandIn
from proxy import Proxy
from services import Database

CLASSES: dict[str, Any] = {"postgres": PostgresConnector, "mysql": MySQLConnector}
pytestmark = pytest.mark.xdist_group("waiting")  # one worker waits, while the others work
PATIENCE_SECONDS = 25
"""A busy machine has that long for what takes two or three seconds."""


@pytest.fixture(params=list(CLASSES))
def driver(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def server(request: pytest.FixtureRequest, driver: str) -> Database:
    found: Database = request.getfixturevalue({"postgres": "postgres", "mysql": "mariadb"}[driver])
    return found


@contextmanager
def behind(driver: str, server: Database, options: dict[str, Any], **faults: Any) -> Iterator[tuple[Any, Proxy]]:
    """A connector, and the proxy between it and the server."""
    with Proxy(server.port, how="stall", **faults) as proxy:
        config = {**settings(server), "port": proxy.port}
        given = {"connect_timeout": 2, "connect_attempts": 1, **options}
        with CLASSES[driver](ConnectorInit("wh", "db", driver, config, given)) as db:
            yield db, proxy


@contextmanager
def soon(what: str) -> Iterator[None]:
    begun = time.monotonic()
    yield
    assert time.monotonic() - begun < PATIENCE_SECONDS, what


def look(server: Database, driver: str, sql: str) -> Any:
    """One value, asked on a connection of its own."""
    place = settings(server)
    if driver == "postgres":
        place["dbname"] = place.pop("database")
        with psycopg.connect(**place) as connection:
            connection.execute("SET lock_timeout = '20s'")
            cursor = connection.execute(sql.encode())
            row = cursor.fetchone() if cursor.description else None
            return row[0] if row else None
    with closing(pymysql.connect(**place)) as other, other.cursor() as cursor:
        cursor.execute(sql)
        return (cursor.fetchone() or [None])[0]


def stall_now(proxy: Proxy, direction: str) -> None:
    """From the next byte on nothing passes."""
    proxy.cut[direction] = 0


def insert_and_stall(db: Any, proxy: Proxy, first: str, *others: str) -> None:
    """One transaction whose server falls silent after the first statement."""
    with db.transaction() as tx:
        tx.execute(first)
        stall_now(proxy, "down")
        for each in others:
            tx.execute(each)


READS: dict[str, Callable[[Any, str], object]] = {
    "read": lambda db, sql: db.read(sql),
    "stream": lambda db, sql: list(db.stream(sql).batches()),
    "csv": lambda db, sql: list(db.stream_csv(sql, dialect=CsvFormat()).blocks()),
    "script": lambda db, sql: db.script(sql),
}


@pytest.mark.parametrize(("way", "direction"), [("read", "up"), ("stream", "down"), ("csv", "down"), ("script", "up")])
def test_silence_in_the_middle_is_told(server: Database, driver: str, way: str, direction: str) -> None:
    if way == "csv" and driver == "mysql":
        way = "script"
    options = {"read_timeout": 1, "pool": {"pre_ping": False}}
    with behind(driver, server, options) as (db, proxy):
        assert db.read("SELECT 1")[1] == [(1,)]
        stall_now(proxy, direction)
        with soon("the server was waited for"), pytest.raises(ConnectorError) as caught:
            READS[way](db, "SELECT 1 AS a, 2 AS b")
        text = str(caught.value)
        assert "failed: " in text
        assert ("silent for 1 s" if driver == "postgres" else "timed out") in text
        assert f"127.0.0.1:{proxy.port}" in text
        assert "options.read_timeout" in caught.value.fix
        proxy.reconnect()
        assert db.read("SELECT 1")[1] == [(1,)], "the next call has a new connection"


def test_silence_at_the_login_is_a_failed_connect(server: Database, driver: str) -> None:
    for direction, at in (("down", 10), ("up", 40)):
        with (
            behind(driver, server, {}, faults=None, **{direction: at}) as (db, proxy),
            soon("the login was waited for"),
            pytest.raises(ConnectorError, match=f"connecting to app@127.0.0.1:{proxy.port}"),
        ):
            db.read("SELECT 1")


def test_a_login_that_is_done_just_when_its_time_is_over_has_failed(
    mariadb: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The timer had ended the connection: it is not handed out for a first statement to find it broken."""
    close = Login.close

    def closed(login: Login) -> None:
        login._end()
        close(login)

    monkeypatch.setattr(Login, "close", closed)
    options = {"connect_timeout": 20, "connect_attempts": 1}
    with MySQLConnector(ConnectorInit("wh", "db", "mysql", settings(mariadb), options)) as db:
        with pytest.raises(ConnectorError, match="the login was not done within 20 s"):
            db.read("SELECT 1")
        monkeypatch.undo()
        assert db.read("SELECT 1")[1] == [(1,)]


def test_by_default_the_limit_comes_from_statement_timeout(server: Database, driver: str) -> None:
    def limit(**options: Any) -> float | None:
        made = CLASSES[driver](ConnectorInit("wh", "db", driver, settings(server), options))
        found: float | None = made.silence_limit
        return found

    assert limit() is None
    assert limit(statement_timeout=60) == 75
    assert limit(statement_timeout=60, read_timeout=0) is None
    assert limit(read_timeout=5) == 5


def test_a_slow_statement_is_no_silence_without_a_limit(server: Database, driver: str) -> None:
    sleep = "SELECT 1 AS a FROM (SELECT pg_sleep(3)) s" if driver == "postgres" else "SELECT SLEEP(3) + 1 AS a"
    with behind(driver, server, {}) as (db, _):
        assert db.read(sleep)[1] == [(1,)]


def test_the_session_of_a_lost_connection_is_ended_on_the_server(server: Database, driver: str) -> None:
    """Else the server would keep the locks that the next try needs, for the hours until it looks for its client."""
    with behind(driver, server, {"read_timeout": 1, "pool": {"pre_ping": False}}) as (db, proxy):
        db.execute("DROP TABLE IF EXISTS held")
        db.execute("CREATE TABLE held (a int)")
        db.close()
        proxy.connections = 0  # the next one is the first again, the one with the fault
        with soon("the server was waited for"), pytest.raises(ConnectorError):
            insert_and_stall(db, proxy, "INSERT INTO held VALUES (1)", "INSERT INTO held VALUES (2)")
        # The stalled connection still stands; an exclusive lock is there for the asking all the same.
        with soon("a lock was held"):
            look(server, driver, "TRUNCATE TABLE held")
        assert look(server, driver, "SELECT count(*) FROM held") == 0
        proxy.reconnect()
        db.execute("DROP TABLE held")


@pytest.mark.parametrize("moved", [False, True])
def test_only_the_server_of_a_session_is_told_to_end_it(mariadb: Database, moved: bool) -> None:
    """An address may lead to one server today and to another tomorrow, where the number is an innocent's."""
    root = replace(mariadb, user="root", password="")
    lives = "SELECT count(*) FROM information_schema.processlist WHERE id = {}"
    usual = look(root, "mysql", "SELECT @@server_id")
    with behind("mysql", mariadb, {"read_timeout": 1, "pool": {"pre_ping": False}}) as (db, proxy):
        number: Any = None
        try:
            with suppress(ConnectorError), db.transaction() as tx:
                number = tx.read("SELECT connection_id()")[1][0][0]
                if moved:
                    look(root, "mysql", f"SET GLOBAL server_id = {usual + 1}")
                stall_now(proxy, "down")
                tx.execute("DO 1")
            deadline = time.monotonic() + (0.5 if moved else PATIENCE_SECONDS)
            while (count := look(root, "mysql", lives.format(number))) and time.monotonic() < deadline:
                time.sleep(0.05)
            assert count == int(moved)
        finally:
            look(root, "mysql", f"SET GLOBAL server_id = {usual}")
            if moved:
                look(root, "mysql", f"KILL CONNECTION {number}")


@pytest.mark.parametrize("way", ["csv", "script"])
def test_a_stop_does_not_wait_for_a_silent_server(
    server: Database, driver: str, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No limit is set, and not even a cancel gets through: the connection breaks."""
    monkeypatch.setattr(server_base, "_BREAK_SECONDS", 1.0)
    if way == "csv" and driver == "mysql":
        way = "stream"
    errors: list[str] = []
    with behind(driver, server, {"pool": {"pre_ping": False}}, faults=None) as (db, proxy):
        assert db.ping()
        stall_now(proxy, "down")

        def work() -> None:
            try:
                READS[way](db, "SELECT 1 AS a, 2 AS b")
            except ConnectorError as error:
                errors.append(str(error))

        waiting = threading.Thread(target=work, daemon=True)
        waiting.start()
        waiting.join(0.5)
        assert waiting.is_alive()
        with soon("interrupt waited for the server"):
            begun = time.monotonic()
            db.interrupt()
            assert time.monotonic() - begun < PATIENCE_SECONDS / 2, "whoever stops a run is not to wait"
            waiting.join(PATIENCE_SECONDS)
        assert not waiting.is_alive()
        assert len(errors) == 1
        assert f"127.0.0.1:{proxy.port}" in errors[0]


def test_copy_into_a_silent_server(postgres: Database) -> None:
    """The buffers on the way fill up, and nobody takes anything out of them."""
    with behind("postgres", postgres, {"read_timeout": 1}) as (db, proxy):
        db.execute("DROP TABLE IF EXISTS much")
        db.execute("CREATE TABLE much (s text)")
        db.close()
        proxy.connections = 0
        row = b"x" * 100_000 + b"\n"

        def rows() -> Iterator[bytes]:
            for number in range(1000):
                if number == 20:
                    stall_now(proxy, "up")
                yield row

        with (
            soon("the server was waited for"),
            pytest.raises(ConnectorError, match=r"copy failed after [\d,]+ bytes: the server has been silent"),
            db.transaction() as tx,
        ):
            tx.copy_in("COPY much FROM STDIN (FORMAT csv)", rows())
        assert look(postgres, "postgres", "SELECT count(*) FROM much") == 0
        with soon("a lock was held"):
            look(postgres, "postgres", "DROP TABLE much")


def test_a_lost_commit_says_that_nobody_knows(server: Database, driver: str) -> None:
    with behind(driver, server, {"read_timeout": 1}) as (db, proxy):
        db.execute("DROP TABLE IF EXISTS doubt")
        db.execute("CREATE TABLE doubt (a int)")
        db.close()
        proxy.connections = 0
        with pytest.raises(ConnectorError, match="commit failed") as caught:
            insert_and_stall(db, proxy, "INSERT INTO doubt VALUES (1)")
        assert "nobody can tell whether the server has committed" in caught.value.fix
        assert f"127.0.0.1:{proxy.port}" in str(caught.value)
        proxy.reconnect()
        db.execute("DROP TABLE doubt")


def test_exasol_is_given_up_too(exasol: ExasolStandIn) -> None:
    with Proxy(exasol.port, how="stall", faults=None) as proxy:
        place = {"host": exasol.host, "port": proxy.port, "user": exasol.user, "password": exasol.password}
        config = {**place, "schema": exasol.schema, "ssl": "disable"}
        options = {"read_timeout": 1, "connect_timeout": 2, "connect_attempts": 1, "pool": {"pre_ping": False}}
        with ExasolConnector(ConnectorInit("wh", "db", "exasol", config, options)) as db:
            assert db.read("SELECT 1")[1] == [(1,)]
            stall_now(proxy, "down")
            with soon("the cluster was waited for"), pytest.raises(ConnectorError, match=f":{proxy.port}") as caught:
                db.read("SELECT 1")
            assert "options.read_timeout" in caught.value.fix
