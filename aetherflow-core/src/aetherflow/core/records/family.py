"""A run and the runs that its steps started, which are good only together; they may stand in several state files.

The run in whose process all of them run is the outermost one; each row of another names it. A step that is done again
starts a run of another id: the one it had started before does not belong to the family any more.
"""

import json
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import TypeVar

from aetherflow.core.base import durable
from aetherflow.core.base.errors import StateError
from aetherflow.core.kernel.state.member import Member
from aetherflow.core.kernel.state.records import StepKey
from aetherflow.core.kernel.state.schema import SCHEMA_VERSION
from aetherflow.core.kernel.state.sql import among
from aetherflow.core.kernel.state.transitions import Status
from aetherflow.core.kernel.state.unit import Unit
from aetherflow.core.kernel.state.unusable import unreadable
from aetherflow.core.records.living import is_live
from aetherflow.core.records.reading import read, read_store

T = TypeVar("T")
_FLOWS_STARTED = "SELECT run_id, detail FROM journal WHERE event='flow_started' AND flow_id=? AND run_id"


Family = Mapping[Member, StepKey | None]
"""The runs, the outermost first, each with the step of the outermost that it belongs to."""


def family_of(outermost: Member) -> Family:
    """The run and all that its steps started, as their journals say. StateError for a file that cannot be read."""
    return families_of([outermost])[outermost]


def families_of(outermost: Iterable[Member]) -> dict[Member, Family]:
    """Return the family of each of these runs, with one statement for many runs of a flow: a server is far."""
    started: dict[Member, list[tuple[StepKey, Member]]] = {each: [] for each in outermost}
    first = level = list(started)
    while level:
        for state in dict.fromkeys(member.state for member in level):
            if durable.is_there(Path(state)):  # else its runs are gone, and what they had claimed with them
                parents = [member for member in level if member.state == state]
                for parent, key, member in _read(Path(state), partial(_started, parents)):
                    started[parent].append((key, member))
        level = list(dict.fromkeys(each for parent in level for _, each in started[parent] if each not in started))
        started |= {each: [] for each in level}
    return {each: _within(each, started) for each in first}


def _within(outermost: Member, started: Mapping[Member, list[tuple[StepKey, Member]]]) -> Family:
    found: dict[Member, StepKey | None] = {outermost: None}
    members = [outermost]
    for parent in members:  # it grows
        for key, member in started[parent]:
            if member not in found:
                found[member] = found[parent] or key
                members.append(member)
    return found


def holds_claims(state: str) -> bool:
    """Whether there is such a state file, and not one that only older versions have written."""
    path = Path(state)
    return durable.is_there(path) and _read(path, lambda db: db.schema_version()) >= SCHEMA_VERSION


def flow_started(unit: Unit, key: StepKey, flow_id: str, run_id: str, state_path: str) -> None:
    """Record that a step starts a run of another flow, before that run is recorded anywhere."""
    with unit.transaction("flow started"):
        named = {"job": key.job, "step": key.step, "item": key.item or None}
        unit.journal("flow_started", **named, flow=flow_id, run=run_id, state=state_path)


def has_started_runs(db: durable.Database, member: Member) -> bool:
    """Whether a step of the run started another one."""
    query = "SELECT 1 FROM journal WHERE flow_id=? AND run_id=? AND event='flow_started' LIMIT 1"
    return db.execute(query, (member.flow_id, member.run_id)).fetchone() is not None


def lives(member: Member) -> bool:
    """Whether a process executes the run; one whose state file cannot be read, is as its lock says."""
    query = "SELECT status, host, heartbeat_at FROM runs WHERE flow_id=? AND run_id=?"
    try:
        row, now = read(
            Path(member.state),
            lambda db: (db.execute(query, (member.flow_id, member.run_id)).fetchone(), db.now_ms()),
        )
    except StateError:
        row, now = None, 0
    status, host, beat = row or (None, None, None)
    return is_executed(member, status, host, beat, now)


def is_executed(member: Member, status: str | None, host: str | None, heartbeat_at: int | None, now: int) -> bool:
    """The same, of a run whose row is known; None for one that has none."""
    beat = heartbeat_at if status == Status.RUNNING else None
    return is_live(Path(member.state), member.flow_id, member.run_id, host or "", beat, now)


def _read(path: Path, query: Callable[[durable.Database], T]) -> T:
    """As `read`, of a file of any schema."""
    try:
        return read_store(path, query)
    except (sqlite3.Error, OSError) as error:
        raise unreadable(path, error) from error


def _started(parents: Iterable[Member], db: durable.Database) -> list[tuple[Member, StepKey, Member]]:
    if not db.schema_version():
        return []  # its creator was killed
    latest: dict[tuple[Member, StepKey], dict[str, Member]] = {}
    for flow_id, same in by_flow(parents).items():
        for these, values in among(same, flow_id):
            query = f"{_FLOWS_STARTED} {these} ORDER BY seq"
            for run_id, text in db.execute(query, values):
                detail = json.loads(text)
                key = StepKey(detail["job"], detail["step"], detail.get("item") or "")
                member = Member.of(Path(detail["state"]), detail["flow"], detail["run"])
                own = latest.setdefault((same[run_id], key), {})  # a step has one run of each flow it calls, of one id
                if any(other.run_id != member.run_id for other in own.values()):
                    own.clear()
                own[member.flow_id] = member
    return [(parent, key, member) for (parent, key), own in latest.items() for member in own.values()]


def by_flow(members: Iterable[Member]) -> dict[str, dict[str, Member]]:
    """Flow id to the members of it by their run ids; they are all of one state."""
    found: dict[str, dict[str, Member]] = {}
    for member in members:
        found.setdefault(member.flow_id, {})[member.run_id] = member
    return found
