"""Copying states from files to a server and back: run by run, safe to repeat, compared at the end.

A run is copied in one transaction with all its rows, after its stored outputs. What is the same there already is left;
what its source has gone on with since is replaced. Paths of states that rows name become those of the copies, and the
chain is made again. Nothing of the source changes, but that an older file is migrated, as by a run.
"""

import hashlib
import json
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from aetherflow.core.base import durable
from aetherflow.core.base.engine_files import ENGINE, LOCKS
from aetherflow.core.base.errors import RunBusyError, StateError, UsageError
from aetherflow.core.kernel.locks.store import BUSY_SECONDS
from aetherflow.core.kernel.locks.store import LockStore as Locks
from aetherflow.core.kernel.state.schema import JOURNAL, LEDGER, TABLES
from aetherflow.core.kernel.state.store import StateStore
from aetherflow.core.kernel.state.values import to_json
from aetherflow.core.records.living import held_runs, live_runs
from aetherflow.core.records.migration import open_state
from aetherflow.core.records.reading import read_any
from aetherflow.core.records.registry_file import ORDER_OF_RECORD
from aetherflow.core.runtime.adopting import adopt
from aetherflow.core.runtime.proof.rechaining import KEPT, begin_chain, chained_anew, require_chain, seal_copied
from aetherflow.core.runtime.workspace.engine_files import make_engine_folder

_OF_RUNS = [table for table in TABLES if table.of_run and not table.merged_by]
_SHARED = [table for table in TABLES if table.merged_by]
_KEYS = "SELECT flow_id, run_id, generation, coalesce(finished_at, heartbeat_at, started_at) FROM runs"
_OUTPUTS = ("blob", "items_blob")


class RunKey(NamedTuple):
    """A run, and how far it had come."""

    flow_id: str
    run_id: str
    generation: int
    last_seen: int


@dataclass
class Copied:
    """What was copied, and what both sides have."""

    runs: int = 0
    left: int = 0
    """Runs that were there already, the same."""
    rows: int = 0
    outputs: int = 0
    targets: list[Path] = field(default_factory=list)
    places: dict[tuple[str, str], str] = field(default_factory=dict)
    """State before and flow id to the state of now."""
    sha256: str = ""
    """Of all rows of all runs; the same on both sides."""


def states_in(place: Path) -> list[Path]:
    """The states of a state root, a file or a server. UsageError for a place that has none."""
    if durable.server_at(place) is not None or place.is_file():
        return [place]
    found = []
    for folder, folders, files in os.walk(place):
        folders[:] = sorted(name for name in folders if name != ENGINE and not name.endswith(".d"))
        paths = [Path(folder, name) for name in sorted(files) if name.endswith(".sqlite")]
        found += [path for path in paths if _is_state(path)]
    if not found:
        raise UsageError(f"there is no state in {place}", fix="name a state root, a state file, or //BACKEND:RESOURCE")
    return found


def _is_state(path: Path) -> bool:
    """False for a registry, a lock store, a ledger; what cannot be read may be one: an error when it is opened."""
    try:
        return read_any(path, lambda db: "step_runs" in db.tables())
    except (sqlite3.Error, OSError):
        return True


def copy_states(source: Path, target: Path) -> Copied:
    """Copy all states of a place to another one: state root, state file, or server.

    Raises RunBusyError while a run is live on either side, UsageError, StateError.
    """
    if source == target:
        raise UsageError("both are the same", fix="name another place to copy to")
    if not durable.in_server(target) and target.suffix != ".sqlite":
        make_engine_folder(target)
    with ExitStack() as opened:
        copying = _Copying(states_in(source), target, opened)
        return copying.copy(source)


