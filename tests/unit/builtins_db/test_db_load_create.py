"""`db_load` with `create: if_missing`: the types of a file, and what is said before and refused."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from db_loads import load, write

from aetherflow.core.api import ColumnType, TableColumn, register_connector
from aetherflow.core.checks.report import check_flow
from aetherflow.core.host import catalog
from aetherflow.core.runtime.environment.snapshot import build_snapshot
from aetherflow.core.testing import FlowProject
from aetherflow_builtins_db.columns import parse_type
from aetherflow_builtins_db.loading.profile import Profile, Texts
from aetherflow_builtins_db.loading.widths import wider_type
from db_strangers import Minimal, Tiny

CREATE = {"create": "if_missing"}


def profile(cells: list[Any], texts: Texts = "all") -> Profile:
    """All cells, in two parts."""
    found = Profile(texts)
    found.see(cells[: len(cells) // 2])
    found.see(cells[len(cells) // 2 :])
    return found


@pytest.mark.parametrize(
    ("cells", "found"),
    [
        (["1", "-2", None], "int"),
        (["9223372036854775807", "-9223372036854775808"], "int"),
        (["9223372036854775808"], "decimal(38,0)"),
        (["9" * 39], "string"),
        (["9" * 5000], "string"),
        (["007", "1"], "string"),
        (["-07"], "string"),
        (["00.5"], "string"),
        (["+49", "1"], "string"),
        ([" 5"], "string"),
        (["1_000"], "string"),
        (["\u0661"], "string"),
        (["1.50", "-0.25", "3"], "decimal(15,2)"),
        ([".5", "0.00000"], "decimal(15,5)"),
        (["0." + "1" * 15, "0"], "decimal(15,15)"),
        (["0", "0." + "1" * 38], "decimal(38,38)"),
        (["123456789012.3456"], "decimal(38,4)"),
        (["0." + "1" * 39], "string"),
        (["1e-7", "0.1", "3"], "float"),
        (["1e-7", "12345678901234567.891"], "string"),
        (["nan", "1.5", "-inf"], "float"),
        (["nan"], "string"),
        (["nan", "x"], "string"),
        (["true", "False"], "bool"),
        (["true", "1"], "string"),
        (["2024-02-29"], "date"),
        (["2024-02-30"], "string"),
        (["2024-02-29", "2024-03-01 10:00"], "datetime"),
        (["2024-03-01T10:00:00.123456"], "datetime"),
        (["2024-03-01T10:00:00.1234567"], "string"),
        (["2024-01-01T00:00:00Z", "2024-01-01 00:00+02:00"], "datetime(utc)"),
        (["2024-01-01T00:00:00Z", "2024-01-01 00:00"], "string"),
        (["05:00", "23:59:59.5"], "time"),
        (["24:00"], "string"),
        (["", "1"], "string"),
        ([None, None], "string"),
        ([], "string"),
    ],
)
def test_the_type_keeps_every_text(cells: list[Any], found: str) -> None:
    assert str(profile(cells).type) == found


@pytest.mark.parametrize(
    ("cells", "odd"),
    [
        (["1", "NA"], "NA"),
        (["2024-02-29", "2024-02-30"], "2024-02-30"),
        (["true", "yes"], "yes"),
        (["a", "b"], None),
        (["1", "true"], None),
        (["1", "2"], None),
    ],
)
def test_the_text_among_numbers_or_dates_is_told(cells: list[Any], odd: str | None) -> None:
    assert profile(cells).odd_text == odd


def test_text_of_json_may_be_a_time_and_no_number() -> None:
    assert str(profile(["1", "2"], "times").type) == "string"
    assert str(profile(["2024-01-01"], "times").type) == "date"
    assert str(profile(["2024-01-01"], "none").type) == "string"


@pytest.mark.parametrize(
    ("declared", "cells", "found"),
    [
        ("smallint", ["1"], None),
        ("smallint", ["32768"], "int"),
        ("int(11)", ["2147483648"], "int"),
        ("BIGINT", ["1.5"], "decimal(20,1)"),
        ("int unsigned", ["-1"], None),
        ("tinyint(1)", ["true"], None),
        ("numeric(5,2)", ["999.99"], None),
        ("numeric(5,2)", ["1000"], "decimal(15,2)"),
        ("DECIMAL(38,2)", ["0.001"], None),
        ("character varying(3)", ["abcd"], "string"),
        ("varchar(3)", ["abc"], None),
        ("date", ["2024-01-01 10:00"], "datetime"),
        ("date", ["x"], None),
        ("bigint", ["x"], None),
        ("text", ["x" * 1000], None),
        ("integer[]", ["1"], None),
    ],
)
def test_a_column_is_widened_only_within_its_kind(declared: str, cells: list[str], found: str | None) -> None:
    wider = wider_type(TableColumn("c", ColumnType("unknown"), declared), profile(cells))
    assert (wider and str(wider)) == found


def test_numbers_of_json_are_as_long_as_their_text() -> None:
    text = TableColumn("c", ColumnType("unknown"), "varchar(4)")
    for value, wider in ((1234, None), (12345, "string"), (Decimal("-0.1"), None), (Decimal("-0.12"), "string")):
        found = wider_type(text, profile([value], "times"))
        assert (found and str(found)) == wider


def test_the_last_row_decides_too(project: Any) -> None:
    path = write(project, "a,b\n" + "1,2024-01-01\n" * 10_001 + "x1,2024-01-01\n")
    project.one(**load(path, **CREATE))
    assert project.rows("SELECT min(a) AS a, max(a) AS z, count(*) AS n FROM t") == [["1", "x1", 10_002]]


def test_every_key_of_json_lines_has_a_column(project: Any) -> None:
    path = write(project, '{"a": 1}\n' * 1001 + '{"late": "2024-01-01", "a": 2.5}\n', "x.jsonl")
    assert project.one(**load(path, **CREATE))["rows"] == 1002
    assert project.rows("SELECT CAST(a AS VARCHAR) AS a, late FROM t WHERE late IS NOT NULL") == [["2.5", "2024-01-01"]]


def test_rows_that_do_not_fit_are_rejected_by_the_types_that_are_said(project: Any) -> None:
    path = write(project, "a,n\n1,1.5\n2,three\n")
    out = project.one(**load(path, **CREATE, types={"n": "decimal(10,2)"}, max_rejects=1))
    assert (out["created"], out["rows"], out["rejected"]) == (True, 1, 1)


@pytest.mark.parametrize(
    ("text", "inputs", "said"),
    [
        ("a,A\n1,2\n", {}, "two columns are named 'A'"),
        ("a,\n1,2\n", {}, "column 2 of the file has no name"),
        ("a,a\n1,2\n", {"columns": {"a": "b"}}, "columns: the file has 2 columns 'a'"),
        ("a;b\n1;2\n", {}, "the file has a column 'a;b', which looks like several: is its delimiter ';'?"),
        ("a,b\n1,2,\n", {}, "line 2: has 3 fields, not 2"),
        ("1,2\n", {"include_header": False}, "the columns of a new table have no names"),
        ("a,b\n1,2\n", {"types": {"c": "int"}}, "types: 'c' is no column that is loaded"),
        ("a,b\n1,2\n", {"keys": ["c"]}, "keys: 'c' is no column that is loaded"),
        ("a,b\n1,2\n", {"not_null": ["c"]}, "not_null: 'c' is no column that is loaded"),
        ("a,b\n1,2\n", {"columns": {"c": "a"}}, "columns: the file has no column 'c'"),
        ("a,b\n1,2\n", {"columns": ["a"]}, "columns lists 1 columns, but the file has 2"),
        (
            "amount,b\n1,2\n",
            {"types": {"amuont": "int"}},
            "types: 'amuont' is no column that is loaded; did you mean 'amount'?",
        ),
        ("amount,b\n1,2\n", {"columns": {"amuont": "a"}}, "has no column 'amuont'; did you mean 'amount'?"),
        ("a,b\n1,2\n", {"comments": {"c": "x"}}, "comments: 'c' is no column that is loaded"),
        ("a,b\n1,2\n", {"comments": {"a": "x"}}, "SQLite has no comments on columns"),
        ("a,b\n1,2\n", {"types": {"a": "int", "A": "string"}}, "types names the column 'a' twice"),
        ("a,b\n1,2\n", {"load_id_column": "B"}, "two columns are named 'B'"),
        ("1,2,3\n", {"include_header": False, "columns": ["a", "b"]}, "line 1: has 3 fields, not 2"),
        ("{}\n", {"format": "jsonl"}, "a new table would have no columns"),
    ],
)
def test_what_cannot_be_made_is_refused(lite: Any, text: str, inputs: dict[str, Any], said: str) -> None:
    error = lite.run(step=load(write(lite, text), **CREATE, **inputs)).error
    assert said in error.message
    assert "does not exist" in lite.run(step=load(write(lite, "a\n1\n"))).error.message


def test_a_record_that_is_rejected_decides_no_type(project: Any) -> None:
    path = write(project, "a,b\n1,2,x\n3,4\n")
    assert project.one(**load(path, **CREATE, max_rejects=1))["rejected"] == 1
    assert project.rows("SELECT a + b AS n FROM t") == [[7]]


def test_a_file_without_header_and_rows_makes_the_named_columns(project: Any) -> None:
    path = write(project, "")
    project.one(**load(path, **CREATE, include_header=False, columns=["a", "b"], on_empty="ok"))
    assert project.rows("SELECT a, b FROM t") == []


def test_columns_name_and_pick_the_fields(project: Any) -> None:
    project.one(**load(write(project, "1,2\n"), **CREATE, include_header=False, columns=["x", "Two Words"]))
    assert project.rows('SELECT x, "Two Words" FROM t') == [[1, 2]]
    project.one(**load(write(project, "a,b\n1,2\n"), **CREATE, table="u", columns={"b": "only"}, load_id="u"))
    assert project.rows("SELECT * FROM u") == [[2]]


def test_what_does_not_fit_together_is_found_by_validate(lite: Any) -> None:
    for inputs, said in (
        ({"types": {"a": "int"}}, "add create: if_missing or on_schema_change: widen"),
        ({"not_null": ["a"]}, "add create: if_missing"),
        ({**CREATE, "types": {"a": "money"}}, "type 'money' is not known"),
        ({**CREATE, "columns": ["a"], "keys": ["b"]}, "keys: 'b' is no column that is loaded"),
        ({**CREATE, "columns": {"x": "name"}, "types": {"nmae": "int"}}, "types: 'nmae' is .* did you mean 'name'"),
    ):
        with pytest.raises(Exception, match=said):
            lite.run(step=load("x.csv", **inputs))


def test_a_type_that_yaml_cuts_at_its_comma_is_one_mistake(lite: Any) -> None:
    cut = {"a": "decimal(10", "2)": None, "b": "int"}  # what YAML reads in {a: decimal(10,2), b: int}
    with pytest.raises(Exception, match=r'quote the type, \{a: "decimal\(10,2\)"\}') as caught:
        lite.run(step=load("x.csv", **CREATE, types=cut))
    assert str(caught.value).count("inputs.types") == 1


def test_a_plan_says_what_will_be_made(project: Any, tmp_path: Path) -> None:
    flow = FlowProject(tmp_path / "plan")
    given = flow.folder / "given.csv"
    given.write_text("order_id,code,amount\n1,007,1.50\n2,10,2\n")
    inputs = {"resource": "wh", "table": "sales", "path": str(given), **CREATE, "keys": ["order_id"]}
    resources = {"wh": project.resources["wh"]}
    flow.flow({"id": "load", "type": "db_load", "inputs": inputs}, resources=resources)
    driver = project.resources["wh"]["driver"]
    number, text = ("INTEGER", "TEXT") if driver == "sqlite3" else ("BIGINT", "VARCHAR")
    columns = [
        f"order_id {number} not null",
        f"code {text} (text because of '007')",
        "amount DECIMAL(15,2)",
        "primary key (order_id)",
    ]
    said = ['create table "sales" of resource wh:', *(f"  {column}" for column in columns)]
    assert flow.effects()["load"] == [*said, f"load {given} (39 bytes) into it"]
    assert not list(flow.folder.rglob(f"*.{driver}")), "a plan makes no database"


# Strangers


def test_a_connector_that_makes_no_tables_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog, "_registered", {group: dict(known) for group, known in catalog._registered.items()})
    for driver, cls in (("tiny", Tiny), ("minimal", Minimal)):
        register_connector("db", driver)(cls)
        folder = tmp_path / driver
        flow = FlowProject(folder)
        flow.flow(
            {"id": "step", "type": "db_load", "inputs": {"resource": "wh", "table": "t", "path": "x.csv", **CREATE}},
            resources={"wh": {"kind": "db", "driver": driver, "config": {"path": "x.db"}}},
        )
        found = check_flow(folder / "flow.yaml", build_snapshot(folder)).problems
        assert [each.message for each in found if each.af == "AF2106" and "lacks column_for()" in each.message]


class Maker(Tiny):
    """A stranger's database that makes tables, and has no other way of its own."""

    def column_for(self, name: str, column_type: ColumnType, *, nullable: bool, key: bool) -> TableColumn:
        del key
        return TableColumn(
            name, parse_type(str(column_type)), "INTEGER" if column_type.kind == "int" else "TEXT", nullable
        )


def test_a_stranger_that_makes_columns_makes_tables(make_project: Any, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(catalog, "_registered", {group: dict(known) for group, known in catalog._registered.items()})
    register_connector("db", "maker")(Maker)
    project = make_project(
        tmp_path, {"wh": {"kind": "db", "driver": "maker", "config": {"path": str(tmp_path / "x.db")}}}
    )
    step = load(write(project, "a,s\n1,x\n"), **CREATE, keys=["a"])
    assert project.run(step=step | {"expect_rows": 2}).status["step"] == "FAILED"
    assert project.one(**step)["created"]
    assert project.rows("SELECT a, s FROM t") == [[1, "x"]]
    assert not project.one(**step, load_id="two", mode="merge")["created"]
