"""`db_load` with `create: if_missing` on every database that makes tables: every type, and what is refused."""

from pathlib import Path
from typing import Any

import pytest
from db_loads import load, write
from db_types import BYTES, DATA, back, write_csv, write_jsonl, write_parquet

from db_places import Place, place_for

CREATE = {"create": "if_missing"}


@pytest.fixture(params=["sqlite3", "duckdb", "postgres", "mysql"])
def place(request: pytest.FixtureRequest) -> Place:
    return place_for(request, request.param, "makes")


def given(project: Any, name: str, data: dict[str, list[Any]]) -> str:
    path = Path(write(project, "", name))
    {"csv": write_csv, "jsonl": write_jsonl, "parquet": write_parquet}[name.rsplit(".", maxsplit=1)[-1]](path, data)
    return str(path)


@pytest.mark.parametrize("name", ["all.csv", "all.jsonl", "all.parquet"])
def test_every_type_comes_back(anywhere: Any, name: str) -> None:
    data = DATA if name == "all.jsonl" else DATA | BYTES
    types = {"raw": "bytes"} if name == "all.csv" else {}
    path = given(anywhere, name, data)
    ran = anywhere.run(
        load=load(path, **CREATE, keys=["k"], types=types),
        read={"type": "db_fetch_small", "sql": "SELECT * FROM t ORDER BY k"},
        again=load(path, mode="merge", keys=["k"]),
        still={"type": "db_fetch_small", "sql": "SELECT * FROM t ORDER BY k"},
    )
    assert set(ran.status.values()) == {"SUCCESS"}, ran.error
    assert (ran.outputs["load"]["created"], ran.outputs["again"]["created"]) == (True, False)
    assert ran.outputs["again"]["updated"] == 3
    for step in ("read", "still"):
        assert back(ran.outputs[step]["rows"], data) == data
        assert ran.outputs[step]["columns"] == list(data)


ODD = {
    "not a number": ("x\n1.5\nnan\n", "count(x)", 2, {"sqlite3", "mysql"}),
    "infinite": ("x\n1.5\ninf\n", "sum(CASE WHEN x > 1e308 THEN 1 ELSE 0 END)", 1, {"mysql"}),
    "before 1970": ("x\n1960-01-01T00:00:00Z\n", "min(x)", "1960-01-01T00:00:00+00:00", {"mysql"}),
    "long": ("x\n" + "y" * 70_000 + "\n", "max(length(x))", 70_000, set[str]()),
}
"""A file, what tells of its values, and where they are refused by name."""


@pytest.mark.parametrize("case", ODD)
def test_what_a_database_cannot_keep_is_refused_by_name_and_makes_no_table(anywhere: Any, case: str) -> None:
    text, query, told, refusing = ODD[case]
    ran = anywhere.run(load=load(write(anywhere, text), **CREATE))
    if anywhere.place.driver in refusing:
        assert ran.status["load"] == "FAILED"
        assert "nothing was loaded" in ran.error.message, ran.error.message
        assert "table t does not exist" in anywhere.run(step=load(write(anywhere, "x\n"))).error.message
        assert not leftovers(anywhere)
    else:
        assert ran.status["load"] == "SUCCESS", ran.error
        ((found,),) = anywhere.rows(f"SELECT {query} AS told FROM t")
        assert (found.replace(" ", "T") if isinstance(found, str) else found) == told


def leftovers(project: Any) -> list[Any]:
    """Tables that a load of MariaDB made under another name."""
    if project.place.driver != "mysql":
        return []
    named = "table_schema = database() AND table_name LIKE 't\\_%'"
    found: list[Any] = project.rows(f"SELECT table_name FROM information_schema.tables WHERE {named}")
    return found


