"""Which flows and runs there are, in which states, and how each run stood last: `<state root>/registry.sqlite`.

Where the state root names a server it is a schema there; one that cannot be reached is a StateError.

An index of runs, not a record: what it says of them is also in the state files. A run registers itself before its
first row is written, and again when it has ended; a registry that is missing or damaged is built again from the state
files under the state root. A row that says RUNNING may be behind: its state file decides.

What stands only here are starts that were refused before their state was opened (refused.py). Older engines read the
file as before; it is migrated while they run.
"""

import fcntl
import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from functools import partial
from itertools import count
from pathlib import Path
from typing import TypeVar, cast

from aetherflow.core.base import durable
from aetherflow.core.base.engine_files import REGISTRY
from aetherflow.core.base.errors import OlderStateError
from aetherflow.core.kernel.state.records import now_ms
from aetherflow.core.kernel.state.schema import SCHEMA_VERSION
from aetherflow.core.kernel.state.sql import among
from aetherflow.core.kernel.state.unusable import DAMAGE
from aetherflow.core.records.reading import read_any
from aetherflow.core.records.registry_chain import Sealed, add_root_heads, agrees, comparable
from aetherflow.core.records.registry_file import (
    KnownFlow,
    Registered,
    add_flow,
    add_runs,
    change_after,
    changing,
    empty_registry,
    open_registry,
    read_registry,
    runs_in,
    scan,
    schema_of,
)

T = TypeVar("T")


def register(
    root: Path,
    run: Registered,
    claiming: Sequence[str] | None = None,
    sealed: Sealed | None = None,
    state: durable.Database | None = None,
) -> str | None:
    """Enter a run, or how it stands; returns a warning where that failed, since no run depends on it.

    `claiming` are the runs of its flow that have open claims, itself among them if it has: given by one that ends, as
    is `sealed`. `state` is given by one that begins: OlderStateError if that lacks an end which is known here.
    """
    path, enter = durable.engine_store(root, REGISTRY), partial(_enter, root, run, claiming, sealed, state)
    try:
        try:
            enter()
        except durable.ReplacedFileError:  # another process has just moved a damaged one aside
            enter()
        except sqlite3.Error as error:
            if not _is_damage(error):
                raise
            if (aside := _move_aside(path, enter)) is not None:
                enter()
                _add_known_before(root, aside)
                return f"the registry of runs {path} was damaged ({error}): built again, the old one is {aside}"
    except OlderStateError:
        raise
    except Exception as error:  # noqa: BLE001 no error of the registry may stop a run
        return f"the registry of runs {path} cannot be written: {error}; `status` and `runs` may not see this run"
    return None


def known_flows(root: Path) -> list[KnownFlow]:
    """All known flows, sorted; without a usable registry those of the state files under `root`. Writes nothing."""
    query = "SELECT flow_id, state_path, flow_path, last_started_at FROM flows"
    try:
        rows = read_registry(root, lambda db: db.execute(query).fetchall())
        return _flows_once(KnownFlow(*row) for row in rows)
    except (sqlite3.Error, OSError):
        latest: dict[tuple[str, str], KnownFlow] = {}
        for run in sorted(scan(root), key=lambda each: each.started_at):
            key = run.flow_id, run.state_path
            latest[key] = KnownFlow(*key, run.flow_path, run.started_at)
        return _flows_once(latest.values())


def find_runs(root: Path, run_id: str) -> list[Registered]:
    """All runs with an id, one per flow and state file, as `known_flows` finds them. Writes nothing."""
    query = "SELECT flow_id, run_id, state_path, flow_path, started_at FROM runs WHERE run_id=?"
    try:
        rows = read_registry(root, lambda db: db.execute(query, (run_id,)).fetchall())
        return _runs_once(Registered(*row) for row in rows)
    except (sqlite3.Error, OSError):
        return _runs_once(run for run in scan(root) if run.run_id == run_id)


def places_of(root: Path, run_ids: Iterable[str]) -> dict[str, set[tuple[str, Path]]]:
    """Run id to the flows, each with a state, that have a run of that id; links are followed. Writes nothing."""
    query, wanted = "SELECT flow_id, state_path FROM runs WHERE run_id=?", set(run_ids)
    try:
        rows = read_registry(root, lambda db: {each: db.execute(query, (each,)).fetchall() for each in wanted})
    except (sqlite3.Error, OSError):
        rows = {each: [(run.flow_id, run.state_path) for run in find_runs(root, each)] for each in wanted}
    return {each: {(flow, durable.real_file(Path(path))) for flow, path in found} for each, found in rows.items()}


