"""Nights of a flow that takes things from the world for good, and the model of what must have become of them.

A night is a run of its own: it may fail, be killed, be resumed, taken over by the next one, or settled by a person.
Rows of the warehouse are `source, row`: each must be there once in the end.
"""

import contextlib
import json
import os
import signal
import sqlite3
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torture_bench import Bench

KILLED = -signal.SIGKILL
BROKEN = ("early", "late")
"""Files of the bench that make a step fail while they are there: before the load, and after it."""
HEAD = """\
version: 1
flow: {{id: f, workspace: {{cleanup_policy: {policy}}}}}
resources:
  partner: {{kind: sftp, driver: local, config: {{root: {folder}/partner}}}}
  shop: {{kind: db, driver: sqlite3, config: {{path: {folder}/shop.sqlite}}}}
  warehouse: {{kind: db, driver: sqlite3, config: {{path: {folder}/warehouse.sqlite}}}}
jobs:
"""
TAKE = """\
  - id: take
    steps:
      - id: list
        type: sftp_list_files
        inputs: {{resource: partner, remote_dir: in, pattern: "*.csv", new_only: true}}
        on_no_data: skip_job
      - id: fetch
        type: sftp_download_files
        inputs: {{resource: partner, files: "{{{{steps.list.files}}}}", dest_dir: got, new_only: true, after: {after}}}
        outputs: {{files: "{{{{result.taken}}}}"}}
"""
FIND = """\
  - id: take
    steps:
      - id: list
        type: file_find
        inputs: {{path: {folder}/partner/in, pattern: "*.csv", new_only: true}}
        on_no_data: skip_job
        outputs: {{files: "{{{{result.files}}}}"}}
"""
LOAD = """\
  - id: load
    depends_on: [{after_take}]
    steps:
      - {{id: early, type: external.process, inputs: {{command: [test, "!", -e, {folder}/early]}}}}
      - id: rows
{load}
      - {{id: late, type: external.process, inputs: {{command: [test, "!", -e, {folder}/late]}}}}
"""
LOCKED = """\
        type: with_lock
        for_each: "{{jobs.take.outputs.files}}"
        retry: {max_attempts: 2, backoff_seconds: 0.01}
        inputs:
          lock_key: warehouse
          step:
            id: load
            type: db_load
            inputs: {resource: warehouse, table: rows, path: "{{item.file}}", load_id: "{{item.claim}}"}"""
FOUND = LOCKED.replace("item.file", "item.path")
CHILDREN = """\
        type: with_lock
        for_each: "{{jobs.take.outputs.files}}"
        retry: {max_attempts: 2, backoff_seconds: 0.01}
        inputs:
          lock_key: warehouse
          step:
            id: child
            type: run_flow
            inputs: {flow: child.yaml, params: {file: "{{item.file}}", claim: "{{item.claim}}"}}"""
CHILD = """\
version: 1
flow: {{id: child, params: {{file: {{type: string}}, claim: {{type: string}}}}}}
resources:
  warehouse: {{kind: db, driver: sqlite3, config: {{path: {folder}/warehouse.sqlite}}}}
jobs:
  - id: a
    steps:
      - id: rows
        type: db_load
        inputs: {{resource: warehouse, table: rows, path: "{{{{params.file}}}}", load_id: "{{{{params.claim}}}}"}}
"""
INSIDE = """\
        type: run_flow
        inputs: {flow: taker.yaml}"""
WATERMARK = """\
  - id: take
    steps:
      - id: new
        type: db_extract
        inputs:
          resource: shop
          sql: SELECT id, source, row FROM sales WHERE id > :watermark ORDER BY id
          output: new.csv
          watermark: {{column: id, initial: 0}}
          on_empty: skip
        on_no_data: skip_job
        outputs: {{file: "{{{{result.output}}}}", claim: "{{{{result.claim}}}}"}}
"""
APPEND = """\
        type: db_load
        inputs:
          {resource: warehouse, table: loaded, path: "{{jobs.take.outputs.file}}",
           load_id: "{{jobs.take.outputs.claim}}", load_id_column: load_id}"""
