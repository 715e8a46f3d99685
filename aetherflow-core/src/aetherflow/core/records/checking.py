"""Checking a state: the database, the consistency of its rows and, with `read_data`, stored outputs and files."""

import hashlib
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from aetherflow.core.base import durable
from aetherflow.core.base.errors import StateError
from aetherflow.core.kernel.state.blobs import Blobs, FileBlobs, TableBlobs
from aetherflow.core.kernel.state.schema import OF_SERVERS, TABLES
from aetherflow.core.kernel.state.transitions import JOB, RUN, STEP
from aetherflow.core.kernel.state.unusable import schema_of, unreadable
from aetherflow.core.records.history import side_of
from aetherflow.core.records.living import live_runs
from aetherflow.core.records.reading import read, read_any, read_store

_TABLES = [table.name for table in TABLES + OF_SERVERS]
DAMAGED = "the database is damaged"
_BLOBS = (
    "SELECT flow_id, run_id, blob, 'outputs of job ' || job_id FROM job_runs WHERE blob IS NOT NULL UNION ALL "
    "SELECT flow_id, run_id, blob, 'outputs of ' || job_id || '.' || step_id FROM step_runs WHERE blob IS NOT NULL "
    "UNION ALL SELECT flow_id, run_id, items_blob, 'items of ' || job_id || '.' || step_id FROM step_runs "
    "WHERE items_blob IS NOT NULL"
)
_RULES = {
    "a job without its run": (
        "SELECT flow_id, run_id, job_id FROM job_runs AS j WHERE NOT EXISTS "
        "(SELECT 1 FROM runs AS r WHERE r.flow_id=j.flow_id AND r.run_id=j.run_id)"
    ),
    "a step without its job": (
        "SELECT flow_id, run_id, job_id || '.' || step_id FROM step_runs AS s WHERE NOT EXISTS (SELECT 1 FROM job_runs "
        "AS j WHERE j.flow_id=s.flow_id AND j.run_id=s.run_id AND j.job_id=s.job_id)"
    ),
    "an artifact without its step": (
        "SELECT flow_id, run_id, path FROM artifacts AS a WHERE NOT EXISTS (SELECT 1 FROM step_runs AS s WHERE "
        "s.flow_id=a.flow_id AND s.run_id=a.run_id AND s.job_id=a.job_id AND s.step_id=a.step_id)"
    ),
    "a run that ended while a job of it is RUNNING": (
        "SELECT flow_id, run_id, job_id FROM job_runs JOIN runs USING (flow_id, run_id) "
        "WHERE job_runs.status='RUNNING' AND runs.status='SUCCESS'"
    ),
    "a job that ended well while a step of it is RUNNING": (
        "SELECT flow_id, run_id, job_id || '.' || step_id FROM step_runs JOIN job_runs USING (flow_id, run_id, job_id) "
        "WHERE step_runs.status='RUNNING' AND job_runs.status='SUCCESS'"
    ),
    "an open claim of a run that ended well": (
        "SELECT c.flow_id, c.run_id, c.namespace || ' ' || c.key FROM claims AS c JOIN runs USING (flow_id, run_id) "
        "WHERE c.state='open' AND status='SUCCESS' AND reason_code IS NULL AND outermost IS NULL"
    ),
    "a final claim that is not in its ledger": (
        "SELECT flow_id, run_id, namespace || ' ' || key FROM claims AS c WHERE state='final' AND NOT EXISTS (SELECT 1 "
        "FROM ledger AS l WHERE l.flow_id=c.flow_id AND l.namespace=c.namespace AND l.key=c.key)"
    ),
    "an open claim without its run": (
        "SELECT flow_id, run_id, namespace || ' ' || key FROM claims AS c WHERE state='open' AND NOT EXISTS "
        "(SELECT 1 FROM runs AS r WHERE r.flow_id=c.flow_id AND r.run_id=c.run_id)"
    ),
    "a key with two open claims": (
        "SELECT flow_id, min(run_id), namespace || ' ' || key FROM claims NOT INDEXED WHERE state='open' "
        "GROUP BY flow_id, namespace, key HAVING count(*) > 1"
    ),
    "an end without its time": (
        "SELECT flow_id, run_id, '' FROM runs WHERE status<>'RUNNING' AND finished_at IS NULL UNION ALL "
        "SELECT flow_id, run_id, job_id || '.' || step_id FROM step_runs "
        "WHERE status NOT IN ('RUNNING', 'DISCARDED') AND finished_at IS NULL"
    ),
}


@dataclass(frozen=True, slots=True)
class StateFinding:
    """One finding about a state file, and the row or file that it is about."""

    what: str
    where: str


@dataclass(frozen=True, slots=True)
class StateInfo:
    """Facts about a state file. Sizes in bytes, times in UTC epoch milliseconds."""

    path: str
    schema: int
    size: int
    wal_size: int
    blobs: int
    blobs_size: int
    logs_size: int
    rows: dict[str, int]
    flows: dict[str, int]
    """Flow id to its number of runs."""
    oldest: int | None
    newest: int | None
    live: list[str]
    """`flow/run` of running runs."""


