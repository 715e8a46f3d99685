"""The outbox of runs: a row with each transition that a person may have to know, in its transaction.

A row is a fact and addresses nobody: the sender decides about receivers and times (`runtime.sending`).
"""

import hashlib
import json
from collections.abc import Collection, Iterable
from typing import Any, NamedTuple

from aetherflow.core.base import durable
from aetherflow.core.kernel.state.member import Member
from aetherflow.core.kernel.state.sql import insert
from aetherflow.core.kernel.state.transitions import Status
from aetherflow.core.kernel.state.unit import RunBegan, RunEnded, RunEvent, RunPart, Unit
from aetherflow.core.kernel.state.values import to_json
from aetherflow.core.records.amending import amend, hold
from aetherflow.core.records.registry_file import subject_of

RECOVERED, STARTED, SUCCEEDED = "recovered", "started", "succeeded"
_LAST = """SELECT event, detail FROM outbox WHERE flow_id=? AND series=? AND event NOT IN ('started', 'succeeded')
    ORDER BY seq DESC LIMIT 1"""
_BEGAN = "(SELECT min(seq) FROM journal j WHERE j.flow_id={0}.flow_id AND j.run_id={0}.run_id)"
"""The place of the begin of a run in the order of record: clocks are set back."""
_LATER = f"""SELECT r.status FROM outbox o JOIN runs r USING (flow_id, run_id) WHERE o.flow_id=? AND o.series=? AND
    {_BEGAN.format("r")} > (SELECT min(seq) FROM journal WHERE flow_id=? AND run_id=?)
    ORDER BY {_BEGAN.format("r")} DESC LIMIT 1"""  # noqa: S608 names are ours
_WELL_SINCE = f"""SELECT s.run_id, s.finished_at, coalesce(r.heartbeat_at, r.started_at) FROM runs r JOIN runs s
    ON s.flow_id=r.flow_id AND s.params=r.params AND {_BEGAN.format("s")}>{_BEGAN.format("r")} AND s.status='SUCCESS'
    AND coalesce(s.reason_code, '')<>'partial' WHERE r.flow_id=? AND r.run_id=?
    ORDER BY {_BEGAN.format("s")} LIMIT 1"""  # noqa: S608 names are ours
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


class NotificationRows(RunPart):
    """The part of a run that writes its rows; `also` holds those of `started` and `succeeded` that are wanted, too.

    Runs that a step started are notified with the one around them.
    """

    def __init__(self, also: Collection[str] = ()) -> None:
        self._also = also

    def apply(self, unit: Unit, event: RunEvent) -> None:
        """Write down that a run starts, where that is wanted, and how it ended.

        Badly, or well after a bad end of one with the same parameters. An older run that ends well at last heals
        nothing while a later one has not.
        """
        if not isinstance(event, RunBegan | RunEnded) or unit.outermost != unit.member:
            return
        if isinstance(event, RunEnded):
            self._ended(unit, event.status, whole=event.whole)
        elif STARTED in self._also:
            _write(unit, STARTED, _series(unit), {})

    def _ended(self, unit: Unit, status: Status, *, whole: bool) -> None:
        series = _series(unit)
        last, before = unit.db.execute(_LAST, (unit.flow_id, series)).fetchone() or (RECOVERED, "{}")
        if status is not Status.SUCCESS:
            _write(unit, status.lower(), series, _why(unit, last, before))
            return
        later = unit.db.execute(_LATER, (unit.flow_id, series, *_key(unit))).fetchone() if last != RECOVERED else None
        if whole and last != RECOVERED and (later is None or later[0] == Status.SUCCESS):
            _write(unit, RECOVERED, series, {})
        if SUCCEEDED in self._also:
            _write(unit, SUCCEEDED, series, {})


