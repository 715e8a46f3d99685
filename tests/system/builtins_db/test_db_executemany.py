"""`executemany` of the servers takes rows as they come: a generator may yield more of them than memory holds."""

import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest

from aetherflow.core.api import ConnectorError, ConnectorInit
from aetherflow_builtins_db.connectors.mysql.connector import MySQLConnector
from aetherflow_builtins_db.connectors.postgres.connector import PostgresConnector
from aetherflow_builtins_db.connectors.sqlalchemy.connector import SQLAlchemyConnector
from db_places import Place, mysql_by_url, mysql_place, postgres_place

ROWS, TEXT_BYTES = 30_000, 1_500
INSERT = "INSERT INTO many VALUES (:a, :s)"


@pytest.fixture(params=["postgres", "mysql", "sqlalchemy"])
def db(request: pytest.FixtureRequest) -> Iterator[Any]:
    """A connector with the table `many`."""
    place: Place
    if request.param == "postgres":
        place = postgres_place(request.getfixturevalue("postgres"), "executemany")
    else:
        make = mysql_place if request.param == "mysql" else mysql_by_url
        place = make(request.getfixturevalue("mariadb"))
    cls: Any = {"postgres": PostgresConnector, "mysql": MySQLConnector, "sqlalchemy": SQLAlchemyConnector}[place.driver]
    with cls(ConnectorInit("wh", "db", place.driver, place.resource["config"], {})) as made:
        made.execute("CREATE TABLE many (a int PRIMARY KEY, s text)")
        yield made


def test_rows_are_not_gathered_before_they_are_sent(db: Any) -> None:
    tracemalloc.start()
    try:
        made = ({"a": number, "s": f"{number:{TEXT_BYTES}}"} for number in range(ROWS))
        assert db.executemany(INSERT, made) == ROWS
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert db.read("SELECT count(*) AS n, max(a) AS m FROM many")[1] == [(ROWS, ROWS - 1)]
    assert peak < ROWS * TEXT_BYTES * 0.9, f"{peak / 1e6:.0f} MB at once"


def test_a_failure_far_behind_undoes_all_and_tells_how_far_it_came(db: Any) -> None:
    made = ({"a": min(number, 20_000), "s": "x"} for number in range(20_010))
    with pytest.raises(ConnectorError, match="statement failed after 20,000 rows"):
        db.executemany(INSERT, made)
    assert db.read("SELECT a FROM many")[1] == []


def test_no_rows_are_nothing(db: Any) -> None:
    assert db.executemany(INSERT, iter(())) == 0
