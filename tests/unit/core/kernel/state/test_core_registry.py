"""The registry of runs: an index that may be lost, and that no run depends on."""

import contextlib
import itertools
import re
import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from core_registry import flow, known, rows

from aetherflow.core.base import durable
from aetherflow.core.records import registry, registry_file, trouble
from aetherflow.core.records.registry_file import KnownFlow, Registered
from aetherflow.core.runtime import adopting
from aetherflow.core.runtime.adopting import adopt

if TYPE_CHECKING:
    from core_project import Project


def test_a_run_registers_itself_once(project: "Project") -> None:
    path = flow(project, "f")
    for _ in range(2):
        assert project.cli("run", "f.yaml", "--run-id", "r").code == 0
    assert rows(project, "SELECT run_id, flow_id, state_path, flow_path FROM runs") == [
        ("r", "f", str(project.state), str(path))
    ]
    assert (project.states / "engine/registry.sqlite").stat().st_mode & 0o777 == 0o600


def test_two_flows_on_one_state_file_and_one_run_id(project: "Project") -> None:
    shared = str(project.folder / "elsewhere" / "shared.db")
    for flow_id in ("f", "g"):
        flow(project, flow_id, shared)
        assert project.cli("run", f"{flow_id}.yaml", "--run-id", "r").code == 0
    assert known(project) == [("f", shared), ("g", shared)]
    assert [(run.flow_id, run.state_path) for run in registry.find_runs(project.states, "r")] == known(project)


def test_without_a_registry_the_state_root_is_searched_and_nothing_written(project: "Project") -> None:
    for flow_id in ("f", "g"):
        flow(project, flow_id)
        assert project.cli("run", f"{flow_id}.yaml", "--run-id", "r").code == 0
    before = registry.known_flows(project.states)
    (project.states / "engine/registry.sqlite").unlink()
    (project.states / "other.sqlite").write_bytes(b"no database")
    names = sorted(path.name for path in project.states.iterdir())
    found = registry.known_flows(project.states)
    assert [(each.flow_id, each.state_path, each.flow_path) for each in found] == [
        (each.flow_id, each.state_path, each.flow_path) for each in before
    ]
    assert len(registry.find_runs(project.states, "r")) == 2
    assert project.cli("status").code == 0
    assert project.cli("runs", "list").out.count("SUCCESS") == 2
    assert sorted(path.name for path in project.states.iterdir()) == names


def test_the_next_run_builds_a_missing_registry(project: "Project") -> None:
    for flow_id in ("f", "g"):
        flow(project, flow_id)
        assert project.cli("run", f"{flow_id}.yaml", "--run-id", "old").code == 0
    (project.states / "engine/registry.sqlite").unlink()
    assert project.cli("run", "f.yaml", "--run-id", "new").code == 0
    assert rows(project, "SELECT flow_id, run_id FROM runs ORDER BY 1, 2") == [("f", "new"), ("f", "old"), ("g", "old")]


@pytest.mark.parametrize("damage", ["text", "header", "table"])
def test_a_damaged_registry_is_a_warning_and_built_anew(project: "Project", damage: str) -> None:
    outside = str(project.folder / "outside.db")
    flow(project, "f")
    flow(project, "g", outside)
    for flow_id in ("f", "g"):
        assert project.cli("run", f"{flow_id}.yaml", "--run-id", "old").code == 0
    path = project.states / "engine/registry.sqlite"
    if damage == "text":
        path.write_text("no database " * 500)
    elif damage == "header":
        path.write_bytes(b"SQLite format 3\0" + b"\xff" * 5000)
    else:
        with contextlib.closing(sqlite3.connect(path)) as connection:
            page, size = connection.execute(
                "SELECT rootpage, page_size FROM sqlite_master, pragma_page_size WHERE name='runs'"
            ).fetchone()
        with path.open("r+b") as file:
            file.seek((page - 1) * size)
            file.write(b"\xff" * size)
    assert project.cli("runs", "list").code == 0
    result = project.cli("run", "f.yaml", "--run-id", "new")
    assert result.code == 0
    assert "was damaged" in result.err
    (aside,) = path.parent.glob("registry.sqlite.damaged-*")
    found = set(rows(project, "SELECT flow_id, run_id FROM runs"))
    assert {("f", "old"), ("f", "new")} <= found
    if damage == "table":  # what the old one still says about states elsewhere is not lost
        assert ("g", "old") in found
    assert "was damaged" not in project.cli("run", "f.yaml", "--run-id", "third").err
    before = aside.read_bytes()
    path.write_text("no database " * 500)
    assert "was damaged" in project.cli("run", "f.yaml", "--run-id", "fourth").err
    assert len(list(path.parent.glob("registry.sqlite.damaged-*"))) == 2
    assert aside.read_bytes() == before, "the second copy has a name of its own"


