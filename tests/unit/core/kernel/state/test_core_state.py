"""State files: what is refused, and with which words; legal transitions."""

import itertools
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from aetherflow.core.api import StateError
from aetherflow.core.base import durable
from aetherflow.core.kernel.state import transitions
from aetherflow.core.kernel.state.store import StateStore
from aetherflow.core.kernel.state.transitions import DONE_STEP, FINAL_JOB, JOB, Status, require_legal

if TYPE_CHECKING:
    from core_project import Project

JOBS = "jobs: [{id: a, steps: [{id: s, type: check_items, inputs: {items: [1]}}]}]\n"


def with_sql(*statements: str) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        connection = sqlite3.connect(path)
        for statement in statements:
            connection.execute(statement)
        connection.commit()
        connection.close()

    return make


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (with_sql("PRAGMA user_version=99"), "has schema 99, this engine knows up to 3"),
        (with_sql("CREATE TABLE mine (x)"), "is a database that AetherFlow did not create"),
        (with_sql("PRAGMA user_version=1"), "is no state file of AetherFlow"),
        (lambda path: path.mkdir(), "unable to open"),
        (lambda path: path.write_bytes(b"this is no database, only text " * 99), "not a database"),
        (lambda path: path.symlink_to("/nowhere/at/all"), "No such file"),
    ],
)
def test_files_that_are_no_state_of_ours(project: "Project", make: Callable[[Path], None], words: str) -> None:
    project.states.mkdir()
    make(project.state)
    before = project.state.read_bytes() if project.state.is_file() else None
    project.flow(JOBS)
    result = project.cli("run", "flow.yaml")
    assert (result.code, result.out) == (4, ""), result
    assert words in result.err
    assert "AF4001 " in result.err
    assert "  fix: " in result.err
    assert str(project.state) in result.err
    if before is not None and b"mine" in before:
        with sqlite3.connect(project.state) as connection:
            assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("mine",)]
        connection.close()


def test_an_empty_file_becomes_a_state(project: "Project") -> None:
    project.states.mkdir()
    project.state.touch()
    project.flow(JOBS)
    assert project.cli("run", "flow.yaml").code == 0


@pytest.mark.parametrize("statement", range(3))
def test_another_process_may_create_the_state_at_any_instant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, statement: int
) -> None:
    """Two starts at once: before each statement by which one looks at the new file, the other has created all of it."""
    path, seen = tmp_path / "f.sqlite", list[str]()

    def open_late(file: Path, store: str, *, busy_seconds: float) -> durable.SqliteDatabase:
        db = opened(file, store, busy_seconds=busy_seconds)
        assert isinstance(db, durable.SqliteDatabase)

        def look(text: str) -> None:
            seen.append(text)
            if len(seen) == statement + 1:
                monkeypatch.undo()
                StateStore(path).close()

        db.set_trace_callback(look)
        return db

    opened = durable.open_store
    monkeypatch.setattr(durable, "open_store", open_late)
    store = StateStore(path)
    assert len(seen) > statement
    assert store.find_run("f", "r") is None
    store.close()


def test_a_file_in_the_way_of_the_folder(project: "Project") -> None:
    project.states.write_text("a file")
    project.flow(JOBS)
    result = project.cli("run", "flow.yaml")
    assert result.code == 4
    assert "Not a directory" in result.err


def test_a_damaged_file_is_said_to_be_damaged(project: "Project") -> None:
    project.flow(JOBS)
    assert project.cli("run", "flow.yaml", "--run-id", "r").code == 0
    raw = bytearray(project.state.read_bytes())
    raw[4096:] = b"\xff" * (len(raw) - 4096)
    project.state.write_bytes(raw)
    result = project.cli("run", "flow.yaml", "--run-id", "r")
    assert (result.code, result.out) == (4, "")
    assert "malformed" in result.err
    assert "internal error" not in result.err


@pytest.mark.parametrize("name", ["RUN", "JOB", "STEP"])
def test_every_pair_of_statuses(name: str) -> None:
    table = getattr(transitions, name)
    for old, new in itertools.product([None, *Status], Status):
        if old not in table or new not in table[old]:
            with pytest.raises((StateError, KeyError)):
                require_legal(table, "x", old, new)
        else:
            require_legal(table, "x", old, new)


def test_success_is_left_only_on_request() -> None:
    assert transitions.RUN[Status.SUCCESS] == {Status.RUNNING}
    for table in (transitions.JOB, transitions.STEP):
        assert table[Status.SUCCESS] == table[Status.SKIPPED] == {Status.DISCARDED}


def test_the_journal_has_one_row_per_transition(project: "Project") -> None:
    project.flow(JOBS)
    assert project.cli("run", "flow.yaml").code == 0
    assert [row[0] for row in project.rows("SELECT event FROM journal ORDER BY seq")] == [
        "run_start", "job_start", "step_start", "step_end", "job_end", "run_end",
    ]  # fmt: skip


def test_times_are_utc_milliseconds(project: "Project") -> None:
    import time

    project.flow(JOBS)
    before = time.time() * 1000 - 1
    assert project.cli("run", "flow.yaml").code == 0
    ((started, finished),) = project.rows("SELECT started_at, finished_at FROM runs")
    assert before <= started <= finished <= time.time() * 1000 + 1


@pytest.mark.parametrize("old", ["BLOCKED", "FAILED", "INTERRUPTED", "UNKNOWN", "DISCARDED"])
@pytest.mark.parametrize("new", ["RUNNING", "SKIPPED", "BLOCKED", "FAILED", "DISCARDED"])
def test_a_job_that_did_not_end_well_may_begin_anew_or_be_set_aside(old: str, new: str) -> None:
    require_legal(JOB, "job", Status(old), Status(new))


def test_what_ended_well_or_was_skipped_is_not_done_again() -> None:
    assert DONE_STEP == FINAL_JOB == {Status.SUCCESS, Status.SKIPPED}
