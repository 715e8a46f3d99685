"""The contract suites over the connectors and steps of this distribution."""

from pathlib import Path
from typing import Any, ClassVar

from aetherflow_builtins_db.connectors.duckdb.connector import DuckDBConnector
from aetherflow_builtins_db.connectors.sqlite3.connector import Sqlite3Connector
from db_suite import OwnSqlSuite

ENDLESS = "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT count(*) FROM r"


class TestDuckDB(OwnSqlSuite):
    connector = DuckDBConnector
    name = "db.duckdb"
    endless = "SELECT count(*) FROM range(100000000000) a, range(100000) b"

    def config(self, place: Path) -> dict[str, Any]:
        return {"path": "wh.duckdb"}

    def unreachable(self, place: Path) -> dict[str, Any]:
        return {"path": "none.duckdb", "read_only": True}


class TestSqlite3(OwnSqlSuite):
    connector = Sqlite3Connector
    name = "db.sqlite3"
    endless = ENDLESS
    changed_values: ClassVar = {"t": 1, "d": "2024-02-29", "dec": "0.10", "ts": "2024-02-29 01:02:03.000004"}

    def config(self, place: Path) -> dict[str, Any]:
        return {"path": "wh.db"}

    def unreachable(self, place: Path) -> dict[str, Any]:
        return {"path": "none.db", "read_only": True}
