"""Nights of several flows in one state root, and edits of what they left: for the chain of states."""

import contextlib
import random
import sqlite3
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import wheels

from aetherflow.core.kernel.state.chain import FACTS
from aetherflow.core.records.checking import StateFinding, check_state
from aetherflow.core.runtime.proof.chains import check_chain
from aetherflow.core.runtime.proof.roots import check_against_registry
from core_project import Project

FLOW = """
version: 1
flow: {id: NAME, owner: night@example.com, params: {ok: {type: string, default: "1"}}}
jobs:
  - id: take
    steps:
      - {id: claim, type: chain.claim, inputs: {keys: [NAME-a, NAME-b]}, outputs: {taken: taken}}
      - {id: made, type: chain.made, inputs: {mark: "{{run.id}}"}, outputs: {path: path}}
      - {id: each, type: chain.made, for_each: [one, two], inputs: {mark: "{{item}}"}}
  - id: end
    depends_on: [take]
    steps:
      - {id: judge, type: external.process, inputs: {shell: true, command: "echo judged; test {{params.ok}} = 1"}}
"""
STEPS = """
from typing import Any

from aetherflow.core.api import Step, StepResult


class Claim(Step[Any]):
    def run(self) -> StepResult:
        ledger = self.ctx.ledger("taken")
        for key in self.inputs["keys"]:
            if ledger.get(key) is None:
                ledger.claim(key, {"size": 7})
        return StepResult(output={"taken": len(self.inputs["keys"])})


class Made(Step[Any]):
    def run(self) -> StepResult:
        mark = self.inputs["mark"]
        with self.ctx.write_file(f"{self.id}-{mark}.txt") as file:
            file.write(mark.encode())
        self.ctx.ledger("watermark").put(self.id, mark)
        return StepResult(output={"path": mark})
"""
ENTRIES = """
[aetherflow.steps]
chain.claim = chain_steps:Claim
chain.made = chain_steps:Made
"""
EDITABLE = {table: columns.split(", ") for table, (columns, _) in FACTS.items()} | {
    "journal": ["flow_id", "run_id", "at", "event", "detail", "chain"],
    "heads": ["event", "flow_id", "run_id", "generation", "head", "facts", "at", "chain"],
    "ledger": ["flow_id", "namespace", "key", "value", "run_id", "at"],
}
"""Tables of a state to the columns that are changed: all but what tells how far a run is, and numbers of rows."""


class Nights:
    """A state root with flows `one` and `two`, whose nights go well, or not."""

    def __init__(self, project: Project, name: str) -> None:
        self.project, self.random, self.count = project, random.Random(name), 0
        if not project.site.exists():
            project.plugin("chain-steps", ENTRIES)
            project.module("chain_steps", STEPS)
            sys.path.insert(0, str(project.site))
            wheels.forget()
        for flow in ("one", "two"):
            project.write(FLOW.replace("NAME", flow), f"{flow}.yaml")

    def state(self, flow: str = "one") -> Path:
        return self.project.states / f"{flow}.sqlite"

    def cli(self, *arguments: str, codes: tuple[int, ...] = (0,)) -> None:
        done = self.project.cli(*arguments)
        assert done.code in codes, done

    def run(self, flow: str, *, well: bool) -> str:
        self.count += 1
        run_id = f"r{self.count:03}"
        given = ("--run-id", run_id, "--param", f"ok={int(well)}")
        self.cli("run", f"{flow}.yaml", "-q", *given, codes=(0 if well else 1,))
        return run_id

    def night(self) -> str:
        """One night: what people and cron do with a flow; returns what it was."""
        deeds = (self._well, self._bad, self._resumed, self._acknowledged, self._resolved, self._taken_over)
        later = (self._pruned, self._restored, self._copied, self._again_from)
        flow = self.random.choice(("one", "two"))
        done = []
        for deed in (self.random.choice(deeds), self.random.choice((*deeds, *later))):
            deed(flow)
            done.append(deed.__name__)
        return " ".join((flow, *done))

    def _well(self, flow: str) -> None:
        self.run(flow, well=True)

    def _bad(self, flow: str) -> None:
        self.run(flow, well=False)

    def _resumed(self, flow: str) -> None:
        run_id = self.run(flow, well=False)
        self.project.write(FLOW.replace("NAME", flow).replace("test {{params.ok}} = 1", "true"), f"{flow}.yaml")
        self.cli("resume", run_id, "-q")
        self.project.write(FLOW.replace("NAME", flow), f"{flow}.yaml")

    def _acknowledged(self, flow: str) -> None:
        self.cli("runs", "ack", self.run(flow, well=False), "--reason", "seen")

    def _resolved(self, flow: str) -> None:
        run_id = self.run(flow, well=False)
        self.cli("runs", "resolve", run_id, "--as", self.random.choice(("done", "abandoned")), "--reason", "by hand")

    def _taken_over(self, flow: str) -> None:
        self.run(flow, well=False)
        self.run(flow, well=True)

    def _pruned(self, flow: str) -> None:
        if self.state(flow).exists():
            self.cli("runs", "prune", "--flow", flow, "--keep-last", "2")

    def _restored(self, flow: str) -> None:
        if self.state(flow).exists():
            saved = self.project.folder / f"saved-{self.count}-{self.random.random()}.tar"
            self.cli("state", "backup", "--flow", flow, "--to", str(saved))
            self.run(flow, well=True)
            self.cli("state", "restore", "--flow", flow, "--from", str(saved), "--yes")

    def _copied(self, flow: str) -> None:
        if self.state(flow).exists():
            copy = self.project.folder / f"copy-{self.count}.sqlite"
            with contextlib.closing(sqlite3.connect(self.state(flow))) as db:
                db.execute("VACUUM INTO ?", (str(copy),))
            assert check_chain(copy) == []

    def _again_from(self, flow: str) -> None:
        self.cli("resume", self.run(flow, well=True), "--from-step", "end.judge", "-q")


