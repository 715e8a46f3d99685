"""The ledger in a file, in what is a server to it, and in PostgreSQL and MariaDB: one suite."""

from contextlib import closing
from pathlib import Path

import pytest

from aetherflow.core.base import durable
from aetherflow.scheduler.ledger import schema
from aetherflow.scheduler.ledger.store import Ledger
from db_places import new_database
from file_as_server import use_file
from ledger_cases import HandClock, LedgerCases
from server_stores import SERVERS, ServerPlace, another_creates, new_place, place_of
from services import Database


class TestLedgerInAFile(LedgerCases):
    def path(self, place: Path) -> Path:
        return place / "ledger.sqlite"


class TestLedgerInAServer(LedgerCases):
    def path(self, place: Path) -> Path:
        return use_file(place) / "night"


@pytest.fixture(scope="module", params=SERVERS)
def filled(request: pytest.FixtureRequest) -> ServerPlace:
    return new_place(request, "ledgers")


class TestLedgerInADatabaseServer(LedgerCases):
    @pytest.fixture(autouse=True)
    def _server(self, filled: ServerPlace) -> None:
        self.server = filled
        filled.empty()

    def path(self, place: Path) -> Path:
        return self.server.use(place) / "night"


def test_a_ledger_that_another_scheduler_creates_meanwhile_is_taken(mariadb: Database, tmp_path: Path) -> None:
    path = place_of(new_database(mariadb, "meanwhile")).use(tmp_path) / "night"
    with (
        another_creates(path, "ledger", durable.statements_of(*schema.TABLES), schema.SCHEMA_VERSION),
        closing(Ledger(path, HandClock())) as ledger,
    ):
        assert ledger.db.schema_version() == schema.SCHEMA_VERSION
