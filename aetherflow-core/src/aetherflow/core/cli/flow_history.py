"""The last runs of every flow, for the page of `status`: how each ended, how long it took, how many rows it moved."""

import json
import sqlite3
from collections.abc import Collection
from pathlib import Path
from typing import Any

from aetherflow.core.base import durable
from aetherflow.core.base.errors import StateError
from aetherflow.core.records import registry
from aetherflow.core.records.reading import read

LAST = 30
FlowPlace = tuple[str, str]
"""Flow id and state file."""
Runs = list[dict[str, Any]]
"""Run id, status, started_at, duration_ms and rows of each."""
_RUNS = """SELECT flow_id, state_path, run_id, status, started_at, ended_at FROM (
    SELECT *, row_number() OVER (PARTITION BY flow_id, state_path ORDER BY started_at DESC, run_id) AS place FROM runs)
    WHERE place<=? ORDER BY started_at, run_id"""


def last_runs(root: Path, flows: Collection[FlowPlace], running: Collection[FlowPlace]) -> dict[FlowPlace, Runs]:
    """The last runs of these flows, the oldest first.

    `running` are flow id and run id of those that a process executes: of the others, one that the registry calls
    RUNNING was interrupted.
    """
    rows = registry.look(root, lambda db: db.execute(_RUNS, (LAST,)).fetchall())
    found: dict[FlowPlace, Runs] = {}
    for flow_id, state_path, run_id, status, started_at, ended_at in rows:
        if (flow_id, state_path) not in flows:
            continue
        if status == "RUNNING" and (flow_id, run_id) not in running:
            status = "INTERRUPTED"
        took = ended_at - started_at if ended_at else None
        run = {"run_id": run_id, "status": status, "started_at": started_at, "duration_ms": took, "rows": None}
        found.setdefault((flow_id, state_path), []).append(run)
    for (flow_id, state_path), runs in found.items():
        moved = _rows(Path(state_path), flow_id, [run["run_id"] for run in runs])
        for run in runs:
            run["rows"] = moved.get(run["run_id"])
    return found


def _rows(state_path: Path, flow_id: str, run_ids: list[str]) -> dict[str, int]:
    """Run id to the largest number of `rows` that one of its steps has returned; none of a state that is unreadable."""
    marks = ", ".join("?" * len(run_ids))
    query = f"""SELECT run_id, outputs FROM step_runs WHERE flow_id=? AND run_id IN ({marks}) AND status='SUCCESS'
        AND outputs LIKE '%"rows":%'"""  # noqa: S608 marks only
    try:
        rows = read(state_path, lambda db: _all(db, query, (flow_id, *run_ids)))
    except (StateError, sqlite3.Error, OSError):
        return {}
    found: dict[str, int] = {}
    for run_id, text in rows:
        number = json.loads(text).get("rows")
        if isinstance(number, int) and not isinstance(number, bool):
            found[run_id] = max(number, found.get(run_id, 0))
    return found


def _all(db: durable.Database, query: str, values: tuple[str, ...]) -> list[Any]:
    return db.execute(query, values).fetchall()
