"""`db_copy`: what fits together, what a plan says, and which types it takes from where nothing guarantees them."""

from pathlib import Path
from typing import Any

import pytest

from aetherflow.core.testing import FlowProject

COPY = {"type": "db_copy", "target": "wh", "table": "u"}
CREATE = {"create": "if_missing"}


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({}, "give exactly one of from_table, sql and sql_file"),
        ({"from_table": "t", "sql": "SELECT 1"}, "give exactly one of from_table, sql and sql_file"),
        ({"from_table": "t", "params": {"a": 1}}, "params are for a query"),
        ({"from_table": "t", "watermark": {"column": "a", "initial": 0}}, "watermark needs mode merge, or append with"),
        ({"sql": "x", "watermark": {"column": "a", "initial": 0}}, "watermark needs mode merge, or append with"),
        ({"sql": "x", "mode": "merge"}, "mode merge needs keys"),
    ],
)
def test_what_does_not_fit_together_is_found_by_validate(lite: Any, inputs: dict[str, Any], said: str) -> None:
    with pytest.raises(Exception, match=said):
        lite.run(step=COPY | inputs)


def test_a_plan_says_what_will_be_made_and_makes_nothing(lite: Any, tmp_path: Path) -> None:
    lite.sql("CREATE TABLE t (a INTEGER PRIMARY KEY, n DECIMAL(10, 2), d DATE)", "INSERT INTO t VALUES (1, 2, 'x')")
    flow = FlowProject(tmp_path / "plan")
    there = next(lite.root.rglob("wh.db"))
    inputs = {"resource": "wh", "from_table": "t", "target": "new", "table": "u", **CREATE}
    resources: dict[str, dict[str, Any]] = {
        "wh": {"kind": "db", "driver": "sqlite3", "config": {"path": str(there)}},
        "new": {"kind": "db", "driver": "duckdb", "config": {"path": "new.duckdb"}},
    }
    path = flow.flow({"id": "copy", "type": "db_copy", "inputs": inputs}, resources=resources)
    assert flow.effects()["copy"] == [
        'create table "u" of resource new:',
        "  a BIGINT",
        "  n DECIMAL(10,2)",
        "  d VARCHAR",  # SQLite holds text there, which is no date
        "load table t of resource wh into it",
    ]
    resources["wh"]["config"]["path"] = "nowhere.db"
    flow.flow({"id": "copy", "type": "db_copy", "inputs": inputs}, resources=resources)
    assert flow.effects()["copy"] == [
        "append table t of resource wh into u of resource new; there is no database of wh yet"
    ]
    assert not [file for name in ("new.duckdb", "nowhere.db") for file in path.parent.rglob(name)]


def test_a_table_that_is_not_there_is_named(lite: Any) -> None:
    error = lite.run(step=COPY | CREATE | {"from_table": "nope"}).error
    assert "from_table: resource wh has no table nope" in error.message


def test_a_table_is_not_copied_into_itself(project: Any) -> None:
    project.sql("CREATE TABLE t (a INTEGER)", "INSERT INTO t VALUES (1)")
    error = project.run(step=COPY | {"from_table": "T", "table": "t"}).error
    assert "would be copied into itself" in error.message
    assert project.rows("SELECT a FROM t") == [[1]]


def test_values_that_are_not_of_their_declared_type_decide(lite: Any) -> None:
    lite.sql("CREATE TABLE t (a INTEGER, b BOOLEAN, free)",
             "INSERT INTO t VALUES (1, 1, 1.5), ('x', 0, 2), (NULL, NULL, NULL)")  # fmt: skip
    lite.one(**COPY, **CREATE, from_table="t")
    assert lite.rows("SELECT a, b, free FROM u") == [["1", 1, 1.5], ["x", 0, 2.0], [None, None, None]]
    assert lite.rows("SELECT type FROM pragma_table_info('u')") == [["TEXT"], ["BOOLEAN"], ["REAL"]]
