"""The ledger in a file, in what is a server to it, in PostgreSQL and in MariaDB: one suite."""

from pathlib import Path

import pytest

from db_places import mariadb_database, postgres_place
from file_as_server import use_file
from ledger_cases import LedgerCases
from server_stores import MariadbPlace, PostgresPlace, ServerPlace
from services import Database


class TestLedgerInAFile(LedgerCases):
    def path(self, place: Path) -> Path:
        return place / "ledger.sqlite"


class TestLedgerInAServer(LedgerCases):
    def path(self, place: Path) -> Path:
        return use_file(place) / "night"


@pytest.fixture(scope="module")
def in_postgres(postgres: Database) -> ServerPlace:
    server = postgres_place(postgres, "ledgers").server
    assert server is not None
    return PostgresPlace(server)


@pytest.fixture(scope="module")
def in_mariadb(mariadb: Database) -> ServerPlace:
    return MariadbPlace(mariadb_database(mariadb, "ledgers"))


class TestLedgerInPostgres(LedgerCases):
    @pytest.fixture(autouse=True)
    def _server(self, in_postgres: ServerPlace) -> None:
        self.server = in_postgres
        in_postgres.empty()

    def path(self, place: Path) -> Path:
        return self.server.use(place) / "night"


class TestLedgerInMariadb(TestLedgerInPostgres):
    @pytest.fixture(autouse=True)
    def _server(self, in_mariadb: ServerPlace) -> None:
        self.server = in_mariadb
        in_mariadb.empty()
