"""The contract suites over the connectors and steps of this distribution."""

from pathlib import Path
from typing import Any, ClassVar

from aetherflow.core.testing import FlowProject, SqlSuite, StepSuite
from aetherflow_builtins_db.connectors.duckdb import DuckDBConnector
from aetherflow_builtins_db.connectors.sqlite3 import Sqlite3Connector
from aetherflow_builtins_db.steps.execute import DbExecute
from aetherflow_builtins_db.steps.extract_stream import DbExtractStream
from aetherflow_builtins_db.steps.fetch_small import DbFetchSmall

WAREHOUSE = {"warehouse": {"kind": "db", "driver": "sqlite3", "config": {"path": "warehouse.db"}}}
ENDLESS = "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT count(*) FROM r"


def script(*statements: str) -> dict[str, Any]:
    return {"id": "prepare", "type": "db_execute", "inputs": {"resource": "warehouse", "sql": ";".join(statements)}}


class TestDuckDB(SqlSuite):
    connector = DuckDBConnector
    name = "db.duckdb"
    endless = "SELECT count(*) FROM range(100000000000) a, range(100000) b"

    def config(self, place: Path) -> dict[str, Any]:
        return {"path": "wh.duckdb"}

    def unreachable(self, place: Path) -> dict[str, Any]:
        return {"path": "none.duckdb", "read_only": True}


class TestSqlite3(SqlSuite):
    connector = Sqlite3Connector
    name = "db.sqlite3"
    endless = ENDLESS
    changed_values: ClassVar = {"t": 1, "d": "2024-02-29", "dec": "0.10", "ts": "2024-02-29 01:02:03.000004"}

    def config(self, place: Path) -> dict[str, Any]:
        return {"path": "wh.db"}

    def unreachable(self, place: Path) -> dict[str, Any]:
        return {"path": "none.db", "read_only": True}


class TestDbExecute(StepSuite):
    step = DbExecute
    name = "db_execute"
    resources = WAREHOUSE
    before = (
        script(
            "CREATE TABLE IF NOT EXISTS sales (day TEXT, n INTEGER)",
            "CREATE TABLE IF NOT EXISTS staging (day TEXT, n INTEGER)",
            "INSERT INTO staging VALUES ('2026-11-01', 1)",
        ),
    )

    def endless(self, project: FlowProject) -> dict[str, Any]:
        return {"resource": "warehouse", "sql": ENDLESS}


class TestDbFetchSmall(StepSuite):
    step = DbFetchSmall
    name = "db_fetch_small"
    resources = WAREHOUSE
    before = (script("CREATE TABLE IF NOT EXISTS flights (carrier TEXT)", "INSERT INTO flights VALUES ('UA')"),)

    def endless(self, project: FlowProject) -> dict[str, Any]:
        return {"resource": "warehouse", "sql": ENDLESS}


class TestDbExtractStream(StepSuite):
    step = DbExtractStream
    name = "db_extract_stream"
    resources = WAREHOUSE
    before = (
        script(
            "CREATE TABLE IF NOT EXISTS flights (carrier TEXT, month INTEGER, dep_delay REAL)",
            "INSERT INTO flights VALUES ('UA', 7, 1.5)",
        ),
    )

    def endless(self, project: FlowProject) -> dict[str, Any]:
        return {"resource": "warehouse", "sql": ENDLESS, "output": "x.csv", "format": "csv"}
