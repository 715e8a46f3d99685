"""Loading against the databases' own tools: 1,000,000 rows of 12 columns, real departures, medians of one run.

make bench-db            all of it; ROWS=… and ROUNDS=… make it smaller, ONLY=postgres leaves out the rest
"""

import json
import os
import statistics
import subprocess
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pymysql

from aetherflow.core.api import RunFailedError
from aetherflow.core.runner import run_flow
from bench_tools import disk_folder
from services import Database, need, running_mariadb, running_postgres

ROWS = int(os.environ.get("ROWS", "1000000"))
ROUNDS = int(os.environ.get("ROUNDS", "5"))
ONLY = os.environ.get("ONLY", "postgres duckdb mariadb").split()
DATA = Path(__file__).parents[2] / "docs/examples/flights/data/flights.parquet"
COLUMNS = {
    "year": "int", "month": "int", "day": "int", "dep_time": "int", "dep_delay": "int", "arr_delay": "int",
    "carrier": "varchar(2)", "flight": "int", "tailnum": "varchar(6)", "origin": "varchar(3)", "dest": "varchar(3)",
    "time_hour": "timestamp null",
}  # fmt: skip
CREATE = f"CREATE TABLE departures ({', '.join(f'{name} {kind}' for name, kind in COLUMNS.items())})"


def make_files(folder: Path) -> dict[str, Path]:
    """The same rows as CSV and Parquet."""
    columns = ", ".join(name for name in COLUMNS if name != "time_hour")
    query = f"SELECT {columns}, CAST(time_hour AS TIMESTAMP) AS time_hour FROM read_parquet('{DATA}'), range(1000)"
    files = {kind: folder / f"departures.{kind}" for kind in ("csv", "parquet")}
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        for kind, file in files.items():
            connection.execute(f"COPY ({query} LIMIT {ROWS}) TO '{file}' (FORMAT {kind})")
    return files


class Load:
    """One step in a flow, run in this process; the time is the step's: connect, load, commit."""

    def __init__(self, folder: Path, driver: str, config: dict[str, Any], file: Path, **inputs: Any) -> None:
        given = {"resource": "wh", "table": "departures", "path": str(file), **inputs}
        self.flow = folder / f"{driver}-{'-'.join([file.suffix[1:], *map(str, inputs)])}.yaml"
        document = {
            "version": 1,
            "flow": {
                "id": f"bench-{driver}",
                "workspace": {"root": str(folder / "work")},
                "state": {"path": str(folder / "state.sqlite")},
            },
            "resources": {"wh": {"kind": "db", "driver": driver, "config": config}},
            "jobs": [{"id": "j", "steps": [{"id": "s", "type": "db_load", "inputs": given}]}],
        }
        self.flow.write_text(json.dumps(document))

    def __call__(self) -> float:
        try:
            summary = run_flow(self.flow)
        except RunFailedError as error:
            raise SystemExit(f"{self.flow}: {error.summary.jobs[0].error}") from error
        return summary.jobs[0].steps[0].duration_ms / 1000


def compare(
    title: str,
    ours: Load,
    peer: Callable[[], object],
    peer_name: str,
    empty: Callable[[], object],
    limit: float | None = None,
) -> None:
    """Both in turn, each into an empty table; the ratio of the medians, and of the pairs."""
    pairs = []
    for _ in range(ROUNDS + 1):
        empty()
        mine = ours()
        empty()
        begun = time.perf_counter()
        peer()
        pairs.append((mine, time.perf_counter() - begun))
    mine, theirs = (statistics.median(side) for side in zip(*pairs[1:], strict=True))  # the first warms up
    paired = statistics.median(a / b for a, b in pairs[1:])
    wanted = "" if limit is None else f"  (wanted: at most {limit})"
    times = f"{mine:6.2f} s  {peer_name:26} {theirs:6.2f} s  {mine / theirs:5.2f} x, pairs {paired:5.2f} x"
    print(f"{title:32} {times}{wanted}")


def place_of(place: Database, database: str = "database") -> dict[str, Any]:
    """What a driver wants to know."""
    found = {"host": place.host, "port": place.port, "user": place.user, "password": place.password}
    return {**found, database: place.name}