def test_a_table_has_its_keys_and_takes_no_null_where_none_is_wanted(anywhere: Any) -> None:
    path = write(anywhere, "b,a,n\n1,x,\n")
    step = load(path, **CREATE, keys=["a", "b"], not_null=["n"], types={"n": "decimal(10,2)"})
    assert "null" in anywhere.run(step=step).error.message.lower()
    assert anywhere.one(**step | {"not_null": []})["created"]
    again = anywhere.run(step=load(write(anywhere, "b,a,n\n1,x,2\n", "b.csv"), load_id="other"))
    assert again.status["step"] == "FAILED"  # the primary key
    assert again.error.code in {"AF5001", "AF5201"}
    anywhere.one(**load(write(anywhere, "b,a,n\n1,X,2\n", "c.csv"), load_id="third"))  # x and X are two keys
    assert anywhere.rows("SELECT a FROM t ORDER BY a") == [["X"], ["x"]]


def test_comments_are_kept_or_refused(anywhere: Any) -> None:
    ran = anywhere.run(step=load(write(anywhere, "a\n1\n"), **CREATE, comments={"A": "it's \\ of: all"}))
    driver = anywhere.place.driver
    if driver == "sqlite3":
        assert "SQLite has no comments on columns" in ran.error.message
        return
    assert ran.status["step"] == "SUCCESS", ran.error
    query = {
        "postgres": "SELECT col_description('t'::regclass, 1) AS c",
        "mysql": "SELECT column_comment FROM information_schema.columns WHERE table_schema = database() "
        "AND table_name = 't'",
        "duckdb": "SELECT comment FROM duckdb_columns() WHERE table_name = 't'",
    }[driver]
    (anywhere.root / "c.sql").write_text(query)
    assert anywhere.one(type="db_fetch_small", sql_file="c.sql")["rows"] == [["it's \\ of: all"]]


def test_a_failed_load_leaves_no_table_and_the_next_one_makes_it(anywhere: Any) -> None:
    path = write(anywhere, "a,s\n1,x\n2,y\n")
    assert anywhere.run(step=load(path, **CREATE, expect_rows=3)).status["step"] == "FAILED"
    assert "does not exist" in anywhere.run(step=load(path)).error.message
    assert not leftovers(anywhere)
    assert anywhere.one(**load(path, **CREATE, expect_rows=2))["created"]
    assert not leftovers(anywhere)


@pytest.mark.parametrize("mode", ["append", "truncate", "replace", "merge"])
def test_every_mode_makes_a_table_and_loads_it_once(anywhere: Any, mode: str) -> None:
    keys = {"keys": ["a"]} if mode == "merge" else {}
    step = load(write(anywhere, "a,s\n1,x\n2,y\n"), **CREATE, **keys, mode=mode, load_id="day")
    first, second = anywhere.one(**step), anywhere.one(**step)
    assert (first["created"], first["inserted"], second["created"]) == (True, 2, False)
    assert second["already_loaded"] == (mode == "append")
    assert anywhere.rows("SELECT a, s FROM t ORDER BY a") == [[1, "x"], [2, "y"]]


def test_a_load_of_a_table_that_was_dropped_makes_it_anew(anywhere: Any) -> None:
    step = load(write(anywhere, "a\n1\n"), **CREATE, load_id="day")
    anywhere.one(**step)
    anywhere.sql("DROP TABLE t")
    again = anywhere.one(**step)
    assert (again["created"], again["already_loaded"], again["rows"]) == (True, False, 1)
    assert anywhere.rows("SELECT a FROM t") == [[1]]


def test_the_load_id_has_a_column_of_a_table_that_is_made(anywhere: Any) -> None:
    step = load(write(anywhere, "a\n1\n"), **CREATE, load_id="day", load_id_column="loaded_by")
    anywhere.one(**step)
    assert anywhere.one(**step)["deleted"] == 1
    assert anywhere.rows("SELECT a, loaded_by FROM t") == [[1, "day"]]


# Changes


@pytest.fixture
def narrow(anywhere: Any) -> Any:
    """A table whose columns are too narrow for `WIDE`."""
    anywhere.sql("CREATE TABLE t (k INTEGER NOT NULL PRIMARY KEY, i SMALLINT, n DECIMAL(5, 2), s VARCHAR(3), d DATE)",
                 "INSERT INTO t VALUES (1, 1, 1.25, 'abc', '2024-02-29')")  # fmt: skip
    return anywhere


