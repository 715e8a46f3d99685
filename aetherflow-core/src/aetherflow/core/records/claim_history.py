"""Claims of the past: read-only queries over state files."""

import json
from pathlib import Path
from typing import Any, NamedTuple

from aetherflow.core.base import durable
from aetherflow.core.kernel.state.member import Member
from aetherflow.core.kernel.state.reasons import StateReason
from aetherflow.core.kernel.state.transitions import Status
from aetherflow.core.records.family import is_executed, lives
from aetherflow.core.records.reading import read

_QUERY = (
    "SELECT c.flow_id, c.namespace, c.key, c.run_id, c.value, c.job_id, c.step_id, c.item_key, c.state, c.identity, "
    "c.artifact, c.taken_from, c.at, c.ended_at, c.taken_by, "
    "EXISTS (SELECT 1 FROM runs AS l WHERE l.flow_id=r.flow_id AND l.status='SUCCESS' AND l.reason_code IS NULL "
    "AND l.started_at > coalesce(r.finished_at, r.heartbeat_at, r.started_at)), "
    "r.status, r.reason_code, r.host, r.heartbeat_at, r.outermost FROM claims AS c LEFT JOIN runs AS r "
    "USING (flow_id, run_id) WHERE (? IS NULL OR c.state=?) AND (? IS NULL OR c.flow_id=?) "
    "AND (? IS NULL OR c.run_id=?) ORDER BY c.at, c.flow_id, c.namespace, c.key"
)


class PastClaim(NamedTuple):
    """A claim as recorded; times are UTC epoch milliseconds."""

    state_path: str
    flow_id: str
    namespace: str
    key: str
    run_id: str
    value: Any
    job_id: str
    """Empty for what 1.0 took: it recorded no step."""
    step_id: str
    item_key: str
    state: str
    """It is `open`, `final` or `lost`."""
    identity: str | None
    artifact: str | None
    """Path of the file in which the run has what it took."""
    taken_from: str | None
    at: int
    ended_at: int | None
    taken_by: str | None
    """The run that took it over."""
    left: bool
    """Whether a run that began after its run had ended was SUCCESS: if it is open still, that left it alone."""
    run_status: str | None
    """INTERRUPTED too where the row says RUNNING and no process is left; None if the run is not recorded any more."""
    partial: bool
    """Whether its run ended well without some of its jobs."""
    alive: bool
    outermost: str | None
    """The run around its run in which it becomes final."""

    @property
    def in_vain(self) -> bool:
        """Whether 1.0 took it, for good, in a run that has never ended well."""
        return not self.job_id and not self.alive and (self.run_status != Status.SUCCESS or self.partial)


def list_claims(
    state_path: Path, state: str | None = None, *, flow_id: str | None = None, run_id: str | None = None
) -> list[PastClaim]:
    """Claims of a state file, all or those that are `open`, `final` or `lost`, the oldest first. StateError."""
    values = (state, state, flow_id, flow_id, run_id, run_id)

    def select(db: durable.Database) -> tuple[list[Any], int]:
        return db.execute(_QUERY, values).fetchall(), db.now_ms()

    known: dict[tuple[str, str], bool] = {}
    found = []
    rows, now = read(state_path, select)
    for *columns, taken_by, left, status, code, host, beat, around in rows:
        flow, namespace, key, run, value, job, step, item, is_now, identity, artifact, taken_from, at, ended = columns
        if (alive := known.get((flow, run))) is None:
            member = Member.of(state_path, flow, run)
            alive = is_executed(member, status, host, beat, now) or (around is not None and lives(Member.read(around)))
            known[flow, run] = alive
        if status == Status.RUNNING and not alive:
            status = Status.INTERRUPTED
        found.append(
            PastClaim(
                str(state_path), flow, namespace, key, run, json.loads(value), job, step, item, is_now, identity,
                json.loads(artifact)["path"] if artifact else None, taken_from, at, ended, taken_by, bool(left), status,
                code == StateReason.PARTIAL, alive, Member.read(around).run_id if around else None,
            )
        )  # fmt: skip
    return found


def taken_in_vain(state_path: Path) -> list[str]:
    """What 1.0 took for good in runs that never ended well, a line each: final, and for a person to judge."""
    return [
        f"1.0 took {claim.key!r} of ledger {claim.namespace} in run {claim.run_id} of flow {claim.flow_id}, which "
        "never ended well: it is final, and no run is offered it again; look whether it was worked up"
        for claim in list_claims(state_path, "final")
        if claim.in_vain
    ]
