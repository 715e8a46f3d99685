"""A person settles a run that ended badly: its claims become final, or are given back."""

from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from aetherflow.core.base.errors import RunBusyError, UsageError
from aetherflow.core.base.typed import typed_here
from aetherflow.core.kernel.state.records import now_ms
from aetherflow.core.kernel.state.transitions import Status
from aetherflow.core.kernel.state.unit import Unit
from aetherflow.core.records.acts import Act, Verb, acts_of, record_act, standing
from aetherflow.core.records.claims_end import count_open, end_claims, end_elsewhere
from aetherflow.core.records.family import family_of, lives
from aetherflow.core.records.folders import KeptFolder, release_folders
from aetherflow.core.records.migration import open_state
from aetherflow.core.records.run_lock import held

Answer = Literal["done", "abandoned"]


@dataclass(slots=True)
class Resolved:
    """What became of a run that is settled."""

    claims: int = 0
    """So many are final now, or given back; those of runs that its steps started among them."""
    before: Act | None = None
    """That a person had said so before; nothing was done."""
    released: list[KeptFolder] = field(default_factory=list)
    """Folders that were kept for claims, and may be removed now."""


def resolve(path: Path, flow_id: str, run_id: str, answer: Answer, *, actor: str, host: str, reason: str) -> Resolved:
    """Settle a run of a state file: `done` makes its claims final, `abandoned` gives them back. Repeatable.

    RunBusyError while it lives; UsageError if it is not known, ended well, or was settled the other way. StateError.
    """
    with closing(open_state(path)) as store, ExitStack() as stack:
        unit = Unit(store, flow_id, run_id)
        for member in sorted({unit.outermost, *family_of(unit.member)}):
            if lives(member):
                message = f"run {member.run_id} goes on; one that lives is not settled"
                raise RunBusyError(message, fix="wait for it, or stop it; then do the same again")
            stack.enter_context(held(member))
        before = standing(acts_of(store.connection, flow_id, run_id), Verb.RESOLVE, now_ms())
        if before is not None and before.value != answer:
            message = f"run {run_id} was resolved as {before.value} by {before.actor}: {before.reason}"
            raise UsageError(message, fix=f"only a resume opens it again: {typed_here('resume', run_id)}")
        if before is not None:
            return Resolved(before=before)
        return _settle(unit, answer, actor, host, reason)


def _settle(unit: Unit, answer: Answer, actor: str, host: str, reason: str) -> Resolved:
    family, found = family_of(unit.member), unit.store.find_run(unit.flow_id, unit.run_id)
    if found is None:
        raise UsageError(f"run {unit.run_id} of flow {unit.flow_id} is not recorded", fix=typed_here("runs", "list"))
    if found.status is Status.SUCCESS and not found.partial and not count_open(unit.db, unit.member):
        raise UsageError(
            f"run {unit.run_id} ended SUCCESS: there is nothing to resolve", fix=typed_here("claims", "list")
        )
    state, end = ("final" if answer == "done" else "lost"), Resolved()
    end.claims, kept = end_elsewhere(unit.member, family, state)
    here = [member for member in family if member.state == unit.member.state]
    with unit.transaction("resolve", check=False):
        end.claims += end_claims(unit.db, here, state)
        record_act(unit, Verb.RESOLVE, answer, actor=actor, host=host, reason=reason)
        kept += release_folders(unit.db, here) if answer == "done" else []
    end.released = kept
    return end
