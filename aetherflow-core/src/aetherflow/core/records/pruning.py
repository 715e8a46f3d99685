"""Deleting old runs: their rows, in one transaction for many, then their logs, stored outputs and lock file.

A crash in between leaves files without rows, which the next pruning removes. The ledger of a flow is kept: it records
what was loaded and delivered. Never more runs are in memory than go at once.
"""

import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path

from aetherflow.core.base import durable
from aetherflow.core.base.errors import RunBusyError, StateError
from aetherflow.core.kernel.state.chain import add_heads, append, ledger_mark
from aetherflow.core.kernel.state.member import Member
from aetherflow.core.kernel.state.ownership import RunLock
from aetherflow.core.kernel.state.schema import TABLES
from aetherflow.core.kernel.state.sql import among, keys_from
from aetherflow.core.kernel.state.store import StateStore
from aetherflow.core.kernel.state.transitions import Status
from aetherflow.core.kernel.state.values import to_json
from aetherflow.core.records.claims_end import claiming, open_among
from aetherflow.core.records.history import BY_START, NEWEST_FIRST, PastRun, past_runs
from aetherflow.core.records.living import live_runs
from aetherflow.core.records.migration import open_state
from aetherflow.core.records.reading import read
from aetherflow.core.records.run_lease import owned_for_now

FINISHED = frozenset({Status.SUCCESS, Status.FAILED})
"""Runs that ended by themselves; the others wait for somebody to go on with them."""
PAGE = 200
"""Runs that are looked at, and deleted in one transaction with their locks held, at once."""
_OF_RUNS = [table.name for table in reversed(TABLES) if table.of_run]

_NEVER = 1 << 62
_FOLLOWING = f"""SELECT run_id FROM runs {BY_START} WHERE flow_id=? AND started_at>=? AND started_at<=? AND started_at<?
    AND (started_at>? OR run_id>?) AND (started_at<? OR run_id<=?) ORDER BY started_at, flow_id, run_id LIMIT ?"""  # noqa: S608 ours


@dataclass(slots=True)
class Freed:
    """The runs that were removed at once, and numbers of rows, files and bytes."""

    runs: list[PastRun] = field(default_factory=list)
    rows: int = 0
    files: int = 0
    bytes: int = 0
    busy: list[PastRun] = field(default_factory=list)
    """Runs that a process has resumed meanwhile, whether it goes on or has ended; they are kept."""

    def clear(self, folder: Path, names: Iterable[str], *, sync: bool = True) -> None:
        """Delete files and folders of these names in a folder, and count them."""
        files, size = durable.clear(folder, names, sync=sync)
        self.files, self.bytes = self.files + files, self.bytes + size


def oldest_runs(
    state_path: Path, flow_id: str, *, keep_last: int = 0, before: int | None = None
) -> Iterator[list[PastRun]]:
    """Runs of a flow, the oldest first, but for its last `keep_last`; each page is read when it is asked for.

    Those that were started before `before` (epoch milliseconds), and none that starts later. Raises StateError.
    """
    query = f"SELECT started_at, run_id FROM runs {BY_START} WHERE flow_id=? ORDER BY {NEWEST_FIRST} LIMIT 1 OFFSET ?"  # noqa: S608
    limit, at, run_id, last, full = _NEVER if before is None else before, -_NEVER, "", (-_NEVER, ""), True

    def select(db: durable.Database) -> list[PastRun]:
        nonlocal last
        last = last if run_id else db.execute(query, (flow_id, keep_last)).fetchone() or last
        ids = [each for (each,) in db.execute(_FOLLOWING, (flow_id, at, last[0], limit, at, run_id, *last, PAGE))]
        return sorted(past_runs(db, state_path, flow_id, ids), key=lambda run: (run.started_at, run.run_id))

    while full and (found := read(state_path, select)):
        full, at, run_id = len(found) == PAGE, found[-1].started_at, found[-1].run_id
        yield found


