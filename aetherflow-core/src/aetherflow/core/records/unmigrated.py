"""Runs of a state of an older schema that need attention, for commands that look and do not migrate."""

import sqlite3
from pathlib import Path
from typing import NamedTuple

from aetherflow.core.base import durable
from aetherflow.core.kernel.state.transitions import Status
from aetherflow.core.kernel.state.unusable import unreadable
from aetherflow.core.records.living import is_live
from aetherflow.core.records.reading import read_store

_RECORDED = (
    "coalesce((SELECT max(seq) FROM journal j WHERE j.flow_id={0}.flow_id AND j.run_id={0}.run_id "
    "AND event IN ('run_start', 'run_end')), 0)"
)
_ASKS = """EXISTS (SELECT 1 FROM step_runs t WHERE t.flow_id=r.flow_id AND t.run_id=r.run_id AND effect='once'
    AND status IN ('INTERRUPTED', 'RUNNING') AND NOT EXISTS (SELECT 1 FROM step_runs o WHERE o.flow_id=t.flow_id AND
    o.run_id=t.run_id AND o.job_id=t.job_id AND o.step_id=t.step_id AND o.item_key=t.item_key AND
    o.attempt>t.attempt))"""
_RESOLVED = f"""EXISTS (SELECT 1 FROM runs s WHERE s.flow_id=r.flow_id AND s.slot IS r.slot AND s.params=r.params AND
    s.status='SUCCESS' AND coalesce(s.reason, '') NOT LIKE 'without %'
    AND {_RECORDED.format("s")}>={_RECORDED.format("r")})"""  # noqa: S608 ours
_UNWELL = f"""SELECT flow_id, run_id, CASE WHEN {_ASKS} THEN 'UNKNOWN' ELSE status END AS now, status, host, {{0}},
    {{1}}, coalesce(finished_at, {{0}}, started_at) FROM runs r WHERE status<>'SUCCESS'
    AND (now='UNKNOWN' OR NOT {_RESOLVED}) ORDER BY started_at, flow_id, run_id"""  # noqa: S608 ours


class OlderRun(NamedTuple):
    """A run that has not succeeded, that no later run resolves, and that no process executes."""

    flow_id: str
    run_id: str
    status: str
    """UNKNOWN also where a step of effect `once` was interrupted."""
    parent: str | None
    last_seen: int


def unwell_in(path: Path) -> list[OlderRun]:
    """Return the runs of a state file of schema 1 or 2 that need attention, the oldest first. Raises StateError."""

    def select(db: durable.Database) -> list[OlderRun]:
        beat, parent = ("heartbeat_at", "parent") if db.schema_version() > 1 else ("NULL", "NULL")
        now = db.now_ms()
        return [
            OlderRun(flow_id, run_id, Status.INTERRUPTED if state == Status.RUNNING else state, parent_run, seen)
            for flow_id, run_id, state, stored, host, at, parent_run, seen in db.execute(_UNWELL.format(beat, parent))
            if stored != Status.RUNNING or not is_live(path, flow_id, run_id, host, at, now)
        ]

    try:
        return read_store(path, select)
    except (sqlite3.Error, OSError) as error:
        raise unreadable(path, error) from error
