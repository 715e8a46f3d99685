"""`db_load`, through flows, on every driver."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from db_loads import CREATE, load, write

import warm

CSV = 'a,s,d,n\n1,x,2024-02-29,1.50\n2,,,\n3,"","2024-03-01",-0.25\n4,"a ""b"", c\nd ü",,12345678.90\n'
ROWS = [
    [1, "x", "2024-02-29", "1.50"],
    [2, None, None, None],
    [3, "", "2024-03-01", "-0.25"],
    [4, 'a "b", c\nd ü', None, "12345678.90"],
]
SELECT = "SELECT a, s, d, n FROM t ORDER BY a"


def plain(rows: list[list[Any]]) -> list[list[Any]]:
    """SQLite and its like keep decimals as numbers or text."""
    return [[row[0], row[1], row[2], None if row[3] is None else f"{float(row[3]):.2f}"] for row in rows]


@pytest.fixture
def ready(anywhere: Any) -> Any:
    """An empty table `t` on each driver."""
    anywhere.sql(CREATE)
    return anywhere


@pytest.mark.parametrize("mode", ["append", "truncate", "replace", "merge"])
def test_every_mode_loads_what_is_in_the_file(ready: Any, mode: str) -> None:
    keys = {"keys": ["a"]} if mode == "merge" else {}
    ran = ready.run(
        load=load(write(ready, CSV), mode=mode, **keys),
        check={"type": "db_fetch_small", "sql": SELECT},
    )
    assert ran.status["load"] == "SUCCESS", ran.error
    assert plain(ran.outputs["check"]["rows"]) == ROWS
    out = ran.outputs["load"]
    assert (out["rows"], out["inserted"], out["updated"], out["rejected"]) == (4, 4, 0, 0)
    assert out["load_id"].startswith("t/j/load#")


@pytest.mark.parametrize("mode", ["truncate", "replace"])
def test_old_rows_go(ready: Any, mode: str) -> None:
    ready.sql("INSERT INTO t (a, s) VALUES (1, 'old'), (9, 'old')")
    out = ready.one(**load(write(ready, CSV), mode=mode))
    assert out["deleted"] in {2, None}
    assert plain(ready.rows(SELECT)) == ROWS


@pytest.mark.parametrize("mode", ["truncate", "replace"])
def test_old_rows_stay_if_the_file_does_not_fit(ready: Any, mode: str) -> None:
    ready.sql("INSERT INTO t (a, s) VALUES (9, 'old')")
    ran = ready.run(step=load(write(ready, CSV + "x,y,,\n"), mode=mode))
    assert ran.status["step"] == "FAILED"
    assert "line 7" in ran.error.message or "lines" in ran.error.message, ran.error.message
    assert ready.rows("SELECT a, s FROM t") == [[9, "old"]]
    assert "\n" not in ran.error.message


def test_merge_updates_and_inserts_and_can_be_repeated(ready: Any) -> None:
    ready.sql("INSERT INTO t (a, s, n) VALUES (1, 'old', 7), (9, 'stays', 8)")
    for inserted, updated in ((3, 1), (0, 4)):
        out = ready.one(**load(write(ready, CSV), mode="merge", keys=["a"]))
        assert (out["inserted"], out["updated"]) == (inserted, updated)
    assert plain(ready.rows(SELECT)) == [*ROWS, [9, "stays", None, "8.00"]]


def test_merge_changes_only_the_columns_of_the_file(ready: Any) -> None:
    ready.sql("INSERT INTO t (a, s, n) VALUES (1, 'old', 7)")
    ready.one(**load(write(ready, "a,s\n1,new\n"), mode="merge", keys=["A"]))
    assert plain(ready.rows(SELECT)) == [[1, "new", None, "7.00"]]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a,s\n1,x\n1,y\n1,z\n", "1 keys occur more than once in the file, the first is a = 1 (3 times)"),
        ("s,n\nx,1\n", "'a' is no column that is loaded"),
    ],
)
def test_merge_refuses_keys_that_say_nothing(ready: Any, text: str, said: str) -> None:
    ran = ready.run(step=load(write(ready, text), mode="merge", keys=["a"]))
    assert said in ran.error.message
    assert ready.rows("SELECT a FROM t") == []


def test_merge_refuses_null_keys(ready: Any) -> None:
    ran = ready.run(step=load(write(ready, "a,s\n1,x\n2,\n"), mode="merge", keys=["s"]))
    assert "1 rows have no value in the keys (s)" in ran.error.message


def test_an_append_of_the_same_load_is_done_once(ready: Any) -> None:
    path = write(ready, CSV)
    first = ready.one(**load(path, load_id="day 1"))
    again = ready.one(**load(path, load_id="day 1"))
    assert (first["already_loaded"], again["already_loaded"]) == (False, True)
    assert again["rows"] == 4
    other = ready.run(step=load(write(ready, "a\n7\n"), load_id="day 1"))
    assert "already has this load (day 1, run" in other.error.message
    assert len(ready.rows(SELECT)) == 4
    ready.one(**load(write(ready, "a\n7\n"), load_id="day 2"))
    assert len(ready.rows(SELECT)) == 5


def test_a_repeated_load_replaces_its_own_rows(ready: Any) -> None:
    ready.one(**load(write(ready, CSV), load_id="day 1", load_id_column="load_id"))
    ready.one(**load(write(ready, "a\n7\n"), load_id="day 2", load_id_column="LOAD_ID"))
    out = ready.one(**load(write(ready, "a,s\n1,corrected\n"), load_id="day 1", load_id_column="load_id"))
    assert (out["deleted"], out["inserted"]) == (4, 1)
    assert ready.rows("SELECT a, s, load_id FROM t ORDER BY a") == [[1, "corrected", "day 1"], [7, None, "day 2"]]


def test_a_run_of_a_slot_replaces_what_an_earlier_run_of_it_loaded(ready: Any) -> None:
    ran = ready.run(step=load(write(ready, CSV)))
    assert ran.outputs["step"]["load_id"] == f"t/j/step#{ran.summary.run_id}"


def test_rejects_are_left_out_and_told(ready: Any) -> None:
    text = "a,s,d,n\n1,x,2024-02-29,1.5\nzwei,y,,\n3,z,2024-02-30,\n4\n5,,,5\n,no key,,\n"
    ran = ready.run(step=load(write(ready, text), max_rejects=4))
    out = ran.outputs["step"]
    assert (out["rows"], out["rejected"]) == (2, 4)
    lines = Path(out["reject_file"]).read_text().splitlines()
    assert lines[0] == "line,column,reason,record"
    assert [line.split(",")[0] for line in lines[1:]] == ["3", "4", "5", "7"]
    assert "has 1 fields, not 4" in lines[3]
    assert [row[0] for row in ready.rows(SELECT)] == [1, 5]


def test_one_reject_too_many_undoes_the_load_but_leaves_the_file_of_rejects(ready: Any) -> None:
    ran = ready.run(step=load(write(ready, "a,n\n1,1\nx,1\ny,1\n2,2\n"), max_rejects=1, reject_file="bad.csv"))
    assert "more than max_rejects (1) rows cannot be loaded, the last at line 4" in ran.error.message
    assert ready.rows(SELECT) == []
    (bad,) = (ready.root / "work").rglob("bad.csv")
    assert len(bad.read_text().splitlines()) == 3


def test_a_constraint_rejects_single_rows_where_there_are_savepoints(ready: Any) -> None:
    ready.sql("INSERT INTO t (a, s) VALUES (2, 'old')")
    text = "a,s\n" + "".join(f"{number},n\n" for number in range(1, 500))
    ran = ready.run(step=load(write(ready, text), max_rejects=3, batch_rows=100))
    if ready.place.driver in {"duckdb", "sqlalchemy"}:
        assert ran.status["step"] == "FAILED"
        assert ready.rows("SELECT a, s FROM t") == [[2, "old"]]
    else:
        assert (ran.outputs["step"]["rows"], ran.outputs["step"]["rejected"]) == (498, 1), ran.summary
        assert ready.rows("SELECT count(*) AS n FROM t") == [[499]]


@pytest.mark.parametrize(
    ("columns", "text", "header"),
    [
        ({"id": "a", "text": "s"}, "left out,text,id\n?,x,1\n", True),
        (["s", "a"], "text,id\nx,1\n", True),
        (["s", "a"], "x,1\n", False),
        (None, "S,A\nx,1\n", True),
    ],
)
def test_columns(ready: Any, columns: Any, text: str, header: bool) -> None:
    ready.one(**load(write(ready, text), columns=columns, include_header=header))
    assert ready.rows("SELECT a, s FROM t") == [[1, "x"]]


def test_an_unknown_column_is_named_with_the_nearest(ready: Any) -> None:
    error = ready.run(step=load(write(ready, "a,load_it\n1,x\n"))).error
    assert "has no column 'load_it'; did you mean 'load_id'?" in error.message
    assert "a, s, d, n, load_id" in (error.fix or "")


def test_an_unknown_table(ready: Any) -> None:
    error = ready.run(step=load(write(ready, CSV), table="nope")).error
    assert "nope" in error.message
    assert error.fix


@pytest.mark.parametrize(
    "name", ["in.csv.gz", "in.tsv", "in.jsonl", "in.jsonl.gz", "latin.csv", "crlf.csv", "plain.csv", "bom.csv"]
)
def test_formats(ready: Any, name: str) -> None:
    options: dict[str, Any] = {}
    text = "a,s,n\n1,ü,1.5\n2,,\n"
    if name.startswith("in.tsv"):
        text = text.replace(",", "\t")
    elif name.startswith("in.jsonl"):
        text = '{"a": 1, "n": 1.5, "s": "ü"}\n{"a": 2}\n'
    elif name == "crlf.csv":
        text = text.replace("\n", "\r\n")
    elif name == "plain.csv":
        options = {"quoting": "none", "include_header": False, "columns": ["a", "s", "n"], "null_value": "-"}
        text = '1,ü,1.5\n2,-,-\n3,"q" \\,-\n'
    elif name == "bom.csv":
        text = "\ufeff" + text
    path = write(ready, text, name)
    if name == "latin.csv":
        options = {"encoding": "latin-1"}
        Path(path).write_text(text, encoding="latin-1")
    ready.one(**load(path, **options))
    more = [[3, '"q" \\', None, None]] if name == "plain.csv" else []
    assert plain(ready.rows(SELECT)) == [[1, "ü", None, "1.50"], [2, None, None, None], *more]


def test_a_parquet_file_of_a_query_comes_back(ready: Any) -> None:
    ran = ready.run(
        load=load(write(ready, CSV)),
        out={"type": "db_extract_stream", "sql": SELECT, "output": "t.parquet"},
        back=load("{{steps.out.artifact_path}}", mode="replace"),
        check={"type": "db_fetch_small", "sql": SELECT},
    )
    assert ran.status["back"] == "SUCCESS", ran.error
    assert plain(ran.outputs["check"]["rows"]) == ROWS


def test_expected_rows_and_empty_files(ready: Any) -> None:
    ready.sql("INSERT INTO t (a) VALUES (9)")
    error = ready.run(step=load(write(ready, CSV), expect_rows=5)).error
    assert error.message == "4 rows would be loaded, but expect_rows is 5; nothing was changed"
    error = ready.run(step=load(write(ready, "a\n"), mode="truncate")).error
    assert "holds no row to load; nothing was changed" in error.message
    ran = ready.run(step=load(write(ready, "a\n"), on_empty="skip"))
    assert (ran.status["step"], ran.reason["step"]) == ("SKIPPED", "row_count(0) < min_rows(1)")
    assert ready.rows("SELECT a FROM t") == [[9]]
    assert ready.one(**load(write(ready, "a\n"), mode="truncate", on_empty="ok"))["rows"] == 0
    assert ready.rows("SELECT a FROM t") == []


def test_numbers_are_not_rounded_silently(ready: Any) -> None:
    for text in ("a,n\n1.5,1\n", "a,n\n1,1.239\n"):
        if ready.place.driver == "postgres" and "1.239" in text:
            continue  # PostgreSQL rounds to the scale of the column, by the SQL standard
        ran = ready.run(step=load(write(ready, text)))
        assert ran.status["step"] == "FAILED", ready.rows(SELECT)
        assert "line 2" in ran.error.message or "lines 2" in ran.error.message


@pytest.mark.parametrize("place", ["mysql"], indirect=True)
@pytest.mark.parametrize("kind", ["DATETIME", "TIMESTAMP"])
def test_seconds_are_not_cut_silently(anywhere: Any, kind: str) -> None:
    """MariaDB cuts them off and MySQL rounds them, neither with a word."""
    anywhere.sql(f"CREATE TABLE t (a {kind} NULL, b {kind}(3) NULL)")
    path = anywhere.root / "in.csv"
    path.write_text(
        "a,b\n2026-11-01 05:00:00,2026-11-01 05:00:00.125\n"
        "2026-11-01 05:00:00.5,\n,2026-11-01 05:00:00.1255\n2026-11-01 05:00:00.000,2026-11-01 05:00:00.120000\n"
    )
    out = anywhere.one(type="db_load", table="t", path=str(path), max_rejects=2)
    assert (out["rows"], out["rejected"]) == (2, 2)
    told = Path(out["reject_file"]).read_text()
    assert (
        f"3,a,the value '2026-11-01 05:00:00.5' has more digits behind the second than a {kind.lower()} keeps" in told
    )
    assert (
        f"4,b,the value '2026-11-01 05:00:00.1255' has more digits behind the second than a {kind.lower()}(3)" in told
    )


PLAIN = 'a,s,d,n,m\n1,ä,2026-11-01,1.50,2026-11-01 05:00:00\n2,,,,\n3,"",2026-11-02,-2,\n4,"a\nb,,""c\\",,0.05,\n'
"""What LOAD DATA gets as it is, with null, empty text, and signs of CSV in a text."""


@pytest.mark.parametrize("place", ["mysql"], indirect=True)
@pytest.mark.parametrize("mode", ["append", "merge", "replace"])
def test_load_data_takes_a_plain_file(anywhere: Any, mode: str) -> None:
    """The same rows as by INSERT, which loads the file with one more that is odd and is rejected."""
    found = []
    for text, rejected in ((PLAIN, 0), (PLAIN + "5.5,x,,,\n", 1)):
        anywhere.sql("DROP TABLE IF EXISTS t")
        anywhere.sql(
            "CREATE TABLE t (a INT PRIMARY KEY, s VARCHAR(9) COLLATE utf8mb4_bin, d DATE, n DECIMAL(6, 2), m DATETIME, "
            "`%` VARCHAR(600))"
        )
        more: dict[str, Any] = {"load_id_column": "%", "load_id": "it's"} if mode == "append" else {}
        more |= {"keys": ["a"]} if mode == "merge" else {}
        out = anywhere.one(**load(write(anywhere, text), mode=mode, max_rejects=rejected, **more))
        assert (out["rows"], out["rejected"]) == (4, rejected)
        found.append(anywhere.rows("SELECT * FROM t ORDER BY a"))
    assert found[0] == found[1]
    assert [row[1] for row in found[0]] == ["ä", None, "", 'a\nb,,"c\\']
    assert {row[5] for row in found[0]} == {"it's" if mode == "append" else None}


@pytest.mark.parametrize("place", ["mysql"], indirect=True)
@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("9,x\n1,y\n1,z\n", "Duplicate entry '1'"),
        ("9,x\n99999999999,y\n", "Out of range value"),
        ("9,x\n1,0123456789\n", "Data too long"),
        ("9,x\n1.5,y\n", "'1.5' is no whole number"),
    ],
)
def test_what_load_data_only_warns_of_fails_the_load(anywhere: Any, text: str, told: str) -> None:
    anywhere.sql("CREATE TABLE t (a INT PRIMARY KEY, s VARCHAR(9))")
    anywhere.sql("INSERT INTO t VALUES (7, 'old')")
    ran = anywhere.run(step=load(write(anywhere, "a,s\n" + text)))
    assert ran.status["step"] == "FAILED"
    assert told in ran.error.message
    assert anywhere.rows("SELECT * FROM t") == [[7, "old"]]


def test_json_rows_that_are_none(ready: Any) -> None:
    text = '{"a": 1}\n[2]\n{"a": 3\n{"a": 4}\n' + json.dumps({"a": 5, "s": {"k": ["ü"]}}) + "\n"
    out = ready.one(**load(write(ready, text, "in.jsonl"), max_rejects=2))
    assert (out["rows"], out["rejected"]) == (3, 2)
    assert ready.rows("SELECT s FROM t WHERE a = 5") == [['{"k": ["ü"]}']]


SAME_TIME = "CREATE TABLE t (a INTEGER NOT NULL, s VARCHAR(40), d DATE, n DECIMAL(10, 2), load_id VARCHAR(600))"


@pytest.mark.slow
@pytest.mark.parametrize("place", ["postgres", "mysql"], indirect=True)
@pytest.mark.parametrize("mode", ["append", "merge", "replace"])
def test_two_processes_that_load_the_same_double_nothing(anywhere: Any, tmp_path: Path, mode: str) -> None:
    anywhere.sql(SAME_TIME)  # no key is unique: a row that came twice would stay
    rows = "".join(f"{number},{'x' * 20}\n" for number in range(3000))
    step = load(write(anywhere, "a,s\n" + rows), mode=mode, load_id="one") | {"resource": "wh"}
    step |= {"keys": ["a"]} if mode == "merge" else {}
    kind = step.pop("type")
    started = []
    for name in ("one", "two"):
        flow = {
            "version": 1,
            "flow": {"id": "t", "workspace": {"root": str(tmp_path / "work")}, "state": {"path": f"{name}.sqlite"}},
            "resources": anywhere.resources,
            "jobs": [{"id": "j", "steps": [{"id": "step", "type": kind, "inputs": step}]}],
        }
        (tmp_path / name).mkdir()
        (tmp_path / name / "flow.yaml").write_text(json.dumps(flow))
        command = [sys.executable, "-m", "aetherflow.core", "run", "flow.yaml"]
        started.append(warm.Popen(command, cwd=tmp_path / name, stderr=subprocess.PIPE, text=True))
    ended = [(process.communicate()[1], process.returncode) for process in started]
    assert 0 in [code for _, code in ended], ended
    assert anywhere.rows("SELECT count(*) AS n, count(DISTINCT a) AS k FROM t") == [[3000, 3000]], ended


def test_many_rejects_in_one_batch(ready: Any) -> None:
    if ready.place.driver in {"duckdb", "sqlalchemy"}:
        return  # a constraint fails the whole load there
    text = "a,s\n" + "".join(f"{number // 2},n\n" for number in range(2400))
    out = ready.one(**load(write(ready, text), max_rejects=1200))
    assert (out["rows"], out["rejected"]) == (1200, 1200)


@pytest.mark.parametrize("place", ["duckdb"], indirect=True)
@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("TINYINT", "999"),
        ("BIGINT", "9" * 30),
        ("HUGEINT", "9" * 60),
        ("UBIGINT", "-1"),
        ("UHUGEINT", "9" * 60),
        ("DECIMAL(4, 1)", "99999.1"),
        ("DECIMAL(38, 0)", "9" * 60),
        ("DECIMAL(38, 10)", "1e400"),
        ("DOUBLE", "x"),
        ("DATE", "99999999-01-01"),
        ("TIMESTAMP", "999999-01-01 00:00:00"),
        ("SMALLINT", "-32769"),
        ("INTEGER", "2147483648"),
        ("BLOB", "%%%"),
        ("TIME", "25:00"),
        ("DOUBLE", "1e400"),
        ("REAL", "-1e99"),
        ("UUID", "x"),
        ("BIT", "012"),
        ("BIGNUM", "x"),
        ("TIMESTAMP_NS", "2500-01-01 00:00:00"),
        ("TIME_NS", "25:00"),
        ("TIME WITH TIME ZONE", "25:00"),
        ("INTERVAL", "x"),
        ("JSON", "{"),
        ("ENUM('a', 'b')", "c"),
        ("INTEGER[]", "[1, 99999999999]"),
        ("INTEGER[2]", "[1, 2, 3]"),
        ("DOUBLE[]", "[1, 1e400]"),
        ("STRUCT(a FLOAT)", '{"a": 1e99}'),
        ("UUID[]", '["x"]'),
        ("BIT[]", '["012"]'),
        ("BIGNUM[]", '["x"]'),
        ("DATE[]", '["2020-13-01"]'),
        ("DECIMAL(4, 1)[]", "[99999.1]"),
        ("MAP(VARCHAR, TINYINT)", '{"a": 999}'),
        ("BLOB[]", '["YQ=="]'),
    ],
)
def test_values_out_of_range_are_rejected_by_line(anywhere: Any, kind: str, value: str) -> None:
    """Values that DuckDB refused failed the load with "lines 2 to 4", numbers beyond a float became infinity."""
    anywhere.sql(f"CREATE TABLE t (a INTEGER, n {kind})")
    quoted = value.replace('"', '""')
    text = f'a,n\n1,\n2,"{quoted}"\n3,\n4,"{quoted}"\n'
    ran = anywhere.run(step=load(write(anywhere, text)))
    assert re.match(r"line 3[,:] column n", ran.error.message), ran.error.message
    out = anywhere.one(**load(write(anywhere, text), max_rejects=2))
    assert (out["rows"], out["rejected"]) == (2, 2)
    lines = Path(out["reject_file"]).read_text().splitlines()
    assert [line.partition(",")[0] for line in lines] == ["line", "3", "5"]
    assert anywhere.rows("SELECT a FROM t ORDER BY a") == [[1], [3]]


@pytest.mark.parametrize("kind", ["DOUBLE PRECISION"])
@pytest.mark.parametrize("number", ["1e400", "-1E+400", "9" * 400])
@pytest.mark.parametrize("name", ["in.csv", "in.jsonl"])
def test_a_number_beyond_a_float_is_refused(anywhere: Any, kind: str, number: str, name: str) -> None:
    """SQLite and DuckDB made infinity of it."""
    anywhere.sql(f"CREATE TABLE t (a INTEGER, n {kind})")
    if name == "in.csv":
        path = write(anywhere, f"a,n\n1,1500\n2,{number}\n", name)
    else:
        path = write(anywhere, f'{{"a": 1, "n": 1500}}\n{{"a": 2, "n": {number}}}\n', name)
    ran = anywhere.run(step=load(path))
    assert ran.status["step"] == "FAILED"
    if anywhere.place.driver != "sqlalchemy":
        assert re.match(rf"line {3 if name == 'in.csv' else 2}[,:] column n", ran.error.message), ran.error.message
    assert anywhere.rows("SELECT a FROM t") == []


@pytest.mark.parametrize("number", ["1e400", "-.5E+400", "9" * 400])
def test_sqlite_makes_no_infinity_of_a_number_without_a_type(lite: Any, number: str) -> None:
    lite.sql("CREATE TABLE t (a INTEGER, n NUMERIC, free)")
    out = lite.one(**load(write(lite, f"a,n,free\n1,inf,{number}\n2,{number},x\n3,1e3,y\n"), max_rejects=1))
    assert (out["rows"], out["rejected"]) == (2, 1)
    assert lite.rows("SELECT a, n, free FROM t") == [[1, "inf", number], [3, 1000, "y"]]


def test_infinity_and_bignums_inside_of_lists_are_loaded(duck: Any) -> None:
    big = "9" * 80
    duck.sql("CREATE TABLE t (a DOUBLE[], b STRUCT(information FLOAT), c BIGNUM[], d BIGNUM, e UUID[])")
    rows = [
        ['["inf", 1.5]', '{"information": null}', f'["{big}", -1]', big, "null"],
        ["[-inf]", '{"information": 1.5}', f"[{big}]", f"-{big}", '["12345678-1234-1234-1234-123456789012"]'],
    ]
    text = "a,b,c,d,e\n" + "".join(",".join('"' + cell.replace('"', '""') + '"' for cell in row) + "\n" for row in rows)
    for rejects in (0, 1):
        out = duck.one(**load(write(duck, text), mode="truncate", max_rejects=rejects))
        assert (out["rows"], out["rejected"]) == (2, 0)
        found = duck.rows("SELECT a::VARCHAR, b.information, c::VARCHAR, d::VARCHAR, e::VARCHAR FROM t")
        assert found == [
            ["[inf, 1.5]", None, f"[{big}, -1]", big, None],
            ["[-inf]", 1.5, f"[{big}]", f"-{big}", "[12345678-1234-1234-1234-123456789012]"],
        ]
