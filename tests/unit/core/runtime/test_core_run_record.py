"""What became of runs, by their ids: by registry and state, and never by a run of another flow."""

import contextlib
import os
import shutil
import sqlite3
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from core_clock import ahead

from aetherflow.core.kernel.state.store import StateStore
from aetherflow.core.kernel.state.unit import Unit
from aetherflow.core.records import trouble
from aetherflow.core.records.acts import Verb, record_act
from aetherflow.core.records.registry import forget
from aetherflow.core.runtime import run_record
from aetherflow.core.runtime.run_record import Place, RunRecords, WantedRun, acknowledged, resolved

if TYPE_CHECKING:
    from aetherflow.core.records.trouble import Trouble
    from core_project import Project

GOOD = "{id: s, type: check_items, inputs: {items: [1]}}"
BAD = "{id: s, type: fail, inputs: {message: no}}"


def flow(project: "Project", flow_id: str, *, good: bool) -> str:
    job = f"{{id: a, steps: [{GOOD if good else BAD}]}}"
    return str(project.write(f"version: 1\nflow: {{id: {flow_id}}}\njobs: [{job}]\n", f"{flow_id}.yaml"))


def run(project: "Project", flow_id: str = "f", run_id: str = "r", *, good: bool) -> str:
    path = flow(project, flow_id, good=good)
    assert project.cli("run", f"{flow_id}.yaml", "--run-id", run_id).code == int(not good)
    return path


def ask(project: "Project", wanted: WantedRun) -> "Trouble | None":
    return run_record.run_record(project.states, wanted)


def place(project: "Project", flow_id: str = "f") -> Place:
    return Place(flow_id, str(project.states / f"{flow_id}.sqlite"))


def test_a_run_is_found_by_the_registry_with_its_error(project: "Project") -> None:
    path = run(project, good=False)
    found = ask(project, WantedRun("r", flow_path=path))
    assert found is not None
    assert (found.run.status, found.run.state_path, found.job, found.step) == (
        "FAILED",
        place(project).state_path,
        "a",
        "s",
    )
    assert found.error
    assert ask(project, WantedRun("other", flow_path=path)) is None


def test_a_run_of_another_flow_with_the_same_id_is_not_meant(project: "Project") -> None:
    path = run(project, "f", good=True)
    other = flow(project, "g", good=True)
    assert ask(project, WantedRun("r", flow_path=other)) is None
    assert ask(project, WantedRun("r", flow_path=path)) is not None
    assert ask(project, WantedRun("r", place=place(project, "g"), flow_path=other)) is None
    assert ask(project, WantedRun("r", manifest="/bundles/m.yaml")) is None  # it was started without one


def test_without_a_registry_the_place_that_the_run_has_told_counts(project: "Project") -> None:
    path = run(project, good=True)
    (project.states / "engine/registry.sqlite").unlink()
    assert ask(project, WantedRun("r", flow_path=path)) is None
    found = ask(project, WantedRun("r", place=place(project), flow_path=path))
    assert found is not None
    assert found.run.status == "SUCCESS"


@pytest.mark.parametrize("how", ["gone", "damaged"])
def test_a_state_that_cannot_be_read_says_nothing(project: "Project", how: str) -> None:
    path = run(project, good=True)
    if how == "gone":
        project.state.unlink()
    else:
        project.state.write_bytes(b"no database")
    assert ask(project, WantedRun("r", flow_path=path)) is None
    assert not project.state.exists() or project.state.read_bytes() == b"no database"


def test_what_happens_later_is_seen(project: "Project") -> None:
    path = run(project, good=False)
    records, wanted = RunRecords(project.states), [WantedRun("r", flow_path=path), WantedRun("later", flow_path=path)]
    assert {key: found.run.status for key, found in records.find(wanted).items()} == {"r": "FAILED"}
    run(project, good=True)
    run(project, run_id="later", good=True)
    assert {key: found.run.status for key, found in records.find(wanted).items()} == {
        "r": "SUCCESS",
        "later": "SUCCESS",
    }


