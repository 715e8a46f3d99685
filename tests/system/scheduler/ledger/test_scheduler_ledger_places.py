"""The ledger in a file, in what is a server to it, and in PostgreSQL and MariaDB: one suite."""

from pathlib import Path

import pytest

from file_as_server import use_file
from ledger_cases import LedgerCases
from server_stores import SERVERS, ServerPlace, new_place


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
