"""The whole program in processes of its own: a written flow, what is imported when, and how much memory it takes."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import duckdb
import pytest

import warm
from aetherflow.core.api import install_command

ENDLESS = {
    "duckdb": "SELECT count(*) FROM range(100000000000) a, range(100000) b",
    "sqlite3": "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT count(*) FROM r",
}

FLOW = """\
version: 1
flow:
  id: shop
  workspace: {root: work, cleanup_policy: never}
  state: {path: state.sqlite}
resources:
  shop:
    kind: db
    driver: sqlite3
    config: {path: shop.db}
  warehouse:
    kind: db
    driver: duckdb
jobs:
  - id: load
    steps:
      - id: orders
        type: db_execute
        inputs:
          resource: shop
          sql_file: orders.sql
          expect_rows: 3
      - id: totals
        type: db_extract_stream
        inputs:
          resource: shop
          sql: |
            SELECT customer, sum(amount) AS total FROM orders
            WHERE amount > :least GROUP BY customer ORDER BY customer
          params: {least: 1}
          output: totals.csv
          format: csv
          on_empty: fail
  - id: report
    depends_on: [load]
    steps:
      - id: read
        type: db_extract_stream
        inputs:
          resource: warehouse
          sql: FROM read_csv(:file)
          params: {file: "{{env.TOTALS}}"}
          output: totals.parquet
          format: parquet
"""
ORDERS = """
CREATE TABLE orders (customer TEXT, amount INTEGER);
INSERT INTO orders VALUES ('ann', 5), ('bob', 1), ('ann', 2);
"""


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    (tmp_path / "flow.yaml").write_text(FLOW)
    (tmp_path / "orders.sql").write_text(ORDERS)
    return tmp_path


def python(code: str, cwd: Path, **env: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=cwd, env=os.environ | env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_written_flow_through_the_command_line(shop: Path) -> None:
    totals = shop / "work" / "shop" / "load" / "r1" / "artifacts" / "totals.csv"
    done = warm.run(
        [sys.executable, "-m", "aetherflow.core", "run", "flow.yaml", "--run-id", "r1", "--json"],
        cwd=shop,
        env=os.environ | {"TOTALS": str(totals)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert totals.read_text() == "customer,total\nann,7\n"
    artifacts = json.loads(done.stdout)["artifacts"]
    parquet = next(each["path"] for each in artifacts if each["path"].endswith(".parquet"))
    assert duckdb.execute(f"SELECT * FROM '{parquet}'").fetchall() == [("ann", 7)]


def test_validating_a_flow_imports_its_steps_but_no_driver(shop: Path) -> None:
    loaded = python(
        "import sys\n"
        "from aetherflow.core.validation import validate_flow_yaml\n"
        "from aetherflow.core.api import get_connector, get_step\n"
        "print(validate_flow_yaml('flow.yaml'), file=sys.stderr)\n"
        "for name in ('db_execute', 'db_fetch_small', 'db_extract_stream'): get_step(name).Inputs.model_json_schema()\n"
        "for name in ('duckdb', 'sqlite3'): get_connector('db', name).Config.model_json_schema()\n"
        "print(*sys.modules)",
        shop,
    ).split()
    assert "aetherflow_builtins_db.steps.extract_stream" in loaded
    assert "aetherflow_builtins_db.connectors.duckdb.connector" in loaded
    assert not {"duckdb", "_duckdb", "pyarrow", "numpy", "pandas"} & set(loaded)


def test_a_missing_driver_is_answered_with_the_command_that_installs_it(tmp_path: Path) -> None:
    hide = (
        "import sys; sys.modules['duckdb'] = sys.modules['pyarrow'] = None\n"
        "from aetherflow.core.api import AetherflowError, ConnectorInit\n"
        "from aetherflow_builtins_db.connectors.duckdb.connector import DuckDBConnector\n"
        "from aetherflow_builtins_db.formats.parquet import require_pyarrow\n"
        "for use in (DuckDBConnector(ConnectorInit('wh', 'db', 'duckdb', {}, {})).connect, require_pyarrow):\n"
        "    try: use()\n"
        "    except AetherflowError as error: print(error, '|', error.fix)\n"
    )
    assert python(hide, tmp_path).splitlines() == [
        f"duckdb is not installed | {install_command('duckdb')}",
        f"format parquet needs pyarrow, which is not installed | {install_command('parquet')}",
    ]


MEMORY = """
import json, sys
from aetherflow.core.runner import run_flow

