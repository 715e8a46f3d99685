"""`db_reconcile`: what fits together, what a plan says, which types compare, and values of SQLite as they are."""

from pathlib import Path
from typing import Any

import pytest

from aetherflow.core.testing import FlowProject

LOOK = {"type": "db_reconcile", "target": "wh", "keys": ["k"]}


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({"table": "u"}, "give exactly one of from_table, sql and sql_file"),
        ({"from_table": "t", "sql": "SELECT 1", "table": "u"}, "give exactly one of from_table, sql and sql_file"),
        ({"from_table": "t"}, "give exactly one of table and target_sql"),
        ({"from_table": "t", "table": "u", "target_sql": "x"}, "give exactly one of table and target_sql"),
        ({"from_table": "t", "table": "u", "keys": []}, "keys lists no column"),
    ],
)
def test_what_does_not_fit_together_is_found_by_validate(lite: Any, inputs: dict[str, Any], said: str) -> None:
    with pytest.raises(Exception, match=said):
        lite.run(step=LOOK | inputs)


@pytest.fixture
def two(project: Any) -> Any:
    """Tables `t` and `u` with the same rows."""
    made = [
        [f"CREATE TABLE {table} (k INTEGER PRIMARY KEY, s VARCHAR(20), n DECIMAL(10, 2))",
         f"INSERT INTO {table} VALUES (1, 'a', 1.5), (2, NULL, NULL), (3, '', 0)"]
        for table in ("t", "u")
    ]  # fmt: skip
    project.sql(*made[0], *made[1])
    return project


def test_columns_are_mapped_and_others_left_out(two: Any) -> None:
    names = {"from_table": "t", "table": "u"}
    assert two.one(**LOOK, **names)["columns"] == ["k", "s", "n"]
    two.sql("ALTER TABLE t ADD COLUMN more INTEGER")
    error = two.run(step=LOOK | names).error
    assert "the target has no column 'more'" in error.message
    out = two.one(**LOOK, **names, columns={"k": "k", "S": "s"})
    assert (out["columns"], out["equal"], out["sums"]) == (["k", "s"], True, {})
    assert (
        "'nope' is no column that is compared"
        in two.run(step=LOOK | names | {"keys": ["nope"], "columns": {"k": "k"}}).error.message
    )
    assert "has no table nope" in two.run(step=LOOK | names | {"table": "nope"}).error.message


def test_null_and_empty_text_differ(two: Any) -> None:
    two.sql("UPDATE u SET s = '' WHERE k = 2", "UPDATE u SET n = 0 WHERE k = 2")
    out = two.one(**LOOK, from_table="t", table="u", on_difference="report")
    lines = Path(out["output"]).read_text().splitlines()
    assert lines[1] == 'changed,s,,"",2'
    assert out["changed"] == 1


def test_a_verified_column_is_of_numbers_or_times(two: Any) -> None:
    step = LOOK | {"from_table": "t", "table": "u", "verified_through": {"column": "s", "initial": ""}}
    assert "holds no numbers, dates or times" in two.run(step=step).error.message


def test_values_of_sqlite_are_compared_as_they_are(lite: Any) -> None:
    lite.sql("CREATE TABLE t (k INTEGER, v INTEGER)", "INSERT INTO t VALUES (1, 'x'), (2, 7), (3, 1.5)",
             "CREATE TABLE u (k INTEGER, v INTEGER)", "INSERT INTO u VALUES (1, 'x'), (2, '7'), (3, 1.25)")  # fmt: skip
    out = lite.one(**LOOK, from_table="t", table="u", on_difference="report")
    assert (out["changed"], Path(out["output"]).read_text().splitlines()[1]) == (1, "changed,v,1.5,1.25,3")


def test_keys_that_a_side_orders_otherwise_are_refused(lite: Any) -> None:
    lite.sql("CREATE TABLE t (k INTEGER)", "INSERT INTO t VALUES (9), (10)",
             "CREATE TABLE u (k TEXT)", "INSERT INTO u VALUES ('9'), ('10')")  # fmt: skip
    error = lite.run(step=LOOK | {"from_table": "t", "table": "u"}).error
    assert "does not order its keys as the other side does" in error.message


def test_a_plan_names_both_sides_and_makes_nothing(lite: Any, tmp_path: Path) -> None:
    lite.sql("CREATE TABLE t (k INTEGER PRIMARY KEY)")
    there = next(lite.root.rglob("wh.db"))
    flow = FlowProject(tmp_path / "plan")
    resources: dict[str, dict[str, Any]] = {
        "wh": {"kind": "db", "driver": "sqlite3", "config": {"path": str(there)}},
        "new": {"kind": "db", "driver": "duckdb", "config": {"path": "new.duckdb"}},
    }
    inputs = {"resource": "wh", "from_table": "t", "table": "u", "keys": ["k"]}
    said = "compare table t of resource wh with table u of resource {}, by k{}"
    for target, rest in (("new", "; there is no database of new yet"), ("wh", ", which is not there yet")):
        path = flow.flow(
            {"id": "look", "type": "db_reconcile", "inputs": inputs | {"target": target}}, resources=resources
        )
        assert flow.effects()["look"] == [said.format(target, rest)]
    assert not list(path.parent.rglob("new.duckdb"))
