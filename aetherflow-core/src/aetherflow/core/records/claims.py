"""Claims of a run: what it took from the world, final once the outermost run has ended well and whole.

A key has at most one open claim; the unique index of the table decides between two that come at once,
and what an attempt has read of the ledger has to be there still when its claims are committed.
A run that takes a claim over holds the lock of the run that had it, and that of the outermost run around that one,
while it commits; a resume looks for lost claims after it has its lock: so one of the two sees the other.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

from aetherflow.core.base.claim_errors import ClaimBusyError
from aetherflow.core.base.errors import RunBusyError
from aetherflow.core.base.typed import typed_anywhere
from aetherflow.core.contracts.handles import Claim
from aetherflow.core.kernel.state.member import Member
from aetherflow.core.kernel.state.records import Artifact, StepKey
from aetherflow.core.kernel.state.run_state import RunState
from aetherflow.core.kernel.state.sql import keys_from
from aetherflow.core.kernel.state.step_state import mark_of
from aetherflow.core.kernel.state.transitions import DONE_STEP, Status
from aetherflow.core.kernel.state.unit import Unit
from aetherflow.core.kernel.state.values import to_json
from aetherflow.core.records.amending import amend, hold
from aetherflow.core.records.claims_end import end_claims
from aetherflow.core.records.family import Family, family_of, is_executed, lives
from aetherflow.core.records.run_lock import held
from aetherflow.core.records.step_claims import StagedClaim, StepClaims, identity_of, told_of

_OPEN = (
    "SELECT c.key, c.value, c.run_id, c.identity, c.artifact, c.taken_from, c.job_id, c.step_id, c.item_key, "
    "r.status, r.host, r.heartbeat_at, r.outermost FROM claims AS c LEFT JOIN runs AS r USING (flow_id, run_id) "
    "WHERE c.flow_id=? AND c.namespace=? AND c.state='open' AND"
)
_INSERT = (
    "INSERT INTO claims (flow_id, namespace, key, run_id, value, job_id, step_id, item_key, state, identity, artifact, "
    "taken_from, at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'open', ?, ?, ?, ?) "
    "ON CONFLICT (flow_id, namespace, key, run_id) DO UPDATE SET value=excluded.value, job_id=excluded.job_id, "
    "step_id=excluded.step_id, item_key=excluded.item_key, state='open', identity=excluded.identity, "
    "artifact=excluded.artifact, taken_from=coalesce(excluded.taken_from, claims.taken_from), "
    "taken_by=NULL, at=excluded.at, ended_at=NULL"
)
_LOSE = (
    "UPDATE claims SET state='lost', taken_by=?, ended_at=? "
    "WHERE flow_id=? AND namespace=? AND key=? AND run_id=? AND state='open'"
)


class OpenClaim(NamedTuple):
    """An open claim as stored, and what is known of its run."""

    key: str
    value: str
    run_id: str
    identity: str
    artifact: str | None
    taken_from: str | None
    job_id: str
    step_id: str
    item_key: str
    status: str | None
    host: str | None
    heartbeat_at: int | None
    outermost: str | None

    @property
    def step(self) -> StepKey:
        """The step that claimed."""
        return StepKey(self.job_id, self.step_id, self.item_key)


class Claims:
    """The claims of one run, and those of other runs of its flow as it meets them."""

    def __init__(self, state: RunState) -> None:
        self._unit = state.unit
        self._steps = state.steps.latest

    # Reading

    def standing(self, namespace: str, prefix: str) -> dict[str, Any]:
        """Values of open claims that count for this run as if they were final.

        Its own, of steps that have ended well; those of runs of its family that have ended well.
        """
        look = _Look(self._unit)
        return {
            found.key: json.loads(found.value)
            for found in self._open(namespace, prefix)
            if (self._is_done(found) if found.run_id == self._unit.run_id else look.is_standing(found))
        }

    def own(self, namespace: str, prefix: str) -> dict[str, Claim]:
        """Open claims of this run."""
        mine = (found for found in self._open(namespace, prefix) if found.run_id == self._unit.run_id)
        return {found.key: _claim(found, alive=True) for found in mine}

    def others(self, namespace: str, prefix: str) -> dict[str, Claim]:
        """Open claims of other runs, but for those that count as this one's."""
        look = _Look(self._unit)
        found = [each for each in self._open(namespace, prefix) if each.run_id != self._unit.run_id]
        return {each.key: _claim(each, alive=look.lives(each)) for each in found if not look.is_standing(each)}

    def files(self) -> list[str]:
        """Files that the open claims of this run need."""
        query = "SELECT artifact FROM claims WHERE flow_id=? AND run_id=? AND state='open' AND artifact IS NOT NULL"
        rows = self._unit.db.execute(query, tuple(self._unit.key.values()))
        return [json.loads(text)["path"] for (text,) in rows]

    def holders(self) -> list[str]:
        """Runs of the flow that have open claims."""
        query = "SELECT DISTINCT run_id FROM claims WHERE flow_id=? AND state='open'"
        return [row[0] for row in self._unit.db.execute(query, (self._unit.flow_id,))]

    def artifact(self, namespace: str, claim: Claim) -> Artifact | None:
        """The file of an open claim as it was recorded with it."""
        query = "SELECT artifact FROM claims WHERE flow_id=? AND namespace=? AND key=? AND run_id=?"
        row = self._unit.db.execute(query, (self._unit.flow_id, namespace, claim.key, claim.run_id)).fetchone()
        return _artifact(row[0]) if row else None

    def stage(
        self, namespace: str, key: str, value: Any, artifact: Artifact | None, seen: Mapping[str, Mapping[str, str]]
    ) -> StagedClaim:
        """A claim that this run may make. ClaimBusyError if a run that lives holds the key.

        `seen` are the marks of what was read of the ledger, by the prefix that was asked for.
        """
        unit, look = self._unit, _Look(self._unit)
        before = next((found for found in self._open(namespace, key) if found.key == key), None)
        taken_from = None
        if before is not None and before.run_id != unit.run_id:
            if not look.is_standing(before) and look.lives(before):
                raise busy(namespace, key, before.run_id)
            taken_from = before.run_id
        identity = identity_of(unit.flow_id, namespace, key, value)
        read = next((seen[key[:n]] for n in range(len(key), -1, -1) if key[:n] in seen), None)
        mark = self._mark(namespace, key) if read is None else read.get(key)
        kept = None
        if before is not None and before.run_id == unit.run_id and self._is_done(before):
            # the same as before, but for its file: a later step has moved that, and what had taken it stays the same
            kept = before.step if json.loads(before.value) == value else None
        return StagedClaim(namespace, key, value, identity, artifact, taken_from, mark, kept)

    # Transitions

    def commit(self, key: StepKey, claims: StepClaims) -> list[StagedClaim]:
        """Commit what an attempt has staged; ClaimBusyError if another run was first. Returns what was committed."""
        staged = list(claims.staged.values())
        if staged:
            with self.taking(staged), self._unit.transaction("claims"):
                self.store(key, staged)
            claims.committed |= claims.staged
            claims.staged.clear()
        return staged

    @contextmanager
    def taking(self, staged: Iterable[StagedClaim]) -> Iterator[None]:
        """Hold the locks of the runs that claims are taken from, and of those around them; ClaimBusyError."""
        unit = self._unit
        query = "SELECT outermost FROM runs WHERE flow_id=? AND run_id=?"
        members: set[Member] = set()
        for run_id in {claim.taken_from for claim in staged if claim.taken_from}:
            members.add(Member.of(unit.store.path, unit.flow_id, run_id))
            rows = unit.db.execute(query, (unit.flow_id, run_id)).fetchall()
            members |= {Member.read(text) for (text,) in rows if text}
        with ExitStack() as stack:
            for member in sorted(members - {unit.outermost}):
                try:
                    stack.enter_context(held(member))
                except RunBusyError as error:
                    fix = "run it again once that run has ended"
                    raise ClaimBusyError(str(error), run_id=member.run_id, fix=fix) from error
            yield

    def store(self, key: StepKey, staged: Sequence[StagedClaim]) -> None:
        """Within a transaction, and `taking`: write claims of a step. ClaimBusyError if another run was first."""
        unit, at, befores = self._unit, self._unit.now_ms(), sorted({each.taken_from or "" for each in staged} - {""})
        for before in befores:
            hold(unit.db, unit.flow_id, before)
        for claim in staged:
            place = (unit.flow_id, claim.namespace, claim.key)
            lose = (unit.run_id, at, *place, claim.taken_from)
            is_left = not claim.taken_from or unit.db.execute(_LOSE, lose).rowcount
            artifact = to_json(claim.artifact._asdict()) if claim.artifact else None
            made = (claim.identity, artifact, claim.taken_from, at)
            row = (*place, unit.run_id, to_json(claim.value), *(claim.step or key), *made)
            # at most one open claim of a key; once it is this run's, no other one makes the key final
            if not is_left or not unit.db.attempt(_INSERT, row) or self._mark(*place[1:]) != claim.seen:
                raise busy(claim.namespace, claim.key, self._holder(claim))
        for told in told_of(staged):
            named = {"job": key.job, "step": key.step, "item": key.item or None}
            unit.journal("claimed", **named, **told)
            if (before := told["taken_over_from"]) is not None:
                lost = {"taken_over_by": unit.run_id, **{name: told[name] for name in ("ledger", "count", "keys")}}
                unit.journal_of(before, "claims_lost", lost)
        for before in befores:
            amend(unit.db, unit.flow_id, before)

    def is_own(self, identity: str) -> bool:
        """Whether this run has claimed what has this identity, and still has it, or has it for good."""
        query = "SELECT 1 FROM claims WHERE flow_id=? AND run_id=? AND identity=? AND state<>'lost'"
        return self._unit.db.execute(query, (*self._unit.key.values(), identity)).fetchone() is not None

    def settle(self, identities: Iterable[str]) -> None:
        """Within a transaction: open claims of this run become final, whatever becomes of it."""
        for identity in sorted(identities):
            end_claims(self._unit.db, [self._unit.member], "final", identity)
            self._unit.tail = None

    def forget_lost(self, key: StepKey) -> None:
        """Within the transaction that sets a step's result aside: what it had claimed in vain is no matter any more."""
        unit = self._unit
        query = "DELETE FROM claims WHERE flow_id=? AND run_id=? AND job_id=? AND step_id=? AND item_key=?"
        unit.db.execute(query + " AND state='lost'", (*unit.key.values(), *key))

    # Helpers

    def _open(self, namespace: str, prefix: str) -> list[OpenClaim]:
        keys, bounds = keys_from(prefix, "c.key")
        rows = self._unit.db.execute(f"{_OPEN} {keys} ORDER BY c.key", (self._unit.flow_id, namespace, *bounds))
        return [OpenClaim(*row) for row in rows]

    def _is_done(self, found: OpenClaim) -> bool:
        record = self._steps.get(found.step)
        return record is not None and record.status in DONE_STEP

    def _holder(self, claim: StagedClaim) -> str:
        """The run that was first."""
        query = "SELECT run_id FROM claims WHERE flow_id=? AND namespace=? AND key=? AND run_id<>? AND state<>'lost'"
        place = (self._unit.flow_id, claim.namespace, claim.key, self._unit.run_id)
        row = self._unit.db.execute(f"{query} ORDER BY at DESC LIMIT 1", place).fetchone()
        return row[0] if row else claim.taken_from or ""

    def _mark(self, namespace: str, key: str) -> str | None:
        query = "SELECT run_id, at FROM ledger WHERE flow_id=? AND namespace=? AND key=?"
        row = self._unit.db.execute(query, (self._unit.flow_id, namespace, key)).fetchone()
        return mark_of(*row) if row else None


