"""Which flows and runs there are, and in which state files: `<state root>/registry.sqlite`.

An index, not a record: what it says is also in the state files. A run registers itself before its first row is written;
a registry that is missing or damaged is built anew from the state files under the state root.

Schema 2 has tables that are not written yet: `refused`, starts that were refused before their state was opened, and
`acts`, what persons did about them. Older engines read the file as before; it is migrated while they run.
"""

import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from aetherflow.core.base import durable
from aetherflow.core.base.errors import StateError
from aetherflow.core.kernel.state.reading import read_any

NAME = "registry.sqlite"
BUSY_SECONDS = 5.0
SCHEMA_VERSION = 2

_ADDED_IN_2 = (
    """CREATE TABLE refused (
        id INTEGER PRIMARY KEY, flow_id TEXT, flow_path TEXT NOT NULL, slot TEXT, params TEXT, at INTEGER NOT NULL,
        reason TEXT NOT NULL, reason_code TEXT NOT NULL, actor TEXT NOT NULL, host TEXT NOT NULL,
        trigger TEXT NOT NULL, command TEXT NOT NULL, config TEXT, manifest TEXT, working_dir TEXT,
        owner TEXT, runbook TEXT) STRICT""",
    """CREATE TABLE acts (
        id INTEGER PRIMARY KEY, refused_id INTEGER NOT NULL, verb TEXT NOT NULL, value TEXT, actor TEXT NOT NULL,
        host TEXT NOT NULL, reason TEXT NOT NULL, until INTEGER, at INTEGER NOT NULL, ended_at INTEGER,
        ended_by TEXT) STRICT""",
)
_TABLES = (
    """CREATE TABLE flows (
        flow_id TEXT NOT NULL, state_path TEXT NOT NULL, flow_path TEXT NOT NULL, last_started_at INTEGER NOT NULL,
        PRIMARY KEY (flow_id, state_path)) WITHOUT ROWID, STRICT""",
    """CREATE TABLE runs (
        run_id TEXT NOT NULL, flow_id TEXT NOT NULL, state_path TEXT NOT NULL, flow_path TEXT NOT NULL,
        started_at INTEGER NOT NULL, PRIMARY KEY (run_id, flow_id, state_path)) WITHOUT ROWID, STRICT""",
    *_ADDED_IN_2,
    f"PRAGMA user_version={SCHEMA_VERSION}",
)

_NO_DAMAGE = frozenset(
    {
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
    }
)
"""Errors of a file that is whole: busy, no room, no permission."""


class Registered(NamedTuple):
    """A run and where it is recorded."""

    flow_id: str
    run_id: str
    state_path: str
    flow_path: str
    started_at: int
    """Of its first start, in UTC epoch milliseconds."""


class KnownFlow(NamedTuple):
    """A flow that has run, and the state file of its runs."""

    flow_id: str
    state_path: str
    flow_path: str
    last_started_at: int


def register(root: Path, run: Registered) -> str | None:
    """Enter a run if it is not there; returns a warning where that failed. Never an error: no run depends on it."""
    path = root / NAME
    try:
        try:
            _enter(path, run)
        except sqlite3.Error as error:
            if error.sqlite_errorcode & 0xFF in _NO_DAMAGE:
                raise
            aside = path.with_name(f"{NAME}.damaged")
            _move_aside(path, aside)
            _enter(path, run)
            _add_known_before(path, aside)
            return f"the registry of runs {path} was damaged ({error}): built anew, the old one is {aside}"
    except Exception as error:  # noqa: BLE001 whatever is wrong with the index, it is no reason not to run
        return f"the registry of runs {path} cannot be written: {error}; `status` and `runs` may not see this run"
    return None


def known_flows(root: Path) -> list[KnownFlow]:
    """All flows, by id. Without a usable registry, those of the state files under the state root. Writes nothing."""
    query = "SELECT flow_id, state_path, flow_path, last_started_at FROM flows"
    try:
        rows = read_any(root / NAME, lambda db: db.execute(query).fetchall())
        return _flows_once(KnownFlow(*row) for row in rows)
    except (sqlite3.Error, OSError):
        latest: dict[tuple[str, str], KnownFlow] = {}
        for run in sorted(_scan(root), key=lambda each: each.started_at):
            key = run.flow_id, run.state_path
            latest[key] = KnownFlow(*key, run.flow_path, run.started_at)
        return _flows_once(latest.values())


def find_runs(root: Path, run_id: str) -> list[Registered]:
    """All runs of an id, one per flow and state file. Writes nothing."""
    query = "SELECT flow_id, run_id, state_path, flow_path, started_at FROM runs WHERE run_id=?"
    try:
        rows = read_any(root / NAME, lambda db: db.execute(query, (run_id,)).fetchall())
        return _runs_once(Registered(*row) for row in rows)
    except (sqlite3.Error, OSError):
        return _runs_once(run for run in _scan(root) if run.run_id == run_id)


def recent_runs(root: Path, prefix: str, limit: int) -> list[Registered]:
    """Runs whose id starts so, the last started first, as the registry has them. Raises sqlite3.Error, OSError."""
    query = (
        "SELECT flow_id, run_id, state_path, flow_path, started_at FROM runs WHERE substr(run_id, 1, ?)=? "
        "ORDER BY started_at DESC LIMIT ?"
    )
    rows = read_any(root / NAME, lambda db: db.execute(query, (len(prefix), prefix, limit)).fetchall())
    return [Registered(*row) for row in rows]


