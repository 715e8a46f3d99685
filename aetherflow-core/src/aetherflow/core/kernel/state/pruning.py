"""Deleting old runs: their rows, one transaction per run, then their logs, their stored outputs and their lock file.

A crash between the two leaves files without rows; the next pruning removes them. The ledger of a flow stays: it says
what was loaded and delivered, not how.
"""

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from aetherflow.core.base import durable
from aetherflow.core.base.errors import RunBusyError, StateError
from aetherflow.core.kernel.state.history import PastRun, list_runs
from aetherflow.core.kernel.state.ownership import RunLock, live_runs
from aetherflow.core.kernel.state.reading import read
from aetherflow.core.kernel.state.store import StateStore
from aetherflow.core.kernel.state.transitions import Status

FINISHED = frozenset({Status.SUCCESS, Status.FAILED})
"""Runs that ended by themselves; the others wait for somebody to go on with them."""
TABLES = ("journal", "artifacts", "claims", "step_runs", "job_runs", "runs")
_CLAIMING = "SELECT DISTINCT run_id FROM claims WHERE flow_id=? AND state='open'"


@dataclass(slots=True)
class Freed:
    """The numbers of what a pruning removed."""

    runs: list[PastRun] = field(default_factory=list)
    rows: int = 0
    files: int = 0
    bytes: int = 0
    busy: list[PastRun] = field(default_factory=list)
    """Runs that a process took up in the meantime; they stay."""


def doomed_runs(
    state_path: Path, flow_id: str, *, keep_last: int, before: int | None, include_unfinished: bool
) -> list[PastRun]:
    """Runs of a flow that may go, the oldest first.

    Those beyond the last `keep_last`, started before `before` (epoch milliseconds), and finished; never a running one,
    nor one with open claims: the run that takes them over needs what it left, and a person may have to settle it.
    """
    claiming = {row[0] for row in read(state_path, lambda db: db.execute(_CLAIMING, (flow_id,)).fetchall())}
    runs = list_runs(state_path, flow_id=flow_id)[keep_last:]
    return [
        run
        for run in reversed(runs)
        if run.run_id not in claiming
        and (before is None or run.started_at < before)
        and (run.status in FINISHED or (include_unfinished and run.status != Status.RUNNING))
    ]


def prune(state_path: Path, flow_ids: Sequence[str], runs: Sequence[PastRun], done: Callable[[PastRun], None]) -> Freed:
    """Delete runs of a state file, and what earlier prunings of these flows left; `done` is told after each run.

    Raises StateError.
    """
    freed = Freed()
    store = StateStore(state_path)
    try:
        for run in runs:
            if _remove_run(store, run.flow_id, run.run_id, freed, require_row=True):
                freed.runs.append(run)
                done(run)
            else:
                freed.busy.append(run)
        for flow_id in flow_ids:
            for run_id in _left_over(store, flow_id):
                _remove_run(store, flow_id, run_id, freed, require_row=False)
        _remove_definitions(store, freed)
    except (sqlite3.Error, OSError) as error:
        raise StateError(f"state file {state_path}: {error}", fix="check the disk, then prune again") from error
    finally:
        store.close()
    return freed


def _remove_run(store: StateStore, flow_id: str, run_id: str, freed: Freed, *, require_row: bool) -> bool:
    """Delete a run while holding its lock; False if a process executes it, or took it up since it was chosen."""
    lock: RunLock = store.run_lock(flow_id, run_id)
    try:
        lock.acquire(run_id)
    except RunBusyError:
        return False
    gone = False
    try:
        db, key = store.connection, (flow_id, run_id)
        if (store.find_run(*key) is not None) is not require_row:
            return False
        if require_row:
            if db.execute(f"{_CLAIMING} AND run_id=?", key).fetchone() is not None:
                return False
            with durable.transaction(db, "delete run"):
                for table in TABLES:
                    query = f"DELETE FROM {table} WHERE flow_id=? AND run_id=?"  # noqa: S608 names are ours
                    freed.rows += db.execute(query, key).rowcount
        gone = True
        for path in _files_of(store, flow_id, run_id):
            _remove(path, freed)
    finally:
        lock.release(remove=gone)
    return True


def _files_of(store: StateStore, flow_id: str, run_id: str) -> tuple[Path, Path, Path]:
    """Run log, logs of attempts, stored outputs."""
    logs = store.side / "logs" / flow_id
    return logs / f"{run_id}.jsonl", logs / run_id, store.side / "blobs" / flow_id / run_id


def _remove(path: Path, freed: Freed) -> None:
    if path.is_dir():
        found = [each.stat().st_size for each in path.rglob("*") if each.is_file()]
        durable.remove_tree(path)
    elif path.exists():
        found = [path.stat().st_size]
        durable.remove_file(path)
    else:
        return
    freed.files += len(found)
    freed.bytes += sum(found)


def _left_over(store: StateStore, flow_id: str) -> list[str]:
    """Runs that have files, and no row."""
    query = "SELECT run_id FROM runs WHERE flow_id=?"
    known = {row[0] for row in store.connection.execute(query, (flow_id,))}
    folders = [store.side / kind / flow_id for kind in ("logs", "blobs", "runs")]
    names = [path for folder in folders if folder.is_dir() for path in folder.iterdir()]
    found = {path.stem if path.suffix in (".jsonl", ".lock") else path.name for path in names}
    return sorted(found - known)


def _remove_definitions(store: StateStore, freed: Freed) -> None:
    """Delete texts of steps that no row names; while a run is live they stay, since it has rows to come."""
    with durable.transaction(store.connection, "delete definitions"):
        if not live_runs(store.connection, store.path):
            query = "SELECT def_hash FROM job_runs UNION SELECT def_hash FROM step_runs"
            freed.rows += store.connection.execute(f"DELETE FROM definitions WHERE hash NOT IN ({query})").rowcount  # noqa: S608
