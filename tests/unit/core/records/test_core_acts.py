"""Acts of persons on a run: which one stands, what ends it, and what the journal says."""

import contextlib
import json
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aetherflow.core.base import durable
from aetherflow.core.kernel.state.records import now_ms
from aetherflow.core.kernel.state.store import StateStore
from aetherflow.core.kernel.state.unit import Unit
from aetherflow.core.records.acts import Verb, acts_of, record_act, standing

if TYPE_CHECKING:
    from core_project import Project

FAILS = "jobs: [{id: a, steps: [{id: s, type: fail, inputs: {message: no}}]}]\n"
HOUR = 3_600_000


def act(path: Path, verb: Verb, value: str | None = None, **given: Any) -> None:
    store = StateStore(path)
    unit = Unit(store, "f", "r")
    with unit.transaction("act", check=False):
        record_act(unit, verb, value, **{"actor": "ada", "host": "night", "reason": "ticket 7", **given})
    store.close()


def stands(path: Path, verb: Verb, at: int) -> str | None:
    with contextlib.closing(durable.connect_to_read(path, immutable=False)) as db:
        found = standing(acts_of(db, "f", "r"), verb, at)
    return found.reason if found else None


def test_the_latest_act_stands_until_its_time(project: "Project") -> None:
    project.flow(FAILS)
    assert project.cli("run", "flow.yaml", "--run-id", "r").code == 1
    now = now_ms()
    act(project.state, Verb.ACK, until=now + HOUR)
    act(project.state, Verb.ACK, until=now + 2 * HOUR, reason="ticket 8")
    assert stands(project.state, Verb.ACK, now) == "ticket 8"
    assert stands(project.state, Verb.ACK, now + 2 * HOUR) is None
    assert stands(project.state, Verb.RESOLVE, now) is None
    with sqlite3.connect(project.state) as db:
        rows = db.execute("SELECT detail FROM journal WHERE event='ack' ORDER BY seq").fetchall()
        (ended,) = db.execute("SELECT ended_by FROM acts WHERE reason='ticket 7'").fetchone()
    db.close()
    told = {"value": None, "actor": "ada", "host": "night", "reason": "ticket 7", "until": now + HOUR}
    assert json.loads(rows[0][0]) == told
    assert (len(rows), ended) == (2, "ada")


def test_one_verb_does_not_end_the_other(project: "Project") -> None:
    project.flow(FAILS)
    assert project.cli("run", "flow.yaml", "--run-id", "r").code == 1
    act(project.state, Verb.ACK)
    act(project.state, Verb.RESOLVE, "done", reason="by hand")
    assert [stands(project.state, verb, now_ms()) for verb in Verb] == ["ticket 7", "by hand"]


def test_a_run_that_goes_on_ends_what_was_said_of_it(project: "Project") -> None:
    project.flow(FAILS)
    assert project.cli("run", "flow.yaml", "--run-id", "r").code == 1
    act(project.state, Verb.ACK)
    assert project.cli("resume", "r").code == 1
    assert stands(project.state, Verb.ACK, now_ms()) is None