def doomed_runs(
    state_path: Path, flow_id: str, keep_last: int, before: int | None, *, include_unfinished: bool
) -> Iterator[tuple[list[PastRun], list[PastRun]]]:
    """The runs of a flow that may be deleted, and those that only their open claims keep, page by page.

    The oldest first: those beyond the last `keep_last`, started before `before` (epoch milliseconds), and finished;
    never a running one, nor one with open claims, or with a run inside that has some: the run that takes them over
    needs what it left, and a person may have to settle it.
    """
    for page in oldest_runs(state_path, flow_id, keep_last=keep_last, before=before):
        runs = [run for run in page if run.status in FINISHED or (include_unfinished and run.status != Status.RUNNING)]
        held = claiming_among(state_path, runs)
        yield [run for run in runs if run.run_id not in held], [run for run in runs if run.run_id in held]


def claiming_among(state_path: Path, runs: Iterable[PastRun]) -> set[str]:
    """Ids of those runs of one flow of a state that have open claims, or a run inside that has some."""
    doubtful = [(run.flow_id, run.run_id) for run in runs if run.may_claim]
    state = Member.of(state_path, "", "").state
    return {each.run_id for each in claiming(Member(state, *key) for key in doubtful)}


def prune(state_path: Path, flows: Iterable[tuple[str, Iterable[Sequence[PastRun]]]]) -> Iterator[Freed]:
    """Delete runs of a state, page by page of each flow; gives what went with each page.

    Then what earlier prunings of these flows left. Raises StateError.
    """
    store: StateStore | None = None
    try:
        for flow_id, pages in flows:
            for page in filter(None, pages):
                store = store or open_state(state_path)  # a state that cannot be read is not opened to be changed
                freed = Freed()
                try:
                    with _named(state_path):
                        _remove_runs(store, flow_id, page, freed)
                finally:  # also where a file could not be removed: the rows are gone
                    yield freed
            store = store or open_state(state_path)
            with _named(state_path):
                yield from _remove_left_over(store, flow_id)
        if store is not None:
            with _named(state_path):
                yield Freed(rows=_remove_definitions(store))
    finally:
        if store is not None:
            store.close()


@contextmanager
def _named(state_path: Path) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise StateError(f"state file {state_path}: {error}", fix="check the disk, then prune again") from error


def _remove_runs(store: StateStore, flow_id: str, runs: Sequence[PastRun], freed: Freed) -> None:
    """Delete runs of a flow, of which those stay that a process executes, or has resumed, removed or created since."""
    with held_here(store.path, flow_id, sorted(run.run_id for run in runs)) as locks:
        wanted = {run.run_id: run.generation for run in runs if run.run_id in locks}
        delete = partial(_remove_rows, store, flow_id, wanted, locks)
        gone, freed.rows = durable.write(store.connection, "delete runs", delete) if locks else (set[str](), 0)
        for run in runs:
            (freed.runs if run.run_id in gone else freed.busy).append(run)
        _remove_files(store, flow_id, gone, freed)


@contextmanager
def held_here(state_path: Path, flow_id: str, run_ids: Iterable[str]) -> Iterator[dict[str, RunLock]]:
    """Hold the kernel locks of runs of a flow; gives those of the runs that no process of this host executes."""
    locks, folder = dict[str, RunLock](), durable.side_folder(state_path) / "runs" / flow_id
    with ExitStack() as held:
        for run_id in run_ids:
            lock = RunLock(folder / f"{run_id}.lock")
            with suppress(RunBusyError):
                lock.acquire(run_id)
                held.callback(lock.release)
                locks[run_id] = lock
        yield locks


def _remove_rows(
    store: StateStore, flow_id: str, wanted: Mapping[str, int | None], locks: Mapping[str, RunLock]
) -> tuple[set[str], int]:
    """Within a transaction: delete the rows of runs that are of these generations, None: that have no row.

    Returns which of them nobody has any more, and how many rows.
    """
    db, generations = store.connection, dict[str, int]()
    db.await_turn("heads")  # so that nobody changes a run that has ended
    with owned_for_now(db, flow_id, locks) if store.server is not None else nullcontext(set(wanted)) as free:
        for these, values in among(sorted(free), flow_id):
            query = f"SELECT run_id, generation FROM runs WHERE flow_id=? AND run_id {these}{db.row_lock}"  # noqa: S608
            generations.update(db.execute(query, values))
        held = {each.run_id for each in open_among((Member("", flow_id, run_id) for run_id in free), db)}
        gone = {run_id for run_id in free if generations.get(run_id) == wanted[run_id]} - held
        known = {run_id: generations[run_id] for run_id in sorted(gone) if run_id in generations}
        return gone, _delete(store, flow_id, known) if known else 0


