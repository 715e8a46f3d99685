"""`db_load` straight from a workbook, on every driver: the sheet's types, error cells, and the same load again."""

import datetime as dt
from decimal import Decimal
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from db_loads import load

AT = dt.datetime.fromisoformat("2024-02-29T12:30:15.250000")
ROWS = [
    [1, "one", Decimal("1.5"), AT, True],
    [2, 'ü, "quoted"\nline', None, None, False],
    [3, None, Decimal("-0.25"), AT, None],
]


def book(project: Any, *, errors: bool = False) -> str:
    folder = project.root / "work" / "t" / "given"
    folder.mkdir(parents=True, exist_ok=True)
    made = openpyxl.Workbook()
    first = made.active
    assert first is not None
    first.append(["nothing"])
    sheet = made.create_sheet("Plan")
    sheet.append(["id", "name", "amount", "moment", "flag"])
    for row in ROWS:
        sheet.append(row)
    if errors:
        sheet["C3"].value = "#DIV/0!"
        sheet["C3"].data_type = "e"
    path = folder / "in.xlsx"
    made.save(path)
    return str(path)


def values(project: Any) -> list[list[Any]]:
    """The rows of `t` in one form for all drivers: SQLite has text for times, and numbers for booleans."""
    rows = project.rows("SELECT id, name, amount, moment, flag FROM t ORDER BY id")
    return [
        [
            *row[:2],
            None if row[2] is None else Decimal(str(row[2])),
            None if row[3] is None else dt.datetime.fromisoformat(str(row[3])),
            None if row[4] is None else bool(row[4]),
        ]
        for row in rows
    ]


def test_a_new_table_has_the_types_of_the_sheet(anywhere: Any) -> None:
    step = load(book(anywhere), sheet="plan", create="if_missing")
    if anywhere.resources["wh"]["driver"] == "sqlalchemy":
        with pytest.raises(Exception, match=r"lacks column_for\(\)"):
            anywhere.run(step=step)
        return
    ran = anywhere.run(step=step)
    assert ran.status["step"] == "SUCCESS", ran.error
    assert (ran.outputs["step"]["rows"], ran.outputs["step"]["created"]) == (3, True)
    assert values(anywhere) == ROWS


@pytest.mark.parametrize("mode", ["append", "replace", "merge"])
def test_a_table_that_is_there(anywhere: Any, mode: str) -> None:
    kind = "DATETIME(6)" if anywhere.resources["wh"]["driver"] == "mysql" else "TIMESTAMP"
    anywhere.sql(
        "CREATE TABLE t (id INTEGER NOT NULL PRIMARY KEY, name VARCHAR(40), amount DECIMAL(10, 2), "
        f"moment {kind}, flag BOOLEAN)"
    )
    keys = {"keys": ["id"]} if mode == "merge" else {}
    assert anywhere.one(**load(book(anywhere), sheet="Plan", mode=mode, **keys))["rows"] == 3
    assert values(anywhere) == ROWS


def test_a_repeated_load_is_done_once(lite: Any) -> None:
    path = book(lite)
    lite.one(**load(path, sheet="Plan", create="if_missing", load_id="march"))
    out = lite.one(**load(path, sheet="Plan", create="if_missing", load_id="march"))
    assert (out["rows"], out["already_loaded"]) == (3, True)
    assert lite.rows("SELECT count(*) FROM t") == [[3]]


def test_fields_in_order_without_a_header(lite: Any) -> None:
    lite.sql("CREATE TABLE t (x VARCHAR(40))")
    assert lite.one(**load(book(lite), include_header=False, columns={"column_1": "x"}))["rows"] == 1
    assert lite.rows("SELECT x FROM t") == [["nothing"]]


@pytest.mark.parametrize(("on_error", "expected"), [(None, None), ("null", None), ("text", "#DIV/0!")])
def test_error_cells(lite: Any, on_error: str | None, expected: str | None) -> None:
    given = {} if on_error is None else {"on_error": on_error}
    lite.one(**load(book(lite, errors=True), sheet="Plan", create="if_missing", **given))
    assert lite.rows("SELECT amount FROM t WHERE id = 2") == [[expected]]


def test_error_cells_fail_the_load(lite: Any) -> None:
    ran = lite.run(step=load(book(lite, errors=True), sheet="Plan", create="if_missing", on_error="fail"))
    assert ran.status["step"] == "FAILED"
    assert "column 'amount': 1, first #DIV/0! in C3" in str(ran.error.message)


def test_a_value_that_does_not_fit_is_rejected_by_its_line(lite: Any) -> None:
    lite.sql("CREATE TABLE t (id INTEGER, name INTEGER)")
    columns = {"id": "id", "name": "name"}
    out = lite.one(**load(book(lite), sheet="Plan", columns=columns, max_rejects=2))
    assert (out["rows"], out["rejected"]) == (1, 2)
    assert [line.split(",")[1] for line in Path(out["reject_file"]).read_text().splitlines()[1:]] == ["name", "name"]
