"""Failures of real servers are known by their codes: also where the server speaks another language."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from aetherflow.core.api import ConnectorError, ConnectorInit, CsvFormat
from aetherflow_builtins_db.connectors.mysql import pymysql_parts
from aetherflow_builtins_db.connectors.mysql.connector import MySQLConnector
from aetherflow_builtins_db.connectors.postgres.connector import PostgresConnector
from aetherflow_builtins_db.connectors.sqlalchemy.connector import SQLAlchemyConnector
from aetherflow_builtins_db.database import Database as AnyDatabase
from aetherflow_builtins_db.failures import DatabaseError, Failure
from aetherflow_builtins_db.loading.ledger import LoadLedger
from db_places import settings
from services import Database

GERMAN = "SET SESSION lc_messages = 'de_DE'"
SLOW = {
    "postgres": "SELECT count(*) FROM generate_series(1, 1000000000)",
    "mysql": "SELECT count(*) FROM seq_1_to_1000000 a, seq_1_to_1000000 b WHERE a.seq + b.seq = 0",
}


@contextmanager
def opened(driver: str, server: Database, *, through_sqlalchemy: bool = False, **options: Any) -> Iterator[Any]:
    if driver == "mysql":
        options["init_sql"] = GERMAN
    if through_sqlalchemy:
        scheme = {"postgres": "postgresql+psycopg", "mysql": "mysql+pymysql"}[driver]
        place = f"{server.user}:{server.password}@{server.host}:{server.port}/{server.name}"
        init = ConnectorInit("wh", "db", "sqlalchemy", {"url": f"{scheme}://{place}"}, options)
        with SQLAlchemyConnector(init) as db:
            yield db
        return
    made: Any = {"postgres": PostgresConnector, "mysql": MySQLConnector}[driver]
    with made(ConnectorInit("wh", "db", driver, settings(server), options)) as db:
        yield db


@pytest.fixture(params=["postgres", "mysql"])
def driver(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def server(request: pytest.FixtureRequest, driver: str) -> Database:
    found: Database = request.getfixturevalue({"postgres": "postgres", "mysql": "mariadb"}[driver])
    return found


@contextmanager
def told(kind: Failure) -> Iterator[pytest.ExceptionInfo[DatabaseError]]:
    with pytest.raises(DatabaseError) as caught:
        yield caught
    assert caught.value.failure is kind, caught.value


@pytest.mark.parametrize("through_sqlalchemy", [False, True])
def test_statements_that_fail(driver: str, server: Database, *, through_sqlalchemy: bool) -> None:
    with opened(driver, server, through_sqlalchemy=through_sqlalchemy) as db:
        db.execute("DROP TABLE IF EXISTS kinds")
        db.execute("CREATE TABLE kinds (a int primary key, b int not null)")
        db.execute("INSERT INTO kinds VALUES (1, 1)")
        try:
            with told(Failure.UNIQUE_VIOLATION) as caught:
                db.execute("INSERT INTO kinds VALUES (1, 2)")
            if driver == "mysql":
                assert "Doppelter Eintrag" in str(caught.value)
            with told(Failure.CONSTRAINT):
                db.execute("INSERT INTO kinds VALUES (2, NULL)")
            with told(Failure.NO_TABLE):
                db.read("SELECT * FROM no_such_table")
            with told(Failure.NO_COLUMN):
                db.read("SELECT no_such_column FROM kinds")
            with told(Failure.SYNTAX):
                db.execute("DELETE FROM FROM kinds")
        finally:
            db.execute("DROP TABLE kinds")


@pytest.mark.parametrize("through_sqlalchemy", [False, True])
def test_a_statement_out_of_time(driver: str, server: Database, *, through_sqlalchemy: bool) -> None:
    with opened(driver, server, through_sqlalchemy=through_sqlalchemy, statement_timeout=0.3) as db:
        with told(Failure.STATEMENT_TIMEOUT) as caught:
            db.read(SLOW[driver])
        assert "options.statement_timeout" in caught.value.fix


def test_a_wrong_password(driver: str, server: Database) -> None:
    wrong = {**settings(server), "password": "not-this-one"}
    made: Any = {"postgres": PostgresConnector, "mysql": MySQLConnector}[driver]
    with told(Failure.LOGIN), made(ConnectorInit("wh", "db", driver, wrong, {"connect_attempts": 1})) as db:
        db.probe()


def test_a_second_claim_of_a_load_is_a_duplicate_key(driver: str, server: Database) -> None:
    """What `db_load` decides on: that another process has entered the same load."""
    with opened(driver, server) as db:
        ledger = LoadLedger(AnyDatabase(db), "kinds", "kinds")
        ledger.create()
        try:
            with db.transaction() as tx:
                ledger.claim(tx, "first")
            with told(Failure.UNIQUE_VIOLATION), db.transaction() as tx:
                ledger.claim(tx, "second")
        finally:
            db.execute("DELETE FROM aetherflow_loads WHERE load_id = 'kinds'")


# PyMySQL's private parts


def test_mysql_by_the_public_way_of_its_driver(mariadb: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a version of PyMySQL that nobody has tried: the same rows, no type that may be wrong."""
    sql = (
        "SELECT CAST(seq AS SIGNED) AS n, seq % 3 AS small, CAST(seq / 4 AS DECIMAL(10, 2)) AS amount, 1e0 * seq AS f, "
        "CONCAT('n', seq) AS s, UNHEX('ff00') AS raw, DATE '2026-03-29' AS d, TIMESTAMP '2026-03-29 01:02:03' AS t, "
        "NULLIF(seq, 1) AS maybe FROM seq_1_to_30 ORDER BY seq"
    )

    def read() -> tuple[list[Any], list[str]]:
        with opened("mysql", mariadb) as db, db.stream(sql, fetch_size=7) as rows:
            return [row for batch in rows.batches() for row in batch], [str(column.type) for column in rows.columns]

    expected, types = read()
    monkeypatch.setattr(pymysql_parts, "_TRIED", ())
    found, public_types = read()
    assert found == expected
    assert len(found) == 30
    assert all(public in {kind, "unknown"} for public, kind in zip(public_types, types, strict=True))
    assert public_types[4:8] == ["unknown", "unknown", "date", "datetime"]
    with opened("mysql", mariadb) as db:
        assert db.stream_csv(sql, dialect=CsvFormat()) is None
        with db.stream(sql, fetch_size=7) as rows:
            next(rows.batches())
        assert db.ping()
        assert db.execute("DO 1") >= -1
        with pytest.raises(ConnectorError):
            db.read("SELECT * FROM no_such_table")
