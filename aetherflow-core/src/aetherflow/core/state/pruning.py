"""Deleting old runs: their rows, one transaction per run, then their logs, their lock file, and outputs of nobody.

A crash between the two leaves files without rows; the next pruning removes them. The ledger of a flow stays: it says
what was loaded and delivered, not how.
"""

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from aetherflow.core import durable
from aetherflow.core.errors import RunBusyError, StateError
from aetherflow.core.state.history import PastRun, list_runs, live_runs
from aetherflow.core.state.ownership import RunLock
from aetherflow.core.state.store import StateStore
from aetherflow.core.state.transitions import Status

FINISHED = frozenset({Status.SUCCESS, Status.FAILED})
"""Runs that ended by themselves; the others wait for somebody to go on with them."""
TABLES = ("journal", "artifacts", "step_runs", "job_runs", "runs")
BLOBS_AT_ONCE = 200
"""Files that are deleted within one write transaction, during which no other process can write."""


@dataclass(slots=True)
class Freed:
    """What pruning removed."""

    runs: list[PastRun] = field(default_factory=list)
    rows: int = 0
    files: int = 0
    bytes: int = 0
    busy: list[PastRun] = field(default_factory=list)
    """Runs that a process took up in the meantime; they stay."""
    blobs_kept: bool = False
    """Stored outputs of nobody stay until no run is live."""


def doomed_runs(
    state_path: Path, flow_id: str, *, keep_last: int, before: int | None, include_unfinished: bool
) -> list[PastRun]:
    """Runs of a flow that may go, the oldest first.

    Those beyond the last `keep_last`, started before `before` (epoch milliseconds), and finished; never a running one.
    """
    runs = list_runs(state_path, flow_id=flow_id)[keep_last:]
    return [
        run
        for run in reversed(runs)
        if (before is None or run.started_at < before)
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
        _remove_unused(store, freed)
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
            with durable.transaction(db, "delete run"):
                for table in TABLES:
                    query = f"DELETE FROM {table} WHERE flow_id=? AND run_id=?"  # noqa: S608 names are ours
                    freed.rows += db.execute(query, key).rowcount
        gone = True
        _remove_logs(store.side / "logs" / flow_id, run_id, freed)
    finally:
        lock.release(remove=gone)
    return True


def _remove_logs(folder: Path, run_id: str, freed: Freed) -> None:
    log, attempts = folder / f"{run_id}.jsonl", folder / run_id
    if attempts.is_dir():
        found = [path.stat().st_size for path in attempts.rglob("*") if path.is_file()]
        freed.files += len(found)
        freed.bytes += sum(found)
        durable.remove_tree(attempts)
    if log.exists():
        _remove_file(log, freed)


def _left_over(store: StateStore, flow_id: str) -> list[str]:
    """Runs that have logs or a lock file, and no row."""
    query = "SELECT run_id FROM runs WHERE flow_id=?"
    known = {row[0] for row in store.connection.execute(query, (flow_id,))}
    folders = (store.side / "logs" / flow_id, store.side / "runs" / flow_id)
    names = [path for folder in folders if folder.is_dir() for path in folder.iterdir()]
    found = {path.stem if path.suffix in (".jsonl", ".lock") else path.name for path in names}
    return sorted(found - known)


def _remove_unused(store: StateStore, freed: Freed) -> None:
    """Delete stored outputs and definitions that no row names.

    Only while no run is live, and inside write transactions: a run stores an output before it commits the row that
    names it, and cannot start while we write.
    """
    db, folder = store.connection, store.side / "blobs"
    while True:
        with durable.transaction(db, "delete unused"):
            if live_runs(db, store.path):
                freed.blobs_kept = True
                return
            used = {
                row[0]
                for row in db.execute(
                    "SELECT blob FROM job_runs WHERE blob IS NOT NULL UNION SELECT blob FROM step_runs "
                    "WHERE blob IS NOT NULL UNION SELECT items_blob FROM step_runs WHERE items_blob IS NOT NULL"
                )
            }
            freed.rows += db.execute(
                "DELETE FROM definitions WHERE hash NOT IN "
                "(SELECT def_hash FROM job_runs UNION SELECT def_hash FROM step_runs)"
            ).rowcount
            stored = [path for path in folder.rglob("*") if not path.is_dir()] if folder.is_dir() else []
            unused = sorted(path for path in stored if str(path.relative_to(folder)) not in used)
            for path in unused[:BLOBS_AT_ONCE]:
                _remove_file(path, freed)
        if len(unused) <= BLOBS_AT_ONCE:
            return


def _remove_file(path: Path, freed: Freed) -> None:
    freed.files += 1
    freed.bytes += path.stat().st_size
    durable.remove_file(path)
