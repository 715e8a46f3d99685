"""`status` goes by the order in which ends were recorded: a clock that was ahead hides no failure, and keeps none."""

import contextlib
import sqlite3
from typing import TYPE_CHECKING

import pytest
from core_clock import ahead
from core_history import OK, flow, status

from aetherflow.core.base.durable import failpoint
from aetherflow.core.records.registry import forget

if TYPE_CHECKING:
    from core_project import Project

BAD = "jobs: [{id: load, steps: [{id: orders, type: fail, inputs: {message: duplicate key}}]}]\n"


def run(project: "Project", run_id: str, *, good: bool, name: str = "f") -> None:
    flow(project, name, OK if good else BAD)
    assert project.cli("run", f"{name}.yaml", "--run-id", run_id).code == (0 if good else 1)


def open_runs(project: "Project") -> list[tuple[str, str | None]]:
    return [(need["status"], need["run_id"]) for need in status(project)["needs_person"]]


def without_registry(project: "Project") -> None:
    for path in project.states.glob("engine/registry.sqlite*"):
        path.unlink()


@pytest.mark.parametrize("rebuilt", [False, True])
def test_a_success_by_a_clock_that_was_ahead_hides_no_later_failure(
    project: "Project", monkeypatch: pytest.MonkeyPatch, rebuilt: bool
) -> None:
    with ahead(monkeypatch):
        run(project, "ahead", good=True)
    run(project, "now", good=False)
    if rebuilt:
        without_registry(project)
    assert open_runs(project) == [("FAILED", "now")]
    assert project.cli("status").code == 1
    (shown,) = status(project)["flows"]
    assert (shown["status"], shown["run_id"]) == ("failed", "now")
    run(project, "mended", good=True)
    if rebuilt:
        without_registry(project)
    assert open_runs(project) == []


@pytest.mark.parametrize("rebuilt", [False, True])
def test_a_failure_by_a_clock_that_was_ahead_is_resolved_by_the_next_success(
    project: "Project", monkeypatch: pytest.MonkeyPatch, rebuilt: bool
) -> None:
    with ahead(monkeypatch):
        run(project, "ahead", good=False)
    run(project, "now", good=True)
    if rebuilt:
        without_registry(project)
    assert open_runs(project) == []
    assert status(project)["flows"][0]["status"] == "ok"


def test_of_equal_failures_that_was_recorded_last_speaks_for_all(
    project: "Project", monkeypatch: pytest.MonkeyPatch
) -> None:
    with ahead(monkeypatch):
        run(project, "ahead", good=False)
    run(project, "now", good=False)
    assert open_runs(project) == [("FAILED", "now")]
    assert project.cli("runs", "resolve", "now", "--as", "abandoned", "--reason", "x").code == 0
    assert open_runs(project) == []


def test_a_refused_start_is_resolved_by_what_is_recorded_after_it(
    project: "Project", monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = "jobs: [{id: load, steps: [{id: orders, type: no_such_step}]}]\n"
    with ahead(monkeypatch):
        run(project, "ahead", good=True)
    flow(project, "f", wrong)
    assert project.cli("run", "f.yaml").code == 2
    assert [found for found, _ in open_runs(project)] == ["REFUSED"]
    run(project, "now", good=True)
    assert open_runs(project) == []
    with ahead(monkeypatch):
        flow(project, "f", wrong)
        assert project.cli("run", "f.yaml").code == 2
    run(project, "last", good=True)
    assert open_runs(project) == []


def test_what_is_forgotten_has_resolved_only_what_was_recorded_before_it(
    project: "Project", monkeypatch: pytest.MonkeyPatch
) -> None:
    run(project, "before", good=False)
    with ahead(monkeypatch):
        run(project, "ahead", good=True)
    run(project, "now", good=False)
    forget(project.states, [("f", "ahead", project.state)])
    assert open_runs(project) == [("FAILED", "now")]


def test_a_registry_of_before_keeps_its_refused_starts_and_its_order(project: "Project") -> None:
    """Its schema was 2; `status` migrates nothing."""
    run(project, "bad", good=False)
    flow(project, "g", "jobs: nope\n")
    assert project.cli("run", "g.yaml").code == 2
    path = project.states / "engine/registry.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.executescript(
            "DROP INDEX runs_by_record; DROP INDEX runs_of_subject; DROP INDEX heads_of_state;"
            "ALTER TABLE runs DROP COLUMN recorded;"
            "ALTER TABLE refused DROP COLUMN recorded; PRAGMA user_version=2"
        )
    assert sorted(found for found, _ in open_runs(project)) == ["FAILED", "REFUSED"]
    with contextlib.closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (2,)
    run(project, "good", good=True)
    assert [found for found, _ in open_runs(project)] == ["REFUSED"]
    assert path.with_name("registry.sqlite.v2.bak").exists()


def test_a_success_that_the_registry_has_missed_resolves_what_was_before_it(
    project: "Project", monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where the process was killed after the end of its run: the state knows it, the registry does not."""
    run(project, "first", good=False)
    names: list[str] = []

    def fail(name: str, *_: object) -> None:
        names.append(name)
        if names.count("begin register run") == 2:
            raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(failpoint, "act", fail)
        run(project, "second", good=True)
    assert "committed run SUCCESS" in names
    assert open_runs(project) == []
    assert project.cli("status").code == 0
    run(project, "third", good=False)
    assert open_runs(project) == [("FAILED", "third")]
    assert status(project)["needs_person"][0]["times"] == 1
