"""Extraction against the databases' own tools: 1,000,000 rows of 12 columns, real departures, medians of one run.

make bench-db                                this and loading; ROWS=…, ROUNDS=… and ONLY=postgres make it smaller
python tests/benchmarks/db_extract.py --help

Then the time of small queries, and of the reset of a session against a plain rollback; and the memory of a process that
extracts so many rows, and ten times as many, over one that extracts a single row.
"""

import csv
import os
import statistics
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest.mock import patch

import duckdb
import psycopg
import pymysql
import pymysql.cursors

from aetherflow.core.api import ConnectorInit
from aetherflow.core.runner import run_flow
from aetherflow_builtins_db.connectors.mysql.connector import MySQLConnector
from aetherflow_builtins_db.connectors.postgres.connector import PostgresConnector
from bench_tools import disk_folder
from db_bench import COLUMNS, DATA, OneStep, Options, compare, cost, heading, mariadbd, options, place_of, postmaster
from services import Database, need, running_mariadb, running_postgres

QUERY = f"SELECT {', '.join(COLUMNS)} FROM departures"
TIMES = 10
MANY = QUERY.replace("departures", "many")
CHILD = "--peak-of"


def make_data(folder: Path, rows: int) -> tuple[Path, Path]:
    """A DuckDB database with the table, and the same rows as CSV."""
    database, text = folder / "wh.duckdb", folder / "departures.csv"
    with duckdb.connect(str(database)) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(
            f"CREATE TABLE departures AS SELECT {', '.join(COLUMNS)} FROM (SELECT * FROM read_parquet($data), "
            f"range(1000)) LIMIT {rows}",
            {"data": str(DATA)},
        )
        connection.execute(f"CREATE TABLE many AS SELECT departures.* FROM departures, range({TIMES})")
        connection.execute(f"COPY departures TO '{text}' (HEADER false)")
    return database, text


def fill_postgres(place: Database, text: Path) -> None:
    """The tables in PostgreSQL."""
    with psycopg.connect(**place_of(place, "dbname"), autocommit=True) as connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE TABLE departures ({', '.join(f'{name} {kind}' for name, kind in COLUMNS.items())})")
        with cursor.copy("COPY departures FROM STDIN (FORMAT csv)") as copy, text.open("rb") as file:
            while block := file.read(2**20):
                copy.write(block)
        cursor.execute(f"CREATE TABLE many AS SELECT d.* FROM departures d, generate_series(1, {TIMES})")
        cursor.execute("VACUUM ANALYZE departures")
        cursor.execute("VACUUM ANALYZE many")


def fill_mariadb(place: Database, text: Path) -> None:
    """The tables in MariaDB; the large one as MyISAM, which is quickly made."""
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
        cursor.execute(f"CREATE TABLE many ENGINE = MyISAM AS SELECT d.* FROM departures d, seq_1_to_{TIMES}")
        cursor.execute("ANALYZE TABLE departures, many")


def extraction(folder: Path, driver: str, config: dict[str, Any], output: str, query: str = QUERY) -> OneStep:
    """One extraction: connect, query, file, fsync."""
    step = {"type": "db_extract", "inputs": {"resource": "wh", "sql": query, "output": output}}
    settings = {"pragmas": {"TimeZone": "UTC"}} if driver == "duckdb" else None
    return OneStep(folder, driver, config, step, name=output, settings=settings)


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
        with duckdb.connect(str(database)) as connection:
            connection.execute("SET TimeZone = 'UTC'")
            connection.execute(f"COPY ({QUERY}) TO '{folder}/copy.out' ({options})")

    return work


def peak(extracting: OneStep) -> int:
    """MiB that a process of its own needs at most."""
    done = subprocess.run(
        [sys.executable, __file__, CHILD, str(extracting.flow)], check=True, capture_output=True, text=True
    )
    return int(done.stdout.split()[-1])


