"""Extraction against the databases' own tools: 1,000,000 rows of 12 columns, real departures, medians of one run.

make bench-db            all of it; ROWS=… and ROUNDS=… make it smaller
"""

import csv
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, ClassVar

import duckdb
import psycopg
import pymysql
import pymysql.cursors

from aetherflow.core.runner import run_flow
from services import Database, need, running_mariadb, running_postgres

ROWS = int(os.environ.get("ROWS", "1000000"))
ROUNDS = int(os.environ.get("ROUNDS", "5"))
DATA = Path(__file__).parents[2] / "docs/examples/flights/data/flights.parquet"
COLUMNS = {
    "year": "int", "month": "int", "day": "int", "dep_time": "int", "dep_delay": "int", "arr_delay": "int",
    "carrier": "varchar(2)", "flight": "int", "tailnum": "varchar(6)", "origin": "varchar(3)", "dest": "varchar(3)",
    "time_hour": "timestamptz",
}  # fmt: skip
QUERY = f"SELECT {', '.join(COLUMNS)} FROM departures"
MEMORY_LIMIT = "100MB"
"""Of DuckDB, which else takes most of the machine for a cache."""
CHILD = "--memory"


def make_data(folder: Path) -> tuple[Path, Path]:
    """A DuckDB database with the table, and the same rows as CSV."""
    database, text = folder / "wh.duckdb", folder / "departures.csv"
    with duckdb.connect(str(database)) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(
            f"CREATE TABLE departures AS SELECT {', '.join(COLUMNS)} FROM (SELECT * FROM read_parquet($data), "
            f"range(1000)) LIMIT {ROWS}",
            {"data": str(DATA)},
        )
        connection.execute("CREATE TABLE many AS SELECT departures.* FROM departures, range(10)")
        connection.execute(f"COPY departures TO '{text}' (HEADER false)")
    return database, text


def fill_postgres(place: Database, text: Path, copies: int = 1) -> None:
    """The table in PostgreSQL; with `copies`, another of so many times the rows."""
    with psycopg.connect(**place_of(place, "dbname"), autocommit=True) as connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE TABLE departures ({', '.join(f'{name} {kind}' for name, kind in COLUMNS.items())})")
        with cursor.copy("COPY departures FROM STDIN (FORMAT csv)") as copy, text.open("rb") as file:
            while block := file.read(2**20):
                copy.write(block)
        cursor.execute(f"CREATE TABLE many AS SELECT d.* FROM departures d, generate_series(1, {copies})")
        cursor.execute("VACUUM ANALYZE departures")
        cursor.execute("VACUUM ANALYZE many")


