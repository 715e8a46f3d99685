"""Ledgers as one attempt sees them: what it writes is staged for the transaction that ends it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aetherflow.core.base import durable
from aetherflow.core.base.claim_errors import ClaimedFileError
from aetherflow.core.base.errors import StepError
from aetherflow.core.base.typed import typed_anywhere
from aetherflow.core.contracts.handles import Claim
from aetherflow.core.contracts.running import EventSink
from aetherflow.core.kernel.sequencing.attempt import Attempt
from aetherflow.core.kernel.state.records import Artifact
from aetherflow.core.kernel.state.run_state import RunState
from aetherflow.core.kernel.state.values import json_safe
from aetherflow.core.records.claims import Claims
from aetherflow.core.records.step_claims import StagedClaim, StepClaims, told_of


class ReadLedger:
    """What can be read of a ledger, by a run or by one who only asks."""

    def __init__(self, name: str, state: RunState) -> None:
        self._name = name
        self._state = state.steps
        self._claims = Claims(state)

    def get(self, key: str, default: Any = None) -> Any:
        return self._stored(key).get(key, default)

    def scan(self, prefix: str = "") -> Mapping[str, Any]:
        return dict(sorted(self._stored(prefix).items()))

    def open_claims(self, prefix: str = "") -> Mapping[str, Claim]:
        return self._claims.others(self._name, prefix)

    def own_claims(self, prefix: str = "") -> Mapping[str, Claim]:
        return self._claims.own(self._name, prefix)

    def artifact_of(self, claim: Claim) -> Path:
        where = f"what run {claim.run_id} took as {claim.key!r}"
        done = typed_anywhere("runs", "resolve", claim.run_id, "--as", "done", "--reason", "TEXT")
        given_back = typed_anywhere("runs", "resolve", claim.run_id, "--as", "abandoned", "--reason", "TEXT")
        fix = f"put it back, or settle that run; if it was dealt with: {done}; else: {given_back}"
        artifact = self._claims.artifact(self._name, claim)
        if artifact is None:
            raise ClaimedFileError(f"{where} was recorded without a file", fix=fix)
        try:
            facts = durable.file_facts(Path(artifact.path))
        except OSError as error:
            raise ClaimedFileError(f"{where} is gone: {artifact.path}: {error.strerror}", fix=fix) from error
        if facts != (artifact.size, artifact.sha256):
            raise ClaimedFileError(f"{where} is not what that run left: {artifact.path}", fix=fix)
        return Path(artifact.path)

    def _stored(self, prefix: str) -> dict[str, Any]:
        found = {key: value for key, (value, _) in self._read(prefix).items()}
        return found | self._claims.standing(self._name, prefix)

    def _read(self, prefix: str) -> dict[str, tuple[Any, str]]:
        return self._state.entries(self._name, prefix)


class StagedLedger(ReadLedger):
    """The contract's `Ledger` for one attempt."""

    def __init__(self, name: str, run_id: str, state: RunState, attempt: Attempt, events: EventSink) -> None:
        super().__init__(name, state)
        self._run_id = run_id
        self._attempt = attempt
        self._control = attempt.control
        self._effects = attempt.effects
        self._own = StepClaims.of(attempt.effects)
        self._events = events

    def get(self, key: str, default: Any = None) -> Any:
        effects, place = self._effects, (self._name, key)
        if (claim := self._own.staged.get(place) or self._own.committed.get(place)) is not None:
            return claim.value
        return effects.ledger[place] if place in effects.ledger else super().get(key, default)

    def put(self, key: str, value: Any) -> None:
        self._control.check_open()
        self._effects.ledger[self._name, key] = self._safe(key, value)

    def put_fact(self, key: str, value: Any) -> None:
        self.put(key, value)
        self._effects.facts[self._name, key] = self._effects.ledger[self._name, key]

    def put_if_absent(self, key: str, value: Any) -> bool:
        missing = object()
        if self.get(key, missing) is not missing:
            return False
        self.put(key, value)
        return True

    def scan(self, prefix: str = "") -> Mapping[str, Any]:
        return dict(sorted({**self._stored(prefix), **self._staged(prefix)}.items()))

    def claim(self, key: str, value: Any, *, artifact: str | Path | None = None) -> Claim:
        self._control.check_open()
        file = None if artifact is None else self._artifact(str(artifact))
        seen = self._own.seen.get(self._name, {})
        staged = self._claims.stage(self._name, key, self._safe(key, value), file, seen)
        self._own.staged[self._name, key] = staged
        return self._of(staged)

    def commit_claims(self) -> None:
        self._control.check_open()
        key = self._attempt.key
        for told in told_of(self._claims.commit(key, self._own)):
            self._events.emit("claimed", job_id=key.job, step_id=key.step, item=key.item or None, **told)

    def settle(self, identity: str) -> bool:
        self._control.check_open()
        if found := self._claims.is_own(identity):
            self._own.settled.add(identity)
        return found

    def own_claims(self, prefix: str = "") -> Mapping[str, Claim]:
        staged = (self._of(claim) for claim in self._mine(prefix))
        return dict(sorted({**super().own_claims(prefix), **{claim.key: claim for claim in staged}}.items()))

    def _read(self, prefix: str) -> dict[str, tuple[Any, str]]:
        found = super()._read(prefix)
        self._own.seen.setdefault(self._name, {})[prefix] = {key: mark for key, (_, mark) in found.items()}
        return found

    def _safe(self, key: str, value: Any) -> Any:
        return json_safe(value, f"ledger {self._name}.{key}")

    def _mine(self, prefix: str) -> list[StagedClaim]:
        claims = {**self._own.committed, **self._own.staged}
        return [claim for (name, key), claim in claims.items() if name == self._name and key.startswith(prefix)]

    def _staged(self, prefix: str) -> dict[str, Any]:
        """What this attempt has written and claimed."""
        written = self._effects.ledger.items()
        found = {key: value for (name, key), value in written if name == self._name and key.startswith(prefix)}
        return found | {claim.key: claim.value for claim in self._mine(prefix)}

    def _of(self, staged: StagedClaim) -> Claim:
        path = staged.artifact.path if staged.artifact else None
        return Claim(staged.key, staged.value, self._run_id, staged.identity, path, staged.taken_from, alive=True)

    def _artifact(self, path: str) -> Artifact:
        """A file that this attempt, or an earlier step of the job, has recorded."""
        if (found := self._effects.artifacts.get(path)) is not None:
            return found
        stored = (each for each in self._state.artifacts(self._attempt.key.job) if each.path == path)
        if (old := next(stored, None)) is None:
            raise StepError(f"{path} is no artifact of this run", fix="record it before: ctx.artifact(path)")
        return Artifact(old.path, old.size, old.sha256)