def print_peak(flow: str) -> None:
    """The child: run the flow and say the peak of this process."""
    assert run_flow(flow).status == "SUCCESS"
    status = Path("/proc/self/status").read_text()
    print(next(int(line.split()[1]) // 1024 for line in status.splitlines() if line.startswith("VmHWM")))


def measure_memory(folder: Path, driver: str, config: dict[str, Any], rows: int) -> None:
    """CSV and Parquet, of so many rows and of ten times as many."""
    for kind in ("csv", "parquet"):
        idle = peak(extraction(folder, driver, config, f"idle.{kind}", f"{QUERY} LIMIT 1"))
        few, many = (
            peak(extraction(folder, driver, config, f"{name}.{kind}", query)) - idle
            for name, query in (("few", QUERY), ("many", MANY))
        )
        print(
            f"{driver:9} {kind:8} {few:4} MiB for {rows:,} rows, {many:4} MiB for {TIMES * rows:,} (limit 150)",
            flush=True,
        )


def measure_reset(driver: str, config: dict[str, Any]) -> None:
    """Microseconds of a query whose session is reset afterwards, and of one after which it is only rolled back."""
    init = ConnectorInit("wh", "db", driver, config, {})
    with PostgresConnector(init) if driver == "postgres" else MySQLConnector(init) as db:
        took: dict[str, list[float]] = {"reset": [], "rollback": []}
        for _ in range(500):  # in turn, so that other work of the machine counts for both
            for name, times in took.items():
                with patch.object(db, "reset", getattr(db, name)):
                    times.append(cost(lambda: db.read("SELECT 1 AS a")).wall * 1e6)
        reset, rollback = map(statistics.median, took.values())
    print(f"{driver:9} {reset:.0f} µs, with a rollback alone {rollback:.0f} µs", flush=True)


def main(chosen: Options) -> None:
    with ExitStack() as stack:
        folder = stack.enter_context(disk_folder())
        os.environ["AETHERFLOW_STATE_ROOT"] = str(folder / "states")
        os.environ["AETHERFLOW_WORK_ROOT"] = str(folder / "work")
        database, text = make_data(folder, chosen.rows)
        size = text.stat().st_size / 1e6
        print(f"extraction: {chosen.rows:,} rows, 12 columns, {size:.0f} MB of CSV, medians of {chosen.rounds}")
        heading()
        places: list[tuple[str, dict[str, Any]]] = []
        if "postgres" in chosen.only:
            postgres = stack.enter_context(running_postgres())
            fill_postgres(postgres, text)
            places.append(("postgres", place_of(postgres)))
            psql, number = run_psql(postgres, folder), postmaster(postgres)
            for output, limit in (("p.csv", 1.2), ("p.parquet", 1.5)):
                ours = extraction(folder, "postgres", place_of(postgres), output)
                peer = r"psql \copy (CSV)"
                compare(f"PostgreSQL -> {output[2:]}", ours, psql, peer, chosen.rounds, limit=limit, server=number)
            plain = extraction(folder, "postgres", place_of(postgres), "p.csv")
            for output in ("p.csv.gz", "p.jsonl"):
                ours = extraction(folder, "postgres", place_of(postgres), output)
                compare(f"PostgreSQL -> {output[2:]}", ours, plain, "its own CSV", chosen.rounds, server=number)
        if "duckdb" in chosen.only:
            file = {"path": str(database)}
            places.append(("duckdb", file))
            for output, wanted in (("d.csv", "FORMAT csv"), ("d.parquet", "FORMAT parquet, COMPRESSION zstd")):
                ours, copy = extraction(folder, "duckdb", file, output), run_copy(database, folder, wanted)
                compare(f"DuckDB -> {output[2:]}", ours, copy, f"its COPY to {output[2:]}", chosen.rounds, limit=1.2)
        if "mariadb" in chosen.only:
            mariadb = stack.enter_context(running_mariadb())
            fill_mariadb(mariadb, text)
            places.append(("mysql", place_of(mariadb)))
            ours = extraction(folder, "mysql", place_of(mariadb), "m.csv")
            bare, batch = run_sscursor(mariadb, folder), run_mariadb(mariadb, folder)
            number = mariadbd(mariadb)
            compare("MariaDB -> csv", ours, batch, "mariadb --batch", chosen.rounds, limit=3.0, server=number)
            compare("MariaDB -> csv", ours, bare, "SSCursor and csv.writer", chosen.rounds, limit=1.2, server=number)
        print("small queries, medians of 500")
        for driver, config in places:
            if driver != "duckdb":
                measure_reset(driver, config)
        if chosen.memory:
            print("memory over a process that extracts one row")
            for driver, config in places:
                measure_memory(folder, driver, config, chosen.rows)


if __name__ == "__main__":
    if sys.argv[1:2] == [CHILD]:
        print_peak(sys.argv[2])
    else:
        main(options("Measure db_extract against the databases' own tools."))