class _Copying:
    def __init__(self, sources: list[Path], target: Path, opened: ExitStack) -> None:
        self._target, self._opened = target, opened
        self._sources = {path: self._open(path) for path in sources}
        self._known = {str(durable.real_file(path)) for path in sources}
        self._targets: dict[Path, StateStore] = {}
        self._done = Copied()

    def _open(self, path: Path) -> StateStore:
        store = self._opened.enter_context(closing(open_state(path)))
        live = sorted({*live_runs(store.connection, path), *held_runs(path)})
        if live:
            message = f"{path} has runs that are live: {', '.join(live[:3])}"
            raise RunBusyError(
                message, fix="wait for them, or stop them and what starts others; then do the same again"
            )
        return store

    def copy(self, source: Path) -> Copied:
        for path, store in self._sources.items():
            require_chain(store.connection, str(path))
        for store in self._sources.values():
            for run in list(_runs_of(store.connection)):
                self._copy_run(store, run)
            for flow in sorted({run.flow_id for run in _runs_of(store.connection)}):
                self._done.places[str(store.path), flow] = str(self._path_for(flow))
                self._copy_shared(store, flow)
                seal_copied(self._store_for(flow).connection, flow)
        self._copy_tokens(source)
        self._compare()
        self._done.targets = sorted(self._targets)
        for path in self._done.targets:
            adopt(self._root(path), path)
        return self._done

    def _store_for(self, flow_id: str) -> StateStore:
        path = self._path_for(flow_id)
        if path not in self._targets:
            self._targets[path] = self._open(path)
            begin_chain([store.connection for store in self._sources.values()], self._targets[path].connection)
        return self._targets[path]

    def _path_for(self, flow_id: str) -> Path:
        if durable.server_at(self._target) is not None or self._target.suffix == ".sqlite":
            return self._target
        return self._target / f"{flow_id}.sqlite"

    def _root(self, path: Path) -> Path:
        return path if durable.server_at(path) is not None else self._target if path != self._target else path.parent

    def _copy_run(self, store: StateStore, run: RunKey) -> None:
        target = self._store_for(run.flow_id)
        found = self._rows(store, run)
        there = next(iter(_runs_of(target.connection, run)), None)
        if there is not None:
            if _digest(found) == _digest(_rows_of(target.connection, run)):
                self._done.left += 1
                return
            if there[2:] > run[2:]:
                message = f"run {run.run_id} of flow {run.flow_id} has gone on in {target.path}"
                raise StateError(message, fix="copy from there, or to another place")
        self._copy_outputs(store, target, run, found)
        with durable.transaction(target.connection, "copy run"):
            for table in _OF_RUNS:
                names, rows = found[table.name]
                where = (run.flow_id, run.run_id)
                target.connection.execute(f"DELETE FROM {table.name} WHERE flow_id=? AND run_id=?", where)  # noqa: S608
                target.connection.executemany(table.insertion, chained_anew(names, rows) if table is JOURNAL else rows)
                self._done.rows += len(rows)
        self._copy_logs(store, target, run)
        self._done.runs += 1

    def _rows(self, store: StateStore, run: RunKey) -> dict[str, tuple[list[str], list[tuple[Any, ...]]]]:
        found = _rows_of(store.connection, run)
        self._rename(*found["runs"], "outermost", self._outermost)
        self._rename(*found["journal"], "detail", self._started)
        return found

    def _rename(self, names: list[str], rows: list[tuple[Any, ...]], column: str, new: Callable[[str], str]) -> None:
        at = names.index(column)
        rows[:] = [(*row[:at], new(row[at]) if row[at] else row[at], *row[at + 1 :]) for row in rows]

    def _outermost(self, text: str) -> str:
        state, flow, run = json.loads(text)
        return json.dumps([str(self._path_for(flow)), flow, run]) if state in self._known else text

    def _started(self, text: str) -> str:
        if '"state"' not in text:
            return text
        detail = json.loads(text)
        if str(durable.real_file(Path(str(detail.get("state"))))) not in self._known:
            return text
        return to_json(detail | {"state": str(self._path_for(detail["flow"]))})

    def _copy_outputs(self, store: StateStore, target: StateStore, run: RunKey, found: dict[str, Any]) -> None:
        names = {
            row[column_names.index(column)]
            for column_names, rows in (found["job_runs"], found["step_runs"])
            for column in _OUTPUTS
            if column in column_names
            for row in rows
        } - {None}
        read, kept = store.blobs(run.flow_id, run.run_id), target.blobs(run.flow_id, run.run_id)
        for name in sorted(names):
            if not kept.has(name):
                kept.keep(name, read.read(name))
            if kept.read(name) != read.read(name):
                raise StateError(
                    f"the stored output {name} is another one in {target.path}", fix="copy to another place"
                )
            self._done.outputs += 1

    def _copy_logs(self, store: StateStore, target: StateStore, run: RunKey) -> None:
        folder = store.side / "logs" / run.flow_id
        for path in [folder / f"{run.run_id}.jsonl", *sorted((folder / run.run_id).rglob("*"))]:
            if path.is_file():
                durable.write_bytes(target.side / path.relative_to(store.side), path.read_bytes())

    def _copy_shared(self, store: StateStore, flow_id: str) -> None:
        """Rows that belong to a flow, or to all."""
        target = self._store_for(flow_id).connection
        with durable.transaction(target, "copy flow"):
            for table in _SHARED:
                names = table.names
                where, values = (" WHERE flow_id=?", (flow_id,)) if "flow_id" in names else ("", ())
                order = table.number or table.key
                query = f"SELECT {', '.join(names)} FROM {table.name}{where} ORDER BY {order}"  # noqa: S608 names are ours
                rows = store.connection.execute(query, values).fetchall()
                newer = "DO NOTHING"
                if table is LEDGER:
                    sets = ", ".join(f"{name}=excluded.{name}" for name in names)
                    newer = f"DO UPDATE SET {sets} WHERE excluded.at >= ledger.at"
                target.executemany(f"{table.insertion} ON CONFLICT ({table.merged_by}) {newer}", rows)

    def _copy_tokens(self, source: Path) -> None:
        """The fencing tokens of locks: they never fall."""
        places = [durable.engine_store(place, LOCKS) for place in (source, self._target)]
        if not durable.is_there(places[0]) or not (durable.server_at(self._target) or self._target.is_dir()):
            return
        with Locks(places[0]), Locks(places[1]):  # both have tables of today
            one, two = (
                self._opened.enter_context(closing(durable.open_store(each, "locks", busy_seconds=BUSY_SECONDS)))
                for each in places
            )
            rows = one.execute("SELECT key, last FROM tokens").fetchall()
            with durable.transaction(two, "copy tokens"):
                last = "ON CONFLICT (key) DO UPDATE SET last=excluded.last WHERE excluded.last > tokens.last"
                two.executemany(f"INSERT INTO tokens (key, last) VALUES (?, ?) {last}", rows)  # noqa: S608 names are ours

    def _compare(self) -> None:
        """Read both sides once more; StateError where they differ."""
        whole = hashlib.sha256()
        for store in self._sources.values():
            for run in _runs_of(store.connection):
                mine = _digest(self._rows(store, run))
                if mine != _digest(_rows_of(self._store_for(run.flow_id).connection, run)):
                    message = f"run {run.run_id} of flow {run.flow_id} was changed while it was copied"
                    raise StateError(message, fix="stop what starts runs, then do the same again")
                whole.update(mine)
        self._done.sha256 = whole.hexdigest()


