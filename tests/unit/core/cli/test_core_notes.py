"""The notes of `runs list`: why a run ended badly, what warned, what it was asked for, which lock it waits for."""

import contextlib
import json
import re
import threading
from typing import TYPE_CHECKING, Any

import pytest
from core_history import flow, runs

from aetherflow.core.api import Step, StepResult, register_step
from aetherflow.core.base.errors import StateError
from aetherflow.core.base.times import iso
from aetherflow.core.cli.history_text import runs_text
from aetherflow.core.cli.lookup import lock_store_here
from aetherflow.core.cli.needs import Picture, Running
from aetherflow.core.cli.notes import Note, key_of, note_of, notes_of
from aetherflow.core.cli.status_text import Lines
from aetherflow.core.cli.waiting import Waits
from aetherflow.core.kernel.locks.records import Owner
from aetherflow.core.kernel.locks.store import LockStore
from aetherflow.core.kernel.state.records import now_ms
from aetherflow.core.records import history
from aetherflow.core.records.history import PastRun

if TYPE_CHECKING:
    from core_project import Project

JOBS = """
jobs:
  - {id: good, steps: [{id: s, type: notes_warn}, {id: then, type: notes_warn, for_each: {items: [1, 2]}}]}
  - {id: bad, steps: [{id: t, type: fail, inputs: {message: "no room"}}]}
"""
LOCKED = """
jobs:
  - {id: main, lock: {key: warehouse, wait_seconds: 60}, steps: [{id: s, type: check_items, inputs: {items: [1]}}]}
"""


@register_step("notes_warn")
class Warns(Step[Any]):
    """Warns, and ends well."""

    def run(self) -> StepResult:
        """Write one warning."""
        self.ctx.log.warning("old data")
        return StepResult()


def notes(project: "Project") -> dict[str, str]:
    """Run id to note, as the table has it."""
    head, *lines = project.cli("runs", "list").out.splitlines()
    run, status, note = head.index("run "), head.index("status"), head.index("note")
    return {line[run:status].strip(): line[note:] for line in lines}


def status_line(run: PastRun, waits: dict[str, Any]) -> str:
    """What `status` says of a run that waits."""
    keys = ("waits_for", "waits_since", "lock_holder")
    running = Running(run.flow_id, run.run_id, run.started_at, "pid 1", None, **{key: waits[key] for key in keys})
    return Lines(100, now_ms()).text(Picture(running=[running]), [], every=False)


def test_the_list_says_why(project: "Project") -> None:
    flow(project, "f", JOBS)
    for run_id, more in (("whole", ()), ("part", ("--flow-job", "good")), ("bad", ("--flow-job", "bad"))):
        project.cli("run", "f.yaml", "--run-id", run_id, *more)
    assert notes(project) == {
        "whole": "bad.t: no room, warnings in good.s, good.then",
        "part": "without bad, warnings in good.s, good.then",
        "bad": "bad.t: no room, only bad",
    }
    found = {each["run_id"]: each for each in runs(project)}
    assert (found["whole"]["cause"], found["whole"]["cause_code"]) == ("bad.t: no room", "error")
    assert (found["part"]["cause"], found["part"]["warned"]) == (None, ["good.s", "good.then"])
    assert json.loads(project.cli("runs", "show", "whole", "--json").out)["cause"] == "bad.t: no room"


def test_a_resumed_run_says_its_last_cause_once(project: "Project") -> None:
    flow(project, "f", JOBS)
    project.cli("run", "f.yaml", "--run-id", "r")
    project.cli("resume", "r")
    assert notes(project) == {"r": "attempt 2, bad.t: no room, warnings in good.s, good.then"}


def test_it_is_no_wider_than_the_terminal(project: "Project", monkeypatch: pytest.MonkeyPatch) -> None:
    flow(project, "f", JOBS.replace("no room", "no room " * 10))
    project.cli("run", "f.yaml", "--run-id", "r")
    (run,) = history.list_runs(project.state)
    shown = {run_id: note_of(run, note) for (_, _, run_id), note in notes_of([run], None).items()}
    monkeypatch.setenv("COLUMNS", "90")
    head, line = runs_text([run], notes_of([run], None)).splitlines()
    assert len(line) == 90
    assert line.endswith("…")
    assert shown["r"].startswith(line[head.index("note") : -1])


def test_a_run_that_waits_for_a_lock_says_for_which_since_when_and_who_has_it(project: "Project") -> None:
    flow(project, "f", LOCKED)
    seen: list[str] = []
    ended = threading.Event()

    def look(lease: Any) -> None:
        while not seen and not ended.wait(0.02):
            with contextlib.suppress(StateError):
                state = project.state
                for run in history.list_runs(state) if state.exists() else []:
                    note = notes_of([run], None)[key_of(run)]
                    if note.waits is not None:
                        seen.extend(
                            [note_of(run, note), status_line(run, note.as_json()), str(note.as_json()["lock_holder"])]
                        )
        lease.release()

    with LockStore(lock_store_here(None)) as store:
        lease = store.acquire("warehouse", Owner("other", "one"))
        thread = threading.Thread(target=look, args=[lease])
        thread.start()
        done = project.cli("run", "f.yaml", "--run-id", "r")
        ended.set()
        thread.join()
    assert done.code == 0
    waits = next(line for line in done.err.splitlines() if line.startswith("lock_wait "))
    assert "key=warehouse" in waits
    assert "held by run one of flow other" in waits
    note, status, holder = seen
    assert re.fullmatch(r"pid \d+ on \S+, waits for lock warehouse, held by other/one, since \S+Z", note)
    assert re.search(r"waits for lock warehouse, held by other/one, since \d\d:\d\d", status)
    assert holder == "other/one"


def test_a_lock_that_nobody_holds_any_more() -> None:
    note = Note(None, None, (), Waits("k", 0, None))
    assert str(note.waits) == f"waits for lock k, since {iso(0)}"
