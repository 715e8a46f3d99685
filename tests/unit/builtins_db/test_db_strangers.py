"""The built-in steps over connectors of strangers: with the contract's primitives alone, and with the minimum."""

import csv
from pathlib import Path
from typing import Any

import pytest
from db_loads import write

from aetherflow.core.api import ConnectorError, SpecError, SqlDialect, StepInputError, register_connector
from aetherflow.core.checks.report import check_flow
from aetherflow.core.host import catalog
from aetherflow.core.runtime.environment.snapshot import build_snapshot
from aetherflow.core.testing import FlowProject
from aetherflow_builtins_db.database import Database, Statement
from aetherflow_builtins_db.loading.ledger import LoadLedger
from db_project import Project
from db_strangers import Minimal, Reading, Tiny, TinyTransaction, Unwritten, published

CLASSES: dict[str, Any] = {"tiny": Tiny, "minimal": Minimal, "reading": Reading, "unwritten": Unwritten}


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog, "_registered", {group: dict(known) for group, known in catalog._registered.items()})
    for driver, cls in CLASSES.items():
        register_connector("db", driver)(cls)


def project_of(tmp_path: Path, driver: str) -> Project:
    path = str(tmp_path / "stranger.db")
    return Project(tmp_path, {"wh": {"kind": "db", "driver": driver, "config": {"path": path}}})


@pytest.fixture(params=["tiny", "minimal"])
def stranger(request: pytest.FixtureRequest, tmp_path: Path) -> Project:
    """A flow over a stranger's database with the table t(a, s) of two rows."""
    found = project_of(tmp_path, request.param)
    found.sql("CREATE TABLE t (a INTEGER PRIMARY KEY, s TEXT)", "INSERT INTO t VALUES (1, 'x'), (2, NULL)")
    return found


def load(path: str, **inputs: Any) -> dict[str, Any]:
    return {"type": "db_load", "table": "t", "path": path} | inputs


def test_the_whole_way_of_data(stranger: Project) -> None:
    ran = stranger.run(
        change={"type": "db_execute", "sql": "UPDATE t SET s = :s WHERE a = :a; DELETE FROM t WHERE a > 2",
                "params": {"s": "it's %", "a": 2}},
        small={"type": "db_fetch_small", "sql": "SELECT a, s, ':no' AS n FROM t WHERE a = :a", "params": {"a": 2}},
        plain={"type": "db_extract", "sql": "SELECT * FROM t WHERE a > :watermark ORDER BY a", "output": "t.csv",
               "watermark": {"column": "a", "initial": 0}, "emit_dtypes": True},
        parquet={"type": "db_extract_stream", "sql": "SELECT * FROM t", "output": "t.parquet"},
        check={"type": "db_check", "table": "t", "checks": [
            {"row_count": 2}, {"not_null": "s"}, {"unique": "a"},
            {"accepted_values": {"column": "s", "values": ["x", "it's %"]}}, {"sql": "SELECT a FROM t WHERE a < :n",
                                                                            "params": {"n": 0}}]},
    )  # fmt: skip
    assert set(ran.status.values()) == {"SUCCESS"}, ran.error
    assert ran.outputs["change"]["affected_rows"] == 1
    assert ran.outputs["small"]["rows"] == [[2, "it's %", ":no"]]
    assert ran.outputs["plain"]["watermark"] == 2
    assert ran.outputs["plain"]["dtypes"] == {"a": "int", "s": "string"}
    with Path(ran.outputs["plain"]["output"]).open(newline="") as file:
        assert list(csv.reader(file)) == [["a", "s"], ["1", "x"], ["2", "it's %"]]
    assert ran.outputs["parquet"]["rows"] == 2


@pytest.mark.parametrize(
    ("inputs", "rows", "counts"),
    [
        ({}, [[1, "x"], [2, None], [3, "c"], [4, "d"]], (2, 0, 0)),
        ({"mode": "truncate"}, [[3, "c"], [4, "d"]], (2, 0, 2)),
        ({"mode": "replace"}, [[3, "c"], [4, "d"]], (2, 0, 2)),
        ({"mode": "merge", "keys": ["a"]}, [[1, "x"], [2, None], [3, "c"], [4, "d"]], (2, 0, 0)),
    ],
)
def test_every_mode_of_a_load(
    stranger: Project, inputs: dict[str, Any], rows: list[Any], counts: tuple[int, int, int]
) -> None:
    step = load(write(stranger, "a,s\n3,c\n4,d\n"), **inputs)
    done = stranger.one(**step)
    assert (done["inserted"], done["updated"], done["deleted"]) == counts
    assert stranger.rows("SELECT a, s FROM t ORDER BY a") == rows


