"""What persons did to a run that had ended: rows of `acts`, each with its entry in the journal.

An act stands until it is ended: by a later one of the same verb, by `until`, or by the run itself when it goes on.
"""

from enum import StrEnum
from typing import NamedTuple

from aetherflow.core.base import durable
from aetherflow.core.kernel.state.sql import among, insert
from aetherflow.core.kernel.state.unit import RunBegan, RunEvent, RunPart, Unit
from aetherflow.core.records.amending import amend, hold


class Verb(StrEnum):
    """What a person may do to a run that ended badly."""

    ACK = "ack"
    """Somebody has it in hand."""
    RESOLVE = "resolve"
    """It is settled outside of the run; the value says how: `done`, `abandoned`."""


class Act(NamedTuple):
    """A row of `acts`; times are UTC epoch milliseconds."""

    run_id: str
    verb: str
    value: str | None
    actor: str
    host: str
    reason: str
    until: int | None
    at: int
    ended_at: int | None
    ended_by: str | None

    def stands(self, at: int) -> bool:
        """Whether it counts at that time."""
        return self.ended_at is None and (self.until is None or self.until > at)


_COLUMNS = ", ".join(Act._fields)


def record_act(
    unit: Unit, verb: Verb, value: str | None, *, actor: str, host: str, reason: str, until: int | None = None
) -> None:
    """Write down an act, and end those of the same verb before it; in a transaction of the caller.

    The caller holds the run's lock, or has seen that the run has ended: `unit.transaction(..., check=False)`.
    """
    hold(unit.db, unit.flow_id, unit.run_id)
    _end(unit, f"verb='{verb}'", actor)
    given = {"verb": verb, "value": value, "actor": actor, "host": host, "reason": reason, "until": until}
    insert(unit.db, "acts", {**unit.key, **given, "at": unit.now_ms()})
    unit.journal(str(verb), **{name: given[name] for name in ("value", "actor", "host", "reason", "until")})
    amend(unit.db, unit.flow_id, unit.run_id)


class RunActs(RunPart):
    """The part of a run that ends the acts on it once it goes on: they were said of an end that counts no more."""

    def apply(self, unit: Unit, event: RunEvent) -> None:
        if isinstance(event, RunBegan) and event.resumed:
            _end(unit, "1=1", event.actor)


def acts_of(db: durable.Database, flow_id: str, *run_ids: str) -> list[Act]:
    """All acts on runs of a flow, of each the first one first."""
    query = f"SELECT {_COLUMNS} FROM acts WHERE flow_id=? AND run_id"  # noqa: S608 names are ours
    found = (db.execute(f"{query} {these} ORDER BY id", values) for these, values in among(run_ids, flow_id))
    return [Act(*row) for rows in found for row in rows]


def standing(acts: list[Act], verb: Verb, at: int) -> Act | None:
    """The latest act of a verb that counts at that time."""
    return next((act for act in reversed(acts) if act.verb == verb and act.stands(at)), None)


def _end(unit: Unit, condition: str, actor: str) -> None:
    query = f"UPDATE acts SET ended_at=?, ended_by=? WHERE flow_id=? AND run_id=? AND ended_at IS NULL AND {condition}"  # noqa: S608
    unit.db.execute(query, (unit.now_ms(), actor, *unit.key.values()))
