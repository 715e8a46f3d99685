"""The ledger in a file, in what is a server to it, and in PostgreSQL: one suite."""

from pathlib import Path

import pytest

from db_places import postgres_place
from file_as_server import use_file
from ledger_cases import LedgerCases
from server_stores import connected, use_postgres
from services import Database


class TestLedgerInAFile(LedgerCases):
    def path(self, place: Path) -> Path:
        return place / "ledger.sqlite"


class TestLedgerInAServer(LedgerCases):
    def path(self, place: Path) -> Path:
        return use_file(place) / "night"


@pytest.fixture(scope="module")
def own_database(postgres: Database) -> Database:
    server = postgres_place(postgres, "ledgers").server
    assert server is not None
    return server


class TestLedgerInPostgres(LedgerCases):
    @pytest.fixture(autouse=True)
    def _server(self, own_database: Database) -> None:
        self.server = own_database
        with connected(own_database) as connection:
            connection.execute("DROP SCHEMA IF EXISTS aetherflow_ledger_night, aetherflow_locks CASCADE")

    def path(self, place: Path) -> Path:
        return use_postgres(self.server, place) / "night"
