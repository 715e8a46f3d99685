"""How long a page takes, and how much memory: 200 flows with 100 runs each, and a run of 10,000 attempts."""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from aetherflow.core.cli import main

FLOWS, RUNS, ITEMS = 200, 100, 10_000
FLOW = """version: 1
flow: {{id: {name}, workspace: {{root: work}}, state: {{path: state/{name}.sqlite}}}}
jobs: [{{id: a, steps: [{{id: s, type: check_items, inputs: {{items: [1]}}}}]}}]
"""
MANY = """version: 1
flow: {{id: many, workspace: {{root: work}}, state: {{path: state/many.sqlite}}}}
jobs: [{{id: a, steps: [{{id: s, type: check_items, for_each: {items}, inputs: {{items: ["{{{{item}}}}"]}}}}]}}]
"""


def prepare(folder: Path) -> None:
    """One real run of each flow, and 99 more that are copied from it in its state and in the registry."""
    import sqlite3

    os.chdir(folder)
    for number in range(FLOWS):
        name = f"flow_{number}"
        (folder / f"{name}.yaml").write_text(FLOW.format(name=name))
        assert main(["run", f"{name}.yaml", "--run-id", "r", "-q"]) == 0
        copied: list[tuple[Path, tuple[str, ...]]] = []
        copied.append((folder / f"state/{name}.sqlite", ("runs", "job_runs", "step_runs")))
        copied.append((folder / "root/engine/registry.sqlite", ("runs",)))
        for path, tables in copied:
            with sqlite3.connect(path) as db:
                for table in tables:
                    names = [row[1] for row in db.execute(f"PRAGMA table_info({table})")]
                    shown = ", ".join(
                        {
                            "run_id": "'r' || n",
                            "started_at": "started_at - n * 1000",
                            "outputs": "'{\"rows\": 1000}'",
                        }.get(each, each)
                        for each in names
                    )
                    db.execute(
                        f"WITH c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < {RUNS - 1}) "
                        f"INSERT INTO {table} SELECT {shown} FROM {table}, c WHERE run_id='r' AND flow_id='{name}'"
                    )
    (folder / "many.yaml").write_text(MANY.format(items=json.dumps(list(map(str, range(ITEMS))))))
    assert main(["run", "many.yaml", "--run-id", "many", "-q"]) == 0


def measure(name: str, *arguments: str) -> None:
    """Run a command in a process of its own, and print what it took."""
    code = f"import resource, sys; from aetherflow.core.cli import main; code = main({arguments!r})\n"
    code += "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024); sys.exit(code)"
    start = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    took, (*_, peak) = time.monotonic() - start, done.stdout.split()
    size = Path(arguments[-1]).stat().st_size
    print(f"{name:<40} {took:6.2f} s  {peak:>5} MiB  {size:>8,} bytes")


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as name:
        os.environ["AETHERFLOW_STATE_ROOT"] = f"{name}/root"
        prepare(Path(name))
        measure(f"status of {FLOWS} flows with {RUNS} runs each", "status", "--html", "status.html")
        measure(f"a run of {ITEMS:,} attempts", "runs", "show", "many", "--html", "run.html")
