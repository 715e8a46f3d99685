"""DuckDB reads a large result with little memory, unless somebody says otherwise or the query needs more."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aetherflow.core.api import ConnectorInit
from aetherflow_builtins_db.connectors.duckdb.connector import DuckDBConnector

ROWS = 1_500_000


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Any]:
    with DuckDBConnector(ConnectorInit("wh", "db", "duckdb", {"path": f"{tmp_path}/wh.duckdb"}, {})) as made:
        made.script("CREATE TABLE t AS SELECT range AS a, 'text ' || range AS s FROM range(1000)")
        yield made


PEAK = """
import sys
from aetherflow.core.runner import run_flow
assert run_flow(sys.argv[1]).status == "SUCCESS"
print(next(int(line.split()[1]) // 1024 for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    file = tmp_path / "big.duckdb"
    with DuckDBConnector(ConnectorInit("wh", "db", "duckdb", {"path": str(file)}, {})) as db:
        columns = ", ".join(f"hash(range + {number}) AS c{number}" for number in range(12))
        db.script(f"CREATE TABLE t AS SELECT {columns} FROM range({ROWS})")
    assert file.stat().st_size > 120_000_000

    def peak(name: str, query: str) -> int:
        flow = tmp_path / f"{name}.yaml"
        flow.write_text(
            "version: 1\n"
            f'flow: {{id: f, workspace: {{root: "{tmp_path}/w"}}, state: {{path: "{tmp_path}/s.sqlite"}}}}\n'
            f'resources: {{wh: {{kind: db, driver: duckdb, config: {{path: "{file}"}}}}}}\n'
            "jobs:\n  - id: j\n    steps:\n"
            f'      - {{id: s, type: db_extract, inputs: {{resource: wh, sql: "{query}", output: out.csv}}}}\n'
        )
        done = subprocess.run([sys.executable, "-c", PEAK, str(flow)], capture_output=True, text=True, check=True)
        return int(done.stdout.split()[-1])

    idle = peak("idle", "SELECT * FROM t LIMIT 1")
    assert peak("all", "SELECT * FROM t") - idle <= 150