def record_gone(unit: Unit) -> str | None:
    """Write down, once, that the process of a run has ended without a word; returns the row's id.

    If a later run has ended well since, that it has recovered, too, each with its own time: nobody is alarmed by what
    is over. Not while one after that has failed: its failure is not over. None if the run went on meanwhile.
    """
    with unit.transaction("run gone", check=False):
        row = unit.db.execute("SELECT status, generation FROM runs WHERE flow_id=? AND run_id=?", _key(unit)).fetchone()
        if row is None or row[0] != Status.RUNNING or row[1] != unit.generation or unit.outermost != unit.member:
            return None
        if is_recorded_gone(unit.db, unit.member, _began(unit), unit.generation):
            return None
        series = _series(unit)
        last, before = unit.db.execute(_LAST, (unit.flow_id, series)).fetchone() or (RECOVERED, "{}")
        well = unit.db.execute(_WELL_SINCE, _key(unit)).fetchone()
        if well is None:
            return _write(unit, Status.INTERRUPTED.lower(), series, _why(unit, last, before))
        run_id, ended, seen = well
        row_id = _write(unit, Status.INTERRUPTED.lower(), series, _why(unit, last, before), min(seen, ended))
        if last != RECOVERED:
            return row_id
        hold(unit.db, unit.flow_id, run_id)
        values = {"flow_id": unit.flow_id, "run_id": run_id, "event": RECOVERED, "series": series, "detail": "{}"}
        # of several runs that are gone the last one moves the recovery behind itself
        named = json.dumps([unit.flow_id, run_id, ended])
        recovery = _hash(named)
        unit.db.execute("DELETE FROM outbox WHERE id=?", (recovery,))
        insert(unit.db, "outbox", {"id": recovery, **values, "at": ended})
        amend(unit.db, unit.flow_id, run_id)
        return row_id


def is_recorded_gone(db: durable.Database, member: Member, began: int, generation: int) -> bool:
    """Whether `record_gone` has written its row for this process of the run, which began at `began`.

    The row's time does not tell: clocks are set back.
    """
    row_id = _id_of(member, began, generation, Status.INTERRUPTED.lower())
    return db.execute("SELECT 1 FROM outbox WHERE id=?", (row_id,)).fetchone() is not None


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
    """Note that rows are taken: their sender has them in a file of its own."""
    with durable.transaction(db, "outbox taken"):
        db.executemany("UPDATE outbox SET done_at=? WHERE id=?", [(db.now_ms(), each) for each in ids])


def _why(unit: Unit, last: str, before: str) -> dict[str, Any]:
    from aetherflow.core.records.trouble import worst_of  # a good run needs none of it

    job, step, message, code = worst_of(unit.db, *_key(unit))
    failures = 1 if last == RECOVERED else json.loads(before).get("failures", 0) + 1
    return {"job": job, "step": step, "code": code, "message": message, "failures": failures}


def _write(unit: Unit, event: str, series: str, detail: dict[str, Any], at: int | None = None) -> str:
    at = at or _time_of_next(unit)
    values = {**unit.key, "event": event, "series": series, "detail": to_json(detail), "at": at}
    row_id = _id_of(unit.member, _began(unit), unit.generation, event)
    insert(unit.db, "outbox", {"id": row_id, **values}, once=True)
    return row_id


def _time_of_next(unit: Unit) -> int:
    """Now; where the clock was set back since the last row of the flow, right behind that: rows are sent in order."""
    last = unit.db.execute(
        "SELECT at FROM outbox WHERE flow_id=? ORDER BY seq DESC LIMIT 1", (unit.flow_id,)
    ).fetchone()
    return max(unit.now_ms(), last[0] + 1 if last else 0)


def _began(unit: Unit) -> int:
    query = "SELECT started_at FROM runs WHERE flow_id=? AND run_id=?"
    return int(unit.db.execute(query, _key(unit)).fetchone()[0])


def _id_of(member: Member, began: int, generation: int, event: str) -> str:
    # with its start: a state that was removed may have had the same run
    return _hash(json.dumps([*member, began, generation, event]))


def _hash(named: str) -> str:
    return hashlib.sha256(named.encode(errors="backslashreplace")).hexdigest()[:32]


def _series(unit: Unit) -> str:
    params = unit.db.execute("SELECT params FROM runs WHERE flow_id=? AND run_id=?", _key(unit)).fetchone()[0]
    return subject_of(None, json.loads(params))


def _key(unit: Unit) -> tuple[str, str]:
    return unit.flow_id, unit.run_id
