"""`db_check`, through flows, on every driver."""

import datetime
from typing import Any

import pytest

CREATE = "CREATE TABLE t (a INTEGER, s VARCHAR(10), ts TIMESTAMP NULL)"


def check(*checks: dict[str, Any], **inputs: Any) -> dict[str, Any]:
    return {"type": "db_check", "table": "t", "checks": list(checks)} | inputs


def test_a_new_row_is_fresh(lite: Any) -> None:
    lite.sql(CREATE)
    now = datetime.datetime.now(datetime.UTC).isoformat()
    lite.one(type="db_execute", sql="INSERT INTO t VALUES (1, 'x', :now)", params={"now": now})
    lite.one(**check({"freshness": {"column": "ts", "max_age_seconds": 60}}))


def test_mistakes_are_told(lite: Any) -> None:
    lite.sql(CREATE)
    assert "has no column 'b'" in lite.run(step=check({"not_null": "b"})).error.message
    assert "table u does not exist" in lite.run(step=check({"row_count": 1, "table": "u"})).error.message
    for checks, said in (
        ([{}], "give exactly one of"),
        ([{"row_count": 1, "unique": "a"}], "give exactly one of"),
        ([{"sql": "SELECT 1", "where": "a"}], "where is for checks of a table"),
    ):
        with pytest.raises(Exception, match=said):
            lite.run(step=check(*checks))
    with pytest.raises(Exception, match="no table is given"):
        lite.run(step={"type": "db_check", "checks": [{"row_count": 1}]})


def test_a_warning_is_on_record(lite: Any) -> None:
    lite.sql(CREATE)
    ran = lite.run(step=check({"row_count": 5}, {"row_count": 6}, on_fail="warn"))
    assert ran.status["step"] == "SUCCESS"
    assert ran.reason["step"] == 'warning: check row_count: 0 rows in "main"."t", expected 5 (and 1 more)'
    assert lite.run(step=check({"row_count": 0})).reason["step"] is None