def test_a_merge_without_a_staging_table(stranger: Project) -> None:
    done = stranger.one(**load(write(stranger, "a,s\n2,b\n3,c\n1,x\n"), mode="merge", keys=["a"]))
    assert (done["inserted"], done["updated"], done["rows"]) == (1, 2, 3)
    assert stranger.rows("SELECT a, s FROM t ORDER BY a") == [[1, "x"], [2, "b"], [3, "c"]]
    for text, said in (("a,s\n5,b\n5,c\n", "keys occur more than once"), ("a,s\n,b\n", "no value in the keys")):
        ran = stranger.run(step=load(write(stranger, text), mode="merge", keys=["a"], batch_rows=1))
        assert said in ran.error.message


def test_a_load_is_done_once(stranger: Project) -> None:
    step = load(write(stranger, "a,s\n3,c\n"), load_id="monday")
    assert stranger.one(**step)["already_loaded"] is False
    assert stranger.one(**step)["already_loaded"] is True
    script = {"type": "db_execute", "sql": "UPDATE t SET a = a + 10", "exactly_once": True}
    for done in (False, True):
        ran = stranger.run(slot="2026-11-01T00:00:00Z", step=script)
        assert ran.outputs["step"]["already_done"] is done
    assert stranger.rows("SELECT a FROM t ORDER BY a") == [[11], [12], [13]]


def test_what_fails_is_rolled_back_where_there_are_transactions(tmp_path: Path) -> None:
    tiny = project_of(tmp_path, "tiny")
    tiny.sql("CREATE TABLE t (a INTEGER PRIMARY KEY, s TEXT)", "INSERT INTO t VALUES (1, 'x')")
    ran = tiny.run(step={"type": "db_execute", "sql": "DELETE FROM t; INSERT INTO none VALUES (1)"})
    assert "statement 2 of 2 failed" in ran.error.message
    assert "no such table" in ran.error.message
    ran = tiny.run(step={"type": "db_execute", "sql": "DELETE FROM t", "expect_rows": 5})
    assert "expect_rows is 5; nothing was changed" in ran.error.message
    ran = tiny.run(step=load(write(tiny, "a,s\n2,b\n1,again\n"), mode="truncate", expect_rows=7))
    assert "nothing was changed" in ran.error.message
    assert tiny.rows("SELECT a FROM t") == [[1]]


def test_an_unfinished_load_without_transactions_is_not_repeated(tmp_path: Path) -> None:
    minimal = project_of(tmp_path, "minimal")
    minimal.sql("CREATE TABLE t (a INTEGER PRIMARY KEY, s TEXT)")
    path = write(minimal, "a,s\n1,x\n1,y\n")
    assert "UNIQUE" in minimal.run(step=load(path, load_id="monday")).error.message  # one row is there
    error = minimal.run(step=load(path, load_id="monday")).error
    assert "was begun by run" in error.message
    assert "delete the entry of run" in (error.fix or "")
    assert minimal.rows("SELECT a, s FROM t") == [[1, "x"]]


def test_an_empty_file_does_not_empty_a_table_without_transactions(tmp_path: Path) -> None:
    minimal = project_of(tmp_path, "minimal")
    minimal.sql("CREATE TABLE t (a INTEGER)", "INSERT INTO t VALUES (1)")
    assert "no row to load" in minimal.run(step=load(write(minimal, "a\n"), mode="truncate")).error.message
    assert minimal.rows("SELECT a FROM t") == [[1]]


def test_expect_rows_is_refused_where_nothing_can_be_undone(tmp_path: Path) -> None:
    step = {"type": "db_execute", "sql": "DELETE FROM t", "expect_rows": 1}
    with pytest.raises(SpecError, match=r"class Minimal \(.*\) lacks transaction\(\): expect_rows could undo nothing"):
        project_of(tmp_path, "minimal").run(step=step)