MERGE = """\
        type: db_load
        inputs: {resource: warehouse, table: merged, path: "{{jobs.take.outputs.file}}", mode: merge, keys: [id]}"""


@dataclass(frozen=True)
class Kind:
    """A flow: what it takes, and how it loads that."""

    name: str
    take: str
    load: str
    table: str = "rows"
    after: str = "keep"
    policy: str = "on_success"

    @property
    def files(self) -> bool:
        """Whether it takes files, and not rows."""
        return self.table == "rows"


KINDS = (
    Kind("sftp-keep", TAKE, LOCKED),
    Kind("sftp-move", TAKE, LOCKED, after='move, move_to: "done/{{run.id}}"'),
    Kind("sftp-delete", TAKE, LOCKED, after="delete", policy="never"),
    Kind("composite", TAKE, CHILDREN, after='move, move_to: "done/{{run.id}}"'),
    Kind("inside", "", INSIDE, after='move, move_to: "done/{{run.id}}"'),
    Kind("find", FIND, FOUND, policy="always"),
    Kind("watermark-append", WATERMARK, APPEND, table="loaded"),
    Kind("watermark-merge", WATERMARK, MERGE, table="merged"),
)


class Nights:
    """A flow in a bench, its partner, its warehouse, and what was put there so far."""

    def __init__(self, bench: Bench, kind: Kind) -> None:
        self.bench, self.kind, self.folder = bench, kind, bench.folder
        self.put: list[str] = []
        """Every row that was ever put, as `source row`."""
        self._clock = 1_700_000_000
        fills = {"folder": self.folder, "policy": kind.policy, "after": kind.after}
        load = LOAD.format(load=kind.load, after_take="take" if kind.take else "", **fills)
        inner = LOAD.format(load=LOCKED, after_take="take", folder=self.folder)
        taker = HEAD.format(**fills).replace("id: f,", "id: taker,") + TAKE.format(**fills) + inner
        (self.folder / "taker.yaml").write_text(taker)
        bench.write(HEAD.format(**fills) + kind.take.format(**fills) + load)
        (self.folder / "child.yaml").write_text(CHILD.format(**fills))
        self.forget()

    def forget(self) -> None:
        self.bench.forget()
        self.put.clear()
        for name in BROKEN:
            (self.folder / name).unlink(missing_ok=True)
        for folder in ("partner/in", "partner/done"):
            path = self.folder / folder
            path.mkdir(parents=True, exist_ok=True)
            for each in sorted(path.rglob("*"), reverse=True):
                each.rmdir() if each.is_dir() else each.unlink()
        for name in ("shop.sqlite", "warehouse.sqlite"):
            for ending in ("", "-wal", "-shm", "-journal"):
                (self.folder / (name + ending)).unlink(missing_ok=True)
        with self._database("shop") as shop:
            shop.execute("CREATE TABLE sales (id INTEGER PRIMARY KEY, source TEXT, row INTEGER)")
        with self._database("warehouse") as warehouse:
            warehouse.execute("CREATE TABLE rows (source TEXT, row INTEGER)")
            warehouse.execute("CREATE TABLE loaded (id INTEGER, source TEXT, row INTEGER, load_id TEXT)")
            warehouse.execute("CREATE TABLE merged (id INTEGER PRIMARY KEY, source TEXT, row INTEGER)")

    @contextlib.contextmanager
    def _database(self, name: str) -> Iterator[sqlite3.Connection]:
        with contextlib.closing(sqlite3.connect(self.folder / f"{name}.sqlite")) as db, db:
            yield db

    # The world

    def arrive(self, name: str, rows: int) -> None:
        """New rows, by a file of that name or in the shop; a file of that name that is still there is replaced."""
        source = f"{name}-{len(self.put)}"
        numbers = range(1, rows + 1)
        self.put += [f"{source} {number}" for number in numbers]
        if self.kind.files:
            path = self.folder / "partner/in" / f"{name}.csv"
            new = path.with_suffix(".new")
            new.write_text("\n".join(["source,row", *(f"{source},{number}" for number in numbers), ""]))
            self._clock += 1
            os.utime(new, (self._clock, self._clock))
            new.replace(path)
        else:
            with self._database("shop") as shop:
                shop.executemany("INSERT INTO sales (source, row) VALUES (?, ?)", [(source, n) for n in numbers])

    def overwritten(self, name: str) -> bool:
        """Whether a file of that name waits at the partner: replacing it loses what nobody has taken."""
        return (self.folder / "partner/in" / f"{name}.csv").exists()

    def break_at(self, where: str | None) -> None:
        """Let the nights fail there; None: nowhere."""
        for name in BROKEN:
            (self.folder / name).unlink(missing_ok=True)
        if where is not None:
            (self.folder / where).touch()

    def loaded(self) -> Counter[str]:
        """How often each row has arrived."""
        with self._database("warehouse") as db:
            found = db.execute(f"SELECT source, row FROM {self.kind.table}").fetchall()
        return Counter(f"{source} {row}" for source, row in found)

    # Runs

    def run(self, run_id: str, failpoint: str = "") -> int:
        """A night; its exit code, or minus the signal that ended it."""
        return self.command("run", "flow.yaml", "--run-id", run_id, "-q", failpoint=failpoint)

    def command(self, *arguments: str, failpoint: str = "") -> int:
        """The exit code of a command in the folder of the nights, or minus the signal that ended it."""
        return self.bench.run(*arguments, failpoint=failpoint)

    def ask(self, *arguments: str) -> Any:
        """The JSON document that a command prints."""
        answer = self.folder / "answer"
        code = self.bench.run(*arguments, output=answer)
        assert code in (0, 1), (arguments, code, self.bench.error_text())
        return json.loads(answer.read_text(encoding="utf-8"))

    def points(self, run_id: str = "points") -> list[str]:
        """The names of all failpoints of a good night over what there is."""
        names = self.folder / "points"
        names.unlink(missing_ok=True)
        assert self.run(run_id, failpoint=f"log:{names}") == 0, self.bench.error_text()
        return names.read_text().splitlines()

    def claims(self) -> list[tuple[str, str]]:
        """Run and key of all open claims, also of the flow inside."""
        found: list[tuple[str, str]] = []
        for state in sorted(self.bench.states.glob("*.sqlite")):
            if state.stem in ("f", "taker"):
                with contextlib.closing(sqlite3.connect(state)) as db:
                    found += db.execute("SELECT run_id, key FROM claims WHERE state='open'").fetchall()
        return found

    def until_quiet(self) -> None:
        """Good nights until nothing can be new."""
        self.break_at(None)
        for number in range(2):
            assert self.run(f"quiet-{number}-{len(self.bench.try_rows('SELECT 1 FROM runs'))}") == 0, self.told()

    def told(self) -> str:
        """What the last command wrote to stderr."""
        return self.bench.error_text()

    def check_end(self, settled: frozenset[str] = frozenset()) -> None:
        """Every row is there once; of sources that a person has settled at most once. No claim is left open."""
        found = self.loaded()
        wrong = {row: found[row] for row in self.put if found[row] != 1 and row.split()[0] not in settled}
        assert wrong == {}, f"rows that did not arrive once: {wrong}"
        assert all(found[row] <= 1 for row in self.put), f"twice: {found}"
        assert set(found) <= set(self.put), "rows from nowhere"
        assert self.claims() == [], "claims are left open"
        assert self.command("state", "check", "flow.yaml", "--read-data") == 0, self.told()

    def settled_by(self, run_id: str) -> frozenset[str]:
        """Which sources a person decides about who settles this run."""
        keys = [key for run, key in self.claims() if run == run_id or run.startswith(f"{run_id}.")]
        names = {Path(part).stem for key in keys for part in key.split() if part.endswith(".csv")}
        sources = {row.split()[0] for row in self.put}
        return frozenset(each for each in sources if not self.kind.files or each.rpartition("-")[0] in names)
