"""The registry of a state root, a file or a schema of its server: tables, rows, and what a state says for them."""

import hashlib
import json
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, cast

from aetherflow.core.base import durable
from aetherflow.core.base.engine_files import ENGINE, REGISTRY
from aetherflow.core.base.errors import StateError
from aetherflow.core.kernel.state.records import now_ms
from aetherflow.core.kernel.state.schema import SCHEMA_VERSION as STATE_SCHEMA
from aetherflow.core.kernel.state.unusable import unreadable
from aetherflow.core.records.reading import HEADER, read_store
from aetherflow.core.records.registry_tables import MIGRATIONS, SCHEMA_VERSION, TABLES

T = TypeVar("T")
BUSY_SECONDS = 5.0
LOOKS = 3
"""Times that states are looked at before a change, where others change the registry after each."""


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
    recorded: int | None = None
    """Its place in the order in which begins and ends were recorded, in which clocks that jump have no part. About the
    time of that in UTC epoch milliseconds, but always more than of what was recorded before."""


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
        recorded = run.recorded or next_place(db, run.flow_id, run.ended_at or now_ms())
        db.execute(enter, run._replace(recorded=recorded)._asdict())
        add_flow(db, KnownFlow(run.flow_id, run.state_path, run.flow_path, run.started_at))


def next_place(db: durable.Database, flow_id: str | None, at: int) -> int:
    """The place in the order of record of what happens at a time, after all of its flow (None: all) so far."""
    runs, values = "SELECT max(recorded) AS place FROM runs", (flow_id,) if flow_id is not None else ()
    runs += " WHERE flow_id=?" if values else ""
    query = f"SELECT max(place) FROM ({runs} UNION ALL SELECT max(recorded) FROM refused) AS known"  # noqa: S608 ours
    return max(at, (db.execute(query, values).fetchone()[0] or 0) + 1)


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

    Where others have changed the registry since, it is looked up again; at last the change is still made, with
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
    """What `query` finds in the registry of a state root. Raises sqlite3.Error, OSError; FileNotFoundError if none.

    An older one is migrated in memory; in a server, in its place.
    """
    path = durable.engine_store(root, REGISTRY)

    def select(db: durable.Database) -> T:
        if not 0 < (version := db.schema_version()) < SCHEMA_VERSION:
            return query(db)
        if durable.server_at(path) is not None:
            raise _OlderError
        with closing(durable.memory_database()) as memory:
            cast("durable.SqliteDatabase", db).backup(memory)
            durable.execute_all(memory, MIGRATIONS[version], SCHEMA_VERSION)
            return query(memory)

    try:
        return read_store(path, select, "registry")
    except _OlderError:
        open_registry(root).close()
        return read_store(path, query, "registry")


class _OlderError(OSError):
    """The registry in a server has an older schema."""


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
    path = durable.engine_store(root, REGISTRY)
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
                    durable.execute_all(db, durable.statements_of(*TABLES), SCHEMA_VERSION)
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
            durable.execute_all(db, MIGRATIONS[version], SCHEMA_VERSION)


def empty_registry() -> durable.SqliteDatabase:
    """A registry without rows, in memory."""
    memory = durable.memory_database()
    durable.execute_all(memory, durable.statements_of(*TABLES), SCHEMA_VERSION)
    return memory


def scan(root: Path) -> Iterator[Registered]:
    """The runs of all state files under a folder, or of the state in a server."""
    if durable.server_at(root) is not None:
        yield from runs_in(root)
    for folder, folders, files in os.walk(root):
        # beside a state are logs and blobs
        folders[:] = sorted(name for name in folders if name != ENGINE and not name.endswith(".d"))
        for name in sorted(files):
            if name.endswith(".sqlite"):
                yield from runs_in(Path(folder, name))


def runs_in(path: Path) -> list[Registered]:
    """The runs of a state; StateError for a server that cannot be reached."""

    def select(db: durable.Database) -> list[Registered]:
        if db.schema_version() != STATE_SCHEMA:
            # a registry has runs, too, without a fingerprint
            query = "SELECT flow_id, run_id, ?, flow_path, started_at FROM runs WHERE fingerprint<>''"
            return [Registered(*row) for row in db.execute(query, (str(path),))]
        upgraded = db.execute("SELECT value FROM meta WHERE name='migrated_at'").fetchone()
        found = [_as_stored(path, row, int(upgraded[0]) if upgraded else 0) for row in db.execute(_STORED)]
        return list(_in_order(found))

    try:
        return read_store(path, select)
    except (sqlite3.Error, OSError) as error:
        if durable.server_at(path) is not None and not isinstance(error, FileNotFoundError):
            raise unreadable(path, error) from error
        return []  # damaged, or of somebody else


def _in_order(runs: Iterable[Registered]) -> Iterator[Registered]:
    """Runs of one state with their places: as recorded there, each at its time or behind the one before."""
    place = 0
    for run in runs:
        place = max(run.ended_at or run.started_at, place + 1)
        yield run._replace(recorded=place)


ORDER_OF_RECORD = (
    "coalesce((SELECT seq FROM journal j WHERE j.flow_id=runs.flow_id AND j.run_id=runs.run_id "
    "AND event IN ('run_start', 'run_end') ORDER BY seq DESC LIMIT 1), 0), started_at, flow_id, run_id"
)
"""The order of the runs of a state in which their last begins or ends were recorded."""
_STORED = (
    "SELECT flow_id, run_id, flow_path, started_at, status, finished_at, slot, params, parent, reason_code, "  # noqa: S608 ours
    "manifest, coalesce(finished_at, heartbeat_at, started_at), (SELECT max(verb) FROM acts a WHERE "
    "a.flow_id=runs.flow_id AND "
    "a.run_id=runs.run_id AND ended_at IS NULL AND (verb='resolve' OR value IS NOT NULL AND until IS NULL)), "
    "EXISTS (SELECT 1 FROM claims c WHERE c.flow_id=runs.flow_id AND c.run_id=runs.run_id AND state='open') FROM runs "
    f"ORDER BY {ORDER_OF_RECORD}"
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
