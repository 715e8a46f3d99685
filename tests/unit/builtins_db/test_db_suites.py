"""The contract suites over the connectors and steps of this distribution."""

from typing import Any

from aetherflow.core.testing import FlowProject, StepSuite
from aetherflow_builtins_db.steps.check import DbCheck
from aetherflow_builtins_db.steps.copy import DbCopy
from aetherflow_builtins_db.steps.execute import DbExecute
from aetherflow_builtins_db.steps.extract import DbExtract
from aetherflow_builtins_db.steps.extract_stream import DbExtractStream
from aetherflow_builtins_db.steps.fetch_small import DbFetchSmall
from aetherflow_builtins_db.steps.load import DbLoad
from aetherflow_builtins_db.steps.reconcile import DbReconcile

WAREHOUSE = {"warehouse": {"kind": "db", "driver": "sqlite3", "config": {"path": "warehouse.db"}}}
BOTH = {**WAREHOUSE, "shop": {"kind": "db", "driver": "sqlite3", "config": {"path": "shop.db"}}}
ENDLESS = "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT count(*) FROM r"


def script(*statements: str, resource: str = "warehouse") -> dict[str, Any]:
    inputs = {"resource": resource, "sql": ";".join(statements)}
    return {"id": f"prepare_{resource}", "type": "db_execute", "inputs": inputs}


def orders(resource: str) -> dict[str, Any]:
    table = "CREATE TABLE IF NOT EXISTS orders (order_id INTEGER PRIMARY KEY, amount INTEGER)"
    return script(table, "INSERT OR REPLACE INTO orders VALUES (1, 5)", resource=resource)


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


class TestDbExtract(StepSuite):
    step = DbExtract
    name = "db_extract"
    resources = WAREHOUSE
    before = (
        script("CREATE TABLE IF NOT EXISTS orders (id INTEGER)", "INSERT INTO orders SELECT count(*) + 1 FROM orders"),
    )

    def endless(self, project: FlowProject) -> dict[str, Any]:
        return {"resource": "warehouse", "sql": ENDLESS, "output": "x.jsonl"}


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


class TestDbLoad(StepSuite):
    step = DbLoad
    name = "db_load"
    resources = WAREHOUSE
    before = (
        script(
            "CREATE TABLE IF NOT EXISTS sales (order_id INTEGER PRIMARY KEY, amount DECIMAL(10, 2))",
            "DELETE FROM sales",
            "INSERT INTO sales VALUES (1, 5), (2, 7)",
        ),
        {
            "id": "fetch",
            "type": "db_extract_stream",
            "inputs": {
                "resource": "warehouse",
                "sql": "SELECT order_id, 2 * amount AS amount FROM sales",
                "output": "sales.csv",
            },
        },
    )

    def test_it_merged(self, project: FlowProject) -> None:
        """Rows of the same key are updated."""
        _, done = self.run(project)
        assert (done.outputs["updated"], done.outputs["inserted"]) == (2, 0)

    def test_a_dry_run_says_what_it_would_do(self, project: FlowProject) -> None:
        """And does nothing: neither to the rows, which it counts, nor to a database that is not there."""
        given = project.folder / "given.csv"
        given.write_text("order_id,amount\n3,1\n")
        inputs: dict[str, Any] = {"resource": "warehouse", "table": "sales", "path": str(given), "mode": "truncate"}
        step = {"id": "load", "type": "db_load", "inputs": inputs}
        project.flow(step, resources=self.resources)
        (said,) = project.effects()["load"]
        assert said.startswith("truncate ")
        assert said.endswith("given.csv (20 bytes) into sales of resource warehouse, whose database does not exist yet")
        assert not list(project.folder.rglob("*.db"))
        self.run(project)
        project.flow(step, resources=self.resources)
        table = '"main"."sales" of resource warehouse'
        assert project.effects()["load"] == [f"delete all 2 rows of {table}", f"load {given} (20 bytes) into it"]
        inputs |= {"mode": "merge", "keys": ["order_id"]}
        project.flow(step, resources=self.resources)
        assert project.effects()["load"] == [f"merge {given} (20 bytes) into {table}, by order_id"]


class TestDbCheck(StepSuite):
    step = DbCheck
    name = "db_check"
    resources = WAREHOUSE
    before = (
        script(
            "CREATE TABLE IF NOT EXISTS sales (order_id INTEGER PRIMARY KEY, amount DECIMAL(10, 2), currency TEXT)",
            "DELETE FROM sales",
            "INSERT INTO sales VALUES (1, 5, 'EUR'), (2, 7, 'GBP')",
        ),
    )

    def endless(self, project: FlowProject) -> dict[str, Any]:
        return {"resource": "warehouse", "checks": [{"sql": ENDLESS}]}


class TestDbCopy(StepSuite):
    step = DbCopy
    name = "db_copy"
    resources = BOTH
    before = (orders("shop"),)

    def endless(self, project: FlowProject) -> dict[str, Any]:
        return {"resource": "shop", "target": "warehouse", "sql": ENDLESS, "table": "orders", "create": "if_missing"}


class TestDbReconcile(StepSuite):
    step = DbReconcile
    name = "db_reconcile"
    resources = BOTH
    before = (orders("shop"), orders("warehouse"))

    def endless(self, project: FlowProject) -> dict[str, Any]:
        both = {"resource": "shop", "target": "warehouse", "table": "orders"}
        return {**both, "sql": f"SELECT ({ENDLESS}) AS order_id", "keys": ["order_id"]}
