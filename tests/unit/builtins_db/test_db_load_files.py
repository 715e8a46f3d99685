"""Files that `db_load` cannot read as they are said to be, and names of tables and columns that do not fit."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from db_loads import load, write

CREATE = "CREATE TABLE t (a INTEGER, s TEXT)"


@pytest.fixture
def ready(lite: Any) -> Any:
    """SQLite with a table of two columns."""
    lite.sql(CREATE)
    return lite


def refused(project: Any, **step: Any) -> tuple[str, str]:
    """Message and fix of a load that fails; nothing is in the table."""
    ran = project.run(step=step)
    assert ran.status["step"] == "FAILED"
    assert project.rows("SELECT count(*) AS n FROM t") == [[0]]
    return ran.error.message, ran.error.fix or ""


def loaded(project: Any) -> list[list[Any]]:
    found: list[list[Any]] = project.rows("SELECT a, s FROM t ORDER BY rowid")
    return found


# Delimited


def test_a_file_without_its_header(ready: Any) -> None:
    message, fix = refused(ready, **load(write(ready, ""), on_empty="fail"))
    assert "the file is empty: it has no header" in message
    assert "include_header: false" in fix
    message, fix = refused(ready, **load(write(ready, '"a"x,s\n1,x\n')))
    assert "line 1: the header cannot be read: " in message
    assert fix == "check delimiter and quotechar"


@pytest.mark.parametrize(("encoding", "likely"), [("utf-16", "it begins as utf-16 does"), ("cp1252", "cp1252 is that")])
def test_a_file_of_another_encoding(ready: Any, encoding: str, likely: str) -> None:
    path = Path(write(ready, ""))
    path.write_text("a,s\n1,Müller\n", encoding=encoding)
    message, fix = refused(ready, **load(str(path)))
    assert " is no utf-8 text: " in message
    assert likely in fix
    assert ready.one(**load(str(path), encoding=encoding))["rows"] == 1


def test_a_long_line(ready: Any) -> None:
    text = "x" * 3_000_000
    assert ready.one(**load(write(ready, f'a,s\n1,"{text}"\n')))["rows"] == 1
    assert ready.rows("SELECT length(s) AS n FROM t") == [[len(text)]]


def test_a_quote_that_is_never_closed(ready: Any) -> None:
    message, _ = refused(ready, **load(write(ready, 'a,s\n1,"x\n2,y\n')))
    assert "line 2: no record: a quote is opened and never closed; nothing was loaded" in message


@pytest.mark.parametrize("how", [{}, {"mode": "merge", "keys": ["a"]}])
def test_a_file_without_rows_is_a_warning_that_is_seen(ready: Any, how: dict[str, Any]) -> None:
    ran = ready.run(step=load(write(ready, "a,s\n"), **how))
    assert ran.status["step"] == "SUCCESS"
    why = str(ran.reason["step"])
    assert why.startswith("warning: no row in ")
    assert why.endswith("; from version 1.2 on this fails: set on_empty to ok, skip or fail")
    log = [json.loads(line) for line in Path(ran.summary.log_path).read_text().splitlines()]
    warnings = [event["message"] for event in log if event["event"] == "log" and event["level"] == "WARNING"]
    assert warnings == [why.removeprefix("warning: ")]
    for said in ("ok", "skip"):
        ran = ready.run(step=load(write(ready, "a,s\n"), on_empty=said, **how))
        assert "warning" not in str(ran.reason["step"])
    assert ready.run(step=load(write(ready, "a,s\n1,x\n"), **how)).reason["step"] is None


def test_a_record_that_cannot_be_read_is_rejected_as_it_stands(ready: Any) -> None:
    path = write(ready, 'a,s\n1,x\n2,"y"z\n3,w\n')
    out = ready.one(**load(path, max_rejects=1))
    assert loaded(ready) == [[1, "x"], [3, "w"]]
    (reject,) = csv.DictReader(Path(out["reject_file"]).read_text().splitlines())
    assert (reject["line"], reject["record"]) == ("3", '2,"y"z')
    assert "no record: " in reject["reason"]


def test_empty_lines_are_nothing_or_a_null_where_a_record_is_one_field(ready: Any) -> None:
    ready.one(**load(write(ready, "a,s\n1,x\n\n2,y\n")))
    assert loaded(ready) == [[1, "x"], [2, "y"]]
    ready.one(**load(write(ready, "s\nx\n\ny\n"), mode="truncate"))
    assert loaded(ready) == [[None, "x"], [None, None], [None, "y"]]


def test_the_first_record_says_how_many_fields_a_file_without_header_has(ready: Any) -> None:
    ready.one(**load(write(ready, "1,x\n2,y\n"), include_header=False))
    assert loaded(ready) == [[1, "x"], [2, "y"]]


def test_a_null_beside_escaped_signs(ready: Any) -> None:
    text = 'a,s\n1,"x\\"NULL"\nNULL,"NULL"\nNULL,"y\\"NULL"\n3,NULL\n4,a\\,NULL\n'
    ready.one(**load(write(ready, text), escapechar="\\", doublequote=False, null_value="NULL"))
    assert loaded(ready) == [[1, 'x"NULL'], [None, "NULL"], [None, 'y"NULL'], [3, None], [4, "a,NULL"]]


# JSON lines and Parquet


def test_a_key_that_comes_too_late_is_rejected(ready: Any) -> None:
    lines = [json.dumps({"a": number}) for number in range(1000)] + ['{"a": 1000, "s": "late"}', '{"a": 1001}']
    out = ready.one(**load(write(ready, "\n".join(lines), "in.jsonl"), max_rejects=1))
    assert (out["rows"], out["rejected"]) == (1001, 1)
    (reject,) = csv.DictReader(Path(out["reject_file"]).read_text().splitlines())
    assert (reject["line"], reject["column"]) == ("1001", "s")
    assert "no line of the first 1000 has it" in reject["reason"]


@pytest.mark.parametrize("number", ["1e5000", "-1.5e-5000", "0e5000", "1e99999999999999999999"])
def test_a_json_number_that_is_long_when_written_out_is_rejected(ready: Any, number: str) -> None:
    path = write(ready, f'{{"a": 1, "s": {number}}}\n{{"a": 2, "s": 1e300}}\n', "in.jsonl")
    out = ready.one(**load(path, max_rejects=1, columns={"a": "a"}))
    assert (out["rows"], out["rejected"]) == (1, 1)
    (reject,) = csv.DictReader(Path(out["reject_file"]).read_text().splitlines())
    assert f"the number '{number}' has more than 4300 digits" in reject["reason"]


def test_lines_of_json_in_batches(ready: Any) -> None:
    lines = [json.dumps({"a": number, "s": "x"}) for number in range(6)]
    assert ready.one(**load(write(ready, "\n".join(lines), "in.jsonl"), batch_rows=3))["rows"] == 6
    assert [row[0] for row in loaded(ready)] == [0, 1, 2, 3, 4, 5]


# Names


@pytest.mark.parametrize("name", ["a b", "t.", '"t', "a.b.c.d", "x..y"])
def test_what_is_no_name_of_a_table(ready: Any, name: str) -> None:
    message, fix = refused(ready, **load(write(ready, "a,s\n1,x\n"), table=name))
    assert f"table {name!r} is no name of a table" in message
    assert "schema.table" in fix


@pytest.mark.parametrize("name", ["t", "T", "main.t", '"main".`t`', ' "t" '])
def test_forms_of_the_name_of_a_table(ready: Any, name: str) -> None:
    ready.one(**load(write(ready, "a,s\n1,x\n"), table=name))
    assert loaded(ready) == [[1, "x"]]


@pytest.mark.parametrize(
    ("text", "columns", "dialect", "said"),
    [
        ("1,x\n", {"a": "a"}, {"include_header": False}, "columns is a map, but the file has no header"),
        ("a,s\n1,x\n", ["a"], {}, "columns lists 1 columns, but the file has 2"),
        ("a,s\n1,x\n", {"a": "s", "s": "s"}, {}, "two columns of the file go into column 's'"),
        ("a,name\n1,x\n", {"nmae": "s"}, {}, "the file has no column 'nmae'; did you mean 'name'?"),
        ("a,other\n1,x\n", None, {}, "has no column 'other'"),
    ],
)
def test_columns_that_do_not_fit(ready: Any, text: str, columns: Any, dialect: dict[str, Any], said: str) -> None:
    given = {} if columns is None else {"columns": columns}
    message, _ = refused(ready, **load(write(ready, text), **dialect, **given))
    assert said in message


def test_a_file_without_header_takes_the_columns_of_the_table_or_those_listed(ready: Any) -> None:
    plain = {"include_header": False}
    ready.one(**load(write(ready, "1,x\n"), **plain))
    ready.one(**load(write(ready, "y,2\n"), columns=["s", "a"], **plain))
    assert loaded(ready) == [[1, "x"], [2, "y"]]


NESTED = [["a\tb", 'say "x"', "null", None], {"a b": "c\nd", "n": [1.5]}]


@pytest.mark.parametrize("max_rejects", [0, 1])
@pytest.mark.parametrize("name", ["nested.jsonl", "nested.csv"])
def test_texts_inside_of_lists_and_structs_come_as_they_are(duck: Any, name: str, max_rejects: int) -> None:
    duck.sql('CREATE TABLE t (v VARCHAR[], s STRUCT("a b" VARCHAR, n DOUBLE[]), j JSON[], b BIT[])')
    rows = [[*NESTED, ['{"b": 1.10}', None], ["101"]]]
    lines = [json.dumps(dict(zip("vsjb", row, strict=True))) for row in rows]
    if name == "nested.csv":
        quoted = ",".join('"{}"'.format(json.dumps(cell).replace('"', '""')) for cell in rows[0])
        lines = ["v,s,j,b", quoted, "[own notation],{'a b': x},,"]
    path = write(duck, "".join(f"{line}\n" for line in lines), name)
    assert duck.one(**load(path, max_rejects=max_rejects))["rejected"] == 0
    own = [[["own notation"], {"a b": "x", "n": None}, None, None]] if name == "nested.csv" else []
    assert duck.rows("SELECT * FROM t") == [*rows, *own]


def test_bytes_inside_of_lists_are_refused(duck: Any) -> None:
    duck.sql("CREATE TABLE t (v BLOB[])")
    ran = duck.run(step=load(write(duck, '{"v": null}\n{"v": ["AAE="]}\n', "bytes.jsonl")))
    assert "column v: files have no form for bytes inside of a BLOB[]" in ran.error.message
    duck.one(**load(write(duck, '{"v": null}\n', "null.jsonl")))