# What `validate` says


def told(folder: Path, driver: str, inputs: dict[str, Any], step: str) -> list[tuple[str, str, str]]:
    project = FlowProject(folder)
    project.flow(
        {"id": "step", "type": step, "inputs": {"resource": "wh"} | inputs},
        resources={"wh": {"kind": "db", "driver": driver, "config": {"path": "x.db"}}},
    )
    found = check_flow(folder / "flow.yaml", build_snapshot(folder)).problems
    return [(each.af, each.severity, each.message) for each in found]


QUERY = {"sql": "SELECT 1 AS one"}


@pytest.mark.parametrize(
    ("driver", "step", "inputs", "codes", "said"),
    [
        ("tiny", "db_fetch_small", QUERY, [], ""),
        ("minimal", "db_fetch_small", QUERY, [], ""),
        ("reading", "db_fetch_small", QUERY, [("AF2107", "warning")], "lacks fetchmany(): a result is read as a whole"),
        ("minimal", "db_execute", QUERY, [("AF2107", "warning")], "each statement counts at once"),
        ("reading", "db_execute", QUERY, [("AF2106", "error")], "lacks execute(): no data can be changed"),
        ("minimal", "db_execute", QUERY | {"expect_rows": 1}, [("AF2106", "error"), ("AF2107", "warning")],
         "expect_rows could undo nothing"),
        ("unwritten", "db_fetch_small", QUERY, [("AF2106", "error")],
         "lacks ping(), stream(), which SqlConnector demands"),
    ],
)  # fmt: skip
def test_validate_names_what_a_class_lacks(
    tmp_path: Path, driver: str, step: str, inputs: dict[str, Any], codes: list[Any], said: str
) -> None:
    found = told(tmp_path, driver, inputs, step)
    assert [(af, severity) for af, severity, _ in found] == codes
    text = " ".join(message for _, _, message in found)
    assert said in text
    if codes:
        assert f"class {CLASSES[driver].__name__} (" in text
        assert "db_strangers.py:" in text


# Markers


def _refuse(message: str, fix: str) -> ConnectorError:
    return ConnectorError(message, fix=fix)


@pytest.mark.parametrize(
    ("style", "text", "values"),
    [
        ("named", "a = :a AND b LIKE '%' AND c = :a OR d = :b AND e = ':x'", {"a": 1, "b": 2}),
        ("pyformat", "a = %(a)s AND b LIKE '%%' AND c = %(a)s OR d = %(b)s AND e = ':x'", {"a": 1, "b": 2}),
        ("qmark", "a = ? AND b LIKE '%' AND c = ? OR d = ? AND e = ':x'", (1, 1, 2)),
        ("format", "a = %s AND b LIKE '%%' AND c = %s OR d = %s AND e = ':x'", (1, 1, 2)),
        ("numeric", "a = :1 AND b LIKE '%' AND c = :1 OR d = :2 AND e = ':x'", (1, 2)),
    ],
)
def test_markers_become_those_of_the_driver(style: Any, text: str, values: Any) -> None:
    statement = Statement("a = :a AND b LIKE '%' AND c = :a OR d = :b AND e = ':x'", SqlDialect("any", style))
    assert statement.text == text
    assert statement.values({"a": 1, "b": 2}, _refuse) == values
    with pytest.raises(StepInputError, match="no value for :b"):
        statement.values({"a": 1}, _refuse)


def test_the_view_of_a_connector_shows_published_names_only(connect: Any, driver: str) -> None:
    view = published(connect(driver))
    with pytest.raises(AttributeError):
        view.read("SELECT 1")
    with view.transaction() as tx, pytest.raises(AttributeError):
        _ = tx.raw
    LoadLedger(Database(view), "one", "t").create()


def test_a_driver_that_cannot_count_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tiny = project_of(tmp_path, "tiny")
    tiny.sql("CREATE TABLE t (a INTEGER)")
    monkeypatch.setattr(TinyTransaction, "execute", lambda *_given: -1)
    assert tiny.one(type="db_execute", sql="DELETE FROM t")["affected_rows"] is None