def test_a_state_that_has_not_changed_is_not_read_again(project: "Project", monkeypatch: pytest.MonkeyPatch) -> None:
    path = run(project, good=False)
    read: list[Path] = []
    real = trouble.trouble_of

    def counted(state: Path, runs: list[tuple[str, str]]) -> "list[Trouble]":
        read.append(state)
        return real(state, runs)

    monkeypatch.setattr(run_record, "trouble_of", counted)
    records, wanted = RunRecords(project.states), [WantedRun("r", flow_path=path)]
    for _ in range(2):
        records.find(wanted)
    assert len(read) == 2, "it was written a moment ago, and might change within one tick of its clock"
    minute_ago = time.time() - 60
    os.utime(project.state, (minute_ago, minute_ago))
    first = records.find(wanted)
    for _ in range(3):
        assert records.find(wanted) == first
    assert len(read) == 3


def test_a_state_that_was_moved_is_found_where_it_is_told_to_be(project: "Project") -> None:
    path = run(project, good=True)
    moved = project.folder / "moved.sqlite"
    shutil.copy(project.state, moved)
    project.state.unlink()
    found = ask(project, WantedRun("r", place=Place("f", str(moved)), flow_path=path))
    assert found is not None
    assert found.run.state_path == str(moved)


def test_what_persons_did_about_it(project: "Project") -> None:
    path = run(project, good=False)

    def act(verb: Verb, value: str | None = None) -> "Trouble":
        store = StateStore(project.state)
        unit = Unit(store, "f", "r")
        with unit.transaction("act", check=False):
            record_act(unit, verb, value, actor="ada", host="night", reason="ticket 7")
        store.close()
        found = ask(project, WantedRun("r", flow_path=path))
        assert found is not None
        return found

    in_hand = act(Verb.ACK).acts
    assert acknowledged(in_hand) is not None
    assert resolved(in_hand) is None
    written_off = act(Verb.ACK, "before 2026-11-24").acts
    assert resolved(written_off) is not None
    assert resolved(act(Verb.RESOLVE, "done").acts) is not None


def test_refused_starts_are_told_with_what_was_done_about_them(project: "Project") -> None:
    project.write("version: 1\nflow: {id: f}\njobs: nope\n", "f.yaml")
    assert project.cli("run", "f.yaml", "--run-id", "r", "--trigger", "scheduler").code == 2
    assert RunRecords(project.states).refused() == {"r": ()}
    assert RunRecords(project.folder / "nothing").refused() == {}


def healed(project: "Project", *wanted: WantedRun) -> dict[str, tuple[str | None, bool]]:
    return {run_id: (each.by, each.good) for run_id, each in RunRecords(project.states).healed(wanted).items()}


def test_what_was_recorded_before_it_heals_no_run_whatever_its_clock_said(
    project: "Project", monkeypatch: pytest.MonkeyPatch
) -> None:
    with ahead(monkeypatch):
        run(project, run_id="ahead", good=True)
    path = run(project, good=False)
    wanted = WantedRun("r", flow_path=path)
    assert healed(project, wanted) == {}
    run(project, run_id="s", good=True)
    assert healed(project, wanted) == {"r": ("s", True)}


def test_a_run_that_ended_well_stays_so_when_its_state_is_an_older_copy(project: "Project") -> None:
    path = run(project, good=False)
    before = project.state.read_bytes()
    run(project, good=True)
    wanted = WantedRun("r", flow_path=path)
    assert healed(project, wanted) == {}, "it is well itself"
    for side in project.states.glob("f.sqlite-*"):
        side.unlink()
    project.state.write_bytes(before)
    assert healed(project, wanted) == {"r": ("r", True)}