NO_DAMAGE = sorted(
    name
    for name in dir(sqlite3)
    if re.fullmatch(
        r"SQLITE_(PROTOCOL|BUSY|LOCKED|IOERR|FULL|CANTOPEN|READONLY|SCHEMA|ERROR|NOMEM|INTERRUPT|PERM)", name
    )
)


@pytest.mark.parametrize("code", NO_DAMAGE)
def test_contention_is_no_damage(project: "Project", monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """Refused starts and the chain of the root are in the index alone: a healthy one stays where it is."""
    flow(project, "f")
    project.write("version: 1\nflow: {id: g}\njobs: [{}]\n", "g.yaml")
    assert project.cli("run", "f.yaml", "--run-id", "first").code == 0
    assert project.cli("run", "g.yaml").code == 2
    failing = iter([True])

    def add_runs(db: durable.Database, runs: Iterable[Registered]) -> None:
        if next(failing, False):
            error = sqlite3.OperationalError("as another process would have it")
            error.sqlite_errorcode, error.sqlite_errorname = getattr(sqlite3, code), code
            raise error
        registry_file.add_runs(db, runs)

    monkeypatch.setattr(registry, "add_runs", add_runs)
    warning = registry.register(project.states, Registered("f", "second", str(project.state), "/f.yaml", 1, "RUNNING"))
    assert warning is not None
    assert "cannot be written" in warning
    assert list(project.states.glob("engine/registry.sqlite.damaged*")) == []
    assert rows(project, "SELECT flow_id FROM refused") == [("g",)]


def test_a_registry_of_another_schema_is_no_damage(project: "Project") -> None:
    flow(project, "f")
    assert project.cli("run", "f.yaml", "--run-id", "first").code == 0
    with contextlib.closing(sqlite3.connect(project.states / "engine/registry.sqlite")) as connection:
        connection.execute("ALTER TABLE runs RENAME TO others")
    done = project.cli("run", "f.yaml", "--run-id", "second")
    assert (done.code, "cannot be written: no such table: runs" in done.err) == (0, True)
    assert list(project.states.glob("engine/registry.sqlite.damaged*")) == []


def test_one_moves_a_damaged_registry_aside(project: "Project", monkeypatch: pytest.MonkeyPatch) -> None:
    """Of several that find the damage at once; what they enter is in the new one."""
    flow(project, "f")
    assert project.cli("run", "f.yaml", "--run-id", "first").code == 0
    (project.states / "engine/registry.sqlite").write_text("no database " * 500)
    together, move_aside = threading.Barrier(4), registry._move_aside

    def moved(path: Path, enter: Callable[[], None]) -> Path | None:
        together.wait(30)  # all have found it damaged
        return move_aside(path, enter)

    monkeypatch.setattr(registry, "_move_aside", moved)
    warnings = list[str | None]()

    def enter(number: int) -> None:
        run = Registered("f", f"r{number}", str(project.state), "/f.yaml", number, "RUNNING")
        warnings.append(registry.register(project.states, run))

    threads = [threading.Thread(target=enter, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(warning is None for warning in warnings) == [False, True, True, True]
    assert len(list(project.states.glob("engine/registry.sqlite.damaged-*"))) == 1
    assert [run for (run,) in rows(project, "SELECT run_id FROM runs ORDER BY 1")] == ["first", "r0", "r1", "r2", "r3"]


def test_states_are_read_while_others_change_the_registry(project: "Project", monkeypatch: pytest.MonkeyPatch) -> None:
    """They may be far, or hang: another run is entered at that time, and is not lost."""
    flow(project, "f")
    for number in range(2):
        assert project.cli("run", "f.yaml", "--run-id", f"r{number}").code == 0
    monkeypatch.setattr(registry_file, "BUSY_SECONDS", 0.05)
    entered = itertools.count()

    def meanwhile() -> None:
        number = next(entered)
        run = Registered("g", f"g{number}", "/g.sqlite", "/g.yaml", number, "SUCCESS", number)
        assert registry.register(project.states, run) is None

    def runs_in(path: Path) -> list[Registered]:
        if path == project.state:
            meanwhile()
        return registry_file.runs_in(path)

    trouble_of = trouble.trouble_of

    def judged(path: Path, runs: list[tuple[str, str]]) -> list[trouble.Trouble]:
        meanwhile()
        return trouble_of(path, runs)

    for module in (registry, adopting):
        monkeypatch.setattr(module, "runs_in", runs_in)
    adopt(project.states, project.state)
    as_of_1_0 = "UPDATE runs SET status=NULL WHERE run_id='r0'"
    killed = "UPDATE runs SET status='RUNNING', ended_at=NULL WHERE run_id='r0'"
    for change in (as_of_1_0, killed):
        with contextlib.closing(sqlite3.connect(project.states / "engine/registry.sqlite")) as connection, connection:
            connection.execute(change)
        if change == as_of_1_0:
            assert project.cli("run", "f.yaml", "--run-id", "r2").code == 0
            assert rows(project, "SELECT count(*) FROM runs WHERE status IS NULL") == [(0,)]
    monkeypatch.setattr(trouble, "trouble_of", judged)
    registry.forget(project.states, [("f", "r2", project.state)])
    found = [run for (run,) in rows(project, "SELECT run_id FROM runs ORDER BY 1")]
    assert found == [*(f"g{number}" for number in range(next(entered))), "r0", "r1"]
    assert rows(project, "SELECT status, settled FROM runs WHERE run_id='r0'") == [("RUNNING", None)], "it may go on"


def test_a_registry_that_cannot_be_written_does_not_stop_a_run(project: "Project") -> None:
    flow(project, "f", str(project.folder / "f.sqlite"))
    project.states.write_text("a file in the way of the folder")
    result = project.cli("run", "f.yaml", "--run-id", "r")
    assert result.code == 0
    assert "the registry of runs" in result.err
    assert "cannot be written" in result.err


def test_a_registry_of_a_newer_engine_stays_as_it_is(project: "Project") -> None:
    flow(project, "f")
    assert project.cli("run", "f.yaml", "--run-id", "r").code == 0
    with contextlib.closing(sqlite3.connect(project.states / "engine/registry.sqlite")) as connection:
        connection.execute("PRAGMA user_version=9")
    result = project.cli("run", "f.yaml", "--run-id", "s")
    assert result.code == 0
    assert "it has schema 9" in result.err
    assert rows(project, "SELECT run_id FROM runs") == [("r",)]


def test_adopt_and_forget(tmp_path: Path, project: "Project") -> None:
    flow(project, "f")
    assert project.cli("run", "f.yaml", "--run-id", "r").code == 0
    (tmp_path / "deep").mkdir()
    shutil.copy(project.state, tmp_path / "deep/f.sqlite")
    for _ in range(2):
        adopt(tmp_path, tmp_path / "deep/f.sqlite")
    (found,) = registry.known_flows(tmp_path)
    assert isinstance(found, KnownFlow)
    assert found.state_path == str(tmp_path / "deep/f.sqlite")
    adopt(tmp_path, project.state)
    both = registry.find_runs(tmp_path, "r")
    assert [type(run) for run in both] == [Registered, Registered]
    registry.forget(tmp_path, [("f", "r", project.state)])
    assert [run.state_path for run in registry.find_runs(tmp_path, "r")] == [found.state_path]
    assert len(registry.known_flows(tmp_path)) == 2
