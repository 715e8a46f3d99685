"""`db_execute`, through flows."""

from pathlib import Path
from typing import Any

import pytest

SETUP = "CREATE TABLE t (a INTEGER, s TEXT); INSERT INTO t VALUES (1, 'x'), (2, NULL)"
COUNT = {"type": "db_fetch_small", "sql": "SELECT count(*) AS n FROM t"}


def test_a_script_with_params_and_what_it_changed(project: Any) -> None:
    ran = project.run(
        setup={"type": "db_execute", "sql": SETUP},
        change={"type": "db_execute", "sql": "UPDATE t SET s = :s WHERE a = :a", "params": {"s": "y;'", "a": 2}},
        drop={"type": "db_execute", "sql": "CREATE TABLE u (a INTEGER)"},
        check={"type": "db_fetch_small", "sql": "SELECT s FROM t WHERE a = 2"},
    )
    assert ran.outputs["setup"] == {"statements": 2, "affected_rows": 2, "already_done": False}
    assert ran.outputs["change"] == {"statements": 1, "affected_rows": 1, "already_done": False}
    assert ran.outputs["drop"] == {"statements": 1, "affected_rows": None, "already_done": False}
    assert ran.outputs["check"]["first"] == {"s": "y;'"}


def test_sql_from_a_file_beside_the_flow(project: Any) -> None:
    (project.root / "sql").mkdir()
    (project.root / "sql" / "setup.sql").write_text(f"\ufeff-- tables\n{SETUP};\n", encoding="utf-8")
    assert project.one(type="db_execute", sql_file="sql/setup.sql")["affected_rows"] == 2


def test_a_missing_sql_file_is_named_with_the_place(lite: Any) -> None:
    error = lite.run(step={"type": "db_execute", "sql_file": "sql/nope-{{run.attempt}}.sql"}).error
    assert "sql/nope-1.sql" in error.message
    assert str(lite.root) in (error.fix or "")


@pytest.mark.parametrize("expect", [2, {"min": 1}, {"max": 2}, {"min": 2, "max": 2}, {"min": "1"}])
def test_expected_rows(lite: Any, expect: Any) -> None:
    assert lite.one(type="db_execute", sql=SETUP, expect_rows=expect)["affected_rows"] == 2


@pytest.mark.parametrize(
    ("expect", "wanted"),
    [(1, "1"), (0, "0"), ({"min": 3}, "3 or more"), ({"max": 1}, "0 to 1"), ({"min": 3, "max": 4}, "3 to 4")],
)
def test_unexpected_rows_undo_everything(project: Any, expect: Any, wanted: str) -> None:
    project.sql(SETUP)
    ran = project.run(step={"type": "db_execute", "sql": "DELETE FROM t", "expect_rows": expect})
    assert ran.status["step"] == "FAILED"
    assert ran.error.message == f"2 rows would change, but expect_rows is {wanted}; nothing was changed"
    assert project.one(**COUNT)["first"] == {"n": 2}


def test_a_failing_statement_undoes_the_script(project: Any) -> None:
    project.sql(SETUP)
    ran = project.run(step={"type": "db_execute", "sql": "DELETE FROM t; INSERT INTO nope VALUES (1)"})
    assert "statement 2 of 2 failed" in ran.error.message
    assert ran.error.code == "AF5201"
    assert project.one(**COUNT)["first"] == {"n": 2}


def test_the_file_stands_under_the_flows_folder(project: Any, driver: str) -> None:
    project.sql(SETUP)
    assert (Path(project.root) / "work" / "t" / f"wh.{driver}").is_file()
