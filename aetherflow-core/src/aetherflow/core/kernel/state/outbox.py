"""What is to be told of runs: a row with each transition that a person may have to know, in its transaction.

A row is a fact and addresses nobody: who is told, and when, is decided by whoever takes it (`runtime.sending`).
"""

import hashlib
import json
from collections.abc import Collection, Iterable
from typing import Any, NamedTuple

from aetherflow.core.base import durable
from aetherflow.core.kernel.state.registry_file import subject_of
from aetherflow.core.kernel.state.sql import insert
from aetherflow.core.kernel.state.transitions import Status
from aetherflow.core.kernel.state.unit import Unit
from aetherflow.core.kernel.state.values import to_json

RECOVERED, STARTED, SUCCEEDED = "recovered", "started", "succeeded"
_LAST = """SELECT event, detail FROM outbox WHERE flow_id=? AND series=? AND event NOT IN ('started', 'succeeded')
    ORDER BY seq DESC LIMIT 1"""
_OPEN = "SELECT id, flow_id, run_id, event, detail, at FROM outbox WHERE done_at IS NULL ORDER BY seq"


class OutboxRow(NamedTuple):
    """A row that nobody has taken yet."""

    id: str
    flow_id: str
    run_id: str
    event: str
    detail: dict[str, Any]
    """job, step, code, message and failures, as far as they are known."""
    at: int
    """UTC epoch milliseconds."""


def tell_start(unit: Unit, also: Collection[str]) -> None:
    """Write down that a run starts, where `also` asks for it."""
    if STARTED in also and unit.outermost == unit.member:
        _write(unit, STARTED, _series(unit), {})


def tell_end(unit: Unit, status: Status, also: Collection[str], *, whole: bool) -> None:
    """Write down how a run ended: badly, or well after a bad end of one with the same parameters.

    Runs that a step started are told with the one around them.
    """
    if unit.outermost != unit.member:
        return
    series = _series(unit)
    last, before = unit.db.execute(_LAST, (unit.flow_id, series)).fetchone() or (RECOVERED, "{}")
    if status is not Status.SUCCESS:
        _write(unit, status.lower(), series, _why(unit, last, before))
        return
    if whole and last != RECOVERED:
        _write(unit, RECOVERED, series, {})
    if SUCCEEDED in also:
        _write(unit, SUCCEEDED, series, {})


def tell_gone(unit: Unit) -> str | None:
    """Write down, once, that the process of a run has ended without a word; returns the row's id.

    None if the run went on meanwhile.
    """
    with unit.transaction("run gone", check=False):
        row = unit.db.execute("SELECT status, generation FROM runs WHERE flow_id=? AND run_id=?", _key(unit)).fetchone()
        if row is None or row[0] != Status.RUNNING or row[1] != unit.generation or unit.outermost != unit.member:
            return None
        series = _series(unit)
        last, before = unit.db.execute(_LAST, (unit.flow_id, series)).fetchone() or (RECOVERED, "{}")
        return _write(unit, Status.INTERRUPTED.lower(), series, _why(unit, last, before))


def open_transitions(db: durable.Database) -> list[OutboxRow]:
    """The rows that nobody has taken, the oldest first; no two are of one instant."""
    found, last = list[OutboxRow](), 0
    for row_id, flow_id, run_id, event, detail, at in db.execute(_OPEN):
        last = max(at, last + 1)
        found.append(OutboxRow(row_id, flow_id, run_id, event, json.loads(detail), last))
    return found


def has_open(db: durable.Database) -> bool:
    return db.execute("SELECT 1 FROM outbox WHERE done_at IS NULL LIMIT 1").fetchone() is not None


def mark_taken(db: durable.Database, ids: Iterable[str]) -> None:
    """Note that rows are taken: whoever tells them has them in a file of its own."""
    with durable.transaction(db, "outbox taken"):
        db.executemany("UPDATE outbox SET done_at=? WHERE id=?", [(db.now_ms(), each) for each in ids])


def _why(unit: Unit, last: str, before: str) -> dict[str, Any]:
    from aetherflow.core.kernel.state.trouble import worst_of  # a good run needs none of it

    job, step, message, code = worst_of(unit.db, *_key(unit))
    failures = 1 if last == RECOVERED else json.loads(before).get("failures", 0) + 1
    return {"job": job, "step": step, "code": code, "message": message, "failures": failures}


def _write(unit: Unit, event: str, series: str, detail: dict[str, Any]) -> str:
    query = "SELECT started_at FROM runs WHERE flow_id=? AND run_id=?"
    began = unit.db.execute(query, _key(unit)).fetchone()[0]  # a state that was removed may have had the same run
    named = json.dumps([*unit.member, began, unit.generation, event])
    values = {**unit.key, "event": event, "series": series, "detail": to_json(detail), "at": unit.now_ms()}
    row_id = hashlib.sha256(named.encode(errors="backslashreplace")).hexdigest()[:32]
    insert(unit.db, "outbox", {"id": row_id, **values}, once=True)
    return row_id


def _series(unit: Unit) -> str:
    params = unit.db.execute("SELECT params FROM runs WHERE flow_id=? AND run_id=?", _key(unit)).fetchone()[0]
    return subject_of(None, json.loads(params))


def _key(unit: Unit) -> tuple[str, str]:
    return unit.flow_id, unit.run_id
