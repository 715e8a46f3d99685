"""`db_copy` between all databases: every type, every mode, once."""

import gc
import itertools
from pathlib import Path
from typing import Any

import duckdb
import pytest
from db_loads import load, write
from db_types import BYTES, DATA, back, write_parquet

from aetherflow_builtins_db.loading.query_rows import _QueryReader
from db_places import Place, place_for
from torture_tier import full

DRIVERS = ["sqlite3", "duckdb", "postgres", "mysql"]
RING = [(source, DRIVERS[(index + 1) % len(DRIVERS)]) for index, source in enumerate(DRIVERS)]
PAIRS = list(itertools.product(DRIVERS, DRIVERS)) if full() else RING
"""Source and target: in a sample each driver is both once."""
CREATE = {"create": "if_missing"}
VALUES = DATA | BYTES


@pytest.fixture(params=DRIVERS)
def place(request: pytest.FixtureRequest) -> Place:
    return place_for(request, request.param, "here")


def copy(**inputs: Any) -> dict[str, Any]:
    step = {"type": "db_copy", "target": "there", "table": "u"} | inputs
    return step if "sql" in step else {"from_table": "t"} | step


def there(sql: str) -> dict[str, Any]:
    return {"type": "db_fetch_small", "resource": "there", "sql": sql}


@pytest.mark.parametrize(("place", "to"), PAIRS, indirect=["place"])
def test_every_type_comes_over(two: Any, to: str) -> None:
    path = Path(write(two, "", "all.parquet"))
    write_parquet(path, VALUES)
    ran = two.run(
        load=load(str(path), **CREATE),
        copy=copy(**CREATE, keys=["k"]),
        read=there("SELECT * FROM u ORDER BY k"),
        again=copy(mode="merge", keys=["k"]),
        still=there("SELECT * FROM u ORDER BY k"),
        other=copy(table="v", **CREATE, mode="replace", max_rejects=1),  # rows, where COPY would take all at once
        rest=there("SELECT * FROM v ORDER BY k"),
    )
    assert set(ran.status.values()) == {"SUCCESS"}, ran.error
    assert (ran.outputs["copy"]["created"], ran.outputs["again"]["updated"]) == (True, 3)
    for step in ("read", "still", "rest"):
        assert back(ran.outputs[step]["rows"], VALUES) == VALUES


@pytest.fixture
def filled(anywhere: Any) -> Any:
    """Three rows in `t`, to be copied within the same database."""
    anywhere.sql("CREATE TABLE t (a INTEGER PRIMARY KEY, s VARCHAR(20))",
                 "INSERT INTO t VALUES (1, 'x'), (2, NULL), (3, 'z')")  # fmt: skip
    return anywhere


def within(**inputs: Any) -> dict[str, Any]:
    return copy(target="wh", **inputs)


ROWS = [[1, "x"], [2, None], [3, "z"]]


@pytest.mark.parametrize("mode", ["append", "truncate", "replace", "merge"])
def test_every_mode_copies_within_a_database_and_can_be_repeated(filled: Any, mode: str) -> None:
    keys = {"keys": ["a"]} if mode == "merge" else {}
    for _ in range(2):
        filled.one(**within(**CREATE, **keys, mode=mode, load_id="day", expect_rows=3 if mode != "append" else None))
        assert filled.rows("SELECT a, s FROM u ORDER BY a") == ROWS


def test_a_query_has_params_and_its_columns_are_mapped(filled: Any) -> None:
    query = {"sql": "SELECT a AS k, s FROM t WHERE a > :least", "params": {"least": 1}}
    out = filled.one(**within(**query, **CREATE, columns={"k": "number"}))
    assert (out["rows"], filled.rows("SELECT number FROM u ORDER BY number")) == (2, [[2], [3]])


def test_other_content_under_the_same_load_is_refused(filled: Any) -> None:
    step = within(**CREATE, load_id="day", sql="SELECT a FROM t WHERE a = 1")
    filled.one(**step)
    assert filled.one(**step)["already_loaded"]
    error = filled.run(step=step | {"sql": "SELECT a FROM t WHERE a = 2"}).error
    assert "made from a file with other content" in error.message


