"""What it costs to write a state as events with tables as projections, beside the tables that the product writes.

Four write paths over the same bare SQLite. `tables` writes what the product does for a step. `events` puts the whole
transition into the journal, with the same tables as its projection. `lean` projects only the columns that are searched
for, and reads the rest from the journal. `rowid` is `tables` with a step_runs that has a rowid. Then processes that
write are killed, and the journal is replayed against the rows. docs/02-architecture.md has the figures.

    make bench-journal (in full: KILLS=100 STEPS=1000000)
"""

import json
import os
import random
import sqlite3
import statistics
import subprocess
import sys
import time
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Any

from aetherflow.core.base import durable
from aetherflow.core.records.migration import prepare_schema
from bench_tools import Commits, disk_folder

ROUNDS, BATCH, RESUMED = 60, 20, 10_000
STEPS, KILLS = int(os.environ.get("STEPS", "100000")), int(os.environ.get("KILLS", "20"))
OUTPUTS: dict[str, dict[str, Any]] = {"30 bytes": {"has_data": True, "count": 2}, "1 KB": {"rows": "x" * 1000}}
WAYS = ("tables", "events", "lean", "rowid")
BEGUN = ("status", "effect", "idem_key", "plugin", "started_at", "def_hash", "def_version")
ENDED = ("status", "outputs", "finished_at", "blob", "reason", "reason_code", "secret_keys")
LEAN = """CREATE TABLE IF NOT EXISTS lean_steps (flow_id TEXT, run_id TEXT, job_id TEXT, step_id TEXT, item_key TEXT,
    attempt INTEGER, status TEXT, effect TEXT, def_hash TEXT, started INTEGER, ended INTEGER,
    PRIMARY KEY (flow_id, run_id, job_id, step_id, item_key, attempt)) WITHOUT ROWID"""
KEY = "flow_id='f' AND run_id='r' AND job_id='j0' AND step_id=? AND item_key='' AND attempt=1"
ROW = ("step", *BEGUN, "outputs", "finished_at")
LEAN_ROW = ("step", "status", "effect", "def_hash", "started", "ended")


class Writer:
    """One run in a state, written in one of the ways: a step ends in the transaction that begins the next."""

    def __init__(self, path: Path, way: str, *, sync: str = "FULL") -> None:
        self.way, self.number, self.chain = way, 0, ""
        with closing(durable.connect(path, busy_seconds=5)) as db:
            prepare_schema(db, path)
        self.db = sqlite3.connect(path, isolation_level=None)
        for statement in ("PRAGMA journal_mode=WAL", f"PRAGMA synchronous={sync}", LEAN):
            self.db.execute(statement)
        self.db.execute("CREATE TABLE owner AS SELECT 1 AS generation")
        if way == "rowid":
            ((table,),) = self.db.execute("SELECT sql FROM sqlite_master WHERE name='step_runs'").fetchall()
            self.db.execute("DROP TABLE step_runs")
            self.db.execute(table.replace("WITHOUT ROWID,", ""))

    def steps(self, count: int, outputs: dict[str, Any], *, each: bool = True) -> float:
        """Write so many, in a transaction each or in one; returns the seconds."""
        started = time.perf_counter()
        for number in range(count):
            if each or number == 0:
                self.db.execute("BEGIN IMMEDIATE")
            self._write(json.dumps(outputs))
            if each or number == count - 1:
                self.db.execute("COMMIT")
        return time.perf_counter() - started

    def _write(self, outputs: str) -> None:
        self.db.execute("SELECT generation FROM owner").fetchone()
        now, step = time.time_ns() // 1_000_000, f"s{self.number:07}"
        if self.number:
            end: dict[str, Any] = {**dict.fromkeys(ENDED), "status": "SUCCESS", "outputs": outputs, "finished_at": now}
            seq = self._record("step_end", step, now, {name: value for name, value in end.items() if value is not None})
            if self.way == "lean":
                self.db.execute(f"UPDATE lean_steps SET status='SUCCESS', ended=? WHERE {KEY}", (seq, step))
            else:
                sets = ", ".join(f"{name}=?" for name in ENDED)
                self.db.execute(f"UPDATE step_runs SET {sets} WHERE {KEY}", (*end.values(), step))
        self.number, step = self.number + 1, f"s{self.number + 1:07}"
        made = sha256(step.encode()).hexdigest()
        begun = ("RUNNING", "repeatable", made[:32], "check_items", now, made[32:], 2)
        seq = self._record("step_start", step, now, dict(zip(BEGUN, begun, strict=True)))
        if self.way == "lean":
            row = (step, begun[0], begun[1], begun[5], seq)
            self.db.execute("INSERT INTO lean_steps VALUES ('f', 'r', 'j0', ?, '', 1, ?, ?, ?, ?, NULL)", row)
        else:
            names = f"flow_id, run_id, job_id, attempt, step_id, {', '.join(BEGUN)}"
            values = f"'f', 'r', 'j0', 1, ?{', ?' * len(BEGUN)}"
            self.db.execute(f"INSERT INTO step_runs ({names}) VALUES ({values})", (step, *begun))

    def _record(self, event: str, step: str, at: int, values: dict[str, Any]) -> int:
        """Write an entry of the journal: the whole transition, or of it what the product writes."""
        if self.way in ("tables", "rowid"):
            values = {"status": values["status"]} if event == "step_end" else {}
        detail = json.dumps({"job": "j0", "step": step, "attempt": 1, **values}, separators=(",", ":"))
        self.chain = sha256(f"{self.chain}\nf\nr\n{at}\n{event}\n{detail}".encode()).hexdigest()
        entry = "INSERT INTO journal (flow_id, run_id, at, event, detail, chain) VALUES ('f', 'r', ?, ?, ?, ?)"
        return int(self.db.execute(entry, (at, event, detail, self.chain)).lastrowid or 0)