def findings(root: Path, state: Path) -> list[StateFinding]:
    """As `state check` finds them, the logs read as well; what became of artifacts is none of the chain."""
    return [*check_state(state), *check_chain(state), *check_against_registry(root, state, read_data=True)]


def edits(root: Path, rng: random.Random) -> Iterator[tuple[str, Callable[[], str]]]:
    """Endless edits of a state root: what each is, and what does it; that says what it did, if anything."""
    kinds = (_value, _value, _value, _value, _deleted, _doubled, _tail, _swapped, _registry, _log, _state_cut)
    while True:
        kind = rng.choice(kinds)
        state = root / f"{rng.choice(('one', 'two'))}.sqlite"
        seed = rng.random()
        yield (
            f"{kind.__name__} {state.stem} {seed}",
            lambda kind=kind, state=state, seed=seed: kind(  # type: ignore[misc]
                root, state, random.Random(seed)
            ),
        )


def other_value(value: Any, rng: random.Random) -> Any:
    """A value of the same type that is another one; text for none."""
    if value is None:
        return "x"
    if isinstance(value, int):
        return value + rng.choice((-1, 1, 3_600_000))
    at = rng.randrange(len(value)) if value else 0
    return f"{value[:at]}{'b' if value[at : at + 1] == 'a' else 'a'}{value[at + 1 :]}"


def _changed(state: Path, rng: random.Random, tables: dict[str, list[str]]) -> str:
    table = rng.choice(sorted(tables))
    column = rng.choice(tables[table])
    with contextlib.closing(sqlite3.connect(state)) as db:
        columns = {name: kind for _, name, kind, *_ in db.execute(f"PRAGMA table_info({table})")}
        keys = [name for _, name, *_, key in db.execute(f"PRAGMA table_info({table})") if key]
        rows = db.execute(f"SELECT {column}, {', '.join(keys)} FROM {table}").fetchall()
        if not rows:
            return ""
        value, *at = rng.choice(rows)
        other = other_value(value, rng)
        if value is None and columns[column] == "INTEGER":
            other = 1
        where = " AND ".join(f"{key}=?" for key in keys)
        try:
            db.execute(f"UPDATE {table} SET {column}=? WHERE {where}", (other, *at))
        except sqlite3.IntegrityError:
            return ""
        db.commit()
    return f"{table}.{column} of {at}: {value!r} -> {other!r}"


def _value(_root: Path, state: Path, rng: random.Random) -> str:
    return _changed(state, rng, EDITABLE)


def _registry(root: Path, _state: Path, rng: random.Random) -> str:
    names = ["event", "state_path", "flow_id", "run_id", "head", "log_size", "logs", "at", "chain"]
    return _changed(root / "engine/registry.sqlite", rng, {"heads": names})


def _row(state: Path, rng: random.Random, table: str) -> tuple[list[str], list[Any]] | None:
    with contextlib.closing(sqlite3.connect(state)) as db:
        keys = [name for _, name, *_, key in db.execute(f"PRAGMA table_info({table})") if key]
        rows = db.execute(f"SELECT {', '.join(keys)} FROM {table}").fetchall()
    return (keys, list(rng.choice(rows))) if rows else None


def _deleted(_root: Path, state: Path, rng: random.Random) -> str:
    table = rng.choice(sorted(EDITABLE))
    if (found := _row(state, rng, table)) is None:
        return ""
    where = " AND ".join(f"{key}=?" for key in found[0])
    with contextlib.closing(sqlite3.connect(state)) as db:
        db.execute(f"DELETE FROM {table} WHERE {where}", found[1])
        db.commit()
    return f"{table} {found[1]}"


