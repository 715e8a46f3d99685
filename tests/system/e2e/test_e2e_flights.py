"""The main job on real data: its figures equal what the source says, computed without our code and without DuckDB."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

import warm
from warm import true_start

pytestmark = pytest.mark.xdist_group("flights")  # one worker runs the demo, once

ROOT = Path(__file__).parents[3]
EXAMPLE = ROOT / "docs" / "examples" / "flights"
AETHERFLOW = str(Path(sys.executable).with_name("aetherflow"))


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    root = tmp_path_factory.mktemp("flights")
    return {**os.environ, "AETHERFLOW_WORK_ROOT": str(root / "work"), "AETHERFLOW_STATE_ROOT": str(root / "state")}


@pytest.fixture(scope="module")
def summary(environment: dict[str, str]) -> dict[str, Any]:
    command = [AETHERFLOW, "run", str(EXAMPLE / "flow.yaml"), "--run-id", "demo", "--json"]
    done = true_start("the demo: the console script, as a user types it").run(
        command, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


@pytest.fixture(scope="module")
def artifacts(summary: dict[str, Any]) -> dict[str, Path]:
    return {Path(item["path"]).name: Path(item["path"]) for item in summary["artifacts"]}


@pytest.fixture(scope="module")
def source_table() -> Any:
    """The source with one more column, `late`: 1 where a flight left more than 15 minutes late."""
    table = pq.read_table(EXAMPLE / "data" / "flights.parquet")
    assert table.num_rows == 336_776
    late = pc.cast(pc.greater(table["dep_delay"], 15), "int64")
    return table.append_column("late", late)


def test_all_steps_end_well(summary: dict[str, Any]) -> None:
    assert summary["status"] == "SUCCESS"
    assert [(job["job_id"], job["status"]) for job in summary["jobs"]] == [("load", "SUCCESS"), ("report", "SUCCESS")]
    assert {step["status"] for job in summary["jobs"] for step in job["steps"]} == {"SUCCESS"}


def test_delays_by_carrier_equal_the_source(artifacts: dict[str, Path], source_table: Any) -> None:
    wanted = source_table.group_by("carrier").aggregate(
        [("dep_delay", "mean"), ("dep_delay", "count"), ("carrier", "count"), ("late", "sum")]
    )
    with (EXAMPLE / "data" / "airlines.csv").open(newline="") as file:
        names = {row["carrier"]: row["name"] for row in csv.DictReader(file)}
    expected = {
        row["carrier"]: (row["carrier_count"], row["carrier_count"] - row["dep_delay_count"], row["late_sum"])
        for row in wanted.to_pylist()
    }
    means = {row["carrier"]: row["dep_delay_mean"] for row in wanted.to_pylist()}
    with artifacts["delays_by_carrier.csv"].open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["carrier"] for row in rows] == sorted(expected)
    for row in rows:
        assert (int(row["flights"]), int(row["cancelled"]), int(row["late"])) == expected[row["carrier"]]
        assert float(row["mean_delay"]) == pytest.approx(means[row["carrier"]], abs=0.0051)
        assert row["airline"] == names[row["carrier"]]


def test_delays_by_route_equal_the_source(artifacts: dict[str, Path], source_table: Any) -> None:
    wanted = source_table.group_by(["origin", "dest"]).aggregate(
        [("dep_delay", "mean"), ("dep_delay", "count"), ("dep_delay", "max"), ("carrier", "count")]
    )
    expected = {(row["origin"], row["dest"]): row for row in wanted.to_pylist()}
    rows = pq.read_table(artifacts["delays_by_route.parquet"]).to_pylist()
    assert len(rows) == len(expected) == 224
    for row in rows:
        source = expected[row["origin"], row["dest"]]
        assert row["flights"] == source["carrier_count"]
        assert row["cancelled"] == source["carrier_count"] - source["dep_delay_count"]
        assert row["worst_delay"] == source["dep_delay_max"]
        if source["dep_delay_mean"] is None:
            assert row["mean_delay"] is None
        else:
            assert row["mean_delay"] == pytest.approx(source["dep_delay_mean"], abs=0.0051)


def test_the_process_lists_the_five_worst_carriers(artifacts: dict[str, Path]) -> None:
    with artifacts["delays_by_carrier.csv"].open(newline="") as file:
        rows = sorted(csv.DictReader(file), key=lambda row: -float(row["mean_delay"]))
    listed = [line.split(",")[0] for line in artifacts["worst_carriers.txt"].read_text().splitlines()]
    assert listed == [row["carrier"] for row in rows[:5]]


def test_the_same_run_id_has_nothing_to_do(summary: dict[str, Any], environment: dict[str, str]) -> None:
    command = [AETHERFLOW, "run", str(EXAMPLE / "flow.yaml"), "--run-id", "demo", "-q"]
    done = warm.run(command, env=environment, capture_output=True, text=True, check=True)
    assert (done.stdout, "nothing to do" in done.stderr) == ("", True)


def test_make_demo_says_where_the_artifacts_are() -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    done = subprocess.run(["make", "demo"], cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    paths = [Path(line.split()[0]) for line in done.stdout.splitlines() if line.startswith(f"  {ROOT}")]
    assert {path.name for path in paths} == {"delays_by_carrier.csv", "delays_by_route.parquet", "worst_carriers.txt"}
    assert all(path.stat().st_size for path in paths)