WIDE = "k,i,n,s,d,more\n2,70000,12345.125,abcd,2024-03-01 05:00,x\n"


def test_what_does_not_fit_fails_if_nothing_is_said(narrow: Any) -> None:
    assert "no column 'more'" in narrow.run(step=load(write(narrow, WIDE))).error.message


def test_columns_are_added(narrow: Any) -> None:
    narrow.one(**load(write(narrow, "k,more,late\n2,x,1.5\n"), on_schema_change="add_columns"))
    assert [[str(cell) for cell in row] for row in narrow.rows("SELECT k, more, late FROM t ORDER BY k")] == [
        ["1", "None", "None"], ["2", "x", "1.5"],
    ]  # fmt: skip


def test_columns_are_widened(narrow: Any) -> None:
    ran = narrow.run(step=load(write(narrow, WIDE), on_schema_change="widen"))
    if narrow.place.driver == "sqlite3":
        said = 'cannot change the type of a column, and "main"."t" needs n DECIMAL(15,3), d TIMESTAMP; nothing was'
        assert said in ran.error.message
        return
    assert ran.status["step"] == "SUCCESS", ran.error
    rows = narrow.rows("SELECT k, i, n, s, d, more FROM t ORDER BY k")
    assert [[*row[:2], float(row[2]), row[3], row[4][:16].replace("T", " "), row[5]] for row in rows] == [
        [1, 1, 1.25, "abc", "2024-02-29 00:00", None],
        [2, 70000, 12345.125, "abcd", "2024-03-01 05:00", "x"],
    ]
    found = narrow.run(step=load(write(narrow, "k\n1\n"), load_id="twice"))
    assert found.status["step"] == "FAILED"  # the primary key is still there


def test_a_change_that_fails_leaves_the_rows(narrow: Any) -> None:
    step = load(write(narrow, WIDE), on_schema_change="add_columns", expect_rows=9)
    assert narrow.run(step=step).status["step"] == "FAILED"
    assert narrow.rows("SELECT k, i FROM t") == [[1, 1]]


KEYED = "CREATE TABLE t (i INTEGER NOT NULL, s VARCHAR(3) NOT NULL, n DECIMAL(5, 2), PRIMARY KEY (i, s))"


def test_a_key_column_is_widened_and_stays_a_key(anywhere: Any) -> None:
    anywhere.sql(KEYED, "INSERT INTO t VALUES (1, 'abc', 1)")
    wide = write(anywhere, f"i,s\n3000000000,{'x' * 250}\n")
    ran = anywhere.run(step=load(wide, on_schema_change="widen"))
    if anywhere.place.driver == "duckdb":
        assert "cannot change the type of a column that has a key or another constraint" in ran.error.message
        assert '"t" needs i BIGINT not null; nothing was loaded' in ran.error.message
        return
    assert ran.status["step"] == "SUCCESS", ran.error
    assert [[int(i), len(s)] for i, s in anywhere.rows("SELECT i, s FROM t ORDER BY i")] == [[1, 3], [3000000000, 250]]
    assert anywhere.run(step=load(wide, load_id="twice")).status["step"] == "FAILED"  # the key is still there


@pytest.mark.parametrize("place", ["mysql"], indirect=True)
def test_what_no_index_holds_is_refused_by_name_before_anything_is_changed(anywhere: Any) -> None:
    anywhere.sql(KEYED)
    ran = anywhere.run(step=load(write(anywhere, f"i,s\n3000000000,{'x' * 256}\n"), on_schema_change="widen"))
    assert "column s of `makes`.`t` is in an index" in ran.error.message.replace(anywhere.place.server.name, "makes")
    assert "no wider than varchar(255), but a value has 256 characters; nothing was loaded" in ran.error.message
    anywhere.sql("INSERT INTO t VALUES (1, 'abc', 1)")
    assert anywhere.run(step=load(write(anywhere, "i,s\n3000000000,a\n"))).status["step"] == "FAILED"