def _delete(store: StateStore, flow_id: str, runs: Mapping[str, int]) -> int:
    db, done = store.connection, list[durable.StoreRows]()
    if store.server is not None:
        ranges = [keys_from(f"{flow_id}/{run_id}/", "name") for run_id in runs]
        names, bounds = " OR ".join(names for names, _ in ranges), [bound for _, both in ranges for bound in both]
        done.append(db.execute(f"DELETE FROM blobs WHERE {names}", bounds))  # noqa: S608 names are ours
    for table in _OF_RUNS:
        for these, values in among(runs, flow_id):
            done.append(db.execute(f"DELETE FROM {table} WHERE flow_id=? AND run_id {these}", values))  # noqa: S608
    heads = dict.fromkeys(runs, "")
    for run_id, marks in ledger_marks(db, flow_id, runs).items():
        for namespace, keys in marks.items():
            detail = to_json({"ledger": namespace, "keys": keys})
            heads[run_id] = append(db, flow_id, run_id, db.now_ms(), "ledger_kept", detail, tail=heads[run_id])
    add_heads(db, "pruned", flow_id, [(run_id, at, heads[run_id], "") for run_id, at in runs.items()])
    return sum(each.rowcount for each in done)


def _remove_files(store: StateStore, flow_id: str, gone: Iterable[str], freed: Freed) -> None:
    """Remove the files of runs that have no rows, those of their locks, which are held, last.

    Not synced: what a power cut brings back goes with the next pruning.
    """
    ids = sorted(gone)
    logs = [name for run_id in ids for name in (f"{run_id}.jsonl", run_id)]  # of the run, and of its attempts
    freed.clear(store.side / "logs" / flow_id, logs, sync=False)
    freed.clear(store.side / "blobs" / flow_id, ids, sync=False)
    durable.clear(store.side / "runs" / flow_id, [f"{run_id}.lock" for run_id in ids], sync=False)


def _remove_left_over(store: StateStore, flow_id: str) -> Iterator[Freed]:
    """Remove the files of runs that have no rows."""
    folders = [store.side / kind / flow_id for kind in ("logs", "blobs", "runs")]
    names = (each.name for folder in folders if folder.is_dir() for each in os.scandir(folder))
    ids = (name.rpartition(".")[0] if name.endswith((".jsonl", ".lock")) else name for name in names)
    query = "SELECT run_id FROM runs WHERE flow_id=? AND run_id"
    while some := set(islice(ids, PAGE)):
        for these, values in among(some, flow_id):
            some = some.difference(run_id for (run_id,) in store.connection.execute(f"{query} {these}", values))
        with held_here(store.path, flow_id, sorted(some)) as locks:
            delete = partial(_remove_rows, store, flow_id, dict.fromkeys(locks), locks)
            gone, _ = durable.write(store.connection, "own runs", delete) if locks else (set[str](), 0)
            _remove_files(store, flow_id, gone, freed := Freed())
        yield freed


def _remove_definitions(store: StateStore) -> int:
    """Delete definitions that no row names; not while a run is live, since it will write rows."""
    with durable.transaction(store.connection, "delete definitions"):
        if live_runs(store.connection, store.path):
            return 0
        query = "SELECT def_hash FROM job_runs UNION SELECT def_hash FROM step_runs"
        return store.connection.execute(f"DELETE FROM definitions WHERE hash NOT IN ({query})").rowcount  # noqa: S608 ours


def ledger_marks(db: durable.Database, flow_id: str, run_ids: Iterable[str]) -> dict[str, dict[str, dict[str, str]]]:
    """What stands in the ledgers from some runs of a flow: by run and ledger, the marks of its keys."""
    found: dict[str, dict[str, dict[str, str]]] = {}
    query = "SELECT run_id, namespace, key, value, at FROM ledger WHERE flow_id=? AND run_id"
    for these, values in among(run_ids, flow_id):
        for run_id, namespace, key, value, at in db.execute(f"{query} {these} ORDER BY namespace, key", values):
            found.setdefault(run_id, {}).setdefault(namespace, {})[key] = ledger_mark(value, at)
    return found
