"""The part of a run that records its claims: with the ends of its steps, and with its own end."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any

from aetherflow.core.base.errors import LostOwnershipError
from aetherflow.core.kernel.state.member import Member
from aetherflow.core.kernel.state.records import StepKey
from aetherflow.core.kernel.state.run_state import RunState
from aetherflow.core.kernel.state.unit import RunEnded, RunEvent, RunPart, StepDiscarded, StepEnded, Unit
from aetherflow.core.records.claims import Claims
from aetherflow.core.records.claims_end import (
    LostClaim,
    count_open,
    end_claims,
    end_elsewhere,
    has_claims,
    lost_claims,
)
from aetherflow.core.records.family import Family, family_of, has_started_runs
from aetherflow.core.records.folders import KeptFolder, release_folders
from aetherflow.core.records.step_claims import StepClaims, told_of


@dataclass(slots=True)
class ClaimsEnd:
    """The state of the claims of a run that has ended."""

    final: int = 0
    """So many are final now, those of runs inside it among them."""
    open: int = 0
    """So many of its own stay open."""
    released: list[KeptFolder] = field(default_factory=list)
    """Folders that were kept for claims, and may be removed now."""


class RunClaims(RunPart):
    """Records the claims of steps with their ends; those of a run that ends well and whole become final with it."""

    def __init__(self, state: RunState, claimed: Callable[[StepKey, Mapping[str, Any]], None]) -> None:
        """`claimed` is called with each entry about claims that the end of a step has committed."""
        self._claims = Claims(state)
        self._claimed = claimed
        self._family: Family = {}
        self.end = ClaimsEnd()

    def around(self, unit: Unit, event: RunEvent) -> AbstractContextManager[None] | None:
        """Hold the runs that claims are taken from; make claims final that stand in other files than the run."""
        if isinstance(event, StepEnded) and (staged := StepClaims.of(event.effects).staged):
            return self._taking(event.key, staged.values())
        if isinstance(event, RunEnded) and event.whole:
            self._end_elsewhere(unit)
        return None

    def apply(self, unit: Unit, event: RunEvent) -> None:
        """Write the claims of a step, or end those of the run. ClaimBusyError, LostOwnershipError."""
        match event:
            case StepEnded(key, effects):
                found = StepClaims.of(effects)
                if found.staged:
                    self._claims.store(key, list(found.staged.values()))
                if found.settled:
                    self._claims.settle(found.settled)
            case StepDiscarded(key):
                self._claims.forget_lost(key)
            case RunEnded(_, whole=True):
                _refuse_lost(unit, self._family)
                here = [each for each in self._family if each.state == unit.member.state and has_claims(unit.db, each)]
                self.end.final += end_claims(unit.db, here, "final")
                self.end.released += release_folders(unit.db, here)
            case RunEnded():
                self.end.open = count_open(unit.db, unit.member)

    @contextmanager
    def _taking(self, key: StepKey, staged: Iterable[Any]) -> Iterator[None]:
        with self._claims.taking(staged):
            yield
        for told in told_of(staged):
            self._claimed(key, told)

    def _end_elsewhere(self, unit: Unit) -> None:
        self._family = _family(unit)
        if len(self._family) > 1:
            with unit.transaction("claims of inner runs"):  # not for one that is not ours any more
                _refuse_lost(unit, self._family)
            self.end.final, self.end.released = end_elsewhere(unit.member, self._family, "final")


def lost_claims_of(unit: Unit) -> list[LostClaim]:
    """Claims of this run, or of one that a step of it started, that a run outside of these has now."""
    return lost_claims(unit.db, unit.member, _family(unit))


def _family(unit: Unit) -> Family:
    member: Member = unit.member
    return family_of(member) if has_started_runs(unit.db, member) else {member: None}


def _refuse_lost(unit: Unit, family: Family) -> None:
    if lost := lost_claims(unit.db, unit.member, family):
        raise LostOwnershipError(f"run {unit.run_id} has lost its claims to run {lost[0].taken_by}")