class _Look:
    """What one look at claims finds out about their runs, each once."""

    def __init__(self, unit: Unit) -> None:
        self._unit = unit
        self._known: dict[str, bool] = {}
        self._family: Family | None = None

    def is_standing(self, found: OpenClaim) -> bool:
        """A run of this family that has ended well: what it claimed is as good as this run's own."""
        return self._is_related(found) and found.status == Status.SUCCESS and self._is_member(found.run_id)

    def lives(self, found: OpenClaim) -> bool:
        """Whether the run of a claim, or the run around it, is executed."""
        if (known := self._known.get(found.run_id)) is None:
            known = self._known[found.run_id] = self._lives(found)
        return known

    def _lives(self, found: OpenClaim) -> bool:
        unit = self._unit
        member = Member.of(unit.store.path, unit.flow_id, found.run_id)
        if is_executed(member, found.status, found.host, found.heartbeat_at, unit.now_ms()):
            return True
        if self._is_related(found):
            return self._is_member(found.run_id)
        return found.outermost is not None and lives(Member.read(found.outermost))

    def _is_related(self, found: OpenClaim) -> bool:
        return found.outermost == self._unit.outermost.text

    def _is_member(self, run_id: str) -> bool:
        unit = self._unit
        if self._family is None:
            self._family = family_of(unit.outermost)
        return Member.of(unit.store.path, unit.flow_id, run_id) in self._family


def busy(namespace: str, key: str, run_id: str) -> ClaimBusyError:
    """The error of a key that another run holds."""
    message = f"{key!r} of ledger {namespace} is claimed by run {run_id}"
    return ClaimBusyError(message, run_id=run_id, fix=f"wait for it: {typed_anywhere('runs', 'show', run_id)}")


def _claim(found: OpenClaim, *, alive: bool) -> Claim:
    artifact = _artifact(found.artifact)
    path = artifact.path if artifact else None
    return Claim(found.key, json.loads(found.value), found.run_id, found.identity, path, found.taken_from, alive)


def _artifact(text: str | None) -> Artifact | None:
    return Artifact(**json.loads(text)) if text else None
