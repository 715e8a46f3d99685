"""`db_reconcile` between all databases: every type is equal or refused by name, and what differs is found."""

import csv
import datetime
import itertools
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from db_loads import load, write
from db_types import BYTES, DATA, write_parquet

from aetherflow_builtins_db.reconciling import compare
from db_places import Place, place_for
from torture_tier import full

DRIVERS = ["sqlite3", "duckdb", "postgres", "mysql"]
PAIRS = list(itertools.product(DRIVERS, DRIVERS))
SOME = (
    PAIRS
    if full()
    else [
        ("sqlite3", "duckdb"),
        ("duckdb", "postgres"),
        ("postgres", "mysql"),
        ("mysql", "sqlite3"),
        ("mysql", "duckdb"),
    ]
)
CREATE = {"create": "if_missing"}
VALUES = DATA | BYTES
HASHED = {"duckdb", "postgres", "mysql"}


@pytest.fixture(params=DRIVERS)
def place(request: pytest.FixtureRequest) -> Place:
    return place_for(request, request.param, "here")


def reconcile(**inputs: Any) -> dict[str, Any]:
    step = {"type": "db_reconcile", "target": "there", "keys": ["k"]} | inputs
    step |= {} if "sql" in step else {"from_table": "t"}
    return step if "target_sql" in step else {"table": "u"} | step


def copy(**inputs: Any) -> dict[str, Any]:
    return {"type": "db_copy", "from_table": "t", "target": "there", "table": "u"} | CREATE | inputs


def listed(out: dict[str, Any]) -> list[list[str]]:
    with Path(out["output"]).open(newline="") as file:
        return list(csv.reader(file))


@pytest.mark.parametrize(("place", "to"), PAIRS, indirect=["place"])
def test_every_type_that_was_copied_is_equal(two: Any, to: str) -> None:
    path = Path(write(two, "", "all.parquet"))
    write_parquet(path, VALUES)
    ran = two.run(load=load(str(path), **CREATE), copy=copy(keys=["k"]), look=reconcile())
    assert set(ran.status.values()) == {"SUCCESS"}, ran.error
    out = ran.outputs["look"]
    assert (out["equal"], out["rows"], out["target_rows"], out["output"]) == (True, 3, 3, None)
    assert out["columns"] == list(VALUES)


@pytest.mark.parametrize(("place", "to"), SOME, indirect=["place"])
def test_every_type_that_was_loaded_on_both_sides_is_equal(two: Any, to: str) -> None:
    path = Path(write(two, "", "all.parquet"))
    write_parquet(path, VALUES)
    there = load(str(path), **CREATE, resource="there", table="u")
    ran = two.run(here=load(str(path), **CREATE), there=there, look=reconcile())
    assert set(ran.status.values()) == {"SUCCESS"}, ran.error
    assert ran.outputs["look"]["equal"]


_moment = datetime.datetime.fromisoformat
OTHER: dict[str, list[Any]] = {
    "flag": [False, True, True],
    "number": [2**63 - 2, 0, 1],
    "large": [Decimal(10**19 + 1), Decimal(0), Decimal(1)],
    "small": [Decimal("0.11"), Decimal("1234567890123.45"), Decimal(0)],
    "exact": [Decimal("12345678901234567890.0123456788"), Decimal("0.0000000001"), Decimal(0)],
    "word": ['a "b", c\\ ü😀', " ", ""],
    "code": ["7", "00", ""],
    "day": [datetime.date(1000, 1, 2), datetime.date(9999, 12, 30), datetime.date(2000, 1, 1)],
    "local": [_moment("1900-01-01 00:00:00.000001"), _moment("2024-02-29"), _moment("2000-01-01")],
    "instant": [_moment(f"{day}+00:00") for day in ("1970-01-02T00:00:00.000001", "2037-06-30T00", "2000-01-01T00")],
    "clock": [datetime.time(0, 0, 0, 2), datetime.time(23, 59, 59), datetime.time(1)],
    "empty": ["", "x", "y"],
    "raw": [b'\x00\xff\n"', b"\x00", b""],
}
WITHOUT_FLOATS = {name: cells for name, cells in VALUES.items() if name != "real"}


@pytest.mark.parametrize(("place", "to"), SOME, indirect=["place"])
def test_one_value_of_each_type_that_differs_is_found(two: Any, to: str) -> None:
    """Also by checksums: each column's text tells its value."""
    data = {"k": list(range(1, 4)), **{name: cells for name, cells in WITHOUT_FLOATS.items() if name != "k"}}
    here, there = Path(write(two, "", "here.parquet")), Path(write(two, "", "there.parquet"))
    write_parquet(here, data)
    write_parquet(there, {"k": data["k"], **OTHER})
    ran = two.run(
        here=load(str(here), **CREATE),
        there=load(str(there), **CREATE, resource="there", table="u"),
        look=reconcile(on_difference="report"),
    )
    assert set(ran.status.values()) == {"SUCCESS"}, ran.error
    out = ran.outputs["look"]
    assert (out["missing"], out["extra"], out["changed"]) == (0, 0, 3)
    by_checksums = {two.place.driver, to} <= HASHED
    assert out["compared_by"] == ("checksums" if by_checksums else "rows")
    found = [(row[1], int(row[4])) for row in listed(out)[1:]]
    assert found == [(name, key) for key in (1, 2, 3) for name in data if name != "k"]
    alone = two.run(**{name: reconcile(on_difference="report", columns={"k": "k", name: name}) for name in OTHER})
    assert {name: alone.outputs[name]["changed"] for name in OTHER} == dict.fromkeys(OTHER, 3)


