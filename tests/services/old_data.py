"""State files and ledgers that AetherFlow 1.0.0 or a88dc872 wrote (`tests/data`), copied to a folder of the test."""

import contextlib
import fcntl
import functools
import io
import json
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DATA = Path(__file__).parents[1] / "data" / "1.0.0"
ROOT = "/tmp/aetherflow-1.0.0"
"""The folder in which the data was made; its absolute paths begin with it."""
Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Result:
    """Exit code and output of a command."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class OldData:
    """A copy of the data, with access to its files and databases."""

    folder: Path
    version: str = "1.0.0"

    @property
    def documents(self) -> Path:
        """The folder of the flows, schedules and the project file."""
        return self.folder / "documents"

    @property
    def states(self) -> Path:
        """The folder of the state files, the registry and the lock store."""
        return self.folder / "home/.local/state/aetherflow/state"

    @property
    def env(self) -> dict[str, str]:
        """The environment variables for commands on the data, as the original runs had them."""
        return {
            "HOME": str(self.folder / "home"),
            "EFFECTS": str(self.folder / "effects"),
            "API_TOKEN": "token-of-the-test-data",
            "AETHERFLOW_WORK_ROOT": str(self.folder / "working"),
        }

    def mend(self) -> None:
        """Make steps succeed that failed or hung, and clear the notes of the steps."""
        for path in (self.folder / "effects").iterdir():
            path.unlink()
        (self.folder / "effects/mended").touch()

    def noted(self, flow: str) -> list[str]:
        """What the steps of a flow have written down since `mend`, in order."""
        path = self.folder / "effects" / flow
        return path.read_text().splitlines() if path.exists() else []

    def rows(self, file: str, sql: str, *values: Any) -> Rows:
        """Query a database, given by its path in the folder; paths in results are those of the data."""
        with contextlib.closing(sqlite3.connect(self.folder / file)) as db:
            db.row_factory = sqlite3.Row
            text = json.dumps([dict(row) for row in db.execute(sql, values)])
        found: Rows = json.loads(text.replace(str(self.folder), f"/tmp/aetherflow-{self.version}"))
        return found

    def state(self, flow: str, sql: str, *values: Any) -> Rows:
        """Query the state file of a flow."""
        return self.rows(f"{self.states.relative_to(self.folder)}/{flow}.sqlite", sql, *values)

    def expected(self, flow: str) -> dict[str, Rows]:
        """The rows of the state file of a flow as they were written."""
        return expected(self.version)[f"home/.local/state/aetherflow/state/{flow}.sqlite"]


@functools.cache
def expected(version: str = "1.0.0") -> dict[str, dict[str, Rows]]:
    """Every row of every database as it was written: file to table to rows."""
    found: dict[str, dict[str, Rows]] = json.loads((DATA.with_name(version) / "expected.json").read_text("utf-8"))
    return found


@contextlib.contextmanager
def in_place(version: str) -> Iterator[OldData]:
    """Copy the data to the folder in which they were made, one test at a time: the seals of a state hold its paths."""
    data = OldData(Path(f"/tmp/aetherflow-{version}"), version)
    gate = os.open(data.folder.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(gate, fcntl.LOCK_EX)
        shutil.rmtree(data.folder, ignore_errors=True)  # of a test that was killed
        shutil.copytree(DATA / "documents", data.documents)
        _copy(data)
        yield data
    finally:
        shutil.rmtree(data.folder, ignore_errors=True)
        os.close(gate)


def _copy(data: OldData) -> None:
    made, ignored = DATA.with_name(data.version), shutil.ignore_patterns("expected.json")
    shutil.copytree(made, data.folder, symlinks=True, dirs_exist_ok=True, ignore=ignored)
    for row in data.expected("pickup")["ledger"]:  # git does not keep modification times
        at, taken = json.loads(row["value"])["mtime"], row["key"].replace("down partner", "partner").replace(" ", "/")
        os.utime(data.folder / "working/pickup" / taken, (at, at))


def unpack(folder: Path) -> OldData:
    """Copy the data; absolute paths in the databases lead into the copy.

    Absolute paths occur in: `artifacts.path`, `job_runs` and `step_runs` in `outputs` and `error`, `journal.detail`,
    `runs` in `command`, `flow_path` and `state_path`, `flows` in `flow_path` and `state_path`, `items.file`, `slots`
    and `attempts` in `log` and `reason`. No definition, no hash and no file of outputs holds one. A database with a
    write-ahead log keeps it.
    """
    data = OldData(folder)
    _copy(data)
    for base in ("home", "ledger"):
        for path in sorted((folder / base).rglob("*.sqlite")):
            _lead_to(path, str(folder), path.relative_to(folder))
    return data


_updates: dict[Path, list[str]] = {}
"""The updates by which something changes in a database, by its path in the data: most find nothing in any copy."""


def _lead_to(path: Path, folder: str, name: Path) -> None:
    if (known := _updates.get(name)) == []:
        return
    wal = path.with_name(f"{path.name}-wal")
    kept = [path, wal] if wal.exists() else []
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA wal_autocheckpoint=0")
        db.execute("PRAGMA synchronous=OFF")
        updates = _all_updates(db) if known is None else known
        _updates[name] = [update for update in updates if db.execute(update, (ROOT, folder, ROOT)).rowcount]
        db.commit()
        for each in kept:  # closing a connection would move the write-ahead log into the database
            shutil.copy(each, each.with_name(f"{each.name}.kept"))
    for each in kept:
        each.with_name(f"{each.name}.kept").replace(each)


def _all_updates(db: sqlite3.Connection) -> list[str]:
    found = db.execute(
        "SELECT m.name, c.name FROM sqlite_master m, pragma_table_info(m.name) c"
        " WHERE m.type = 'table' AND m.name <> 'definitions' AND c.type = 'TEXT'"
    )
    return [f"UPDATE {table} SET {column}=replace({column}, ?, ?) WHERE instr({column}, ?)" for table, column in found]


def as_of_1_0_0(path: Path, sample: str) -> None:
    """Make a database of today one that 1.0.0 wrote: the tables of a file of the data, and the columns that they have.

    What 1.0.0 did not know is lost, as it had never been there.
    """
    columns: dict[str, str] = {}
    old = path.with_name(f"{path.name}.old")
    with (
        contextlib.closing(sqlite3.connect(f"file:{DATA / sample}?mode=ro&immutable=1", uri=True)) as like,
        contextlib.closing(sqlite3.connect(old)) as db,
    ):
        for kind, name, text in like.execute("SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL"):
            db.execute(text)
            if kind == "table":
                columns[name] = ", ".join(row[1] for row in db.execute(f"PRAGMA table_info({name})"))
        db.execute("ATTACH ? AS today", (str(path),))
        for name, names in columns.items():
            db.execute(f"INSERT INTO {name} ({names}) SELECT {names} FROM today.{name}")
        db.execute(f"PRAGMA user_version={like.execute('PRAGMA user_version').fetchone()[0]}")
        db.commit()
        db.execute("DETACH today")
        db.execute("PRAGMA journal_mode=WAL")
    for side in ("-wal", "-shm"):
        path.with_name(f"{path.name}{side}").unlink(missing_ok=True)
    old.replace(path)


def call(main: Callable[[list[str]], int], *arguments: str) -> Result:
    """Run a command line in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(list(arguments))
    return Result(code, out.getvalue(), err.getvalue())