def recent_runs(root: Path, prefix: str, limit: int) -> list[Registered]:
    """Registered runs whose id starts with `prefix`, the last started first. Raises sqlite3.Error, OSError."""
    query = (
        "SELECT flow_id, run_id, state_path, flow_path, started_at FROM runs WHERE substr(run_id, 1, ?)=? "
        "ORDER BY started_at DESC LIMIT ?"
    )
    rows = read_registry(root, lambda db: db.execute(query, (len(prefix), prefix, limit)).fetchall())
    return [Registered(*row) for row in rows]


def forget(root: Path, runs: Iterable[tuple[str, str, Path]]) -> None:
    """Remove runs (flow id, run id, state file) that are recorded no more; their flows stay known.

    What they have healed stays healed.
    """
    from aetherflow.core.records.overview import healed_runs, settle_healed
    from aetherflow.core.records.refused import forget_healed

    if not durable.is_there(durable.engine_store(root, REGISTRY)):
        return
    same: dict[tuple[str, str], list[str]] = {}
    for flow_id, run_id, path in runs:
        same.setdefault((flow_id, str(path)), []).append(run_id)

    def change(db: durable.Database, healed: list[Registered], unchanged: bool) -> None:
        settle_healed(db, healed, unchanged=unchanged)
        forget_healed(db)
        for (flow_id, path), ids in same.items():
            for these, values in among(ids, flow_id, path):
                db.execute(f"DELETE FROM runs WHERE flow_id=? AND state_path=? AND run_id {these}", values)  # noqa: S608

    change_after(root, "forget runs", healed_runs, change)


def let_logs_go(root: Path, flow_id: str, run_ids: Sequence[str], state_path: str) -> None:
    """Note that the logs of runs of a flow are about to be deleted in order: nobody is to miss them."""
    if not durable.is_there(durable.engine_store(root, REGISTRY)):
        return
    query, heads = "SELECT run_id, head FROM heads WHERE state_path=? AND flow_id=? AND run_id", dict[str, str]()
    with changing(root, "let logs go") as db:
        for these, values in among(run_ids, state_path, flow_id):
            heads.update(db.execute(f"{query} {these} ORDER BY seq", values))
        sealed = [(Sealed(head), flow_id, run_id) for run_id, head in heads.items()]
        add_root_heads(db, "logs_pruned", state_path, sealed)


def settle(root: Path, flow_id: str, run_id: str, state_path: str, verb: str | None, last_seen: int) -> None:
    """Note that a run needs nobody any more, so that its state file is not opened to find that out; None: it may.

    `last_seen` is the last sign of life in UTC epoch milliseconds: the end of a run whose process recorded none. What
    failed since then is not settled with it, nor a run of the same ids in another state.
    """
    file = durable.real_file(Path(state_path))
    with changing(root, "settle run") as db:
        ended = last_seen if verb is not None else None
        names = db.execute("SELECT state_path FROM runs WHERE flow_id=? AND run_id=?", (flow_id, run_id)).fetchall()
        query = (
            "UPDATE runs SET settled=?, ended_at=coalesce(ended_at, ?) WHERE flow_id=? AND run_id=? AND state_path=?"
        )
        same = [(verb, ended, flow_id, run_id, name) for (name,) in names if durable.real_file(Path(name)) == file]
        db.executemany(query, same)


def forget_files(root: Path, state_paths: Iterable[str], *, actor: str, host: str, reason: str) -> int:
    """Remove the runs and flows of state files; returns how many runs.

    Of those that did not end well it is noted who did it, and why.
    """
    removed = 0
    if not durable.is_there(durable.engine_store(root, REGISTRY)):
        return removed
    note = (
        "INSERT INTO forgotten SELECT flow_id, run_id, state_path, status, ?, ?, ?, ? FROM runs "
        "WHERE state_path=? AND coalesce(status, '')<>'SUCCESS'"
    )
    with changing(root, "forget state files") as db:
        for path in state_paths:
            db.execute(note, (actor, host, reason, now_ms(), path))
            removed += db.execute("DELETE FROM runs WHERE state_path=?", (path,)).rowcount
            db.execute("DELETE FROM flows WHERE state_path=?", (path,))
    return removed


def look(root: Path, query: Callable[[durable.Database], T]) -> T:
    """What `query` finds in a registry that knows how each run stands; writes nothing.

    Where the file does not say it (it is missing, damaged, of schema 1, or has rows of before) the state files do.
    """
    unknown = "SELECT DISTINCT state_path FROM runs WHERE status IS NULL"

    def select(db: durable.Database) -> T:
        behind = [name for (name,) in db.execute(unknown).fetchall() if _is_ours(Path(name))]
        if not behind:
            return query(db)
        with closing(durable.memory_database()) as memory:
            cast("durable.SqliteDatabase", db).backup(memory)  # rows of before stand in files only
            add_runs(memory, (run for name in behind for run in runs_in(Path(name))))
            return query(memory)

    try:
        return read_registry(root, select)
    except (sqlite3.Error, OSError):
        with closing(empty_registry()) as memory:
            for flow in known_flows(root):
                add_runs(memory, runs_in(Path(flow.state_path)))
                add_flow(memory, flow)
            return query(memory)


