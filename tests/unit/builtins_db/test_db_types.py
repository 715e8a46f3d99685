"""Types: what the database says, what the data says, and what fits."""

import datetime
from decimal import Decimal
from typing import Any

import pytest

from aetherflow.core.api import Column, StepInputError
from aetherflow_builtins_db.columns import UNKNOWN, parse_type, refuse_duplicates
from aetherflow_builtins_db.connectors.sqlite3.rows import declared_type
from aetherflow_builtins_db.formats.coerce import coerce
from aetherflow_builtins_db.formats.values import json_value
from aetherflow_builtins_db.formats.widening import common_type, refine

UTC = datetime.UTC
DAY, NOON = datetime.date(2024, 1, 2), datetime.datetime.fromisoformat("2024-01-02T12:00:00")
MIDNIGHT = datetime.datetime.combine(DAY, datetime.time())
D = Decimal


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], "unknown"),
        ([True, False], "bool"),
        ([True, 2], "int"),
        ([1, 2.5], "float"),
        ([2**70, 2.5], "string"),
        ([2**64], "decimal(38,0)"),
        ([2**200], "string"),
        ([1, D("1.25"), D("3.5")], "decimal(38,2)"),
        ([D("1.5"), 2.5], "string"),
        ([D("NaN")], "string"),
        ([DAY], "date"),
        ([DAY, NOON], "datetime"),
        ([NOON.replace(tzinfo=UTC)], "datetime(utc)"),
        ([NOON, NOON.replace(tzinfo=UTC)], "string"),
        ([b"x"], "bytes"),
        ([b"x", "x"], "string"),
        (["x", 1], "string"),
        ([datetime.time(1)], "time"),
    ],
)
def test_the_narrowest_common_type(values: list[Any], expected: str) -> None:
    assert str(common_type(values)) == expected


@pytest.mark.parametrize(
    ("value", "dtype", "expected"),
    [
        (None, "int", None),
        (1, "bool", True),
        ("no", "bool", False),
        (1.0, "int", 1),
        ("12", "int", 12),
        (True, "int", 1),
        (3, "float", 3.0),
        (0.1, "decimal(5,2)", D("0.10")),
        ("123.45", "decimal(5,2)", D("123.45")),
        ("9" * 38, "decimal(38,0)", D("9" * 38)),
        (0.5, "decimal(2,2)", D("0.50")),
        ("2024-01-02", "date", DAY),
        (MIDNIGHT, "date", DAY),
        (DAY, "datetime", MIDNIGHT),
        ("2024-01-02T12:00:00+02:00", "datetime(utc)", datetime.datetime(2024, 1, 2, 10, tzinfo=UTC)),
        ("01:02", "time", datetime.time(1, 2)),
        (bytearray(b"x"), "bytes", b"x"),
        (b"\xff", "string", "/w=="),
        (D("1E+2"), "string", "100"),
        (True, "string", "true"),
    ],
)
def test_values_that_fit(value: Any, dtype: str, expected: Any) -> None:
    found = coerce(value, parse_type(dtype))
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("value", "dtype"),
    [
        (2, "bool"), ("maybe", "bool"), (1.5, "int"), ("1.0", "int"), (2**63, "int"), (float("nan"), "int"),
        (b"1", "date"),
        ("x", "float"), (2**53 + 1, "float"), (0.125, "decimal(5,2)"), (1000, "decimal(5,2)"), (1, "decimal(2,2)"),
        ("x", "decimal(5,2)"), (D("NaN"), "decimal(5,2)"), (float("inf"), "decimal(5,2)"), (b"", "decimal(5,2)"),
        (NOON, "date"), ("x", "date"), (5, "date"), ("x", "datetime"), (5, "datetime"), (NOON, "datetime(utc)"),
        (NOON.replace(tzinfo=UTC), "datetime"), ("25:00", "time"), (datetime.time(1, tzinfo=UTC), "time"),
        ("x", "bytes"),
    ],
)  # fmt: skip
def test_values_that_do_not_fit(value: Any, dtype: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 the text is for the end of a sentence
        coerce(value, parse_type(dtype))


@pytest.mark.parametrize(
    ("declaration", "expected"),
    [
        ("INTEGER", "int"), ("bigint unsigned", "int"), ("BOOLEAN", "bool"), ("varchar(20)", "string"),
        ("TEXT", "string"),
        ("REAL", "float"), ("double precision", "float"), ("DATE", "date"), ("datetime", "datetime"),
        ("TIMESTAMP", "datetime"),
        ("TIME", "time"), ("DECIMAL(10,2)", "decimal(10,2)"), ("numeric(5)", "decimal(5,0)"),
        ("DECIMAL(99,1)", "unknown"),
        ("NUMERIC", "unknown"), ("BLOB", "unknown"), ("", "unknown"),
    ],
)  # fmt: skip
def test_declared_types_of_sqlite(declaration: str, expected: str) -> None:
    assert str(declared_type(declaration)) == expected


def test_a_declared_type_gives_way_to_data_that_contradicts_it() -> None:
    columns = [
        Column("a", parse_type("int")),
        Column("b", parse_type("date")),
        Column("c"),
        Column("d", parse_type("int")),
    ]
    rows = [(1, "2024-01-02", None, None), (2, "soon", None, None)]
    assert [str(column.type) for column in refine(columns, rows)] == ["int", "string", "unknown", "int"]
    assert refine([Column("x")], [(None,), (5,)])[0].type == parse_type("int")
    assert refine([Column("x")], [])[0].type == UNKNOWN


@pytest.mark.parametrize("name", ["decimal", "decimal(39,1)", "decimal(3,4)", "varchar(3)", "money", ""])
def test_unknown_dtypes(name: str) -> None:
    with pytest.raises(StepInputError):
        parse_type(name)


def test_columns_of_one_name_are_named() -> None:
    with pytest.raises(StepInputError, match=r"of the same name: id, x$"):
        refuse_duplicates([Column(name) for name in ("id", "a", "x", "id", "x", "id")])


def test_json_values() -> None:
    assert json_value([float("nan"), D("1E+2"), D("Infinity"), NOON, {1: b"\xff", "t": (1, None)}, 2**70]) == [
        None, "100", None, "2024-01-02T12:00:00", {"1": "/w==", "t": [1, None]}, 2**70,
    ]  # fmt: skip
