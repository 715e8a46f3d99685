"""What runs ask persons: whether an interrupted step of effect `once` was done."""

from collections.abc import Sequence
from pathlib import Path

from aetherflow.core.base import durable
from aetherflow.core.kernel.state.sql import among
from aetherflow.core.kernel.state.transitions import Status
from aetherflow.core.records.history import PastRun
from aetherflow.core.records.reading import read


def open_questions(run: PastRun) -> list[str]:
    """`JOB.STEP` of interrupted `once` steps, about which a person has to decide; also those in which it was killed."""
    found = read(Path(run.state_path), lambda db: questions(db, run.flow_id, [run]))
    return list(dict.fromkeys(step for step, _ in found[run.run_id]))


def questions(db: durable.Database, flow_id: str, runs: Sequence[PastRun]) -> dict[str, list[tuple[str, str]]]:
    """The same for runs of a flow by their ids, each with its item, by name or number, or an empty text."""
    place = (  # of items, which are begun one after the other
        "(SELECT count(DISTINCT item_key) FROM step_runs o WHERE o.flow_id=s.flow_id AND o.run_id=s.run_id AND "
        "o.job_id=s.job_id AND o.step_id=s.step_id AND o.item_key<>'' AND o.started_at<=s.started_at)"
    )
    name = f"CASE item_key WHEN '' THEN '' ELSE coalesce(label, 'item ' || {place}) END"
    query = (
        f"SELECT run_id, job_id, step_id, {name}, status FROM step_runs s WHERE effect='once' "  # noqa: S608 names are ours
        "AND status IN ('INTERRUPTED', 'RUNNING') AND NOT EXISTS (SELECT 1 FROM step_runs o WHERE o.flow_id=s.flow_id "
        "AND o.run_id=s.run_id AND o.job_id=s.job_id AND o.step_id=s.step_id AND o.item_key=s.item_key "
        "AND o.attempt>s.attempt) AND flow_id=? AND run_id"
    )
    found: dict[str, list[tuple[str, str]]] = {run.run_id: [] for run in runs}
    alive = {run.run_id for run in runs if run.status == Status.RUNNING}
    for these, values in among(found, flow_id):
        for run_id, job, step, item, status in db.execute(
            f"{query} {these} ORDER BY job_id, step_id, item_key", values
        ):
            if status == Status.INTERRUPTED or run_id not in alive:
                found[run_id].append((f"{job}.{step}", item))
    return found
