"""Loading and copying against the databases' own tools: 1,000,000 rows of 12 columns, real departures, medians.

make bench-db                             this and extraction; ROWS=…, ROUNDS=… and ONLY=postgres make it smaller
python tests/benchmarks/db_load.py --help
"""

import os
import subprocess
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pymysql

from bench_tools import disk_folder
from db_bench import COLUMNS, DATA, OneStep, Options, compare, heading, mariadbd, options, place_of, postmaster
from services import Database, need, running_mariadb, running_postgres

LOADED = COLUMNS | {"time_hour": "timestamp null"}
CREATE = f"CREATE TABLE departures ({', '.join(f'{name} {kind}' for name, kind in LOADED.items())})"


def make_files(folder: Path, rows: int) -> dict[str, Path]:
    """The same rows as CSV and Parquet."""
    columns = ", ".join(name for name in COLUMNS if name != "time_hour")
    query = f"SELECT {columns}, CAST(time_hour AS TIMESTAMP) AS time_hour FROM read_parquet('{DATA}'), range(1000)"
    files = {kind: folder / f"departures.{kind}" for kind in ("csv", "parquet")}
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        for kind, file in files.items():
            connection.execute(f"COPY ({query} LIMIT {rows}) TO '{file}' (FORMAT {kind})")
    return files


def load(folder: Path, driver: str, config: dict[str, Any], file: Path, **inputs: Any) -> OneStep:
    """One load: connect, look at table and file, load, commit."""
    given = {"resource": "wh", "table": "departures", "path": str(file), **inputs}
    name = "-".join([file.suffix[1:], *map(str, inputs.values())])
    return OneStep(folder, driver, config, {"type": "db_load", "inputs": given}, name=name)


def on_postgres(place: Database, folder: Path, files: dict[str, Path], rounds: int) -> None:
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
        ours = load(folder, "postgres", config, file, **inputs)
        name = "psql \\copy from"
        compare(f"PostgreSQL {title}", ours, peer, name, rounds, limit=limit, before=empty, server=postmaster(place))


def copies(place: Database, folder: Path, files: dict[str, Path], rounds: int) -> None:
    """`db_copy` against what a shell does: `psql \\copy` into a pipe that the other side reads."""
    (program,) = need("psql")
    client = [program, "-q", "-h", place.host, "-p", str(place.port), "-U", place.user, place.name, "-c"]
    env = {**os.environ, "PGPASSWORD": place.password}
    database = folder / "copied.duckdb"
    targets = {"pg": {"driver": "postgres", "config": place_of(place)}}
    targets["duck"] = {"driver": "duckdb", "config": {"path": str(database)}}
    others = {name: {"kind": "db", **target} for name, target in targets.items()}

    def on_server(*statements: str) -> None:
        with psycopg.connect(**place_of(place, "dbname"), autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement)

    def in_file(*statements: str) -> None:
        with duckdb.connect(str(database)) as connection:
            for statement in statements:
                connection.execute(statement)

    def piped(load: Callable[[int], object]) -> None:
        with subprocess.Popen([*client, "\\copy departures TO STDOUT CSV"], stdout=subprocess.PIPE, env=env) as reading:
            load(reading.stdout.fileno())  # type: ignore[union-attr]  # a pipe

    def into_server(source: int) -> None:
        subprocess.run([*client, "\\copy copied FROM STDIN CSV"], stdin=source, check=True, env=env)

    on_server("TRUNCATE departures")
    subprocess.run([*client, f"\\copy departures FROM '{files['csv']}' CSV HEADER"], check=True, env=env)
    on_server(CREATE.replace("departures", "copied"))
    in_file(CREATE.replace("departures", "copied").replace(" null", ""))
    for target, title, peer, empty in (
        (
            "duck",
            "DuckDB (Arrow)",
            lambda source: in_file(f"COPY copied FROM '/dev/fd/{source}' (FORMAT csv)"),
            in_file,
        ),
        ("pg", "PostgreSQL (COPY)", into_server, on_server),
    ):
        step = {
            "type": "db_copy",
            "inputs": {"resource": "wh", "from_table": "departures", "target": target, "table": "copied"},
        }
        compare(
            f"PostgreSQL to {title}",
            OneStep(folder, "postgres", place_of(place), step, name=f"copy-{target}", others=others),
            lambda peer=peer: piped(peer),  # type: ignore[misc]
            "psql \\copy into a pipe",
            rounds,
            before=lambda empty=empty: empty("DELETE FROM copied", "CHECKPOINT"),  # type: ignore[misc]
            server=postmaster(place),
        )


def on_mariadb(place: Database, folder: Path, files: dict[str, Path], rounds: int) -> None:
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
    bulk = (
        f"LOAD DATA LOCAL INFILE '{files['csv']}' INTO TABLE departures FIELDS TERMINATED BY ',' IGNORE 1 LINES "
        f"({given}) SET {values}"
    )
    compare(
        "MariaDB CSV, append",
        load(folder, "mysql", place_of(place), files["csv"]),
        lambda: do(bulk),
        "LOAD DATA LOCAL INFILE",
        rounds,
        before=lambda: do("TRUNCATE departures"),
        limit=2.0,
        server=mariadbd(place),
    )


def on_duckdb(folder: Path, files: dict[str, Path], rounds: int) -> None:
    """CSV and Parquet against COPY."""
    database = folder / "wh.duckdb"

    def do(*statements: str) -> None:
        with duckdb.connect(str(database)) as connection:
            for statement in statements:
                connection.execute(statement)

    do(CREATE.replace(" null", ""))
    for kind, inputs in (("csv", {}), ("csv", {"max_rejects": 10}), ("parquet", {})):
        options = "FORMAT csv, HEADER" if kind == "csv" else "FORMAT parquet"
        copy = f"COPY departures FROM '{files[kind]}' ({options})"
        compare(
            f"DuckDB {kind}, {'rejects allowed' if inputs else 'append'}",
            load(folder, "duckdb", {"path": str(database)}, files[kind], **inputs),
            lambda copy=copy: do(copy),  # type: ignore[misc]
            "COPY FROM",
            rounds,
            before=lambda: do("DELETE FROM departures", "CHECKPOINT"),
        )


def main(chosen: Options) -> None:
    with ExitStack() as stack:
        folder = stack.enter_context(disk_folder())
        os.environ["AETHERFLOW_STATE_ROOT"] = str(folder / "states")
        os.environ["AETHERFLOW_WORK_ROOT"] = str(folder / "work")
        files, rounds = make_files(folder, chosen.rows), chosen.rounds
        size = files["csv"].stat().st_size / 1e6
        print(f"loading: {chosen.rows:,} rows, 12 columns, {size:.0f} MB of CSV, medians of {rounds}")
        heading()
        if "postgres" in chosen.only:
            place = stack.enter_context(running_postgres())
            on_postgres(place, folder, files, rounds)
            copies(place, folder, files, rounds)
        if "duckdb" in chosen.only:
            on_duckdb(folder, files, rounds)
        if "mariadb" in chosen.only:
            on_mariadb(stack.enter_context(running_mariadb()), folder, files, rounds)


if __name__ == "__main__":
    main(options("Measure db_load against the databases' own tools."))