def _runs_of(db: durable.Database, one: RunKey | None = None) -> Iterator[RunKey]:
    """All runs in the order in which they were recorded, or the one of this name."""
    if one is not None:
        rows = db.execute(f"{_KEYS} WHERE flow_id=? AND run_id=?", one[:2])
    else:
        rows = db.execute(f"{_KEYS} ORDER BY {ORDER_OF_RECORD}")
    return (RunKey(*row) for row in rows.fetchall())


def _rows_of(db: durable.Database, run: RunKey) -> dict[str, tuple[list[str], list[tuple[Any, ...]]]]:
    found = {}
    for table in _OF_RUNS:
        columns = ", ".join(table.names)
        query = f"SELECT {columns} FROM {table.name} WHERE flow_id=? AND run_id=? ORDER BY {table.order}"  # noqa: S608
        found[table.name] = (table.names, [tuple(row) for row in db.execute(query, run[:2])])
    return found


def _digest(found: dict[str, tuple[list[str], list[tuple[Any, ...]]]]) -> bytes:
    """Without the chain, which each side has of its own."""
    names, entries = found["journal"]
    event, chain = names.index("event"), names.index("chain")
    journal = [(*row[:chain], *row[chain + 1 :]) for row in entries if row[event] != KEPT]
    text = json.dumps({table: rows for table, (_, rows) in found.items()} | {"journal": journal}, default=str)
    return hashlib.sha256(text.encode(errors="surrogatepass")).digest()
