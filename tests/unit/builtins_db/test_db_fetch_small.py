"""`db_fetch_small`, through flows."""

import json
from typing import Any

import pytest


def test_the_rows_and_all_that_describes_them(project: Any) -> None:
    project.one(
        type="db_execute",
        sql="CREATE TABLE t (a INTEGER, s VARCHAR(9), f DOUBLE); INSERT INTO t VALUES (1, 'ü', 0.5), (2, NULL, NULL)",
    )
    out = project.one(type="db_fetch_small", sql="SELECT a, s, f FROM t WHERE a >= :low ORDER BY a", params={"low": 1})
    assert out["columns"] == ["a", "s", "f"]
    assert out["rows"] == [[1, "ü", 0.5], [2, None, None]]
    assert out["row_count"] == 2
    assert out["first"] == {"a": 1, "s": "ü", "f": 0.5}
    assert out["dtypes"] == {"a": "int", "s": "string", "f": "float"}
    for name in ("columns", "rows", "dtypes"):
        assert json.loads(out[f"{name}_json"]) == out[name]


def test_every_type_of_duckdb_is_json_safe(duck: Any) -> None:
    out = duck.one(
        type="db_fetch_small",
        sql="SELECT 12345678901234567890.12::DECIMAL(38,2) AS d, DATE '2024-01-02' AS day, "
        "TIMESTAMP '2024-01-02 03:04:05.5' AS ts, "
        "TIMESTAMPTZ '2024-01-02 03:04:05+00' AT TIME ZONE 'UTC' AS utc, TIME '01:02:03' AS t, "
        "'\\x00\\xFF'::BLOB AS b, 'nan'::DOUBLE AS nan, "
        "true AS yes, NULL AS nothing, [1, NULL] AS list, {'k': DATE '2024-01-02'} AS struct, "
        "170141183460469231731687303715884105727::HUGEINT AS huge, "
        "'5a2e7d6c-0000-4000-8000-000000000000'::UUID AS id, INTERVAL 1 DAY AS span",
    )
    assert out["first"] == {
        "d": "12345678901234567890.12", "day": "2024-01-02", "ts": "2024-01-02T03:04:05.500000",
        "utc": "2024-01-02T03:04:05", "t": "01:02:03", "b": "AP8=", "nan": None, "yes": True,
        "nothing": None, "list": [1, None],
        "struct": {"k": "2024-01-02"}, "huge": 2**127 - 1,
        "id": "5a2e7d6c-0000-4000-8000-000000000000", "span": "1 day",
    }  # fmt: skip
    assert {"d": "float", "day": "date", "ts": "datetime", "yes": "bool", "huge": "int", "b": "string"}.items() <= out[
        "dtypes"
    ].items()


def test_sqlite_dtypes_come_from_declarations_and_data(lite: Any) -> None:
    lite.one(
        type="db_execute",
        sql="CREATE TABLE t (day DATE, paid BOOLEAN, amount DECIMAL(9,2), n, late DATETIME);"
        "INSERT INTO t VALUES (NULL, NULL, NULL, NULL, NULL), ('2024-01-02', 1, 1.5, 7, 'soon')",
    )
    out = lite.one(type="db_fetch_small", sql="SELECT *, n + 1 AS m, x'00ff' AS b FROM t")
    assert out["dtypes"] == {
        "day": "date", "paid": "bool", "amount": "float", "n": "int", "late": "string", "m": "int", "b": "string",
    }  # fmt: skip
    assert out["rows"][1] == ["2024-01-02", 1, 1.5, 7, "soon", 8, "AP8="]


def test_more_than_max_rows_points_to_the_stream(project: Any) -> None:
    sql = "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 11) SELECT n FROM r"
    error = project.run(step={"type": "db_fetch_small", "sql": sql, "max_rows": 10}).error
    assert "max_rows (10)" in error.message
    assert "db_extract_stream" in (error.fix or "")
    assert project.one(type="db_fetch_small", sql=sql, max_rows=11, fetch_size=2)["row_count"] == 11


EMPTY, ONE = "SELECT 1 AS a WHERE 1 = 0", "SELECT 1 AS a"


@pytest.mark.parametrize(
    ("sql", "inputs", "status"),
    [
        (EMPTY, {}, "SUCCESS"),
        (EMPTY, {"on_empty": "ok"}, "SUCCESS"),
        (EMPTY, {"on_empty": "skip"}, "SKIPPED"),
        (EMPTY, {"on_empty": "fail"}, "FAILED"),
        (EMPTY, {"min_rows": 1}, "FAILED"),
        (ONE, {"on_empty": "fail"}, "SUCCESS"),
        (ONE, {"min_rows": 2}, "FAILED"),
        (ONE, {"min_rows": 2, "on_empty": "skip"}, "SKIPPED"),
        (ONE, {"min_rows": 2, "on_empty": "ok"}, "SUCCESS"),
    ],
)
def test_too_few_rows(lite: Any, sql: str, inputs: dict[str, Any], status: str) -> None:
    ran = lite.run(step={"type": "db_fetch_small", "sql": sql} | inputs)
    assert ran.status["step"] == status
    if status == "SKIPPED":
        count = ran.outputs["step"]["row_count"]
        assert ran.reason["step"] == f"row_count({count}) < min_rows({inputs.get('min_rows', 1)})"
    if status == "FAILED":
        assert "too few rows" in ran.error.message
    if sql is EMPTY and status == "SUCCESS":
        assert ran.outputs["step"]["first"] == {}
        assert ran.outputs["step"]["columns"] == ["a"]


def test_two_columns_of_one_name_are_refused(lite: Any) -> None:
    error = lite.run(step={"type": "db_fetch_small", "sql": "SELECT 1 AS a, 2 AS a"}).error
    assert "of the same name: a" in error.message


def test_later_steps_read_single_values(lite: Any) -> None:
    ran = lite.run(
        count={"type": "db_fetch_small", "sql": "SELECT 41 AS n, 'x' AS s"},
        again={
            "type": "db_fetch_small",
            "sql": "SELECT :n + 1 AS n, :s AS s",
            "params": {"n": "{{steps.count.first.n}}", "s": "<{{steps.count.first.s}}>"},
        },
    )
    assert ran.outputs["again"]["first"] == {"n": 42, "s": "<x>"}


def test_reading_cannot_write(project: Any) -> None:
    project.one(type="db_execute", sql="CREATE TABLE t (a INTEGER)")
    error = project.run(step={"type": "db_fetch_small", "sql": "INSERT INTO t VALUES (1) RETURNING a"}).error
    assert "db_execute" in (error.fix or "")
    assert project.one(type="db_fetch_small", sql="SELECT * FROM t")["rows"] == []