DRIVER, FORMAT, *ROWS = sys.argv[1:]
SQL = {
    "duckdb": "SELECT i, 'customer number ' || i AS s, i * 0.5 AS f FROM range(:n) r(i)",
    "sqlite3": "WITH RECURSIVE r(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM r WHERE i < :n - 1) "
               "SELECT i, 'customer number ' || i AS s, i * 0.5 AS f FROM r",
}[DRIVER]
# DuckDB takes what it is given: as a cache, and for row groups that wait for their turn.
OPTIONS = {"pragmas": {"memory_limit": "64MB"}} if DRIVER == "duckdb" else {}

def peak(rows):
    step = {"id": "s", "type": "db_extract_stream", "inputs": {
        "resource": "wh", "sql": SQL, "params": {"n": rows}, "output": f"t.{FORMAT}", "format": FORMAT}}
    flow = {"version": 1, "flow": {"id": "m", "workspace": {"root": "work"}, "state": {"path": "state.sqlite"}},
            "resources": {"wh": {"kind": "db", "driver": DRIVER, "options": OPTIONS}},
            "jobs": [{"id": "j", "steps": [step]}]}
    with open("flow.yaml", "w") as file:
        json.dump(flow, file)
    assert run_flow("flow.yaml").status == "SUCCESS"
    # Not ru_maxrss: a child inherits that from the process that started it.
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) // 1024 for line in status if line.startswith("VmHWM"))

print(*(peak(int(rows)) for rows in ROWS))
"""


def test_memory_does_not_grow_with_the_rows(tmp_path: Path) -> None:
    cases = [
        ("duckdb", "csv", 20_000, 150_000),
        ("sqlite3", "csv", 20_000, 200_000),
        # More than one row group in both runs: the first full one sets the level.
        ("duckdb", "parquet", 300_000, 1_500_000),
        ("sqlite3", "parquet", 140_000, 300_000),
    ]
    running = []
    for number, case in enumerate(cases):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "memory.py").write_text(MEMORY)
        command = [sys.executable, "memory.py", *map(str, case)]
        running.append(subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True))
    found = [process.communicate(timeout=120)[0] for process in running]
    for case, peaks in zip(cases, found, strict=True):
        small, large = map(int, peaks.split())
        # the rows themselves would be hundreds; the allocators of busy threads keep some tens
        assert large - small < 60, f"{case}: from {small} to {large} MiB"


STOPPED = """\
version: 1
flow:
  id: stopped
  workspace: {root: work}
  state: {path: state.sqlite}
resources:
  wh: {kind: db, driver: DRIVER}
jobs:
  - id: j
    steps:
      - id: endless
        type: db_fetch_small
        inputs:
          resource: wh
          sql: |
            SQL
"""


@pytest.mark.parametrize("driver", list(ENDLESS))
def test_sigterm_stops_a_running_query(tmp_path: Path, driver: str) -> None:
    (tmp_path / "flow.yaml").write_text(STOPPED.replace("DRIVER", driver).replace("SQL", ENDLESS[driver]))
    run = warm.Popen(
        [sys.executable, "-m", "aetherflow.core", "run", "flow.yaml"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert run.stderr is not None
    for line in run.stderr:
        if "endless" in line:
            break
    time.sleep(0.5)  # the query begins after the step
    run.terminate()
    begun = time.monotonic()
    _out, err = run.communicate(timeout=60)
    assert run.returncode == 143, err
    assert time.monotonic() - begun < 40, "the query was interrupted, not waited for"
