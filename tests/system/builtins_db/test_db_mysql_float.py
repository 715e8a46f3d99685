"""MariaDB sends six digits of a FLOAT: whoever extracts one is told, and how to get all of them."""

import csv
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

from db_places import mysql_by_url, mysql_place

QUERY = "SELECT id, v, v * 1e0 AS all_of_it, d, money FROM fl ORDER BY id"


@pytest.fixture(params=[mysql_place, mysql_by_url])
def filled(request: pytest.FixtureRequest, mariadb: Any, make_project: Any, tmp_path: Path) -> Any:
    """A table of floats, by each driver."""
    place = request.param(mariadb)
    project = make_project(tmp_path, {"wh": place.resource}, place)
    project.sql(
        "CREATE TABLE fl (id INT, v FLOAT, d DOUBLE, money FLOAT(10, 2))",
        "INSERT INTO fl VALUES (1, 16777215, 16777215, 1.25), (2, 1234567.5, 1234567.5, 70000.25)",
    )
    return project


def warnings(project: Any) -> list[str]:
    """Columns that the logs warn of."""
    lines = [line for path in project.root.rglob("*.jsonl") for line in path.read_text().splitlines()]
    return [
        line.partition("column ")[2].split()[0] for line in lines if '"event": "log"' in line and "six digits" in line
    ]


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_a_float_is_warned_of(filled: Any, suffix: str) -> None:
    out = filled.one(type="db_extract", sql=QUERY, output=f"o.{suffix}")["output"]
    assert warnings(filled) == ["v"]
    if suffix == "csv":
        rows = list(csv.DictReader(Path(out).read_text(encoding="utf-8").splitlines()))
        assert [float(row["all_of_it"]) for row in rows] == [16777215, 1234567.5]
        assert [float(row["money"]) for row in rows] == [1.25, 70000.25]
    elif suffix == "parquet":
        found = pyarrow.parquet.read_table(out).to_pydict()
        assert found["all_of_it"] == found["d"] == [16777215, 1234567.5]
        assert found["money"] == [1.25, 70000.25]


def test_a_float_in_outputs_is_warned_of(filled: Any) -> None:
    rows = filled.one(type="db_fetch_small", sql=QUERY)["rows"]
    assert [row[2] for row in rows] == [16777215, 1234567.5]
    assert warnings(filled) == ["v"]
    filled.one(type="db_fetch_small", sql="SELECT id, d, money, v * 1e0 AS v FROM fl")
    assert warnings(filled) == ["v"]
