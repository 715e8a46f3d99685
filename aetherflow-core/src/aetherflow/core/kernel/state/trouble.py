"""What state files say of some of their runs: how each stands, what went wrong in it, what persons did about it."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from aetherflow.core.base import durable
from aetherflow.core.kernel.state.acts import Act, acts_of
from aetherflow.core.kernel.state.family import Member
from aetherflow.core.kernel.state.history import PastRun, past_run, questions
from aetherflow.core.kernel.state.reading import read

_JOB = """SELECT job_id, error, error_code FROM job_runs WHERE flow_id=? AND run_id=?
    AND status IN ('UNKNOWN', 'FAILED', 'INTERRUPTED', 'RUNNING')
    ORDER BY status='UNKNOWN' DESC, status='FAILED' DESC, finished_at LIMIT 1"""
_STEP = """SELECT step_id, error FROM step_runs WHERE flow_id=? AND run_id=? AND job_id=? AND status IN
    ('FAILED', 'INTERRUPTED', 'RUNNING') ORDER BY step_id LIKE '%.%', started_at DESC, attempt DESC LIMIT 1"""
_MORE = """SELECT outermost,
    (SELECT count(*) FROM claims c WHERE c.flow_id=r.flow_id AND c.run_id=r.run_id AND c.state='open'),
    (SELECT c.job_id FROM claims c JOIN job_runs j USING (flow_id, run_id, job_id) WHERE c.flow_id=r.flow_id
    AND c.run_id=r.run_id AND c.state='lost' ORDER BY j.started_at, j.job_id LIMIT 1),
    r.part FROM runs r WHERE flow_id=? AND run_id=?"""
_ENDED = "SELECT job_id FROM job_runs WHERE flow_id=? AND run_id=? AND status IN ('SUCCESS', 'SKIPPED', 'BLOCKED')"


@dataclass(frozen=True, slots=True)
class Trouble:
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
    """As `questions` gives them."""
    undone: int = 0
    """So many of the jobs that it was asked for (`--flow-job`) have not ended, or not well."""


def trouble_of(state_path: Path, runs: Iterable[tuple[str, str]]) -> list[Trouble]:
    """For these runs (flow id, run id), without those that are not recorded; StateError as `read` raises it."""

    def select(db: durable.Database) -> list[Trouble]:
        found = (past_run(db, state_path, *key) for key in runs)
        return [_trouble(db, run) for run in found if run is not None]

    return read(state_path, select)


def worst_of(db: durable.Database, flow_id: str, run_id: str) -> tuple[str | None, str | None, str | None, str | None]:
    """What went wrong in a run that did not end well, as far as it is known: job, step, error and its code."""
    key = (flow_id, run_id)
    job, error, code = db.execute(_JOB, key).fetchone() or (None, None, None)
    step, own = db.execute(_STEP, (*key, job)).fetchone() or (None, None)
    return job, step, error or own, code


def _trouble(db: durable.Database, run: PastRun) -> Trouble:
    key = (run.flow_id, run.run_id)
    job, step, error, code = worst_of(db, *key)
    around, claims, lost_in, part = db.execute(_MORE, key).fetchone()
    ended = {job_id for (job_id,) in db.execute(_ENDED, key)} if part else set()
    undone = sum(job_id not in ended for job_id in json.loads(part or "[]"))
    outermost, acts, asks = Member.read(around) if around else None, acts_of(db, *key), tuple(questions(db, run))
    return Trouble(run, job, step, error, code, acts, outermost, claims, lost_in, asks, undone)
