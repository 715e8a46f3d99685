"""Runs that claim are killed at every lasting effect; a new run, or a resume, finds everything, and takes it once."""

import contextlib
import io
import os
import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from core_killed import KilledFlow, attempt

from aetherflow.core.base import durable
from aetherflow.core.cli import main
from claiming import flow
from torture_tier import full, sized

if TYPE_CHECKING:
    from core_project import Project

STRIDE = sized(9, 1)
"""At T0 every ninth point is tried, and those where claims are written or their files removed; at T1 every point."""
TELLING = ("claims", "run SUCCESS", "run RUNNING", "folders kept", "flow started", "rmtree")
FILES = {"a.txt": "1", "b.txt": "2"}
PARENT = """\
version: 1
flow: {id: f}
jobs:
  - {id: take, steps: [{id: sub, type: run_flow, inputs: {flow: child.yaml}}]}
  - {id: again, depends_on: [take], steps: [{id: sub, type: run_flow, inputs: {flow: child.yaml}}]}
"""
"""The second run of the child finds nothing new, as a second step of the outermost run should."""

CHORE = """\
version: 1
flow: {id: f, workspace: {cleanup_policy: %s}}
jobs:
  - id: take
    steps:
      - {id: find, type: file_find, inputs: {path: "{{env.INBOX}}", pattern: "*.txt", new_only: true, on_empty: ok}}
      - {id: move, type: file_move, inputs: {src: "{{steps.find.files}}", dest_dir: %s, on_empty: ok}}
"""
"""Found where they are, and moved away."""


def succeeds(project: "Project", run_id: str, point: object) -> None:
    """Run the flow in this process: what is not killed needs no process of its own."""
    done = project.cli("run", "flow.yaml", "--run-id", run_id)
    assert done.code == 0, (point, done.err)


def lasting(names: list[str]) -> Iterator[tuple[int, str]]:
    """At T0 without the beginnings of transactions: what is on the disk is what the point before has left there."""
    for point, name in enumerate(names, 1):
        if full() or not name.startswith("begin "):
            yield point, name


def chosen(names: list[str], offset: int) -> Iterator[tuple[int, str]]:
    """The points that are tried."""
    for point, name in lasting(names):
        if point % STRIDE == offset % STRIDE or any(word in name for word in TELLING):
            yield point, name


class Case(KilledFlow):
    """A flow over an inbox, with what has to hold at its end."""

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        found = []
        for state in sorted(self.project.states.glob("[a-z].sqlite")):
            with contextlib.closing(sqlite3.connect(state)) as db:
                found += db.execute(sql).fetchall()
        return found

    def check(self, point: str) -> None:
        """Every file was worked up; what good runs took is final, once; nothing else is open."""
        assert self.project.lines() == [f"{name} {text}" for name, text in FILES.items()], point
        assert self.rows("SELECT state FROM claims WHERE state='open'") == [], point
        assert self.rows("SELECT key, json_extract(value, '$.text') FROM ledger ORDER BY key") == [*FILES.items()], (
            point
        )
        assert [row[0] for row in self.rows("SELECT key FROM claims WHERE state='final' ORDER BY key")] == [*FILES], (
            point
        )
        for state in self.project.states.glob("[a-z].sqlite"):
            checked = self.project.cli("state", "check", str(state))
            assert checked.code == 0, (point, checked.out)


@pytest.fixture
def case(project: "Project", inbox: Path, request: pytest.FixtureRequest) -> Case:
    project.write(flow("on_success", getattr(request, "param", "move")))
    found = Case(project, inbox, FILES)
    assert project.cli("run", "flow.yaml").code == 0  # imports everything once, so that the forks are warm
    found.forget()
    return found


def test_the_points_of_claims_are_among_them(case: Case) -> None:
    names = case.points()
    assert {"begin claims", "commit claims", "committed claims", "commit folders kept", "commit run SUCCESS"} <= set(
        names
    )
    assert names.index("committed run SUCCESS") < names.index("rmtree one", names.index("committed run SUCCESS"))


@pytest.mark.parametrize(
    ("case", "then"),
    [("keep", "a new run"), ("move", "a new run"), ("move", "a resume"), ("move", "a new run that is killed too")],
    indirect=["case"],
)
def test_kill_9_at_every_point(case: Case, then: str) -> None:
    names = case.points()
    for point, name in chosen(names, len(then)):
        assert attempt(f"{point}", "one") == -signal.SIGKILL, (point, name)
        if then == "a resume":
            succeeds(case.project, "one", (point, name))
        if then == "a new run that is killed too":
            assert attempt(f"{20 + point % 40}", "two") in (0, -signal.SIGKILL)
        succeeds(case.project, "three", (point, name))
        case.check(f"kill at {point}: {name}")
        case.forget()


