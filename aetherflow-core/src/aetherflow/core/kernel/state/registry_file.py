"""The registry of a state root, a file or a schema of its server: tables, rows, and what a state says for them."""

import hashlib
import json
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from aetherflow.core.base import durable
from aetherflow.core.base.errors import StateError
from aetherflow.core.kernel.state.reading import HEADER, read_store, unreadable
from aetherflow.core.kernel.state.schema import SCHEMA_VERSION as STATE_SCHEMA

T = TypeVar("T")
NAME = "registry.sqlite"
BUSY_SECONDS = 5.0
LOOKS = 3
"""Times that states are looked at before a change, where others change the registry after each."""
SCHEMA_VERSION = 2

_RUN_COLUMNS_OF_2 = (
    "status TEXT", "ended_at INTEGER", "subject TEXT", "given TEXT", "parent TEXT", "reason_code TEXT", "settled TEXT",
    "manifest TEXT", "open_claims INTEGER",
)  # fmt: skip
_TABLES_OF_2 = (
    """CREATE TABLE refused (
        id INTEGER PRIMARY KEY, flow_id TEXT, flow_path TEXT NOT NULL, slot TEXT, at INTEGER NOT NULL,
        reason TEXT NOT NULL, reason_code TEXT NOT NULL, actor TEXT NOT NULL, host TEXT NOT NULL,
        trigger TEXT NOT NULL, command TEXT NOT NULL, config TEXT, manifest TEXT, working_dir TEXT,
        owner TEXT, runbook TEXT, run_id TEXT, subject TEXT, error_code TEXT, last_at INTEGER NOT NULL,
        following TEXT, hint TEXT, times INTEGER NOT NULL DEFAULT 1) STRICT""",
    """CREATE TABLE acts (
        id INTEGER PRIMARY KEY, refused_id INTEGER NOT NULL, verb TEXT NOT NULL, value TEXT, actor TEXT NOT NULL,
        host TEXT NOT NULL, reason TEXT NOT NULL, until INTEGER, at INTEGER NOT NULL, ended_at INTEGER,
        ended_by TEXT) STRICT""",
    """CREATE TABLE forgotten (
        flow_id TEXT NOT NULL, run_id TEXT NOT NULL, state_path TEXT NOT NULL, status TEXT, actor TEXT NOT NULL,
        host TEXT NOT NULL, reason TEXT NOT NULL, at INTEGER NOT NULL) STRICT""",
    # of refused starts, until they are taken to be told
    """CREATE TABLE outbox (id TEXT PRIMARY KEY, detail TEXT NOT NULL, at INTEGER NOT NULL) WITHOUT ROWID, STRICT""",
    # when runs ended, and what their states and logs were then: registry_chain.py
    """CREATE TABLE heads (
        seq INTEGER PRIMARY KEY, event TEXT NOT NULL, state_path TEXT NOT NULL, flow_id TEXT NOT NULL,
        run_id TEXT NOT NULL, head TEXT NOT NULL, log_size INTEGER NOT NULL, logs TEXT NOT NULL, at INTEGER NOT NULL,
        chain TEXT NOT NULL) STRICT""",
    # in a server: what its hosts share, and no file of one of them can hold
    """CREATE TABLE shared (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID, STRICT""",
    "CREATE INDEX runs_by_flow ON runs (flow_id, state_path, started_at)",
    "CREATE INDEX runs_by_subject ON runs (flow_id, subject, ended_at)",
    "CREATE INDEX runs_by_manifest ON runs (manifest) WHERE manifest IS NOT NULL",
    "CREATE INDEX unknown_runs ON runs (flow_id, state_path) WHERE status IS NULL",
    "CREATE INDEX runs_before ON runs (flow_id) WHERE settled='before'",
    "CREATE INDEX claiming_runs ON runs (flow_id) WHERE open_claims=1",
    "CREATE INDEX open_runs ON runs (flow_id) WHERE status<>'SUCCESS' AND settled IS NULL",
)
_ADDED_IN_2 = (*(f"ALTER TABLE runs ADD COLUMN {column}" for column in _RUN_COLUMNS_OF_2), *_TABLES_OF_2)
TABLES = (
    """CREATE TABLE flows (
        flow_id TEXT NOT NULL, state_path TEXT NOT NULL, flow_path TEXT NOT NULL, last_started_at INTEGER NOT NULL,
        PRIMARY KEY (flow_id, state_path)) WITHOUT ROWID, STRICT""",
    # with all columns at once: a column that SQLite adds costs as much as three tables
    f"""CREATE TABLE runs (
        run_id TEXT NOT NULL, flow_id TEXT NOT NULL, state_path TEXT NOT NULL, flow_path TEXT NOT NULL,
        started_at INTEGER NOT NULL, {", ".join(_RUN_COLUMNS_OF_2)},
        PRIMARY KEY (run_id, flow_id, state_path)) WITHOUT ROWID, STRICT""",
    *_TABLES_OF_2,
)


