"""Starts that were refused before their state was opened: rows of the registry, and what persons did about them.

They stand nowhere else. One is healed by a later SUCCESS of the same flow with the same slot and parameters, or of the
run that was to be started. The flow is the same by its id, by its file where the id could not be read, or by its
manifest and its path in the bundle.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

from aetherflow.core.base import durable
from aetherflow.core.kernel.state.records import now_ms
from aetherflow.core.kernel.state.sql import insert, insert_numbered, update
from aetherflow.core.records.acts import Act, Verb, standing
from aetherflow.core.records.registry_file import changing, next_place


class Refused(NamedTuple):
    """A refused start; times are UTC epoch milliseconds."""

    flow_id: str | None
    """None where the flow file could not be read so far."""
    flow_path: str
    """Absolute; of a bundle the path in it, or its manifest for the entry flow."""
    slot: str | None
    run_id: str | None
    """As it was asked for."""
    subject: str | None
    """As of a registered run; None for one that was to go on."""
    at: int
    reason: str
    reason_code: str
    error_code: str
    actor: str
    host: str
    trigger: str
    command: str
    config: str | None
    manifest: str | None
    working_dir: str | None
    owner: str | None
    runbook: str | None
    last_at: int
    following: str | None = None
    """What to type, if that is not the command again: its alternatives, one a line."""
    hint: str | None = None
    """What to do where no command works as it stands."""
    times: int = 1
    """How often the same start was refused for the same reason, from `at` to `last_at`."""
    id: int = 0
    known: bool = False
    """Whether a run of that id is registered."""


_STORED = tuple(name for name in Refused._fields if name not in ("id", "known"))
_COLUMNS = ", ".join(f"r.{name}" for name in (*_STORED, "id"))
HEALS = """s.status='SUCCESS' AND coalesce(s.reason_code, '')<>'partial' AND s.recorded >= r.recorded
    AND (s.flow_id = r.flow_id OR s.flow_id IN (SELECT flow_id FROM flows WHERE flow_path=r.flow_path)
    OR s.manifest = r.manifest
    AND r.flow_path IN (r.manifest, substr(s.flow_path, length(s.flow_path) - length(r.flow_path) + 1)))
    AND (s.subject = r.subject OR s.given = r.subject OR s.run_id = r.run_id)"""
"""Of a run `s`: it has healed a refused start `r`."""
_HEALED = f"EXISTS (SELECT 1 FROM runs s WHERE {HEALS})"  # noqa: S608 names are ours
_OPEN = (
    f"SELECT {_COLUMNS}, EXISTS (SELECT 1 FROM runs k WHERE k.run_id=r.run_id) FROM refused r "  # noqa: S608 names are ours
    f"WHERE NOT {_HEALED} ORDER BY r.last_at, r.id"
)


def open_refusals(db: durable.Database) -> list[tuple[Refused, list[Act]]]:
    """Those that nothing has healed, each with the acts on it, the latest last."""
    acts = "SELECT '', verb, value, actor, host, reason, until, at, ended_at, ended_by FROM acts WHERE refused_id=?"
    found = [Refused(*row) for row in db.execute(_OPEN).fetchall()]
    return [(each, [Act(*row) for row in db.execute(f"{acts} ORDER BY id", (each.id,))]) for each in found]


def record_refusal(root: Path, refused: Refused) -> None:
    """Write it down; one that is open already for the same reason is counted on. Raises sqlite3.Error, OSError."""
    with changing(root, "refused start") as db:
        same = ("flow_path", "subject", "run_id", "reason_code", "error_code", "host")
        for known, acts in open_refusals(db):
            acted = standing(acts, Verb.RESOLVE, now_ms())
            if acted is None and all(getattr(known, name) == getattr(refused, name) for name in same):
                place = next_place(db, None, refused.last_at)
                values = {"last_at": refused.last_at, "times": known.times + 1, "recorded": place}
                latest = ("reason", "command", "following", "hint")
                values |= {name: getattr(refused, name) for name in latest}
                update(db, "refused", values, {"id": known.id})
                return
        values = {name: getattr(refused, name) for name in _STORED}
        place = next_place(db, None, refused.last_at)
        values["id"] = insert_numbered(db, "refused", {**values, "recorded": place})
        insert(db, "outbox", {"id": uuid4().hex, "detail": json.dumps(values), "at": refused.at})


def open_refusal_rows(db: durable.Database) -> list[tuple[str, Refused]]:
    """The refused starts that nobody has taken to tell them, with the ids of their rows in the outbox."""
    rows = db.execute("SELECT id, detail FROM outbox ORDER BY at").fetchall()
    return [(row_id, Refused(**json.loads(detail))) for row_id, detail in rows]


def healer_of(db: durable.Database, refused_id: int, at: int) -> tuple[str, str, int] | None:
    """Flow id, run id and end of the run that has healed a start refused first at `at`; None if none has."""
    query = f"SELECT s.flow_id, s.run_id, s.ended_at FROM refused r CROSS JOIN runs s WHERE {HEALS}"  # noqa: S608 ours
    row = db.execute(f"{query} AND r.id=? AND r.at=? ORDER BY s.recorded LIMIT 1", (refused_id, at)).fetchone()
    return tuple(row) if row is not None else None


def refusal_rows_taken(root: Path, ids: Iterable[str]) -> None:
    """Remove rows of the outbox: their sender has them in a file of its own. Raises sqlite3.Error, OSError."""
    with changing(root, "outbox taken") as db:
        db.executemany("DELETE FROM outbox WHERE id=?", [(each,) for each in ids])


def forget_healed(db: durable.Database) -> None:
    """Remove what is healed, before the runs that healed it are forgotten; in a transaction of the caller."""
    db.execute(f"DELETE FROM refused AS r WHERE {_HEALED}")  # noqa: S608 names are ours
    db.execute("DELETE FROM acts WHERE refused_id NOT IN (SELECT id FROM refused)")


def act_on_refusal(root: Path, refused_id: int, act: Act) -> None:
    """Write down what a person did about it."""
    with changing(root, "act") as db:
        ended = "UPDATE acts SET ended_at=?, ended_by=? WHERE refused_id=? AND verb=? AND ended_at IS NULL"
        db.execute(ended, (act.at, act.actor, refused_id, act.verb))
        given = {"value": act.value, "actor": act.actor, "host": act.host, "reason": act.reason, "until": act.until}
        insert(db, "acts", {"refused_id": refused_id, "verb": act.verb, **given, "at": act.at})