@pytest.fixture
def numbered(two: Any, to: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Twice 500 rows, with ranges so small that they are cut several times."""
    monkeypatch.setattr(compare, "LEAF_ROWS", 10)
    monkeypatch.setattr(compare, "PARTS", 4)
    rows = ", ".join(f"({7 * number}, 'row {number}', {number}.5)" for number in range(1, 501))
    two.sql("CREATE TABLE t (k INTEGER PRIMARY KEY, s VARCHAR(20), n DECIMAL(10, 2))", f"INSERT INTO t VALUES {rows}")
    two.one(**copy(keys=["k"]))
    return two


@pytest.mark.parametrize(("place", "to"), SOME, indirect=["place"])
def test_rows_that_differ_are_found_and_told(numbered: Any, to: str) -> None:
    out = numbered.one(**reconcile())
    assert (out["rows"], out["target_rows"], out["equal"]) == (500, 500, True)
    assert (
        out["sums"] == {"n": ["125500.00", "125500.00"]} or [float(each) for each in out["sums"]["n"]] == [125500] * 2
    )
    numbered.sql(
        "UPDATE u SET s = 'other', n = NULL WHERE k = 700",
        "DELETE FROM u WHERE k IN (7, 1400)",
        "INSERT INTO u VALUES (1401, '', 1), (-3, NULL, 1), (9999, 'z', 1)",
        resource="there",
    )
    error = numbered.run(look=reconcile()).error
    assert "differ: 2 missing, 3 extra, 1 changed" in error.message
    out = numbered.one(**reconcile(on_difference="report"))
    assert (out["missing"], out["extra"], out["changed"], out["rows"], out["target_rows"]) == (2, 3, 1, 500, 501)
    assert listed(out) == [
        ["difference", "column", "source", "target", "k"],
        ["extra", "", "", "", "-3"],
        ["missing", "", "", "", "7"],
        ["changed", "s", "row 100", "other", "700"],
        ["changed", "n", listed(out)[4][2], "", "700"],
        ["missing", "", "", "", "1400"],
        ["extra", "", "", "", "1401"],
        ["extra", "", "", "", "9999"],
    ]
    assert float(listed(out)[4][2]) == 100.5
    if {numbered.place.driver, to} <= HASHED:
        assert (out["compared_by"], out["rows_read"] < 200) == ("checksums", True)
    else:
        assert (out["compared_by"], out["rows_read"]) == ("rows", 1001)
    few = numbered.one(**reconcile(on_difference="report", max_listed=2))
    assert (few["extra"], len(listed(few))) == (3, 3)


@pytest.mark.parametrize(("place", "to"), SOME, indirect=["place"])
def test_the_next_night_starts_after_what_is_verified(numbered: Any, to: str) -> None:
    verify = {"verified_through": {"column": "k", "initial": 0, "name": "t"}}
    first = numbered.one(**reconcile(**verify))
    assert (first["verified_before"], first["verified_through"], first["rows"]) == (0, 3500, 500)
    numbered.sql("INSERT INTO t VALUES (4000, 'new', 1), (4001, 'newer', 2)")
    # The target lacks one of them, and has one that the source will have only later.
    numbered.sql(
        "INSERT INTO u VALUES (4000, 'new', 1), (4002, 'late', 3)", "DELETE FROM u WHERE k < 100", resource="there"
    )
    for _ in range(2):
        out = numbered.one(**reconcile(**verify, on_difference="report"))
        assert (out["verified_before"], out["verified_through"], out["missing"], out["extra"]) == (3500, 3500, 1, 0)
    numbered.sql("INSERT INTO u VALUES (4001, 'newer', 2)", resource="there")
    out = numbered.one(**reconcile(**verify))
    assert (out["verified_before"], out["verified_through"], out["rows"], out["target_rows"]) == (3500, 4001, 3, 3)
    out = numbered.one(**reconcile(**verify))
    assert (out["verified_through"], out["rows"], out["equal"]) == (4001, 1, True)
    # What a failed run has verified is verified again.
    numbered.sql("INSERT INTO t VALUES (4002, 'late', 3)")
    broken = numbered.run(look=reconcile(**verify), fail={"type": "db_execute", "sql": "SELECT nothing FROM nowhere"})
    assert (broken.status["look"], broken.status["fail"]) == ("SUCCESS", "FAILED")
    assert numbered.one(**reconcile(**verify))["verified_before"] == 4001


@pytest.mark.parametrize(("place", "to"), SOME[:2], indirect=["place"])
def test_a_late_row_of_the_verified_value_is_compared(numbered: Any, to: str) -> None:
    verify = {"verified_through": {"column": "n", "initial": 0, "name": "late"}}
    assert numbered.one(**reconcile(**verify))["verified_through"] in ("500.50", 500.5)
    numbered.sql("INSERT INTO t VALUES (5000, 'late', 500.5)")
    out = numbered.one(**reconcile(**verify, on_difference="report"))
    assert (out["missing"], out["rows"]) == (1, 2)


TEXT_KEYS = ["a", "A", "ä", "b ", "b", "Z", "_", "😀", "10", "9", "", "é", "e\u0301"]


@pytest.mark.parametrize(("place", "to"), SOME, indirect=["place"])
def test_text_names_rows_character_by_character(two: Any, to: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compare, "LEAF_ROWS", 2)
    monkeypatch.setattr(compare, "PARTS", 3)
    path = write(two, "a,k\n" + "".join(f"{number % 3},{key or chr(34) * 2}\n" for number, key in enumerate(TEXT_KEYS)))
    two.one(**load(path, **CREATE, keys=["a", "k"]))
    two.one(**copy(keys=["a", "k"]))
    assert two.one(**reconcile(keys=["a", "k"]))["rows"] == len(TEXT_KEYS)
    two.sql("UPDATE u SET k = 'B' WHERE k = 'b' AND a = 1", resource="there")
    out = two.one(**reconcile(keys=["a", "k"], on_difference="report"))
    assert sorted((row[0], row[5]) for row in listed(out)[1:]) == [("extra", "B"), ("missing", "b")]
    out = two.one(**reconcile(keys=["k"], on_difference="report", columns={"k": "k"}))
    assert sorted((row[0], row[4]) for row in listed(out)[1:]) == [("extra", "B"), ("missing", "b")]


@pytest.mark.parametrize(
    ("place", "to"), [("postgres", "duckdb"), ("duckdb", "mysql"), ("mysql", "postgres")], indirect=["place"]
)
def test_all_rows_differ(numbered: Any, to: str) -> None:
    numbered.sql("UPDATE u SET s = 'x'", resource="there")
    out = numbered.one(**reconcile(on_difference="report", max_listed=3))
    assert (out["changed"], out["missing"], out["extra"], len(listed(out))) == (500, 0, 0, 4)
    numbered.sql("DELETE FROM u", resource="there")
    out = numbered.one(**reconcile(on_difference="report"))
    assert (out["missing"], out["target_rows"], len(listed(out))) == (500, 0, 501)
    numbered.sql("DELETE FROM t")
    assert numbered.one(**reconcile())["equal"]


@pytest.mark.parametrize(("place", "to"), SOME, indirect=["place"])
def test_queries_of_both_sides_have_params(numbered: Any, to: str) -> None:
    query = {
        "sql": "SELECT k AS number, n FROM t WHERE k <= :most -- all\n;",
        "target_sql": "SELECT n, k FROM u WHERE k <= :most AND k > :least",
    }
    names = {"columns": {"number": "k", "n": "n"}}
    out = numbered.one(**reconcile(**query, **names, params={"most": 700, "least": 0}))
    assert (out["rows"], out["columns"]) == (100, ["k", "n"])
    out = numbered.one(**reconcile(**query, **names, params={"most": 700, "least": 690}, on_difference="report"))
    assert (out["missing"], out["target_rows"]) == (98, 2)
    error = numbered.run(look=reconcile(**query, params={"most": 1, "least": 1, "none": 1})).error
    assert "params not used by the SQL: none" in error.message


@pytest.mark.parametrize(
    ("place", "to"), [("postgres", "duckdb"), ("mysql", "postgres"), ("sqlite3", "duckdb")], indirect=["place"]
)
def test_keys_that_name_no_row_are_refused(two: Any, to: str) -> None:
    two.sql(
        "CREATE TABLE t (k INTEGER, s VARCHAR(20), f DOUBLE PRECISION)",
        "INSERT INTO t VALUES (1, 'a', 1), (1, 'b', 2), (2, NULL, 3)",
    )
    two.one(**copy())
    two.sql("INSERT INTO u VALUES (3, 'c', 4)", resource="there")
    assert "k = 1 occurs more than once in resource wh" in two.run(look=reconcile()).error.message
    assert "have no value in the keys (s)" in two.run(look=reconcile(keys=["s"])).error.message
    assert "f is a float" in two.run(look=reconcile(keys=["f"])).error.message


MIXED = [
    ("postgres", "duckdb", "text", "DECIMAL(5,2)"),
    ("postgres", "mysql", "boolean", "date"),
    ("postgres", "mysql", "timestamptz", "datetime"),
    ("duckdb", "postgres", "DOUBLE", "numeric"),
    ("mysql", "duckdb", "float", "FLOAT"),
]


@pytest.mark.parametrize(("place", "to", "here", "there"), MIXED, indirect=["place"])
def test_types_that_do_not_compare_are_refused_by_name(two: Any, to: str, here: str, there: str) -> None:
    two.sql(f"CREATE TABLE t (k INTEGER, v {here})")
    two.sql(f"CREATE TABLE u (k INTEGER, v {there})", resource="there")
    error = two.run(look=reconcile()).error
    assert "column v of resource wh" in error.message
    assert error.fix
