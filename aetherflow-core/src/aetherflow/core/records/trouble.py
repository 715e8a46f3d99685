"""What state files say of some of their runs: how each stands, what went wrong in it, what persons did about it."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from aetherflow.core.base import durable
from aetherflow.core.kernel.state.member import Member
from aetherflow.core.kernel.state.sql import among
from aetherflow.core.records.acts import Act, acts_of
from aetherflow.core.records.history import PastRun, past_runs
from aetherflow.core.records.questions import questions
from aetherflow.core.records.reading import read

_JOBS = """SELECT run_id, job_id, error, error_code FROM job_runs
    WHERE status IN ('UNKNOWN', 'FAILED', 'INTERRUPTED', 'RUNNING') AND flow_id=? AND run_id"""
_WORST_JOB = "ORDER BY status='UNKNOWN' DESC, status='FAILED' DESC, coalesce(finished_at, 0)"
_STEPS = """SELECT run_id, job_id, step_id, error FROM step_runs
    WHERE status IN ('FAILED', 'INTERRUPTED', 'RUNNING') AND flow_id=? AND run_id"""
_WORST_STEP = "ORDER BY step_id LIKE '%.%', started_at DESC, attempt DESC"
_MORE = """SELECT run_id, outermost,
    (SELECT count(*) FROM claims c WHERE c.flow_id=r.flow_id AND c.run_id=r.run_id AND c.state='open'),
    (SELECT c.job_id FROM claims c JOIN job_runs j USING (flow_id, run_id, job_id) WHERE c.flow_id=r.flow_id
    AND c.run_id=r.run_id AND c.state='lost' ORDER BY j.started_at, j.job_id LIMIT 1) FROM runs r
    WHERE flow_id=? AND run_id"""
_ENDED = """SELECT run_id, job_id FROM job_runs JOIN runs USING (flow_id, run_id) WHERE part IS NOT NULL
    AND job_runs.status IN ('SUCCESS', 'SKIPPED', 'BLOCKED') AND flow_id=? AND run_id"""
_Worst = tuple[str | None, str | None, str | None, str | None]


class Trouble(NamedTuple):
    """A run that did not end well, or has not ended."""

    run: PastRun
    job: str | None
    """The job that it is about, if there is one, with its step."""
    step: str | None
    error: str | None
    error_code: str | None
    acts: list[Act]
    outermost: Member | None
    """Of a run that a step started."""
    open_claims: int
    lost_in: str | None
    """The first job of which claims were taken over, or given back."""
    asks: tuple[tuple[str, str], ...] = ()
    """Steps that a person has to decide, as `questions` gives them."""
    undone: int = 0
    """So many of the jobs that it was asked for (`--flow-job`) have not ended, or not well."""


def trouble_of(state_path: Path, runs: Iterable[tuple[str, str]]) -> list[Trouble]:
    """For these runs (flow id, run id), without those that are not recorded; StateError as `read` raises it."""
    by_flow: dict[str, list[str]] = {}
    for flow_id, run_id in runs:
        by_flow.setdefault(flow_id, []).append(run_id)

    def select(db: durable.Database) -> list[Trouble]:
        return [each for flow_id, ids in by_flow.items() for each in _troubles(db, state_path, flow_id, ids)]

    return read(state_path, select)


def worst_of(db: durable.Database, flow_id: str, run_id: str) -> _Worst:
    """What went wrong in a run that did not end well, as far as it is known: job, step, error and its code."""
    return _worst(db, flow_id, [run_id]).get(run_id, (None, None, None, None))


def _worst(db: durable.Database, flow_id: str, run_ids: list[str]) -> dict[str, _Worst]:
    found: dict[str, _Worst] = {}
    for these, values in among(run_ids, flow_id):
        steps: dict[tuple[str, str], tuple[str, str | None]] = {}
        for run_id, job, step, own in db.execute(f"{_STEPS} {these} {_WORST_STEP}", values):
            steps.setdefault((run_id, job), (step, own))
        for run_id, job, error, code in db.execute(f"{_JOBS} {these} {_WORST_JOB}", values):
            step, own = steps.get((run_id, job), (None, None))
            found.setdefault(run_id, (job, step, error or own, code))
    return found


def _troubles(db: durable.Database, state_path: Path, flow_id: str, run_ids: list[str]) -> Iterator[Trouble]:
    """With a few statements for many runs: a server is far."""
    runs = past_runs(db, state_path, flow_id, run_ids)
    worst, asks = _worst(db, flow_id, run_ids), questions(db, flow_id, runs)
    more, ended, acts = dict[str, Any](), set[tuple[str, str]](), dict[str, list[Act]]()
    for these, values in among(run_ids, flow_id):
        more |= {run_id: rest for run_id, *rest in db.execute(f"{_MORE} {these}", values)}
        ended |= set(db.execute(f"{_ENDED} {these}", values))
    for act in acts_of(db, flow_id, *run_ids):
        acts.setdefault(act.run_id, []).append(act)
    for run in runs:
        job, step, error, code = worst.get(run.run_id, (None, None, None, None))
        around, claims, lost_in = more[run.run_id]
        undone = sum((run.run_id, job_id) not in ended for job_id in run.jobs)
        outermost, said = Member.read(around) if around else None, acts.get(run.run_id, [])
        yield Trouble(run, job, step, error, code, said, outermost, claims, lost_in, tuple(asks[run.run_id]), undone)