def _doubled(_root: Path, state: Path, rng: random.Random) -> str:
    """An entry of the journal, an act, a row of heads, once more."""
    table = rng.choice(("journal", "acts", "heads"))
    if (found := _row(state, rng, table)) is None:
        return ""
    with contextlib.closing(sqlite3.connect(state)) as db:
        names = [name for _, name, *_, key in db.execute(f"PRAGMA table_info({table})") if not key]
        columns = ", ".join(names)
        db.execute(f"INSERT INTO {table} ({columns}) SELECT {columns} FROM {table} WHERE {found[0][0]}=?", found[1])
        db.commit()
    return f"{table} {found[1]}"


def _tail(_root: Path, state: Path, rng: random.Random) -> str:
    """The last entries of a run's journal are cut off, or the last rows of heads."""
    with contextlib.closing(sqlite3.connect(state)) as db:
        if rng.random() < 0.5:
            last = db.execute("SELECT max(seq) FROM heads").fetchone()[0]
            db.execute("DELETE FROM heads WHERE seq>?", (last - rng.randint(1, 3),))
        else:
            runs = db.execute("SELECT DISTINCT flow_id, run_id FROM journal").fetchall()
            run = rng.choice(runs)
            query = "SELECT seq FROM journal WHERE flow_id=? AND run_id=? ORDER BY seq DESC LIMIT ?"
            seqs = db.execute(query, (*run, rng.randint(1, 6))).fetchall()
            db.executemany("DELETE FROM journal WHERE seq=?", seqs)
        db.commit()
    return "done"


def _swapped(_root: Path, state: Path, rng: random.Random) -> str:
    """Two nights change places: in all tables, the journal and heads included."""
    with contextlib.closing(sqlite3.connect(state)) as db:
        runs = db.execute("SELECT flow_id, run_id FROM runs").fetchall()
        if len(runs) < 2:
            return ""
        (_, one), (_, two) = rng.sample(runs, 2)
        tables = [*EDITABLE] if rng.random() < 0.5 else [rng.choice(("runs", "step_runs", "journal"))]
        for table in tables:
            for before, after in ((one, "~"), (two, one), ("~", two)):
                db.execute(f"UPDATE OR IGNORE {table} SET run_id=? WHERE run_id=?", (after, before))
        db.commit()
    return "done"


def _state_cut(_root: Path, state: Path, _rng: random.Random) -> str:
    """The last run, and all that names it."""
    with contextlib.closing(sqlite3.connect(state)) as db:
        row = db.execute("SELECT run_id, seq FROM heads WHERE event='ended' ORDER BY seq DESC LIMIT 1").fetchone()
        if row is None or db.execute("SELECT count(*) FROM heads WHERE event='ended'").fetchone()[0] < 2:
            return ""
        db.execute("DELETE FROM heads WHERE seq>=?", (row[1],))
        for table in ("runs", "job_runs", "step_runs", "artifacts", "claims", "acts", "outbox", "journal", "ledger"):
            db.execute(f"DELETE FROM {table} WHERE run_id=?", row[:1])
        db.commit()
    return "done"


def _log(root: Path, state: Path, rng: random.Random) -> str:
    """A byte of a log that the registry knows, or a log less."""
    with contextlib.closing(sqlite3.connect(state)) as db:
        runs = {row[0] for row in db.execute("SELECT run_id FROM runs WHERE status<>'RUNNING'")}
        known = {head: run for run, head in db.execute("SELECT run_id, chain FROM heads WHERE event='ended'")}
        latest = {run: head for head, run in known.items()}
    with contextlib.closing(sqlite3.connect(root / "engine/registry.sqlite")) as db:
        # of what was restored, accepted or migrated, the registry says nothing of the logs before
        query = """SELECT head FROM heads WHERE event='ended' AND state_path=? AND seq > coalesce(
            (SELECT max(seq) FROM heads AS a WHERE a.event='adopted' AND a.state_path=heads.state_path), 0)"""
        seen = {head for (head,) in db.execute(query, (str(state),))}
    runs &= {run for run, head in latest.items() if head in seen}
    logs = state.with_name(f"{state.name}.d") / "logs"
    files = [path for path in logs.rglob("*") if path.is_file() and runs & {path.stem, *path.parts}]
    if not files:
        return ""
    path = rng.choice(sorted(files))
    data = bytearray(path.read_bytes())
    if not data or rng.random() < 0.2:
        path.unlink()
    else:
        data[rng.randrange(len(data) // 2 + 1) if len(data) > 1 else 0] ^= 1
        path.write_bytes(data)
    return "done"