def fill_mariadb(place: Database, text: Path) -> None:
    """The table in MariaDB."""
    columns = ", ".join(f"{name} {'datetime' if kind == 'timestamptz' else kind}" for name, kind in COLUMNS.items())
    given = ", ".join(f"@{name}" for name in COLUMNS)
    values = ", ".join(f"{name} = NULLIF(REPLACE(@{name}, '+00', ''), '')" for name in COLUMNS)
    with (
        pymysql.connect(**place_of(place), local_infile=True, autocommit=True) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute(f"CREATE TABLE departures ({columns})")
        cursor.execute(
            f"LOAD DATA LOCAL INFILE '{text}' INTO TABLE departures FIELDS TERMINATED BY ',' ({given}) SET {values}"
        )
        cursor.execute("ANALYZE TABLE departures")


def place_of(place: Database, database: str = "database") -> dict[str, Any]:
    """What a driver wants to know."""
    return {
        "host": place.host,
        "port": place.port,
        "user": place.user,
        "password": place.password,
        database: place.name,
    }


class Extraction:
    """One step in a flow, run in this process; the time is the step's: connect, query, file, fsync."""

    around: ClassVar[list[float]] = []
    """What the runs took beside their step."""

    def __init__(self, folder: Path, driver: str, config: dict[str, Any], output: str, query: str = QUERY) -> None:
        self.folder = folder
        step = {"id": "s", "type": "db_extract", "inputs": {"resource": "wh", "sql": query, "output": output}}
        options = {"pragmas": {"memory_limit": MEMORY_LIMIT, "TimeZone": "UTC"}} if driver == "duckdb" else {}
        self.flow = folder / f"{driver}-{output}.yaml"
        self.flow.write_text(
            json.dumps(
                {
                    "version": 1,
                    "flow": {
                        "id": f"bench-{driver}",
                        "workspace": {"root": str(folder / "work")},
                        "state": {"path": str(folder / "state.sqlite")},
                    },
                    "resources": {"wh": {"kind": "db", "driver": driver, "config": config, "options": options}},
                    "jobs": [{"id": "j", "steps": [step]}],
                }
            )
        )

    def __call__(self) -> float:
        begun = time.perf_counter()
        summary = run_flow(self.flow)
        took = summary.jobs[0].steps[0].duration_ms / 1000
        assert summary.status == "SUCCESS"
        self.around.append(time.perf_counter() - begun - took)
        return took


def seconds(work: Callable[[], object]) -> float:
    """Wall time."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def compare(title: str, ours: Extraction, peer: Callable[[], object], peer_name: str, limit: float | None) -> None:
    """Both in turn, so that what else the machine does meets both; the ratio of the medians, and of the pairs."""
    pairs = [(ours(), seconds(peer)) for _ in range(ROUNDS + 1)][1:]  # the first warms up
    mine, theirs = (statistics.median(side) for side in zip(*pairs, strict=True))
    ratio, paired = mine / theirs, statistics.median(a / b for a, b in pairs)
    wanted = "" if limit is None else f"  (wanted: at most {limit})"
    print(f"{title:22} {mine:6.2f} s  {peer_name:26} {theirs:6.2f} s  {ratio:5.2f} x, pairs {paired:5.2f} x{wanted}")


def run_psql(place: Database, folder: Path) -> Callable[[], object]:
    (program,) = need("psql")
    command = [program, "-q", "-h", place.host, "-p", str(place.port), "-U", place.user, place.name, "-c"]
    command += [f"\\copy ({QUERY}) TO '{folder}/psql.csv' CSV HEADER"]
    return lambda: subprocess.run(command, check=True, env={**os.environ, "PGPASSWORD": place.password})


def run_sscursor(place: Database, folder: Path) -> Callable[[], object]:
    def work() -> None:
        with (
            pymysql.connect(**place_of(place), charset="utf8mb4") as connection,
            connection.cursor(pymysql.cursors.SSCursor) as cursor,
            (folder / "bare.csv").open("w", newline="") as file,
        ):
            cursor.execute(QUERY)
            writer = csv.writer(file)
            writer.writerow(COLUMNS)
            writer.writerows(cursor)

    return work


def run_mariadb(place: Database, folder: Path) -> Callable[[], object]:
    (program,) = need("mariadb")
    command = [program, "--no-defaults", "--batch", "--quick", "-h", place.host, "-P", str(place.port)]
    command += ["-u", place.user, f"-p{place.password}", place.name, "-e", QUERY]

    def work() -> None:
        with (folder / "batch.tsv").open("wb") as file:
            subprocess.run(command, check=True, stdout=file)

    return work


def run_copy(database: Path, folder: Path, options: str) -> Callable[[], object]:
    def work() -> None:
        with duckdb.connect(str(database), config={"memory_limit": MEMORY_LIMIT}) as connection:
            connection.execute("SET TimeZone = 'UTC'")
            connection.execute(f"COPY ({QUERY}) TO '{folder}/copy.out' ({options})")

    return work


def peak_over_idle(extraction: Extraction, idle: Extraction) -> int:
    """MiB that a process of its own needs at most for one extraction, over one that extracts a single row."""
    code = [sys.executable, __file__, CHILD]
    figures = [
        int(subprocess.run([*code, str(each.flow)], check=True, capture_output=True, text=True).stdout.split()[-1])
        for each in (idle, extraction)
    ]
    return figures[1] - figures[0]


def print_peak(flow: str) -> None:
    """The child: run the flow and say the peak of this process."""
    assert run_flow(flow).status == "SUCCESS"
    status = Path("/proc/self/status").read_text()
    print(next(int(line.split()[1]) // 1024 for line in status.splitlines() if line.startswith("VmHWM")))


def measure_memory(folder: Path, driver: str, config: dict[str, Any], query: Callable[[int], str]) -> None:
    for output in ("m.csv", "m.parquet"):
        idle = Extraction(folder, driver, config, f"idle-{output}", query(1) + " LIMIT 1")
        peaks = [
            peak_over_idle(Extraction(folder, driver, config, f"{times}-{output}", query(times)), idle)
            for times in (1, 10)
        ]
        print(f"{driver:9} {output[2:]:8} {peaks[0]:4} MiB for {ROWS:,} rows, {peaks[1]:4} MiB for {10 * ROWS:,}"
              "  (wanted: at most 150)")  # fmt: skip


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="aetherflow-bench-") as name, ExitStack() as stack:
        folder = Path(name)
        database, text = make_data(folder)
        print(f"{ROWS:,} rows x {len(COLUMNS)} columns, {text.stat().st_size / 1e6:.0f} MB as CSV, {ROUNDS} rounds")
        postgres = stack.enter_context(running_postgres())
        fill_postgres(postgres, text, 10)
        psql = run_psql(postgres, folder)
        for output, limit in (("p.csv", 1.2), ("p.parquet", 1.5), ("p.csv.gz", None), ("p.jsonl", None)):
            ours = Extraction(folder, "postgres", place_of(postgres), output)
            compare(f"PostgreSQL -> {output[2:]}", ours, psql, r"psql \copy (CSV)", limit)
        file = {"path": str(database)}
        for output, limit in (("d.csv", 1.2), ("d.parquet", 1.2)):
            options = "FORMAT csv" if output == "d.csv" else "FORMAT parquet, COMPRESSION zstd"
            ours = Extraction(folder, "duckdb", file, output)
            compare(
                f"DuckDB -> {output[2:]}", ours, run_copy(database, folder, options), f"its COPY to {output[2:]}", limit
            )
        mariadb = stack.enter_context(running_mariadb())
        fill_mariadb(mariadb, text)
        ours = Extraction(folder, "mysql", place_of(mariadb), "m.csv")
        compare("MariaDB -> csv", ours, run_sscursor(mariadb, folder), "SSCursor and csv.writer", 1.2)
        compare("MariaDB -> csv", ours, run_mariadb(mariadb, folder), "mariadb --batch", None)
        print(f"the run around the step took {statistics.median(Extraction.around):.2f} s more")
        many = {1: QUERY, 10: QUERY.replace("departures", "many")}
        measure_memory(folder, "postgres", place_of(postgres), many.__getitem__)
        measure_memory(folder, "duckdb", file, many.__getitem__)
        ten = " UNION ALL ".join([QUERY] * 10)
        union = {1: QUERY, 10: f"SELECT * FROM ({ten}) q"}
        measure_memory(folder, "mysql", place_of(mariadb), union.__getitem__)


if __name__ == "__main__":
    if sys.argv[1:2] == [CHILD]:
        print_peak(sys.argv[2])
    else:
        main()
