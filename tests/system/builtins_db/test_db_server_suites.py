"""The contract suite over the connectors of database servers, on real ones."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from aetherflow_builtins_db.connectors.exasol.connector import ExasolConnector
from aetherflow_builtins_db.connectors.mysql.connector import MySQLConnector
from aetherflow_builtins_db.connectors.postgres.connector import PostgresConnector
from aetherflow_builtins_db.connectors.sqlalchemy.connector import SQLAlchemyConnector
from db_places import mysql_place, new_database
from db_suite import OwnSqlSuite
from exasol_standin import ExasolStandIn
from services import Database
from svc import free_port

SEQUENCE = "SELECT seq AS n FROM seq_1_to_{count}"
ENDLESS = "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT count(*) FROM r"
# DEC is a reserved word there.
MYSQL_PARAMS = {"money" if name == "dec" else name: value for name, value in OwnSqlSuite.VALUES.items()}
HELD = """SELECT count(*) AS n FROM pg_locks JOIN pg_database d ON d.oid = database
WHERE locktype = 'advisory' AND datname = current_database()"""
POSTGRES_CHANGES = [
    ("SELECT set_config('search_path', 'pg_catalog', false)", "SELECT current_setting('search_path') AS found"),
    ("SET lc_time = 'C'; CREATE TEMPORARY TABLE gathered (a int)",
     "SELECT current_setting('lc_time') AS a, to_regclass('gathered') IS NULL AS b"),
    ("SELECT 1 AS a INTO TEMPORARY gathered", "SELECT to_regclass('gathered') IS NULL AS found"),
    ("SELECT pg_advisory_lock(7)", HELD),
]  # fmt: skip
MYSQL_CHANGES = [
    ("SELECT @note := 7", "SELECT @note IS NULL AS found"),
    ("SET @@div_precision_increment = 9", "SELECT @@div_precision_increment AS found"),
    ("SELECT GET_LOCK('suite', 1)", "SELECT IS_USED_LOCK('suite') IS NULL AS found"),
]
MYSQL_VALUES = {"t": 1, "d": "2024-02-29", "ts": "2024-02-29 01:02:03.000004"}


class ServerSuite(OwnSqlSuite):
    """Every test has a schema of its own on the shared server."""

    place_of_server: dict[str, Any]

    def config(self, place: Path) -> dict[str, Any]:
        return dict(self.place_of_server)

    def unreachable(self, place: Path) -> dict[str, Any]:
        return {**self.place_of_server, "port": free_port()}


def settings(database: Database) -> dict[str, Any]:
    return {
        "host": database.host,
        "port": database.port,
        "user": database.user,
        "password": database.password,
        "database": database.name,
    }


@pytest.fixture
def own_postgres(postgres: Database) -> Database:
    return new_database(postgres, "suite")


@pytest.fixture
def own_mariadb(mariadb: Database) -> Database:
    mysql_place(mariadb)  # what other tests have left there goes
    return mariadb


class TestPostgres(ServerSuite):
    connector = PostgresConnector
    name = "db.postgres"
    endless = ENDLESS
    session_changes: ClassVar = POSTGRES_CHANGES

    @pytest.fixture(autouse=True)
    def _server(self, own_postgres: Database) -> None:
        self.place_of_server = settings(own_postgres)


class TestMySQL(ServerSuite):
    connector = MySQLConnector
    name = "db.mysql"
    endless = "SELECT count(*) FROM seq_1_to_1000000 a, seq_1_to_1000000 b WHERE a.seq + b.seq = 0"
    sequence = SEQUENCE
    VALUES: ClassVar = MYSQL_PARAMS
    changed_values: ClassVar = MYSQL_VALUES
    session_changes: ClassVar = MYSQL_CHANGES

    @pytest.fixture(autouse=True)
    def _server(self, own_mariadb: Database) -> None:
        self.place_of_server = settings(own_mariadb)


class TestExasol(ServerSuite):
    """Against the protocol's stand-in: the SQL and the types are DuckDB's."""

    connector = ExasolConnector
    name = "db.exasol"
    endless = "SELECT count(*) FROM range(100000000000) a, range(100000) b"
    names_are_upper = True
    has_returning = False
    # There is no binary type.
    VALUES: ClassVar = {name: value for name, value in OwnSqlSuite.VALUES.items() if name != "b"}

    @pytest.fixture(autouse=True)
    def _server(self, exasol: ExasolStandIn) -> Iterator[None]:
        self.place_of_server = {
            "host": exasol.host, "port": exasol.port, "user": exasol.user, "password": exasol.password,
            "schema": exasol.schema, "ssl": "disable",
        }  # fmt: skip
        yield
        for table in ("t", "u"):
            exasol.db.execute(f"DROP TABLE IF EXISTS {exasol.schema}.{table}")


class UrlSuite(ServerSuite):
    connector = SQLAlchemyConnector
    name = "db.sqlalchemy"
    scheme: ClassVar[str]

    def unreachable(self, place: Path) -> dict[str, Any]:
        return {"url": f"{self.scheme}://app:wrong@127.0.0.1:{free_port()}/none"}

    def url(self, database: Database) -> dict[str, Any]:
        who = f"{database.user}:{database.password}@{database.host}:{database.port}"
        return {"url": f"{self.scheme}://{who}/{database.name}"}


class TestSQLAlchemyOnPostgres(UrlSuite):
    scheme = "postgresql+psycopg"
    endless = ENDLESS
    session_changes: ClassVar = POSTGRES_CHANGES

    @pytest.fixture(autouse=True)
    def _server(self, own_postgres: Database) -> None:
        self.place_of_server = self.url(own_postgres)


class TestSQLAlchemyOnMariaDB(UrlSuite):
    scheme = "mysql+pymysql"
    endless = TestMySQL.endless
    sequence = SEQUENCE
    VALUES: ClassVar = MYSQL_PARAMS
    changed_values: ClassVar = MYSQL_VALUES
    session_changes: ClassVar = MYSQL_CHANGES

    @pytest.fixture(autouse=True)
    def _server(self, own_mariadb: Database) -> None:
        self.place_of_server = self.url(own_mariadb)


class TestSQLAlchemyOnSQLite(OwnSqlSuite):
    connector = SQLAlchemyConnector
    name = "db.sqlalchemy"
    endless = ENDLESS
    changed_values: ClassVar = {"t": 1, "d": "2024-02-29", "dec": "0.10", "ts": "2024-02-29 01:02:03.000004"}

    def config(self, place: Path) -> dict[str, Any]:
        return {"url": f"sqlite:///{place}/wh.db"}

    def options(self, place: Path) -> dict[str, Any]:
        return {"init_sql": "PRAGMA journal_mode = wal"}  # else SQLite lets nobody write while somebody reads

    def unreachable(self, place: Path) -> dict[str, Any]:
        return {"url": f"sqlite:///{place}/none/none.db"}
