"""What the benchmarks of databases share: options, real rows, one step as a flow, both sides measured in turn."""

import argparse
import contextlib
import json
import os
import resource
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pymysql

from aetherflow.core.api import RunFailedError
from aetherflow.core.runner import run_flow
from services import Database

DATA = Path(__file__).parents[2] / "docs/examples/flights/data/flights.parquet"
COLUMNS = {
    "year": "int", "month": "int", "day": "int", "dep_time": "int", "dep_delay": "int", "arr_delay": "int",
    "carrier": "varchar(2)", "flight": "int", "tailnum": "varchar(6)", "origin": "varchar(3)", "dest": "varchar(3)",
    "time_hour": "timestamptz",
}  # fmt: skip
DATABASES = ("postgres", "duckdb", "mariadb")


@dataclass(frozen=True)
class Options:
    """How much is measured; see `options`."""

    rows: int
    rounds: int
    only: Sequence[str]
    memory: bool


def options(what: str, argv: Sequence[str] | None = None) -> Options:
    """The command line; the variables ROWS, ROUNDS and ONLY give other defaults."""
    parser = argparse.ArgumentParser(description=what)
    env = os.environ
    parser.add_argument("--rows", type=int, default=int(env.get("ROWS", "1000000")), help="rows of the table")
    parser.add_argument(
        "--rounds", type=int, default=int(env.get("ROUNDS", "5")), help="measured pairs; one more warms up"
    )
    parser.add_argument(
        "--only", nargs="+", choices=DATABASES, default=env.get("ONLY", " ".join(DATABASES)).split(), help="databases"
    )
    parser.add_argument("--no-memory", action="store_true", help="leave out the memory of extractions")
    found = parser.parse_args(argv)
    return Options(found.rows, found.rounds, found.only, not found.no_memory)


@dataclass(frozen=True)
class Cost:
    """Seconds on the clock, and of the processor: this process, its threads and its children; and of a server."""

    wall: float
    cpu: float
    server: float = 0.0


def cost(work: Callable[[], object]) -> Cost:
    """What one call costs."""
    wall, cpu = time.perf_counter(), _cpu()
    work()
    return Cost(time.perf_counter() - wall, _cpu() - cpu)


def _cpu() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def _cpu_of(server: int) -> float:
    """Seconds of the processor of a process and its children, the ended ones included."""
    total = 0
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            number = int(folder.name)
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            if server in (number, int(fields[1])):
                total += sum(map(int, fields[11 : 15 if number == server else 13]))
    return total / os.sysconf("SC_CLK_TCK")


def postmaster(place: Database) -> int:
    """The number of the server's process."""
    with psycopg.connect(**place_of(place, "dbname")) as connection:
        own = connection.info.backend_pid
    return int(Path(f"/proc/{own}/stat").read_text().rpartition(")")[2].split()[1])


def mariadbd(place: Database) -> int:
    """The number of the server's process."""
    with pymysql.connect(**place_of(place)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT @@pid_file")
        return int(Path(cursor.fetchone()[0]).read_text())  # one row


class OneStep:
    """One step in a flow, run in this process. The wall time is the step's; the CPU time that of the whole run."""

    def __init__(
        self,
        folder: Path,
        driver: str,
        config: dict[str, Any],
        step: dict[str, Any],
        *,
        name: str,
        settings: dict[str, Any] | None = None,
        others: dict[str, Any] | None = None,
    ) -> None:
        self.flow = folder / f"{driver}-{name}.yaml"
        document = {
            "version": 1,
            "flow": {
                "id": f"bench-{driver}",
                "workspace": {"root": str(folder / "work")},
                "state": {"path": str(folder / "state.sqlite")},
            },
            "resources": {
                "wh": {"kind": "db", "driver": driver, "config": config, "options": settings or {}},
                **(others or {}),
            },
            "jobs": [{"id": "j", "steps": [{"id": "s", **step}]}],
        }
        self.flow.write_text(json.dumps(document))

    def __call__(self) -> Cost:
        cpu = _cpu()
        try:
            summary = run_flow(self.flow)
        except RunFailedError as error:
            raise SystemExit(f"{self.flow}: {error.summary.jobs[0].error}") from error
        return Cost(summary.jobs[0].steps[0].duration_ms / 1000, _cpu() - cpu)


def heading() -> None:
    """The names of the columns that `compare` prints."""
    clock = f"{'':34}{'wall':>7}  {'peer':28}{'wall':>7}{'ratio':>7}{'pairs':>7}{'limit':>7}"
    print(f"{clock}   cpu: ours, peer, ratio; the server's: ours, peer, ratio of the sums")


def compare(
    title: str,
    ours: Callable[[], Cost],
    peer: Callable[[], object],
    peer_name: str,
    rounds: int,
    *,
    limit: float | None = None,
    before: Callable[[], object] = lambda: None,
    server: int | None = None,
) -> None:
    """Both in turn, so that what else the machine does meets both: ratio of the medians, median of the ratios.

    `server` is the number of the process whose time, with that of its children, counts as well.
    """

    def with_server(work: Callable[[], Cost]) -> Cost:
        before()
        spent = _cpu_of(server) if server else 0.0
        found = work()
        return Cost(found.wall, found.cpu, (_cpu_of(server) if server else 0.0) - spent)

    pairs = [(with_server(ours), with_server(lambda: cost(peer))) for _ in range(rounds + 1)]
    del pairs[0]  # it warmed up
    wall, peer_wall = (statistics.median(side.wall for side in sides) for sides in zip(*pairs, strict=True))
    cpu, peer_cpu = (statistics.median(side.cpu for side in sides) for sides in zip(*pairs, strict=True))
    paired = statistics.median(mine.wall / theirs.wall for mine, theirs in pairs)
    wanted = "" if limit is None else f"{limit:.2f}"
    clock = f"{wall:7.2f}  {peer_name:28}{peer_wall:7.2f}{wall / peer_wall:7.2f}{paired:7.2f}{wanted:>7}"
    told = f"{title:34}{clock}   {cpu:5.2f} {peer_cpu:5.2f} {cpu / peer_cpu:5.2f}"
    if server:
        there, peer_there = (statistics.median(side.server for side in sides) for sides in zip(*pairs, strict=True))
        told += f"   {there:5.2f} {peer_there:5.2f} {(cpu + there) / (peer_cpu + peer_there):5.2f}"
    print(told, flush=True)


def place_of(place: Database, database: str = "database") -> dict[str, Any]:
    """What a driver wants to know."""
    found = {"host": place.host, "port": place.port, "user": place.user, "password": place.password}
    return {**found, database: place.name}
