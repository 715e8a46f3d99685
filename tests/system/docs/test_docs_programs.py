"""The examples whose steps are programs: a Python script, a pipeline, sqlite3, dbt."""

import csv
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import warm
from docs_pages import ROOT
from uv_program import uv

EXAMPLES = ROOT / "docs/examples"


def run(example: str, folder: Path, **env: str) -> Path:
    """Run an example as `one`; returns the work folder of its flow."""
    roots = {"AETHERFLOW_WORK_ROOT": str(folder / "work"), "AETHERFLOW_STATE_ROOT": str(folder / "state")}
    command = [sys.executable, "-m", "aetherflow.core", "run", str(EXAMPLES / example / "flow.yaml"), "--run-id", "one"]
    done = warm.run(
        command, cwd=folder, env={**os.environ, **roots, **env}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    (work,) = (folder / "work").iterdir()
    return work


def job_outputs(folder: Path, flow: str) -> dict[str, Any]:
    """Outputs of the jobs of a flow that ran once."""
    with closing(sqlite3.connect(folder / f"state/{flow}.sqlite")) as state:
        return {job: json.loads(text) for job, text in state.execute("SELECT job_id, outputs FROM job_runs")}


def test_script_pipeline_and_sqlite3(tmp_path: Path) -> None:
    if shutil.which("sqlite3") is None:
        pytest.skip("sqlite3 is not installed; see tests/services/install.sh")
    work = run("programs", tmp_path)
    artifacts = work / "late/one/artifacts"
    found = job_outputs(tmp_path, "programs")["late"]
    assert (found["flights"], found["worst_month"]) == (336_776, 7)
    assert found["latest"] == "carrier,late\nEV,6861\nB6,4571\nUA,3824\n"
    assert sorted(path.name for path in (artifacts / "by_month").iterdir()) == [f"{n:02}.csv" for n in range(1, 13)]
    with (artifacts / "by_month/07.csv").open(newline="") as file:
        assert sum(int(row["late"]) for row in csv.DictReader(file)) == 8_639
    busiest = [line.split() for line in (artifacts / "busiest.txt").read_text().splitlines()]
    assert busiest == [["17283", "ORD"], ["17215", "ATL"], ["16174", "LAX"], ["15508", "BOS"], ["14082", "MCO"]]


@pytest.mark.slow
def test_dbt(tmp_path: Path) -> None:
    """In an environment of its own: dbt's pins are not ours."""
    environment = tmp_path / "dbt-env"
    uv("venv", "--python", sys.executable, environment, cwd=tmp_path)
    python, wanted = environment / "bin/python", EXAMPLES / "dbt/requirements.txt"
    uv("pip", "install", "--python", python, "-r", wanted, cwd=tmp_path)
    (tmp_path / "run").mkdir()
    before = sorted((EXAMPLES / "dbt").rglob("*"))
    work = run("dbt", tmp_path / "run", DBT=str(environment / "bin/dbt"))
    assert job_outputs(tmp_path / "run", "dbt_flights") == {"models": {"models": 2, "tests": 5}}
    marts = work / "models/one/artifacts/marts"
    query = f"SELECT count(*), sum(flights)::BIGINT FROM read_parquet('{marts}/by_carrier.parquet')"
    code = f"import duckdb; print(duckdb.sql({query!r}).fetchall())"
    shown = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown == "[(16, 336776)]\n"
    assert sorted((EXAMPLES / "dbt").rglob("*")) == before, "dbt writes nothing beside the flow"