def test_what_does_not_fit_is_rejected_by_its_row(filled: Any) -> None:
    filled.sql("CREATE TABLE u (a INTEGER PRIMARY KEY, s VARCHAR(20) NOT NULL)")
    error = filled.run(step=within()).error
    assert "nothing was loaded" in error.message
    out = filled.one(**within(max_rejects=1))
    assert (out["rows"], out["rejected"]) == (2, 1)
    assert Path(out["reject_file"]).read_text().splitlines()[0] == "row,column,reason,record"


def test_a_copy_that_fails_makes_no_table(filled: Any) -> None:
    assert filled.run(step=within(**CREATE, expect_rows=4)).status["step"] == "FAILED"
    assert "does not exist" in filled.run(step=within()).error.message


@pytest.mark.parametrize("mode", [{"mode": "merge", "keys": ["a"]}, {"load_id_column": "loaded_by"}])
def test_only_new_rows_come_over(filled: Any, mode: dict[str, Any]) -> None:
    mark = {"watermark": {"column": "a", "initial": 0, "name": "mark"}}
    step = within(sql="SELECT a, s FROM t WHERE a > :watermark", **mark, **CREATE, **mode)
    first = filled.one(**step)
    assert (first["rows"], first["watermark_before"], first["watermark"]) == (3, 0, 3)
    filled.sql("INSERT INTO t VALUES (4, 'new')")
    # A run that fails after the copy: the next one reads its rows again, and has them once.
    broken = filled.run(copy=step, fail={"type": "db_execute", "sql": "SELECT nothing FROM nowhere"})
    assert (broken.status["copy"], broken.status["fail"]) == ("SUCCESS", "FAILED")
    filled.sql("INSERT INTO t VALUES (5, 'newer')")
    again = filled.one(**step)
    assert (again["watermark_before"], again["watermark"]) == (3, 5)
    assert filled.rows("SELECT a, s FROM u ORDER BY a") == [*ROWS, [4, "new"], [5, "newer"]]


def many(**inputs: Any) -> dict[str, Any]:
    step = within(from_table="{{item.full_name}}", table="{{item.name}}_copy", mode="merge", keys=["a"], **CREATE)
    return step | {"watermark": {"column": "A", "initial": 0}} | inputs


def test_tables_of_a_pattern_are_copied_each_by_itself(anywhere: Any) -> None:
    names = ("s_b", "s_a", "s_c", "other", "S_d")
    for name in names:
        anywhere.sql(
            f"CREATE TABLE {name} (a INTEGER PRIMARY KEY, s VARCHAR(20))", f"INSERT INTO {name} VALUES (1, '{name}')"
        )
    anywhere.sql("CREATE VIEW s_view AS SELECT a, s FROM s_a")
    steps = {
        "list": {"type": "db_list_tables", "pattern": "s_*", "exclude": ["s_c", "*_copy"]},
        "copy": many(for_each={"items": "{{steps.list.tables}}", "key": "{{item.name}}", "on_error": "continue"}),
    }
    if anywhere.place.driver == "sqlalchemy":
        pytest.skip("a sample: by the drivers themselves")
    ran = anywhere.run(**steps)
    listed = ran.outputs["list"]
    assert (listed["names"], listed["count"]) in (
        (["s_a", "s_b"], 2),
        (["s_a", "s_b", "s_d"], 3),
    )  # folded by PostgreSQL
    assert ran.status["copy"] == "SUCCESS", ran.error
    assert anywhere.rows("SELECT s FROM s_b_copy") == [["s_b"]]
    # One table fails: the others are copied, and the next run copies its rows.
    anywhere.sql("INSERT INTO s_a VALUES (2, 'more')", "INSERT INTO s_b VALUES (2, 'more')", "DROP TABLE s_a_copy",
                 "CREATE TABLE s_a_copy (a INTEGER)")  # fmt: skip
    ran = anywhere.run(**steps)
    assert ran.status["copy"] == "FAILED"
    assert "s_a" in ran.error.message
    assert anywhere.rows("SELECT a FROM s_b_copy ORDER BY a") == [[1], [2]]
    anywhere.sql("DROP TABLE s_a_copy", "CREATE TABLE s_a_copy (a INTEGER PRIMARY KEY, s VARCHAR(20))")
    assert anywhere.run(**steps).status["copy"] == "SUCCESS"
    # Its watermark had become final with the first run, and stayed there.
    assert anywhere.rows("SELECT a FROM s_a_copy") == [[2]]
    error = anywhere.run(list=steps["list"] | {"pattern": "nope*"}).error
    assert "has no table whose name matches 'nope*'" in error.message