def rebuild(root: Path) -> int:
    """Add every run of the state files under the state root; returns how many are known then."""
    with closing(_open(root / NAME)) as db:
        with durable.transaction(db, "rebuild registry"):
            _add(db, _scan(root))
        return int(db.execute("SELECT count(*) FROM runs").fetchone()[0])


def adopt(root: Path, state_path: Path) -> None:
    """Add every run of one state file."""
    with closing(_open(root / NAME)) as db, durable.transaction(db, "register runs"):
        _add(db, _runs_in(state_path))


def forget(root: Path, runs: Iterable[tuple[str, str, Path]]) -> None:
    """Remove runs (flow id, run id, state file) that are recorded no more; their flows stay known."""
    if not (root / NAME).exists():
        return
    with closing(_open(root / NAME)) as db, durable.transaction(db, "forget runs"):
        db.executemany(
            "DELETE FROM runs WHERE flow_id=? AND run_id=? AND state_path=?",
            [(flow_id, run_id, str(path)) for flow_id, run_id, path in runs],
        )


def _flows_once(flows: Iterable[KnownFlow]) -> list[KnownFlow]:
    """A flow whose one state file was reached by several names (links), under the name that was used last."""
    ordered = sorted(flows, key=lambda flow: flow.last_started_at)
    return sorted({(flow.flow_id, durable.real_file(Path(flow.state_path))): flow for flow in ordered}.values())


def _runs_once(runs: Iterable[Registered]) -> list[Registered]:
    ordered = sorted(runs, key=lambda run: run.started_at)
    found = {(run.flow_id, run.run_id, durable.real_file(Path(run.state_path))): run for run in ordered}
    return sorted(found.values())


def _enter(path: Path, run: Registered) -> None:
    with closing(_open(path)) as db:
        query = "SELECT flow_path FROM runs WHERE run_id=? AND flow_id=? AND state_path=?"
        found = db.execute(query, (run.run_id, run.flow_id, run.state_path)).fetchone()
        if found != (run.flow_path,):
            with durable.transaction(db, "register run"):
                _add(db, [run])


def _add_known_before(path: Path, damaged: Path) -> None:
    """Add the runs of state files that a damaged registry still names: they may stand outside the state root."""
    query = "SELECT DISTINCT state_path FROM flows"
    try:
        named = read_any(damaged, lambda db: db.execute(query).fetchall())
    except (sqlite3.Error, OSError):
        return
    with closing(_open(path)) as db, durable.transaction(db, "register runs"):
        _add(db, (run for (state_path,) in named for run in _runs_in(Path(state_path))))


def _add(db: sqlite3.Connection, runs: Iterable[Registered]) -> None:
    for run in runs:
        db.execute(
            "INSERT INTO runs (run_id, flow_id, state_path, flow_path, started_at) VALUES (?, ?, ?, ?, ?) "
            "ON CONFLICT DO UPDATE SET flow_path=excluded.flow_path",
            (run.run_id, run.flow_id, run.state_path, run.flow_path, run.started_at),
        )
        db.execute(
            "INSERT INTO flows (flow_id, state_path, flow_path, last_started_at) VALUES (?, ?, ?, ?) "
            "ON CONFLICT DO UPDATE SET flow_path=excluded.flow_path, last_started_at=excluded.last_started_at "
            "WHERE excluded.last_started_at >= last_started_at",
            (run.flow_id, run.state_path, run.flow_path, run.started_at),
        )


def _open(path: Path) -> sqlite3.Connection:
    db = durable.connect(path, busy_seconds=BUSY_SECONDS)
    try:
        version = int(db.execute("PRAGMA user_version").fetchone()[0])
        if version > SCHEMA_VERSION:
            raise StateError(f"it has schema {version}, this engine knows up to {SCHEMA_VERSION}")
        if version == 0:
            with durable.transaction(db, "create registry"):
                if not db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                    for statement in _TABLES:
                        db.execute(statement)
                    _add(db, _scan(path.parent))
        elif version < SCHEMA_VERSION:
            _migrate(db, path, version)
    except BaseException:
        db.close()
        raise
    return db


def _migrate(db: sqlite3.Connection, path: Path, version: int) -> None:
    with durable.transaction(db, "migrate registry"):
        if int(db.execute("PRAGMA user_version").fetchone()[0]) == version:  # else another process was first
            durable.keep_before(path, version)
            for statement in (*_ADDED_IN_2, f"PRAGMA user_version={SCHEMA_VERSION}"):
                db.execute(statement)


def _move_aside(path: Path, aside: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        found = path.with_name(path.name + suffix)
        if found.exists():
            durable.rename_file(found, aside.with_name(aside.name + suffix))


def _scan(root: Path) -> Iterator[Registered]:
    """The runs of all state files under a folder."""
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.endswith(".d"))  # logs and blobs beside a state
        for name in sorted(files):
            if name.endswith(".sqlite") and name not in (NAME, "locks.sqlite"):
                yield from _runs_in(Path(folder, name))


def _runs_in(path: Path) -> list[Registered]:
    query = "SELECT flow_id, run_id, ?, flow_path, started_at FROM runs"
    try:
        rows = read_any(path, lambda db: db.execute(query, (str(path),)).fetchall())
    except (sqlite3.Error, OSError):
        return []  # damaged, or of somebody else
    return [Registered(*row) for row in rows]
