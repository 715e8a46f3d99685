"""What is known about a statement before it runs."""

import pytest

from aetherflow_builtins_db.connectors.sqlite3.sql import split
from aetherflow_builtins_db.statements import changes_rows, controls_transaction, is_query

TRIGGER = "CREATE TRIGGER g AFTER INSERT ON t BEGIN UPDATE t SET n = 1; DELETE FROM u; END;"


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("insert into t values (1)", True),
        ("/* c */ -- d\n UPDATE t SET a = 1", True),
        ("WITH x AS (SELECT 1) INSERT INTO t SELECT * FROM x", True),
        ("WITH x AS (DELETE FROM t RETURNING *) SELECT * FROM x", False),
        ("SELECT 'insert'", False),
        ('WITH "delete" AS (SELECT 1) SELECT * FROM "delete"', False),
        ("WITH merge AS (SELECT 1) SELECT * FROM merge", False),
        ("WITH a AS (SELECT 1), replace (n) AS MATERIALIZED (SELECT 2) SELECT * FROM a, replace", False),
        ("WITH RECURSIVE update AS (SELECT 1) (SELECT * FROM update) UNION SELECT 2", False),
        ("WITH merge AS (SELECT 1) INSERT INTO t SELECT * FROM merge", True),
        ('WITH "a" AS (SELECT 1), "b" (n) AS (SELECT 2) DELETE FROM t', True),
        ("WITH a AS (SELECT 1) SEARCH DEPTH FIRST BY merge SET replace SELECT * FROM a", False),
        ("WITH a AS (SELECT 1) CYCLE n, merge SET c USING p, replace AS (SELECT 2) UPDATE t SET n = 1", True),
        ("CREATE TABLE t AS SELECT 1", False),
        ("", False),
    ],
)
def test_changes_rows(sql: str, expected: bool) -> None:
    assert changes_rows(sql) is expected


def test_transaction_statements_are_recognised_and_savepoints_are_not() -> None:
    assert all(map(controls_transaction, ["BEGIN", "commit;", "END TRANSACTION", "/* */ ROLLBACK"]))
    assert not any(map(controls_transaction, ["SAVEPOINT a", "ROLLBACK TO a", "ROLLBACK TRANSACTION TO a", "SELECT 1"]))


def test_only_queries_become_views() -> None:
    assert all(map(is_query, ["SELECT 1", "WITH x AS (SELECT 1) SELECT * FROM x", "VALUES (1)"]))
    assert all(map(is_query, ["(SELECT 1) UNION ALL (SELECT 2)", "((VALUES (1)))", "(WITH x AS (SELECT 1) TABLE x)"]))
    assert not any(map(is_query, ["PRAGMA table_info(t)", "INSERT INTO t VALUES (1)", ""]))


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("SELECT 1; SELECT 2", ["SELECT 1;", "SELECT 2"]),
        ("SELECT ';'; -- ; \n; SELECT ';;' ; ;", ["SELECT ';';", "SELECT ';;' ;"]),
        (f"{TRIGGER} SELECT 1", [TRIGGER, "SELECT 1"]),
        ("  -- nothing\n /* ; */ ;", []),
    ],
)
def test_scripts_are_split_where_sqlite_ends_a_statement(script: str, expected: list[str]) -> None:
    assert split(script) == expected