def on_postgres(place: Database, folder: Path, files: dict[str, Path]) -> None:
    """CSV and Parquet against `psql \\copy`."""

    def do(*statements: str) -> None:
        with psycopg.connect(**place_of(place, "dbname"), autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement)

    do(CREATE)
    (program,) = need("psql")
    command = [program, "-q", "-h", place.host, "-p", str(place.port), "-U", place.user, place.name, "-c"]
    command += [f"\\copy departures FROM '{files['csv']}' CSV HEADER"]

    def peer() -> None:
        subprocess.run(command, check=True, env={**os.environ, "PGPASSWORD": place.password})

    def empty() -> None:
        do("TRUNCATE departures", "CHECKPOINT")

    config = place_of(place)
    for title, file, inputs, limit in (
        ("CSV, append", files["csv"], {}, 1.3),
        ("CSV, truncate", files["csv"], {"mode": "truncate"}, 1.3),
        ("CSV, replace", files["csv"], {"mode": "replace"}, None),
        ("CSV, rejects allowed", files["csv"], {"max_rejects": 10}, None),
        ("Parquet, append", files["parquet"], {}, None),
    ):
        ours = Load(folder, "postgres", config, file, **inputs)
        compare(f"PostgreSQL {title}", ours, peer, "psql \\copy from", empty, limit)


def on_mariadb(place: Database, folder: Path, files: dict[str, Path]) -> None:
    """CSV against LOAD DATA LOCAL INFILE."""
    given = ", ".join(f"@{name}" for name in COLUMNS)
    values = ", ".join(f"{name} = NULLIF(@{name}, '')" for name in COLUMNS)

    def do(*statements: str) -> None:
        with (
            pymysql.connect(**place_of(place), local_infile=True, autocommit=True) as connection,
            connection.cursor() as cursor,
        ):
            for statement in statements:
                cursor.execute(statement)

    do(CREATE)
    load = (
        f"LOAD DATA LOCAL INFILE '{files['csv']}' INTO TABLE departures FIELDS TERMINATED BY ',' IGNORE 1 LINES "
        f"({given}) SET {values}"
    )
    compare(
        "MariaDB CSV, append",
        Load(folder, "mysql", place_of(place), files["csv"]),
        lambda: do(load),
        "LOAD DATA LOCAL INFILE",
        lambda: do("TRUNCATE departures"),
    )


def on_duckdb(folder: Path, files: dict[str, Path]) -> None:
    """CSV and Parquet against COPY."""
    database = folder / "wh.duckdb"

    def do(*statements: str) -> None:
        with duckdb.connect(str(database)) as connection:
            for statement in statements:
                connection.execute(statement)

    do(CREATE.replace(" null", ""))
    for kind in ("csv", "parquet"):
        options = "FORMAT csv, HEADER" if kind == "csv" else "FORMAT parquet"
        copy = f"COPY departures FROM '{files[kind]}' ({options})"
        compare(
            f"DuckDB {kind}, append",
            Load(folder, "duckdb", {"path": str(database)}, files[kind]),
            lambda copy=copy: do(copy),  # type: ignore[misc]
            "COPY FROM",
            lambda: do("DELETE FROM departures", "CHECKPOINT"),
        )


def main() -> None:
    """Measure and print."""
    with ExitStack() as stack:
        folder = stack.enter_context(disk_folder())
        os.environ["AETHERFLOW_STATE_ROOT"] = str(folder / "states")
        os.environ["AETHERFLOW_WORK_ROOT"] = str(folder / "work")
        files = make_files(folder)
        print(f"{ROWS:,} rows, 12 columns, {files['csv'].stat().st_size / 1e6:.0f} MB of CSV, medians of {ROUNDS}")
        if "postgres" in ONLY:
            on_postgres(stack.enter_context(running_postgres()), folder, files)
        if "duckdb" in ONLY:
            on_duckdb(folder, files)
        if "mariadb" in ONLY:
            on_mariadb(stack.enter_context(running_mariadb()), folder, files)


if __name__ == "__main__":
    main()
