"""Deleting old runs: their rows, in one transaction for many, then their logs, stored outputs and lock file.

A crash in between leaves files without rows, which the next pruning removes. The ledger of a flow is kept: it records
what was loaded and delivered.
"""

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from itertools import groupby, islice
from pathlib import Path

from aetherflow.core.base import durable
from aetherflow.core.base.errors import RunBusyError, StateError
from aetherflow.core.kernel.state.chain import add_head, append, hold, ledger_marks
from aetherflow.core.kernel.state.claims_end import any_open, count_open
from aetherflow.core.kernel.state.family import Member, family_of
from aetherflow.core.kernel.state.history import PastRun, list_runs
from aetherflow.core.kernel.state.ownership import RunLock, live_runs
from aetherflow.core.kernel.state.sql import among, keys_from
from aetherflow.core.kernel.state.store import StateStore
from aetherflow.core.kernel.state.transitions import Status
from aetherflow.core.kernel.state.values import to_json

FINISHED = frozenset({Status.SUCCESS, Status.FAILED})
"""Runs that ended by themselves; the others wait for somebody to go on with them."""
AT_ONCE = 200
"""Runs of a state file that are deleted in one transaction, with their locks held."""
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
    most = AT_ONCE if store.server is None else 1  # a lock in a server is a connection
    try:
        for flow_id, same in groupby(runs, lambda run: run.flow_id):
            while some := {run.run_id: run for run in islice(same, most)}:
                _remove_runs(
                    store, flow_id, {run_id: run.generation for run_id, run in some.items()}, freed, some, done
                )
        for flow_id in flow_ids:
            left = iter(_left_over(store, flow_id))
            while names := list(islice(left, most)):
                _remove_runs(store, flow_id, dict.fromkeys(names), freed, {}, done)
        _remove_definitions(store, freed)
    except (sqlite3.Error, OSError) as error:
        raise StateError(f"state file {state_path}: {error}", fix="check the disk, then prune again") from error
    finally:
        store.close()
    return freed


def _remove_runs(
    store: StateStore,
    flow_id: str,
    wanted: Mapping[str, int | None],
    freed: Freed,
    known: Mapping[str, PastRun],
    done: Callable[[PastRun], None],
) -> None:
    """Delete runs of a flow by their generations, or what is left of one without, while holding their locks.

    Those that a process executes, or has resumed, removed or created meanwhile, stay. Files go last, and are not
    synced: what a power cut brings back is removed by the next pruning.
    """
    locks = dict[str, RunLock]()
    with ExitStack() as held:
        for run_id, generation in wanted.items():
            lock = store.run_lock(flow_id, run_id)
            with suppress(RunBusyError):
                lock.acquire(run_id)
                held.callback(lock.release)
                if _may_go(store, flow_id, run_id, generation):
                    locks[run_id] = lock
        if known and locks:
            _remove_rows(store, flow_id, list(locks), wanted, freed)
        for run_id, run in known.items():
            if run_id in locks:
                freed.runs.append(run)
                done(run)
            else:
                freed.busy.append(run)
        for run_id, lock in locks.items():
            for path in _files_of(store, flow_id, run_id):
                remove(path, freed, sync=False)
            lock.release(remove=True)


def _may_go(store: StateStore, flow_id: str, run_id: str, generation: int | None) -> bool:
    if (found := store.find_run(flow_id, run_id)) is None:
        return generation is None
    return found.generation == generation and not count_open(store.connection, Member(str(store.path), flow_id, run_id))


def _remove_rows(
    store: StateStore, flow_id: str, run_ids: Sequence[str], generations: Mapping[str, int | None], freed: Freed
) -> None:
    db = store.connection
    with durable.transaction(db, "delete runs"):
        for run_id in run_ids:
            hold(db, flow_id, run_id)
        marks = ledger_marks(db, flow_id, run_ids)
        for run_id in run_ids if store.server is not None else ():
            names, bounds = keys_from(f"{flow_id}/{run_id}/", "name")
            freed.rows += db.execute(f"DELETE FROM blobs WHERE {names}", bounds).rowcount  # noqa: S608 ours
        for table in TABLES:
            for these, values in among(run_ids, flow_id):
                query = f"DELETE FROM {table} WHERE flow_id=? AND run_id {these}"  # noqa: S608 names are ours
                freed.rows += db.execute(query, values).rowcount
        for run_id in run_ids:
            head = ""
            for namespace, keys in marks.get(run_id, {}).items():
                detail = to_json({"ledger": namespace, "keys": keys})
                head = append(db, flow_id, run_id, db.now_ms(), "ledger_kept", detail, tail=head)
            add_head(db, "pruned", flow_id, run_id, generations[run_id] or 0, head, "")


def _files_of(store: StateStore, flow_id: str, run_id: str) -> tuple[Path, Path, Path]:
    """Paths of the run log, the logs of attempts and the stored outputs."""
    logs = store.side / "logs" / flow_id
    return logs / f"{run_id}.jsonl", logs / run_id, store.side / "blobs" / flow_id / run_id


def remove(path: Path, freed: Freed, *, sync: bool = True) -> None:
    """Delete a file or a folder, if it is there, and count what it held."""
    if path.is_dir():
        found = [each.stat().st_size for each in path.rglob("*") if each.is_file()]
        durable.remove_tree(path, sync=sync)
    elif path.exists():
        found = [path.stat().st_size]
        (durable.remove_file if sync else durable.remove_scratch)(path)
    else:
        return
    freed.files += len(found)
    freed.bytes += sum(found)


def _left_over(store: StateStore, flow_id: str) -> list[str]:
    """Ids of runs that have files but no row."""
    known = {row[0] for row in store.connection.execute("SELECT run_id FROM runs WHERE flow_id=?", (flow_id,))}
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