@pytest.mark.parametrize("to", ["postgres"])
def test_rows_go_from_copy_to_copy(two: Any, to: str, monkeypatch: pytest.MonkeyPatch) -> None:
    two.sql("CREATE TABLE t (a INTEGER, s VARCHAR(20))", "INSERT INTO t VALUES (1, 'x,\"y\"'), (2, NULL), (3, '')")
    two.one(**copy(**CREATE))
    two.sql("INSERT INTO t VALUES (4, 'z')")
    if two.place.driver != "sqlite3":
        monkeypatch.setattr(_QueryReader, "batches", lambda *_: pytest.fail("rows went through Python"))
    two.one(**copy(mode="truncate"))
    ran = two.run(read=there("SELECT a, s FROM u ORDER BY a"))
    assert ran.outputs["read"]["rows"] == [[1, 'x,"y"'], [2, None], [3, ""], [4, "z"]]


@pytest.mark.parametrize(("place", "to"), [("duckdb", "duckdb"), ("postgres", "duckdb")], indirect=["place"])
def test_rows_go_to_duckdb_as_arrow(two: Any, to: str, monkeypatch: pytest.MonkeyPatch) -> None:
    two.sql("CREATE TABLE t (a BIGINT, n DECIMAL(9, 2))", "INSERT INTO t VALUES (1, 1.25), (2, NULL), (3, 0)")
    two.one(**copy(**CREATE))
    with monkeypatch.context() as patch:
        patch.setattr(_QueryReader, "batches", lambda *_: pytest.fail("rows went through Python"))
        two.one(**copy(mode="truncate"))
        two.one(**copy(mode="merge", keys=["a"], columns={"n": "n", "a": "a"}))
        ran = two.run(read=there("SELECT a, CAST(n AS VARCHAR) AS n FROM u ORDER BY a"))
        assert ran.outputs["read"]["rows"] == [[1, "1.25"], [2, None], [3, "0.00"]]
    two.sql("CREATE TABLE strict (a BIGINT, n DECIMAL(9, 2) NOT NULL)", resource="there")
    error = two.run(step=copy(table="strict", load_id="strict")).error
    assert "column n: the value is null, but the column is NOT NULL; nothing was loaded" in error.message
    two.sql("CREATE VIEW late AS SELECT a / (a - 3) AS q FROM t ORDER BY a" if two.place.driver == "postgres" else
            "CREATE VIEW late AS SELECT CASE WHEN a = 3 THEN error('odd') ELSE a END AS q FROM t")  # fmt: skip
    two.sql("CREATE TABLE late (q BIGINT)", resource="there")
    error = two.run(step=copy(sql="SELECT q FROM late", table="late", load_id="late")).error
    assert "resource wh (db:" in error.message


@pytest.mark.parametrize(("place", "to"), [("duckdb", "duckdb")], indirect=["place"])
@pytest.mark.parametrize("declared", ["INTEGER", "TIMESTAMP"])
def test_a_query_that_duckdb_does_not_read_as_arrow_is_closed(two: Any, to: str, declared: str) -> None:
    two.sql("CREATE TABLE t (a VARCHAR)", "INSERT INTO t VALUES ('1')")
    two.sql(f"CREATE TABLE u (a {declared})", resource="there")
    assert two.run(step=copy()).status["step"] == ("SUCCESS" if declared == "INTEGER" else "FAILED")
    gc.collect()  # the frames of the error
    path = next(two.root.rglob(two.place.resource["config"]["path"]))
    with duckdb.connect(str(path), config={"threads": 1}) as another:  # refused while the query is open
        assert another.execute("FROM t").fetchall() == [("1",)]
