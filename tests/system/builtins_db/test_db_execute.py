"""`db_execute`, through flows."""

from typing import Any

SCRIPT = "INSERT INTO t VALUES (:a, 'x'); UPDATE t SET s = 'y' WHERE a = :a"


def test_exactly_once(anywhere: Any) -> None:
    anywhere.sql("CREATE TABLE t (a INTEGER, s VARCHAR(10))")
    step = {"type": "db_execute", "sql": SCRIPT, "params": {"a": 1}, "exactly_once": True, "expect_rows": 2}
    ran = anywhere.run(step=step)
    assert ran.outputs["step"] == {"statements": 2, "affected_rows": 2, "already_done": False}, ran.summary
    assert anywhere.rows("SELECT a, s FROM t") == [[1, "y"]]
    assert anywhere.rows("SELECT row_count FROM aetherflow_loads")[0][0] in {2, "2"}


def test_exactly_once_of_a_slot(anywhere: Any) -> None:
    anywhere.sql("CREATE TABLE t (a INTEGER, s VARCHAR(10))")
    step = {"type": "db_execute", "sql": SCRIPT, "params": {"a": 1}, "exactly_once": True}
    for done in (False, True):
        ran = anywhere.run(slot="2026-11-24T02:00Z", step=step)
        assert ran.outputs["step"] == {"statements": 2, "affected_rows": 2, "already_done": done}
    other = anywhere.run(slot="2026-11-24T02:00Z", step=step | {"params": {"a": 2}})
    assert "with another script or other params; nothing was changed" in other.error.message
    anywhere.run(slot="2026-11-25T02:00Z", step=step)
    assert anywhere.rows("SELECT count(*) AS n FROM t") == [[2]]


def test_ddl_that_would_commit_is_refused_unless_that_is_meant(anywhere: Any) -> None:
    anywhere.sql("CREATE TABLE t (a INTEGER, s VARCHAR(10))")
    step = {"type": "db_execute", "sql": "INSERT INTO t VALUES (1, 'x'); CREATE TABLE u (a INTEGER)"}
    ran = anywhere.run(step=step)
    if anywhere.place.driver == "mysql":
        assert "CREATE would commit the changes before it" in ran.error.message
        assert "allow_implicit_commit" in (ran.error.fix or "")
        assert anywhere.rows("SELECT a FROM t") == []
        ran = anywhere.run(step=step | {"allow_implicit_commit": "true"})
    assert ran.status["step"] == "SUCCESS", ran.error
    assert anywhere.rows("SELECT a FROM t") == [[1]]