class Registered(NamedTuple):
    """A run and where it is recorded."""

    flow_id: str
    run_id: str
    state_path: str
    flow_path: str
    started_at: int
    """Of its first start, in UTC epoch milliseconds."""
    status: str | None = None
    """As its state file said last; None if that is not known here."""
    ended_at: int | None = None
    subject: str | None = None
    """What a later run has to be of to heal it: the same slot, if it has one, and the same parameters."""
    given: str | None = None
    """The same of the parameters as they were given, without what the flow adds."""
    parent: str | None = None
    reason_code: str | None = None
    settled: str | None = None
    """Why it needs nobody although it did not end well: `resolve`, `ack`, or `before` the upgrade to schema 3."""
    manifest: str | None = None
    """That of the bundle, absolute; None without one."""
    open_claims: int | None = None
    """1 if it has ended and had open claims when the last run of its flow ended; the state file knows how it is now."""


_COLUMNS = Registered._fields


class KnownFlow(NamedTuple):
    """A flow that has run, and the state file of its runs."""

    flow_id: str
    state_path: str
    flow_path: str
    last_started_at: int


def subject_of(slot: str | None, params: Mapping[str, Any]) -> str:
    """What a run is of: its slot, if it has one, and its parameters, which may be secret, as a hash.

    A slot alone is not enough: two items of one schedule may start one flow for two countries at once.
    """
    text = json.dumps({name: str(value) for name, value in params.items()}, sort_keys=True)
    digest = hashlib.sha256(text.encode(errors="backslashreplace")).hexdigest()[:32]
    return f"params {digest}" if slot is None else f"slot {slot} params {digest}"


def schema_of(path: Path) -> int | None:
    """The schema that the head of a state file names; None if it is no database. OSError if it cannot be read.

    The last change may still stand in the write-ahead log. Only for processes that have none of the files open by
    SQLite: closing a file drops the locks that a process has on it.
    """
    with path.open("rb") as file:
        head = file.read(64)
    return int.from_bytes(head[60:64]) if head.startswith(HEADER) and len(head) == 64 else None


def add_runs(db: durable.Database, runs: Iterable[Registered]) -> None:
    names = ", ".join(_COLUMNS)
    values = ", ".join(f":{name}" for name in _COLUMNS)
    # what was given at the first start is known to that process alone
    changes = ", ".join(f"{name}=excluded.{name}" for name in _COLUMNS if name != "given")
    enter = (
        f"INSERT INTO runs ({names}) VALUES ({values}) "  # noqa: S608 names are ours
        f"ON CONFLICT (run_id, flow_id, state_path) DO UPDATE SET {changes}, given=coalesce(excluded.given, runs.given)"
    )
    for run in runs:
        db.execute(enter, run._asdict())
        add_flow(db, KnownFlow(run.flow_id, run.state_path, run.flow_path, run.started_at))


def add_flow(db: durable.Database, flow: KnownFlow) -> None:
    db.execute(
        "INSERT INTO flows (flow_id, state_path, flow_path, last_started_at) VALUES (?, ?, ?, ?) "
        "ON CONFLICT (flow_id, state_path) DO UPDATE SET flow_path=excluded.flow_path, "
        "last_started_at=excluded.last_started_at WHERE excluded.last_started_at >= flows.last_started_at",
        (flow.flow_id, flow.state_path, flow.flow_path, flow.last_started_at),
    )


@contextmanager
def changing(root: Path, name: str) -> Iterator[durable.Database]:
    """The registry of a state root in one transaction, while nobody else changes it. Raises sqlite3.Error, OSError."""
    with closing(open_registry(root)) as db, durable.transaction(db, name):
        db.await_turn("registry")
        yield db


def change_after(
    root: Path,
    name: str,
    look_up: Callable[[durable.Database], T],
    change: Callable[[durable.Database, T, bool], None],
) -> None:
    """Change the registry by what `look_up` finds in states, while no transaction is open: those may be far, or hang.

    Where others have changed the registry since, it is looked up again; at last the change is made all the same, with
    False. Raises sqlite3.Error, OSError.
    """
    with closing(open_registry(root)) as db:
        for last in (False,) * (LOOKS - 1) + (True,):
            before = db.changes()
            found = look_up(db)
            with durable.transaction(db, name):
                db.await_turn("registry")
                unchanged = db.changes() == before
                if unchanged or last:
                    change(db, found, unchanged)
                    return