def test_another_run_of_the_same_heals_what_is_meant(project: "Project") -> None:
    path = run(project, good=False)
    wanted = WantedRun("r", flow_path=path)
    assert healed(project, wanted) == {}
    run(project, run_id="s", good=True)
    assert healed(project, wanted) == {"r": ("s", True)}
    assert healed(project, WantedRun("r", place=place(project))) == {"r": ("s", True)}
    assert healed(project, WantedRun("r", flow_path=flow(project, "g", good=True))) == {}
    assert healed(project, WantedRun("r", manifest="/bundles/m.yaml")) == {}
    run(project, run_id="r", good=True)
    assert healed(project, wanted) == {}, "it is well itself"


def test_what_healed_it_may_be_forgotten_since(project: "Project") -> None:
    path = run(project, good=False)
    run(project, run_id="s", good=True)
    forget(project.states, [("f", "s", project.state)])
    assert healed(project, WantedRun("r", flow_path=path)) == {"r": (None, True)}


def test_a_state_that_is_gone_asks_nothing(project: "Project") -> None:
    path = run(project, good=False)
    run(project, run_id="s", good=True)
    project.state.unlink()
    assert healed(project, WantedRun("r", flow_path=path)) == {"r": ("s", True)}


def test_what_was_healed_is_seen_later(project: "Project") -> None:
    records, wanted = RunRecords(project.states), WantedRun("r", flow_path=run(project, good=False))
    assert records.healed([wanted]) == {}
    run(project, run_id="s", good=True)
    assert list(records.healed([wanted])) == ["r"]


def test_one_that_fails_again_is_not_healed_by_what_was_before(project: "Project") -> None:
    path = run(project, good=False)
    run(project, run_id="s", good=True)
    run(project, good=False)
    assert healed(project, WantedRun("r", flow_path=path)) == {}


def test_a_refused_start_is_healed_once_all_of_its_refusals_are(project: "Project") -> None:
    project.write("version: 1\nflow: {id: f}\njobs: nope\n", "f.yaml")
    assert project.cli("run", "f.yaml", "--run-id", "r", "--trigger", "scheduler").code == 2
    assert healed(project, WantedRun("r")) == {}
    run(project, run_id="s", good=True)
    assert healed(project, WantedRun("r")) == {"r": ("s", True)}
    project.write("version: 2\nflow: {id: f}\njobs: []\n", "f.yaml")
    assert project.cli("run", "f.yaml", "--run-id", "r", "--trigger", "scheduler").code == 2
    assert healed(project, WantedRun("r")) == {}


def test_a_start_that_was_refused_names_the_flow_of_its_run(project: "Project") -> None:
    project.write("version: 1\nflow: {id: f}\njobs: nope\n", "f.yaml")
    assert project.cli("run", "f.yaml", "--run-id", "r").code == 2
    run(project, "f", good=True)
    found = ask(project, WantedRun("r"))
    assert found is not None
    assert found.run.status == "SUCCESS"
    run(project, "g", "x", good=True)
    assert ask(project, WantedRun("x")) is None, "whose flow nothing has named"


def test_a_look_is_the_same_until_somebody_writes(project: "Project", monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_record, "SETTLED_NS", 0)
    path = run(project, good=False)
    records = RunRecords(project.states)
    assert not records.is_as_before(), "nothing was asked yet"
    records.begin()
    assert records.find([WantedRun("r", flow_path=path)])
    assert records.is_as_before()
    os.utime(project.state, ns=(1, 1))
    assert not records.is_as_before()
    records.begin()
    assert records.is_as_before()
    run(project, "g", good=True)
    assert not records.is_as_before(), "the registry was written"


def test_a_run_under_way_may_be_killed_at_any_time(project: "Project", monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_record, "SETTLED_NS", 0)
    path = run(project, good=False)
    with contextlib.closing(sqlite3.connect(project.state)) as db:
        db.execute("UPDATE runs SET status='RUNNING', finished_at=NULL")
        db.commit()
    records = RunRecords(project.states)
    records.begin()
    assert records.find([WantedRun("r", flow_path=path)])
    assert not records.is_as_before()
