"""What goes wrong at a database while a step writes: one line that says what, where, and what to do."""

import contextlib
import threading
import time
from typing import Any

import psycopg
import pymysql
import pytest
from db_load_errors import CREATE, given, told

from db_places import Place, settings
from proxy import Proxy

pytestmark = pytest.mark.slow
SERVERS = ["postgres", "mysql"]


def other_session(place: Place) -> Any:
    """A connection beside the step's."""
    assert place.server is not None
    if place.driver == "mysql":
        return pymysql.connect(**settings(place.server))
    where = settings(place.server)
    return psycopg.connect(dbname=where.pop("database"), **where)


@pytest.fixture
def ready(anywhere: Any) -> Any:
    anywhere.sql(CREATE)
    return anywhere


@pytest.mark.parametrize("place", SERVERS, indirect=True)
def test_a_lock_that_is_not_given_back(ready: Any) -> None:
    limit = {"postgres": "SET lock_timeout = '1s'", "mysql": "SET SESSION innodb_lock_wait_timeout = 1"}
    ready.resources["wh"]["options"] = {"init_sql": [limit[ready.place.driver]]}
    ready.sql("INSERT INTO t VALUES (1, 'old')")
    with contextlib.closing(other_session(ready.place)) as other:
        cursor = other.cursor()
        cursor.execute("UPDATE t SET s = 'held' WHERE a = 1")
        ran = ready.run(step={**given(ready), "mode": "merge", "keys": ["a"]})
        told(ran, "wh", "ock", "timeout", fix="retry")
        other.rollback()
    assert ready.rows("SELECT a, s FROM t") == [[1, "old"]]


@pytest.mark.parametrize("place", SERVERS, indirect=True)
def test_a_deadlock(ready: Any) -> None:
    """The other session holds row 2 and wants row 1, the step holds row 1 and wants row 2; one of them is chosen."""
    ready.sql("INSERT INTO t VALUES (1, 'old'), (2, 'old')")
    pause = {"postgres": "SELECT pg_sleep(2)", "mysql": "DO SLEEP(2)"}[ready.place.driver]
    script = f"UPDATE t SET s = 'b' WHERE a = 1; {pause}; UPDATE t SET s = 'b' WHERE a = 2"
    lost: list[BaseException] = []
    holds = threading.Event()

    def other() -> None:
        with contextlib.closing(other_session(ready.place)) as session:
            cursor = session.cursor()
            if ready.place.driver == "mysql":  # InnoDB gives up the one that changed less
                cursor.execute("CREATE TABLE u (a INTEGER)")
                cursor.execute("INSERT INTO u SELECT seq FROM seq_1_to_1000")
            else:  # PostgreSQL the one that notices
                cursor.execute("SET deadlock_timeout = '60s'")
            cursor.execute("UPDATE t SET s = 'a' WHERE a = 2")
            holds.set()
            time.sleep(1)
            try:
                cursor.execute("UPDATE t SET s = 'a' WHERE a = 1")
                session.commit()
            except (psycopg.Error, pymysql.MySQLError) as error:
                lost.append(error)

    thread = threading.Thread(target=other)
    thread.start()
    assert holds.wait(60)
    ran = ready.run(step={"type": "db_execute", "sql": script})
    thread.join()
    assert lost == []
    told(ran, "statement 3 of 3", "eadlock", fix="retry")
    assert ready.rows("SELECT s FROM t ORDER BY a") == [["a"], ["a"]]


@pytest.mark.parametrize("place", SERVERS, indirect=True)
def test_the_server_goes_away_in_the_middle(ready: Any) -> None:
    rows = "a,s\n" + "".join(f"{number},{'x' * 30}\n" for number in range(20_000))
    step = given(ready, rows)
    with Proxy(ready.place.server.port, up=200_000, faults=None) as proxy:
        ready.resources["wh"]["config"] = {**ready.resources["wh"]["config"], "port": proxy.port}
        ran = ready.run(step=step)
    ready.resources["wh"]["config"]["port"] = ready.place.server.port
    told(ran, "resource wh", fix="connection was lost")
    assert ready.rows("SELECT count(*) AS n FROM t") == [[0]]
    ready.one(**step)
    assert ready.rows("SELECT count(*) AS n FROM t") == [[20_000]]


@pytest.mark.parametrize("place", ["postgres"], indirect=True)
def test_no_right_to_write(ready: Any) -> None:
    with contextlib.closing(other_session(ready.place)) as other:
        cursor = other.cursor()
        cursor.execute("CREATE USER reader PASSWORD 'r3ader'")
        cursor.execute("GRANT SELECT ON t TO reader")
        other.commit()
        ready.resources["wh"]["config"] |= {"user": "reader", "password": "r3ader"}
        ran = ready.run(step={**given(ready), "mode": "truncate"})
        told(ran, "resource wh", "denied", fix="right")
        cursor.execute("DROP OWNED BY reader")
        cursor.execute("DROP USER reader")
        other.commit()
