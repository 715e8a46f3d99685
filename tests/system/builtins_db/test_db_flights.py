"""The flights examples on DuckDB, as they are, and on PostgreSQL, with the resource that their comment names."""

import gzip
import json
import os
import sys
from pathlib import Path
from typing import Any

import psycopg
import pyarrow.parquet
import pytest
import yaml

import warm
from services import Database

FLIGHTS = 336_776


@pytest.fixture(params=["duckdb", "postgres"])
def warehouse(request: pytest.FixtureRequest) -> Any:
    """The resource, or None for that of the example."""
    if request.param == "duckdb":
        yield None
        return
    server: Database = request.getfixturevalue("postgres")
    place: dict[str, Any] = {"host": server.host, "port": server.port, "user": server.user, "password": server.password}
    yield {"kind": "db", "driver": "postgres", "config": {**place, "database": server.name}}
    with psycopg.connect(**place, dbname=server.name) as connection:
        connection.execute("DROP TABLE IF EXISTS flights, airlines, aetherflow_loads")


def run(root: Path, folder: Path, name: str, warehouse: Any) -> str:
    """Run one of the examples from where it stands, with another warehouse if there is one."""
    flow = root / "docs/examples/flights" / name
    if warehouse is not None:
        document = yaml.safe_load(flow.read_text(encoding="utf-8"))
        document["resources"]["warehouse"] = warehouse
        text = yaml.safe_dump(document).replace("{{env.AETHERFLOW_LOCAL_ROOT_DIR}}", str(flow.parent))
        copy = folder / name
        copy.write_text(text.replace("sql/", f"{flow.parent}/sql/"), encoding="utf-8")
        flow = copy
    env = {**os.environ, "AETHERFLOW_WORK_ROOT": f"{folder}/work", "AETHERFLOW_STATE_ROOT": f"{folder}/state",
           "AETHERFLOW_STRICT_SANDBOX": "false"}  # fmt: skip
    command = [sys.executable, "-m", "aetherflow.core", "run", str(flow), "--json"]
    done = warm.run(command, capture_output=True, text=True, check=False, env=env)
    assert done.returncode == 0, done.stderr + done.stdout
    return str(json.loads(done.stdout)["run_id"])


@pytest.mark.slow
def test_a_year_of_flights_goes_in_and_comes_out(root: Path, tmp_path: Path, warehouse: Any) -> None:
    run(root, tmp_path, "load.yaml", warehouse)
    first = tmp_path / "work/flights_load/extract" / run(root, tmp_path, "extract.yaml", warehouse) / "artifacts"
    table = pyarrow.parquet.read_table(first / "flights.parquet")
    assert table.num_rows == FLIGHTS
    delays = gzip.decompress((first / "delays.csv.gz").read_bytes()).decode().splitlines()
    assert delays[0] == "name;month;flights;delay"
    assert len(delays) > 100
    months = [json.loads(line)["month"] for line in (first / "months.jsonl").read_text().splitlines()]
    assert sorted(set(months)) == [1, 2, 3, 4, 5, 6]
    second = tmp_path / "work/flights_load/extract" / run(root, tmp_path, "extract.yaml", warehouse) / "artifacts"
    assert not (second / "months.jsonl").exists(), "there is nothing new"
    assert (second / "delays.csv.gz").read_bytes() == (first / "delays.csv.gz").read_bytes()