def state_info(path: Path) -> StateInfo:
    """The facts about a state of the current schema; of one in a server the logs are this host's. StateError."""
    side, server = side_of(path), durable.server_at(path)
    logs = _sizes(side / "logs")
    real = durable.real_file(path)
    wal = real.with_name(real.name + "-wal")

    def select(db: durable.Database) -> StateInfo:
        if server is None:
            blobs = _sizes(side / "blobs")
        else:
            blobs = [row[0] for row in db.execute("SELECT length(data) FROM blobs")]
        known = db.tables()
        oldest, newest = db.execute("SELECT min(started_at), max(started_at) FROM runs").fetchone()
        return StateInfo(
            path=str(path),
            schema=db.schema_version(),
            size=path.stat().st_size if server is None else db.size(),
            wal_size=wal.stat().st_size if wal.exists() else 0,
            blobs=len(blobs),
            blobs_size=sum(blobs),
            logs_size=sum(logs),
            rows={name: db.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in _TABLES if name in known},  # noqa: S608
            flows=dict(db.execute("SELECT flow_id, count(*) FROM runs GROUP BY flow_id")),
            oldest=oldest,
            newest=newest,
            live=live_runs(db, path),
        )

    return read(path, select)


def check_state(path: Path, *, read_data: bool = False) -> list[StateFinding]:
    """The findings about a state file; with `read_data` every stored output and artifact is read, too.

    Raises StateError for a file that cannot be read, or has another schema.
    """
    in_file = durable.server_at(path) is None
    if in_file and (damage := _damage(path)):
        return damage
    found = read(path, lambda db: [*_statuses(db), *_consistency(db), *_definitions(db)])
    blobs = read(path, lambda db: db.execute(_BLOBS).fetchall())
    if in_file:
        found += _blobs(FileBlobs(side_of(path) / "blobs", ""), blobs, read_data)
    else:
        found += read(path, lambda db: list(_blobs(TableBlobs(db, ""), blobs, read_data)))
    if read_data:
        query = "SELECT flow_id || '/' || run_id, path, size, sha256 FROM artifacts WHERE gone_by IS NULL"
        found += list(_artifacts(read(path, lambda db: db.execute(query).fetchall())))
    return found


def _damage(path: Path) -> list[StateFinding]:
    try:
        found = read_any(path, lambda db: db.execute("PRAGMA integrity_check(20)").fetchall())
    except (sqlite3.Error, OSError) as error:
        raise unreadable(path, error) from error
    return [StateFinding(DAMAGED, str(row[0])) for row in found if row != ("ok",)]


def check_schema(path: Path) -> int:
    """The schema of a state file. Raises StateError for any other file."""
    try:
        version, tables = read_store(path, lambda db: (schema_of(db, path), db.tables()))
    except (sqlite3.Error, OSError) as error:
        raise unreadable(path, error) from error
    if version == 0 or "step_runs" not in tables:  # other stores have schemas of the same numbers
        raise StateError(f"{path} is no state file of AetherFlow", fix="name another file")
    return version


def _statuses(db: durable.Database) -> Iterator[StateFinding]:
    for table, legal in (("runs", RUN), ("job_runs", JOB), ("step_runs", STEP)):
        known = {str(status) for follow in legal.values() for status in follow}
        marks = ", ".join("?" * len(known))
        query = f"SELECT flow_id, run_id, status, count(*) FROM {table} WHERE status NOT IN ({marks}) GROUP BY 1, 2, 3"  # noqa: S608
        for flow_id, run_id, status, count in db.execute(query, sorted(known)):
            what = f"{count} rows of {table} have the status {status}, which they cannot have"
            yield StateFinding(what, f"{flow_id}/{run_id}")


def _consistency(db: durable.Database) -> Iterator[StateFinding]:
    for what, query in _RULES.items():
        for flow_id, run_id, name in db.execute(query):
            yield StateFinding(what, f"{flow_id}/{run_id}" + (f": {name}" if name else ""))


def _definitions(db: durable.Database) -> Iterator[StateFinding]:
    query = (  # an inner step, OUTER.ID, is part of the definition of its outer one
        "SELECT min(flow_id || '/' || run_id || ': ' || job_id || '.' || step_id) FROM step_runs "
        "WHERE def_hash<>'' AND step_id NOT LIKE '%.%' "
        "AND def_hash NOT IN (SELECT hash FROM definitions) GROUP BY def_hash"
    )
    for (where,) in db.execute(query):
        yield StateFinding("the definition of a step is not stored, so a change of it cannot be shown", where)


def _blobs(blobs: Blobs, rows: list[tuple[str, str, str, str]], read_data: bool) -> Iterator[StateFinding]:
    checked: dict[str, str] = {}
    for flow_id, run_id, name, what in rows:
        if name not in checked:
            checked[name] = _blob_problem(blobs, name, read_data)
        if checked[name]:
            yield StateFinding(checked[name], f"{flow_id}/{run_id}: {what}")


def _blob_problem(blobs: Blobs, name: str, read_data: bool) -> str:
    where = blobs.place(name)
    try:
        if not blobs.has(name):
            return f"the stored output {where} is missing"
        if read_data and hashlib.sha256(blobs.read(name)).hexdigest() != Path(name).name:
            return f"the stored output {where} is damaged"
    except OSError as error:
        return f"the stored output {where} cannot be read: {error}"
    return ""


def _artifacts(rows: list[tuple[str, str, int, str]]) -> Iterator[StateFinding]:
    for where, name, size, sha256 in rows:
        try:
            facts = durable.file_facts(Path(name))
        except FileNotFoundError:
            yield StateFinding("an artifact is gone, and nothing recorded removed it", f"{where}: {name}")
        except OSError as error:
            yield StateFinding(f"an artifact cannot be read: {error}", f"{where}: {name}")
        else:
            if facts != (size, sha256):
                yield StateFinding("an artifact is not what the step left", f"{where}: {name}")


def _sizes(folder: Path) -> list[int]:
    return [path.lstat().st_size for path in folder.rglob("*") if not path.is_dir()] if folder.is_dir() else []
