"""Deleting old runs: their rows, in one transaction per run, then their logs, stored outputs and lock file.

A crash in between leaves files without rows, which the next pruning removes. The ledger of a flow is kept: it records
what was loaded and delivered.
"""

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from aetherflow.core.base import durable
from aetherflow.core.base.errors import RunBusyError, StateError
from aetherflow.core.kernel.state.chain import add_head, append, hold, ledger_marks
from aetherflow.core.kernel.state.claims_end import any_open, count_open
from aetherflow.core.kernel.state.family import Member, family_of
from aetherflow.core.kernel.state.history import PastRun, list_runs
from aetherflow.core.kernel.state.ownership import RunLock, live_runs
from aetherflow.core.kernel.state.sql import keys_from
from aetherflow.core.kernel.state.store import StateStore
from aetherflow.core.kernel.state.transitions import Status
from aetherflow.core.kernel.state.values import to_json

FINISHED = frozenset({Status.SUCCESS, Status.FAILED})
"""Runs that ended by themselves; the others wait for somebody to go on with them."""
TABLES = ("journal", "artifacts", "claims", "acts", "outbox", "step_runs", "job_runs", "runs")


@dataclass(slots=True)
class Freed:
    """What a pruning removed, in numbers."""

    runs: list[PastRun] = field(default_factory=list)
    rows: int = 0
    files: int = 0
    bytes: int = 0
    busy: list[PastRun] = field(default_factory=list)
    """Runs that a process has resumed meanwhile, whether it goes on or has ended; they are kept."""


def doomed_runs(
    state_path: Path, flow_id: str, *, keep_last: int, before: int | None, include_unfinished: bool
) -> tuple[list[PastRun], list[PastRun]]:
    """The runs of a flow that may be deleted, and those that only their open claims keep, the oldest first.

    Those beyond the last `keep_last`, started before `before` (epoch milliseconds), and finished; never a running one,
    nor one with open claims, or with a run inside that has some: the run that takes them over needs what it left, and a
    person may have to settle it.
    """
    runs = [
        run
        for run in reversed(list_runs(state_path, flow_id=flow_id)[keep_last:])
        if (before is None or run.started_at < before)
        and (run.status in FINISHED or (include_unfinished and run.status != Status.RUNNING))
    ]
    claiming = {
        run.run_id
        for run in runs
        if (run.status != Status.SUCCESS or run.reason_code is not None or run.trigger == "flow")
        and any_open(family_of(Member.of(state_path, flow_id, run.run_id)))
    }
    return [run for run in runs if run.run_id not in claiming], [run for run in runs if run.run_id in claiming]


def prune(state_path: Path, flow_ids: Sequence[str], runs: Sequence[PastRun], done: Callable[[PastRun], None]) -> Freed:
    """Delete runs of a state file, and leftovers of earlier prunings of these flows; `done` is called for each run.

    Raises StateError.
    """
    freed = Freed()
    store = StateStore(state_path)
    try:
        for run in runs:
            if _remove_run(store, run.flow_id, run.run_id, freed, run.generation):
                freed.runs.append(run)
                done(run)
            else:
                freed.busy.append(run)
        for flow_id in flow_ids:
            for run_id in _left_over(store, flow_id):
                _remove_run(store, flow_id, run_id, freed)
        _remove_definitions(store, freed)
    except (sqlite3.Error, OSError) as error:
        raise StateError(f"state file {state_path}: {error}", fix="check the disk, then prune again") from error
    finally:
        store.close()
    return freed


def _remove_run(store: StateStore, flow_id: str, run_id: str, freed: Freed, generation: int | None = None) -> bool:
    """Delete a run, or without `generation` what is left of one, while holding its lock.

    False if a process executes it, or has resumed, removed or created it meanwhile.
    """
    lock: RunLock = store.run_lock(flow_id, run_id)
    try:
        lock.acquire(run_id)
    except RunBusyError:
        return False
    gone = False
    try:
        db, key = store.connection, (flow_id, run_id)
        found = store.find_run(*key)
        if (found.generation if found is not None else None) != generation:
            return False
        if found is not None:
            if count_open(db, Member(str(store.path), *key)):
                return False
            with durable.transaction(db, "delete run"):
                hold(db, *key)
                head, marks = "", ledger_marks(db, *key)
                if store.server is not None:
                    names, bounds = keys_from(f"{flow_id}/{run_id}/", "name")
                    freed.rows += db.execute(f"DELETE FROM blobs WHERE {names}", bounds).rowcount  # noqa: S608 ours
                for table in TABLES:
                    query = f"DELETE FROM {table} WHERE flow_id=? AND run_id=?"  # noqa: S608 names are ours
                    freed.rows += db.execute(query, key).rowcount
                for namespace, keys in marks.items():
                    detail = to_json({"ledger": namespace, "keys": keys})
                    head = append(db, *key, db.now_ms(), "ledger_kept", detail, tail=head)
                add_head(db, "pruned", *key, found.generation, head, "")
        gone = True
        for path in _files_of(store, flow_id, run_id):
            remove(path, freed)
    finally:
        lock.release(remove=gone)
    return True


def _files_of(store: StateStore, flow_id: str, run_id: str) -> tuple[Path, Path, Path]:
    """Paths of the run log, the logs of attempts and the stored outputs."""
    logs = store.side / "logs" / flow_id
    return logs / f"{run_id}.jsonl", logs / run_id, store.side / "blobs" / flow_id / run_id


def remove(path: Path, freed: Freed) -> None:
    """Delete a file or a folder, if it is there, and count what it held."""
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
    """Ids of runs that have files but no row."""
    query = "SELECT run_id FROM runs WHERE flow_id=?"
    known = {row[0] for row in store.connection.execute(query, (flow_id,))}
    folders = [store.side / kind / flow_id for kind in ("logs", "blobs", "runs")]
    names = [path for folder in folders if folder.is_dir() for path in folder.iterdir()]
    found = {path.stem if path.suffix in (".jsonl", ".lock") else path.name for path in names}
    return sorted(found - known)


def _remove_definitions(store: StateStore, freed: Freed) -> None:
    """Delete definitions that no row names; not while a run is live, since it will write rows."""
    with durable.transaction(store.connection, "delete definitions"):
        if not live_runs(store.connection, store.path):
            query = "SELECT def_hash FROM job_runs UNION SELECT def_hash FROM step_runs"
            freed.rows += store.connection.execute(f"DELETE FROM definitions WHERE hash NOT IN ({query})").rowcount  # noqa: S608
