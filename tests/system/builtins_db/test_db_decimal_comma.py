"""`db_load` with `decimal: ","` on every driver: the fast ways give the same values, or step aside."""

import csv
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from db_loads import load, write

TEXT = "id;amount;free;code\n1;1,50;1,125;1,5\n2;-0,25;-7;1.5\n3;;;\n"


@pytest.mark.parametrize("mode", ["append", "truncate", "replace", "merge"])
def test_every_mode_loads_decimal_commas(anywhere: Any, mode: str) -> None:
    anywhere.sql(
        "CREATE TABLE t (id INTEGER NOT NULL PRIMARY KEY, amount DECIMAL(10, 2), free NUMERIC(20, 5), code VARCHAR(20))"
    )
    keys = {"keys": ["id"]} if mode == "merge" else {}
    out = anywhere.one(**load(write(anywhere, TEXT), mode=mode, delimiter=";", decimal=",", **keys))
    assert out["rows"] == 3
    rows = anywhere.rows("SELECT amount, free, code FROM t ORDER BY id")
    found = [[None if each is None else Decimal(str(each)) for each in row[:2]] for row in rows]
    assert found == [[Decimal("1.5"), Decimal("1.125")], [Decimal("-0.25"), Decimal(-7)], [None, None]]
    assert [row[2] for row in rows] == ["1,5", "1.5", None]


def test_separators_are_rejected_by_line(anywhere: Any) -> None:
    anywhere.sql("CREATE TABLE t (id INTEGER NOT NULL PRIMARY KEY, amount DECIMAL(10, 2))")
    text = "id;amount\n1;1,5\n2;1.234,56\n3;2.5\n4;2\n"
    out = anywhere.one(**load(write(anywhere, text), delimiter=";", decimal=",", max_rejects=2))
    assert (out["rows"], out["rejected"]) == (2, 2)
    with Path(out["reject_file"]).open() as file:
        rejects = [(row["line"], row["column"], json.loads(row["record"])[1]) for row in csv.DictReader(file)]
    assert rejects == [("3", "amount", "1.234,56"), ("4", "amount", "2.5")]
