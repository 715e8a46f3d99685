"""How claims end: final with the outermost run, given back by a person, or lost to a run that took them over."""

from collections.abc import Iterable, Mapping
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import NamedTuple

from aetherflow.core.base import durable
from aetherflow.core.kernel.state.chain import append
from aetherflow.core.kernel.state.member import Member
from aetherflow.core.kernel.state.records import StepKey
from aetherflow.core.kernel.state.sql import among
from aetherflow.core.kernel.state.values import to_json
from aetherflow.core.records.amending import amend, hold
from aetherflow.core.records.family import Family, by_flow, families_of, holds_claims
from aetherflow.core.records.folders import KeptFolder, release_folders
from aetherflow.core.records.migration import open_state
from aetherflow.core.records.reading import read

_FINAL = (
    "INSERT INTO ledger (flow_id, namespace, key, value, run_id, at) "
    "SELECT flow_id, namespace, key, value, run_id, ? FROM claims WHERE flow_id=? AND run_id=? AND state='open'"
)
_REPLACE = (
    " ON CONFLICT (flow_id, namespace, key) DO UPDATE SET value=excluded.value, run_id=excluded.run_id, at=excluded.at"
)
_END = "UPDATE claims SET state=?, ended_at=? WHERE flow_id=? AND run_id=? AND state='open'"
_ONE = " AND identity=?"
_LOST = (
    "SELECT namespace, key, job_id, step_id, item_key, taken_by FROM claims "
    "WHERE flow_id=? AND run_id=? AND state='lost' ORDER BY namespace, key"
)


class LostClaim(NamedTuple):
    """A claim that its run does not have any more."""

    member: Member
    step: StepKey
    """That of the outermost run which led to it."""
    namespace: str
    key: str
    taken_by: str | None
    """None if a person gave it back."""


def count_open(db: durable.Database, member: Member) -> int:
    """How many claims of a run are open."""
    query = "SELECT count(*) FROM claims WHERE flow_id=? AND run_id=? AND state='open'"
    return int(db.execute(query, (member.flow_id, member.run_id)).fetchone()[0])


def has_claims(db: durable.Database, member: Member) -> bool:
    """Whether a run has claimed anything, whatever became of it."""
    query = "SELECT 1 FROM claims WHERE flow_id=? AND run_id=? LIMIT 1"
    return db.execute(query, (member.flow_id, member.run_id)).fetchone() is not None


def claiming(outermost: Iterable[Member]) -> set[Member]:
    """Those of the runs that have open claims, or a run inside that has some. StateError for a file that is unread."""
    families, found = families_of(outermost), set[Member]()
    members = {member for family in families.values() for member in family}
    for path in sorted({member.state for member in members}):
        if holds_claims(path):
            found |= read(Path(path), partial(open_among, [member for member in members if member.state == path]))
    return {each for each, family in families.items() if not found.isdisjoint(family)}


def open_among(members: Iterable[Member], db: durable.Database) -> set[Member]:
    """Those of the runs, all of this state, that have open claims."""
    query, found = "SELECT DISTINCT run_id FROM claims WHERE state='open' AND flow_id=? AND run_id", set[Member]()
    for flow_id, same in by_flow(members).items():
        for these, values in among(same, flow_id):
            found |= {same[run_id] for (run_id,) in db.execute(f"{query} {these}", values)}
    return found


def end_claims(db: durable.Database, members: Iterable[Member], state: str, identity: str | None = None) -> int:
    """Within a transaction: the open claims of runs of this file, or one of them, become `final`, or `lost`.

    What is final stands in the ledger.
    """
    total, at = 0, db.now_ms()
    one, named = ("", ()) if identity is None else (_ONE, (identity,))
    for member in members:
        key = (member.flow_id, member.run_id)
        hold(db, *key)
        if state == "final":
            db.execute(_FINAL + one + _REPLACE, (at, *key, *named))
        if count := db.execute(_END + one, (state, at, *key, *named)).rowcount:
            append(db, *key, at, f"claims_{state}", to_json({"count": count}))
            amend(db, *key)
        total += count
    return total


def end_elsewhere(outermost: Member, family: Family, state: str) -> tuple[int, list[KeptFolder]]:
    """The same for all runs of a family that stand in other files than the outermost, each file by itself.

    Before that is done for the outermost: what ends in between leaves a run that is not good yet, and is done again.
    """
    total, kept = 0, list[KeptFolder]()
    for path in sorted({member.state for member in family} - {outermost.state}):
        if holds_claims(path):
            members = [member for member in family if member.state == path]
            with closing(open_state(Path(path))) as store, durable.transaction(store.connection, f"claims {state}"):
                total += end_claims(store.connection, members, state)
                kept += release_folders(store.connection, members) if state == "final" else []
    return total, kept


def lost_claims(db: durable.Database, outermost: Member, family: Family) -> list[LostClaim]:
    """What the runs of a family have lost to runs outside of it; `db` is the file of the outermost."""
    found: list[LostClaim] = []
    for path in dict.fromkeys(member.state for member in family):
        members = {member: step for member, step in family.items() if member.state == path}
        if path == outermost.state:
            found += _lost(members, family, db)
        elif holds_claims(path):
            found += read(Path(path), partial(_lost, members, family))
    return found


def _lost(members: Mapping[Member, StepKey | None], family: Family, db: durable.Database) -> list[LostClaim]:
    found = []
    for member, step in members.items():
        for namespace, key, job, own, item, taken_by in db.execute(_LOST, (member.flow_id, member.run_id)):
            if taken_by is None or Member(member.state, member.flow_id, taken_by) not in family:
                found.append(LostClaim(member, step or StepKey(job, own, item), namespace, key, taken_by))
    return found
