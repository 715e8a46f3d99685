"""`db_check`, through flows, on every driver."""

from typing import Any

import pytest

CREATE = "CREATE TABLE t (a INTEGER, s VARCHAR(10), ts TIMESTAMP NULL)"
FILL = "INSERT INTO t VALUES (1, 'x', '2026-01-01 00:00:00'), (2, 'y', NULL), (2, NULL, NULL), (2, 'z', NULL)"


def check(*checks: dict[str, Any], **inputs: Any) -> dict[str, Any]:
    return {"type": "db_check", "table": "t", "checks": list(checks)} | inputs


@pytest.fixture
def filled(anywhere: Any) -> Any:
    anywhere.sql(CREATE, FILL)
    return anywhere


def test_checks_that_hold(filled: Any) -> None:
    out = filled.one(
        **check(
            {"row_count": 4},
            {"row_count": {"min": 1, "max": 10}},
            {"row_count": 1, "where": "a = :a", "params": {"a": 1}, "name": "one of 1"},
            {"freshness": {"column": "ts", "max_age_seconds": 10 * 366 * 86400}},
            {"not_null": "a"},
            {"unique": ["A", "s"]},
            {"accepted_values": {"column": "s", "values": ["x", "y", "z"]}},
            {"sql": "SELECT a FROM t WHERE a > :most", "params": {"most": 2}},
            {"not_null": ["s"], "max_failures": 1},
        )
    )
    assert (out["passed"], out["failed"], out["warned"], out["skipped"]) == (9, 0, 0, 0)
    assert [each["name"] for each in out["checks"]] == [
        "row_count",
        "row_count",
        "one of 1",
        "freshness of ts",
        "not_null of a",
        "unique A, s",
        "accepted_values of s",
        "sql",
        "not_null of s",
    ]
    assert out["checks"][0]["value"] == 4


@pytest.mark.parametrize(
    ("one", "said"),
    [
        (
            {"accepted_values": {"column": "s", "values": ["x", None]}},  # not: s NOT IN ('x', NULL), which is never so
            "accepted_values of s: 2 rows of s hold other values: y (1), z (1)",
        ),
        ({"accepted_values": {"column": "s", "values": [None]}}, "3 rows of s hold other values"),
        ({"row_count": 1, "where": "a = 2 -- of the twos"}, "row_count: 3 rows in"),
        ({"row_count": {"max": 3}}, "row_count: 4 rows in"),
        (
            {"freshness": {"column": "ts", "max_age_seconds": 60}},
            "freshness of ts: the newest ts is 2026-01-01T00:00:00",
        ),
        ({"not_null": ["a", "s", "ts"]}, "nulls: 1 in s, 3 in ts"),
        ({"unique": "a"}, "1 values of a occur more than once, 2 rows too many; the first: 2, 3"),
        ({"accepted_values": {"column": "s", "values": ["x"]}}, "2 rows of s hold other values: y (1), z (1)"),
        (
            {"sql": "SELECT a, s FROM t WHERE a = 1", "name": "no ones"},
            "no ones: the query returns 1 rows, the first: 1, x",
        ),
    ],
)
def test_checks_that_do_not_hold(filled: Any, one: dict[str, Any], said: str) -> None:
    ran = filled.run(step=check({"row_count": 4}, one))
    assert ran.status["step"] == "FAILED"
    assert ran.error.message.startswith("1 of 2 checks failed: ")
    assert said in ran.error.message.replace("2026-01-01 00:00:00", "2026-01-01T00:00:00")


def test_a_check_may_warn_or_skip(filled: Any) -> None:
    warned = {"row_count": 5, "on_fail": "warn"}
    out = filled.one(**check(warned))
    assert (out["warned"], out["checks"][0]["passed"], out["checks"][0]["on_fail"]) == (1, False, "warn")
    ran = filled.run(step=check(warned, {"not_null": "s"}, on_fail="skip"))
    assert (ran.status["step"], ran.reason["step"]) == ("SKIPPED", "not_null of s: nulls: 1 in s")
    assert ran.outputs["step"]["checks"][1]["failures"] == 1
    both = filled.run(step=check({"row_count": 5, "on_fail": "fail"}, {"not_null": "s"}, on_fail="skip"))
    assert both.status["step"] == "FAILED"


def test_an_empty_table_is_not_fresh(filled: Any) -> None:
    filled.sql("DELETE FROM t")
    error = filled.run(step=check({"freshness": {"column": "ts", "max_age_seconds": 60}})).error
    assert "has no ts at all" in error.message