def _is_ours(path: Path) -> bool:
    try:
        return schema_of(path) == SCHEMA_VERSION
    except OSError:
        return False


def _flows_once(flows: Iterable[KnownFlow]) -> list[KnownFlow]:
    """The flows, each state file once, under the path that was used last if links lead to it."""
    ordered = sorted(flows, key=lambda flow: flow.last_started_at)
    return sorted({(flow.flow_id, durable.real_file(Path(flow.state_path))): flow for flow in ordered}.values())


def _runs_once(runs: Iterable[Registered]) -> list[Registered]:
    ordered = sorted(runs, key=lambda run: run.started_at)
    found = {(run.flow_id, run.run_id, durable.real_file(Path(run.state_path))): run for run in ordered}
    return sorted(found.values())


def _enter(
    root: Path,
    run: Registered,
    claiming: Sequence[str] | None,
    sealed: Sealed | None,
    state: durable.Database | None,
) -> None:
    unknown = "SELECT 1 FROM runs WHERE flow_id=? AND state_path=? AND status IS NULL LIMIT 1"
    with closing(open_registry(root)) as db:
        if run.ended_at is not None:  # that is in its state, too; only the begin of a run must not be lost
            db.relax()
        here = (run.flow_id, run.run_id)
        if state is not None and comparable(root, run.state_path) and not agrees(db, state, here, run.state_path):
            from aetherflow.core.records.older import require_current  # nearly all agree

            require_current(db, run, state)
        known: list[Registered] | None = None
        while True:
            with durable.transaction(db, "register run"):
                db.await_turn("registry")
                if known is not None or not db.execute(unknown, (run.flow_id, run.state_path)).fetchone():
                    add_runs(db, (*(known or ()), run))
                    _enter_end(db, run, claiming, sealed)
                    return
            known = runs_in(Path(run.state_path))  # entered by 1.0: from now on the file need not be asked


def _enter_end(db: durable.Database, run: Registered, claiming: Sequence[str] | None, sealed: Sealed | None) -> None:
    here = (run.flow_id, run.state_path)
    if sealed is not None:
        add_root_heads(db, "ended", run.state_path, [(sealed, run.flow_id, run.run_id)])
    if claiming is not None:
        db.execute("UPDATE runs SET open_claims=NULL WHERE flow_id=? AND state_path=? AND open_claims=1", here)
        mark = "UPDATE runs SET open_claims=1 WHERE flow_id=? AND state_path=? AND run_id=?"
        db.executemany(mark, [(*here, run_id) for run_id in claiming])


def _add_known_before(root: Path, damaged: Path) -> None:
    """Register the runs of state files that a damaged registry still names, since they may be outside of the root."""
    query = "SELECT DISTINCT state_path FROM flows"
    try:
        named = read_any(damaged, lambda db: db.execute(query).fetchall())
    except (sqlite3.Error, OSError):
        return
    found = partial(_runs_of, [Path(state_path) for (state_path,) in named])
    change_after(root, "register runs", found, lambda db, runs, _: add_runs(db, runs))


def _runs_of(state_paths: Iterable[Path], _: durable.Database) -> list[Registered]:
    return [run for path in state_paths for run in runs_in(path)]


def _is_damage(error: sqlite3.Error) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in DAMAGE  # errors of Python's module have no code


def _move_aside(path: Path, enter: Callable[[], None]) -> Path | None:
    """Give a damaged file a name of its own, which is returned; None if `enter` works, as another process did it first.

    Its log is copied: SQLite removes the one that it finds beside a new file. A process that has the damaged file open
    notices that it was moved when it commits.
    """
    path = durable.real_file(path)
    with durable.open_lock(path.with_name(f"{REGISTRY}.lock")) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            enter()
        except sqlite3.Error as error:
            if not _is_damage(error):
                raise
        else:
            return None
        stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
        names = (path.with_name(f"{REGISTRY}.damaged-{stamp}{f'-{number}' if number else ''}") for number in count())
        aside = next(name for name in names if not name.exists())
        log = path.with_name(f"{REGISTRY}-wal")
        if log.exists():
            durable.write_bytes(aside.with_name(f"{aside.name}-wal"), log.read_bytes())
        durable.rename_file(path, aside)
        return aside