def read_registry(root: Path, query: Callable[[durable.Database], T]) -> T:
    """What `query` finds in the registry of a state root. Raises sqlite3.Error, OSError; FileNotFoundError if none."""
    return read_store(durable.store_under(root, NAME), query, "registry")


def shared_text(root: Path, name: str, first: str) -> str:
    """What stands under a name for all hosts of a server; `first` if nothing did. Raises sqlite3.Error, OSError."""
    query = "SELECT value FROM shared WHERE name=?"
    try:
        if found := read_registry(root, lambda db: db.execute(query, (name,)).fetchone()):
            return str(found[0])
    except FileNotFoundError:
        pass
    with changing(root, "share text") as db:
        db.execute("INSERT INTO shared (name, value) VALUES (?, ?) ON CONFLICT (name) DO NOTHING", (name, first))
        return str(db.execute(query, (name,)).fetchone()[0])


def open_registry(root: Path) -> durable.Database:
    path = durable.store_under(root, NAME)
    db = durable.open_store(path, "registry", busy_seconds=BUSY_SECONDS)
    try:
        version = db.schema_version()
        if version > SCHEMA_VERSION:
            raise StateError(f"it has schema {version}, this engine knows up to {SCHEMA_VERSION}")
        if version == 0:
            found = list(scan(root))  # before the transaction
            with durable.transaction(db, "create registry"):
                db.await_turn("registry")
                if not db.tables():
                    _define(db, TABLES)
                    add_runs(db, found)
        elif version < SCHEMA_VERSION:
            _migrate(db, path, version)
    except BaseException:
        db.close()
        raise
    return db


def _migrate(db: durable.Database, path: Path, version: int) -> None:
    with durable.transaction(db, "migrate registry"):
        if db.schema_version() == version:  # else another process was first
            durable.keep_before(path, version)
            _define(db, _ADDED_IN_2)


def _define(db: durable.Database, tables: Iterable[str]) -> None:
    for statement in tables:
        db.execute(statement)
    db.set_schema_version(SCHEMA_VERSION)


def empty_registry() -> durable.SqliteDatabase:
    """A registry without rows, in memory."""
    memory = durable.memory_database()
    _define(memory, TABLES)
    return memory


def scan(root: Path) -> Iterator[Registered]:
    """The runs of all state files under a folder, or of the state in a server."""
    if durable.server_at(root) is not None:
        yield from runs_in(root)
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.endswith(".d"))  # logs and blobs beside a state
        for name in sorted(files):
            if name.endswith(".sqlite") and name not in (NAME, "locks.sqlite", "notify.sqlite"):
                yield from runs_in(Path(folder, name))


def runs_in(path: Path) -> list[Registered]:
    """The runs of a state; StateError for a server that cannot be reached."""

    def select(db: durable.Database) -> list[Registered]:
        if db.schema_version() != STATE_SCHEMA:
            rows = db.execute("SELECT flow_id, run_id, ?, flow_path, started_at FROM runs", (str(path),))
            return [Registered(*row) for row in rows]
        upgraded = db.execute("SELECT value FROM meta WHERE name='migrated_at'").fetchone()
        return [_as_stored(path, row, int(upgraded[0]) if upgraded else 0) for row in db.execute(_STORED)]

    try:
        return read_store(path, select)
    except (sqlite3.Error, OSError) as error:
        if durable.server_at(path) is not None and not isinstance(error, FileNotFoundError):
            raise unreadable(path, error) from error
        return []  # damaged, or of somebody else


_STORED = (
    "SELECT flow_id, run_id, flow_path, started_at, status, finished_at, slot, params, parent, reason_code, manifest, "
    "coalesce(finished_at, heartbeat_at, started_at), (SELECT max(verb) FROM acts a WHERE a.flow_id=runs.flow_id AND "
    "a.run_id=runs.run_id AND ended_at IS NULL AND (verb='resolve' OR value IS NOT NULL AND until IS NULL)), "
    "EXISTS (SELECT 1 FROM claims c WHERE c.flow_id=runs.flow_id AND c.run_id=runs.run_id AND state='open') FROM runs"
)


def _as_stored(path: Path, row: Sequence[Any], upgraded: int) -> Registered:
    (
        flow_id,
        run_id,
        flow_path,
        started,
        status,
        ended,
        slot,
        params,
        parent,
        code,
        manifest,
        last_seen,
        verb,
        claims,
    ) = row
    settled = verb or ("before" if last_seen < upgraded else None)
    ended = last_seen if settled else ended
    named, subject = (flow_id, run_id, str(path), flow_path, started), subject_of(slot, json.loads(params))
    return Registered(*named, status, ended, subject, None, parent, code, settled, manifest, claims)