def projected(db: sqlite3.Connection, way: str) -> list[tuple[Any, ...]]:
    """The rows of the steps."""
    table, names = ("lean_steps", LEAN_ROW) if way == "lean" else ("step_runs", ROW)
    return db.execute(f"SELECT step_id, {', '.join(names[1:])} FROM {table} ORDER BY step_id").fetchall()


def hashed(db: sqlite3.Connection, way: str) -> str:
    """The hash of these rows."""
    return sha256("".join(json.dumps(row) for row in projected(db, way)).encode()).hexdigest()


def replayed(db: sqlite3.Connection, way: str) -> list[tuple[Any, ...]]:
    """The same rows, by the journal alone; SystemExit if its chain is broken."""
    steps: dict[str, dict[str, Any]] = {}
    chain = ""
    for seq, at, event, detail, found in db.execute("SELECT seq, at, event, detail, chain FROM journal ORDER BY seq"):
        chain = sha256(f"{chain}\nf\nr\n{at}\n{event}\n{detail}".encode()).hexdigest()
        if chain != found:
            raise SystemExit(f"{way}: the chain is broken at entry {seq}")
        values = {"status": "RUNNING", **json.loads(detail), event.replace("step_start", "started"): seq}
        steps.setdefault(values["step"], {}).update(values, ended=values.get("step_end"))
    return [tuple(step.get(name) for name in (LEAN_ROW if way == "lean" else ROW)) for step in steps.values()]


def costs(root: Path, size: str) -> None:
    """Print the time of a step in bare commits: median of rounds, in which all write in turn on the same disk."""
    writers = {way: Writer(root / f"{way}-{size}.sqlite", way) for way in WAYS}
    times: dict[str, list[float]] = {way: [] for way in ("bare", *WAYS)}
    with Commits(root / "commits.sqlite") as commits:
        for _ in range(ROUNDS):
            for way in random.sample(list(times), len(times)):
                times[way].append(writers[way].steps(BATCH, OUTPUTS[size]) if way != "bare" else commits.make(BATCH))
    for way in WAYS:
        ratios = [step / bare for step, bare in zip(times[way], times["bare"], strict=True)]
        print(f"{way:<7} a step, outputs of {size:<20}{statistics.median(ratios):>12.2f} bare commits")


def killed(root: Path, way: str, number: int) -> str:
    """Kill a process that writes; what is wrong then, or an empty string."""
    path = root / f"kill-{way}-{number}.sqlite"
    with subprocess.Popen([sys.executable, __file__, str(path), way], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = process.stdout.readline()
        time.sleep(random.uniform(0, 0.15))
        process.kill()
        said += process.stdout.read().rpartition("\n")[0]
    with closing(sqlite3.connect(path)) as db:
        rows, by_journal, committed = projected(db, way), replayed(db, way), int(said.split()[-1])
    if way in ("tables", "rowid"):  # their journal says no more
        rows, by_journal = [row[:2] for row in rows], [row[:2] for row in by_journal]
    good = len(rows) in (committed, committed + 1) and [row[1] for row in rows].count("RUNNING") == 1
    return "" if good and rows == by_journal else f"{path.name}: {committed} said, {len(rows)} rows"


def took(root: Path, way: str) -> None:
    """Print how long all steps of a run are read, which a resumed run does, and hashed, which its end does."""
    writer = Writer(root / f"read-{way}.sqlite", way, sync="OFF")
    writer.steps(RESUMED, OUTPUTS["30 bytes"], each=False)
    for name, read in (("read", projected), ("read and hashed", hashed), ("replayed from the journal", replayed)):
        times = []
        for _ in range(5):
            started = time.perf_counter()
            read(writer.db, way)
            times.append((time.perf_counter() - started) * 1000)
        print(f"{way:<7} {RESUMED:,} steps {name:<28}{statistics.median(times):>8.0f} ms")


def main() -> int:
    """Print the figures; 1 if a kill left rows that the journal does not say."""
    with disk_folder() as root:
        for size, outputs in OUTPUTS.items():
            costs(root, size)
            for way in WAYS:
                path = root / "size.sqlite"
                writer = Writer(path, way, sync="OFF")
                writer.steps(STEPS, outputs, each=False)
                writer.db.close()
                print(f"{way:<7} {STEPS:,} steps, outputs of {size:<12}{path.stat().st_size / 1e6:>8.1f} MB")
                path.unlink()
        for way in WAYS:
            took(root, way)
        wrong = [found for way in WAYS for number in range(KILLS) if (found := killed(root, way, number))]
    print(f"{KILLS} kills of each: {len(wrong)} violations", *wrong, sep="\n")
    return int(bool(wrong))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        victim = Writer(Path(sys.argv[1]), sys.argv[2])
        while victim.steps(1, OUTPUTS["30 bytes"]):
            print(victim.number, flush=True)
    raise SystemExit(main())