@pytest.mark.parametrize("kind", ["enospc", "eio"])
def test_errors_at_the_points(case: Case, kind: str) -> None:
    for point, name in chosen(case.points(), len(kind)):
        code = attempt(f"{point}:{kind}", "one")
        assert code in (0, 1, 2 if name == "mkdir work" else 4), (point, name)  # 2: a work root that cannot be made
        ended = []
        with contextlib.suppress(sqlite3.OperationalError):  # it has no tables yet
            ended = case.rows("SELECT status FROM runs")
        if not name.startswith("committed"):  # what SQLite has done cannot fail any more
            assert (code == 0) == (ended == [("SUCCESS",)]), (point, name, code, Path("stderr").read_text())
        succeeds(case.project, "three", (point, name))
        case.check(f"{kind} at {point}: {name}")
        case.forget()


@pytest.fixture(params=["own", "shared"])
def family(project: "Project", inbox: Path, request: pytest.FixtureRequest) -> Case:
    """A run inside a run, with a state of its own or in that of the run around it."""
    state = f"state: {{path: {project.state}}}, " if request.param == "shared" else ""
    project.write(flow("on_success", "move").replace("{id: f, ", f"{{id: c, {state}"), "child.yaml")
    project.write(PARENT)
    found = Case(project, inbox, FILES)
    assert project.cli("run", "flow.yaml").code == 0
    found.forget()
    return found


def test_the_run_around_makes_them_final_first(family: Case) -> None:
    names = family.points()
    if (family.project.states / "c.sqlite").exists() or "commit claims final" in names:
        assert names.index("commit claims final") < len(names) - 1 - names[::-1].index("commit run SUCCESS")


@pytest.mark.parametrize("then", ["a new run", "a resume"])
def test_kill_9_at_every_point_of_a_family(family: Case, then: str) -> None:
    points = list(chosen(family.points(), 0))
    for point, name in points if full() else points[then == "a resume" :: 2]:  # at T0 each is tried in one of both ways
        assert attempt(f"{point}", "one") == -signal.SIGKILL, (point, name)
        if then == "a resume":
            succeeds(family.project, "one", (point, name))
        succeeds(family.project, "three", (point, name))
        family.check(f"kill at {point}: {name}")
        family.forget()


def test_many_at_once_take_every_file_once(project: "Project", inbox: Path) -> None:
    project.write(flow("never", "move"))
    names = [f"{number:02}.txt" for number in range(30)]
    for path in inbox.iterdir():
        path.unlink()
    for name in names:
        (inbox / name).write_text(name)
    children = []
    for number in range(6):
        child = os.fork()
        if child == 0:  # pragma: no cover
            code = 99
            try:
                with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                    code = main(["run", "flow.yaml", "--run-id", f"r{number}"])
            finally:
                os._exit(code)
        children.append(child)
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    assert set(codes) <= {0, 1}
    assert project.cli("run", "flow.yaml", "--run-id", "last").code == 0
    assert sorted(project.lines()) == [f"{name} {name}" for name in names]
    final = project.rows("SELECT key, run_id FROM claims WHERE state='final' ORDER BY key")
    assert [key for key, _ in final] == names
    good = {row[0] for row in project.rows("SELECT run_id FROM runs WHERE status='SUCCESS'")}
    assert {run for _, run in final} <= good
    assert project.cli("state", "check", "flow.yaml").code == 0


@pytest.mark.parametrize("cleanup", ["never", "on_success"])
def test_kill_9_at_every_point_of_finding_and_moving(
    project: "Project", monkeypatch: pytest.MonkeyPatch, cleanup: str
) -> None:
    """The next run takes over what was found, wherever it is just then, and its own step finds it moved already."""
    inbox, done = project.work / "inbox", project.work / "done"
    monkeypatch.setenv("INBOX", str(inbox))
    project.write(CHORE % (cleanup, done))

    def begin() -> None:
        for folder in (project.states, project.work):
            if folder.exists():
                durable.remove_tree(folder)
        inbox.mkdir(parents=True)
        for name, text in FILES.items():
            (inbox / name).write_text(text)

    begin()
    log = project.folder / "points"
    assert attempt(f"log:{log}", "one") == 0, Path("stderr").read_text()
    names = log.read_text().splitlines()
    assert {"commit claims", "move a.txt", "moved a.txt"} <= set(names)
    for point, name in chosen(names, len(cleanup)):
        begin()
        assert attempt(f"{point}", "one") == -signal.SIGKILL, (point, name)
        for run_id in ("two", "three"):
            succeeds(project, run_id, (point, name))
        assert {path.name: path.read_text() for path in done.iterdir()} == FILES, (point, name)
        assert list(inbox.iterdir()) == [], (point, name)
        with contextlib.closing(sqlite3.connect(project.state)) as db:
            found = db.execute("SELECT key FROM claims WHERE state='final' ORDER BY key").fetchall()
            assert [Path(key.split(" ")[0]).name for (key,) in found] == [*FILES], (point, name)
            assert db.execute("SELECT key FROM claims WHERE state='open'").fetchall() == [], (point, name)
