"""The example that loads a year of flights: on DuckDB as it stands, on PostgreSQL with another resource."""

import shutil
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import yaml

from aetherflow.core.runner import run_flow
from aetherflow_builtins_db.loading.server import STAGE
from db_places import Place, file_place, postgres_place

EXAMPLE = Path(__file__).parents[3] / "docs/examples/flights"


@pytest.fixture(params=["duckdb", "postgres"])
def place(request: pytest.FixtureRequest) -> Place:
    if request.param == "postgres":
        return postgres_place(request.getfixturevalue("postgres"), "flights")
    return file_place("duckdb")


@pytest.mark.slow
def test_the_table_is_the_file(anywhere: Any) -> None:
    folder = anywhere.root / "example"
    shutil.copytree(EXAMPLE, folder)
    flow = yaml.safe_load((folder / "load.yaml").read_text())
    flow["flow"] |= {"workspace": {"root": str(anywhere.root / "work")}, "id": "t"}
    flow["flow"]["state"] = {"path": str(anywhere.root / "flights.sqlite")}
    flow["resources"]["warehouse"] = anywhere.resources["wh"]
    (folder / "load.yaml").write_text(yaml.safe_dump(flow))
    for _ in range(2):  # and again: nothing is doubled
        assert run_flow(folder / "load.yaml").status == "SUCCESS"
    flights = pq.read_table(EXAMPLE / "data/flights.parquet")
    expected = [flights.num_rows, pc.sum(flights["dep_delay"]).as_py(), pc.sum(flights["flight"]).as_py()]
    query = "SELECT count(*) AS n, sum(dep_delay) AS d, sum(flight) AS f FROM flights"
    assert [int(value) for value in anywhere.rows(query)[0]] == expected
    assert anywhere.rows("SELECT count(*) AS n FROM airlines") == [[16]]
    assert anywhere.rows(f"SELECT count(*) AS n FROM information_schema.tables WHERE table_name = '{STAGE}'") == [[0]]


def test_whole_numbers_that_came_as_floats(anywhere: Any) -> None:
    """As data frames with nulls have them."""
    anywhere.sql("CREATE TABLE t (a INTEGER, b BIGINT)")
    path = anywhere.root / "work" / "t" / "in.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text('{"a": 1.0, "b": null}\n{"a": null, "b": 2.0}\n')
    anywhere.one(type="db_load", table="t", path=str(path))
    assert anywhere.rows("SELECT a, b FROM t ORDER BY b") in ([[None, 2], [1, None]], [[1, None], [None, 2]])
