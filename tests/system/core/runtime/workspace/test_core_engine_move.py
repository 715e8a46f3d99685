"""Roots of 1.0: moved by the first command that writes, whole after a kill at any effect."""

import contextlib
import fcntl
import json
import os
import shutil
import signal
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from core_bundle_store import publish

from aetherflow.core.base import durable
from aetherflow.core.base.engine_files import LOCKS, NOTIFY, STORES
from aetherflow.core.kernel.locks.alive import AliveFile
from aetherflow.core.kernel.locks.records import Owner
from aetherflow.core.kernel.locks.store import LockStore
from aetherflow.core.runtime.workspace.engine_files import make_engine_folder
from aetherflow.core.runtime.workspace.places import SENDER, bundle_stores, schedule_note
from aetherflow.core.testing.failpoints import arm
from aetherflow.scheduler.cli.app import main as scheduler

if TYPE_CHECKING:
    from core_project import Project

FLOW = """\
version: 1
flow: {id: ID, locks: {scope: flow}}
jobs: [{id: j, steps: [{id: s, type: external.process, inputs: {command: [PROGRAM]}}]}]
"""
MANIFEST = """\
version: 1
bundle:
  id: b
  entry_flow: flow.yaml
  layout: {profiles_file: profiles.yaml}
  source: {type: filesystem, base_path: release}
"""
SCHEDULE = """\
timezone: UTC
STATEnotify: [{command: ['false'], events: [failed]}]
items:
  - {id: good, cron: "0 6 * * *", flow: good.yaml, since: "2026-01-01", misfire: last}
  - {id: bad, cron: "0 6 * * *", flow: bad.yaml, since: "2026-01-01", misfire: last}
"""
RUN = ("run", "good.yaml", "-q")


@pytest.fixture
def old(project: "Project", monkeypatch: pytest.MonkeyPatch) -> "Project":
    """Runs, a refused start, a lock, two schedules, a message that nobody took, a bundle: in the places of 1.0."""
    monkeypatch.setattr(durable, "spawn_detached", lambda *_args, **_given: None)
    project.write(FLOW.replace("ID", "good").replace("PROGRAM", "'true'"), "good.yaml")
    project.write(FLOW.replace("ID", "bad").replace("PROGRAM", "'false'"), "bad.yaml")
    project.write("no flow", "refused.yaml")
    project.write(SCHEDULE.replace("STATE", ""), "schedule.yaml")
    project.write(SCHEDULE.replace("STATE", "state: state/scheduler/mine-20261101.sqlite\n"), "named.yaml")
    project.write(MANIFEST, "bundle.yaml")
    release = {"flow.yaml": FLOW.replace("ID", "ugly").replace("PROGRAM", "'true'"), "profiles.yaml": "{}\n"}
    publish(project, release)
    assert project.cli(*RUN).code == 0
    assert project.cli("run", "refused.yaml").code == 2
    assert project.cli("run", "--bundle-manifest", "bundle.yaml", "-q").code == 0
    publish(project, release | {"more.txt": "more"})
    assert project.cli("bundle", "sync", "-m", "bundle.yaml").code == 0
    assert project.cli("bundle", "rollback", "-m", "bundle.yaml", "--reason", "more is too much").code == 0
    for document in ("schedule.yaml", "named.yaml"):
        assert scheduler(["tick", document, "-q"]) == 1
    project.write("version: 1\n", "aetherflow.yaml")
    assert project.cli("status", "--notify").code == 1
    put_back(project.states, project.work)
    return project


def put_back(states: Path, work: Path) -> None:
    """Put the engine's files where they were before they had a folder, with the paths of then."""
    engine = states / "engine"
    shutil.move(bundle_stores(states, work), work / "bundles")
    (engine / "bundles").rmdir()
    (states / "scheduler").mkdir(exist_ok=True)
    for path in (engine / "scheduler").iterdir():
        path.rename(states / "scheduler" / path.name)
    (engine / "scheduler").rmdir()
    for path in list(engine.iterdir()):
        path.rename(states / path.name)
    engine.rmdir()
    (ledger,) = (path for path in (states / "scheduler").glob("*.sqlite") if path.name.startswith("schedule-"))
    new, was = str(engine / "scheduler"), str(states / "scheduler")
    for path in (ledger, states / NOTIFY):
        with contextlib.closing(sqlite3.connect(path)) as db, db:
            for table, column in columns(db):
                db.execute(f"UPDATE {table} SET {column}=replace({column}, ?, ?)", (new, was))
    for note in list((states / "scheduler/schedules").iterdir()):
        told = json.loads(note.read_text().replace(new, was))
        note.unlink()
        schedule_note(states, Path(told["ledger"])).write_text(json.dumps(told))


def columns(db: sqlite3.Connection) -> list[tuple[str, str]]:
    """Those of text that may hold paths."""
    query = "SELECT m.name, c.name FROM sqlite_master m, pragma_table_info(m.name) c WHERE m.type='table'"
    return [pair for pair in db.execute(f"{query} AND c.type='TEXT'") if pair[1] in ("ledger", "body", "log", "detail")]


def kept(project: "Project", work: Path | None = None) -> dict[str, Any]:
    """All rows of the engine's stores, all files of the bundle store, logs of starts; with the paths of before."""
    states, engine, work = project.states, project.states / "engine", work or project.work
    root = engine if engine.exists() else states
    found: dict[str, Any] = {}
    for path in (*(root / name for name in STORES), *(root / "scheduler").glob("schedule-*.sqlite")):
        with contextlib.closing(sqlite3.connect(path)) as db:
            for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type='table'").fetchall():
                rows = [repr(row) for row in db.execute(f"SELECT * FROM {name}")]
                rows = [row.replace(f"{engine}/scheduler", f"{states}/scheduler") for row in rows]
                found[f"{path.name} {name}"] = sorted(rows)
            found[f"{path.name} schema"] = db.execute("PRAGMA user_version").fetchone()
    place = bundle_stores(states, work)
    bundle = (place if (place / "b").exists() else work / "bundles") / "b"
    files = [*(root / "scheduler").glob("schedule-*/logs/**/*"), *bundle.rglob("*")]
    found["files"] = sorted(f"{path.name} {path.read_bytes()!r}" for path in files if path.is_file())
    found["active"] = str((bundle / "active").readlink())
    return found


def seen(project: "Project") -> list[Any]:
    """What commands that look say of the roots."""
    said = [project.cli(*words.split()) for words in ("status --json", "runs list --json", "locks list --json")]
    said += [project.cli("bundle", "status", "-m", "bundle.yaml", "--json")]
    text = json.dumps([(each.code, json.loads(each.out)) for each in said])
    text = text.replace(str(bundle_stores(project.states, project.work)), f"{project.work}/bundles")
    found = json.loads(text.replace(f"{project.states}/engine", str(project.states)))
    found[0][1].pop("at", None)
    return list(found)


def killed(do: Callable[[], object], setting: str) -> int:
    """Do something in a process that is armed; returns how it ended."""
    if not (pid := os.fork()):
        try:
            arm(setting)
            do()
        except BaseException:  # noqa: BLE001 its code says so
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


class Pristine:
    """Copies of the roots, and the moves of them."""

    def __init__(self, project: "Project", work: Path) -> None:
        self.roots = project.states, work
        self.copy, self._log = project.folder / "pristine", project.folder / "points"
        for folder in self.roots:
            shutil.copytree(folder, self.copy / folder.name, symlinks=True)

    def again(self) -> None:
        for folder in self.roots:
            shutil.rmtree(folder)
            shutil.copytree(self.copy / folder.name, folder, symlinks=True)

    def move(self, setting: str = "") -> int:
        return killed(lambda: make_engine_folder(*self.roots), setting)

    def points(self) -> int:
        """How many effects a move has."""
        assert self.move(f"log:{self._log}") == 0
        return len(self._log.read_text().splitlines())


def require_moved(project: "Project", work: Path | None = None) -> None:
    """Nothing of the engine is in an old place, nor left of a move."""
    names = {path.name for path in project.states.iterdir()}
    flows = {f"{flow}.sqlite{ending}" for flow in ("good", "bad", "ugly") for ending in ("", ".d")}
    assert names == {*flows, "engine", "scheduler"}
    named = {f"mine-20261101.sqlite{ending}" for ending in ("", ".d", "-wal", "-shm")}
    assert {path.name for path in (project.states / "scheduler").iterdir()} <= named
    assert not ((work or project.work) / "bundles").exists()
    left = [path for name in ("moving.json", ".aetherflow-*", "engine.d") for path in project.states.rglob(name)]
    assert [*left, *(project.states / "engine/bundles").glob("*.d")] == []


def test_the_first_command_that_writes_moves_all(old: "Project") -> None:
    before, rows = seen(old), kept(old)
    assert [len(before[0][1][name]) for name in ("needs_person", "not_sent")] == [2, 1]
    assert seen(old) == before, "who looks moves nothing"
    assert not (old.states / "engine").exists()
    assert old.cli("state", "migrate", "good.yaml").code == 0
    assert kept(old) == rows
    assert old.cli("bundle", "sync", "-m", "bundle.yaml").code == 0
    assert kept(old)["active"] == rows["active"]
    require_moved(old)
    assert seen(old)[:3] == before[:3]
    assert old.cli(*RUN).code == 0
    for document in ("schedule.yaml", "named.yaml"):
        assert scheduler(["tick", document, "-q"]) == 0, "no slot is started again"
    require_moved(old)


@pytest.mark.parametrize(
    "command",
    [
        ("runs", "ack", "--before", "2020-01-01", "--reason", "old"),
        ("runs", "resolve", "none", "--as", "done", "--reason", "old"),
        ("runs", "prune", "--older-than", "900d", "--yes"),
        ("locks", "release", "none", "--reason", "old"),
    ],
)
def test_a_command_of_a_person_moves_them_too(old: "Project", command: tuple[str, ...]) -> None:
    shown = old.cli("runs", "list", "--json").out
    old.cli(*command)
    assert (old.states / "engine" / "registry.sqlite").is_file()
    assert not (old.states / "registry.sqlite").exists()
    assert old.cli("runs", "list", "--json").out == shown


def test_a_move_killed_at_every_effect(old: "Project") -> None:
    before, rows, pristine = seen(old), kept(old), Pristine(old, old.work)
    number = pristine.points()
    assert number > 60
    for point in range(1, number + 1):
        pristine.again()
        assert pristine.move(str(point)) == -signal.SIGKILL, point
        assert seen(old) == before, f"{point} of {number}: who looks sees all"
        assert kept(old) == rows, f"{point} of {number}"
        assert pristine.move() == 0, point
        assert kept(old) == rows, f"{point} of {number}"
        require_moved(old)
    assert seen(old) == before


@pytest.mark.parametrize("action", ["enospc", "eio"])
def test_a_move_that_fails_at_every_effect(old: "Project", action: str) -> None:
    before, rows, pristine = seen(old), kept(old), Pristine(old, old.work)
    for point in range(1, pristine.points() + 1):
        pristine.again()
        assert pristine.move(f"{point}:{action}") in (0, 1), point
        assert kept(old) == rows, point
        assert pristine.move() == 0, point
        assert kept(old) == rows, point
        require_moved(old)
    assert seen(old) == before


def test_bundle_stores_on_another_file_system(old: "Project", other_device: Callable[[Path], Path]) -> None:
    far = other_device(old.states) / "work"
    shutil.move(old.work, far)
    rows, pristine = kept(old, far), Pristine(old, far)
    number = pristine.points()
    for point in range(1, number + 1):
        pristine.again()
        assert pristine.move(str(point)) == -signal.SIGKILL, point
        assert kept(old, far) == rows, f"{point} of {number}"
        assert pristine.move() == 0, point
        assert kept(old, far) == rows, f"{point} of {number}"
        require_moved(old, far)


@contextlib.contextmanager
def locked(path: Path, how: int) -> Iterator[None]:
    with path.open() as file:
        fcntl.flock(file, how)
        yield


@pytest.mark.parametrize(
    ("live", "who"),
    [
        (lambda at: locked(next(at.states.glob("good.sqlite.d/runs/good/*.lock")), fcntl.LOCK_EX), "run "),
        (lambda at: locked(next(at.work.glob("bundles/b/versions/*.lock")), fcntl.LOCK_SH), "a run or a sync"),
        (
            lambda at: contextlib.closing(AliveFile(at.states / "scheduler/mine-20261101.sqlite.d/owners")),
            "a scheduler",
        ),
        (lambda at: contextlib.closing(AliveFile(at.states / f"{LOCKS}.d")), "a process with locks"),
    ],
)
def test_nothing_is_moved_under_the_older_engine(old: "Project", live: Callable[..., Any], who: str) -> None:
    with live(old):
        refused = old.cli(*RUN)
        assert (refused.code, f"is in use by {who}" in refused.err) == (4, True), refused
        assert "AF4001" in refused.err
        assert "wait for it, or stop it; then do the same again" in refused.err
    assert old.cli(*RUN).code == 0
    require_moved(old)


def test_a_sender_that_tries_again_hands_over(old: "Project") -> None:
    path = durable.store_beside(old.states / NOTIFY, LOCKS)
    with LockStore(path) as store:
        lease = store.acquire(SENDER, Owner("notify", "sender-1"))
        run = old.start(*RUN)
        while not any(each.alive for each in store.waiters()):
            assert run.poll() is None
        lease.release()
    assert (run.communicate(), run.returncode) == (("", ""), 0)
    require_moved(old)


def test_what_is_no_store_stays(old: "Project") -> None:
    (old.work / "bundles/j/r").mkdir(parents=True)
    (old.work / "bundles/j/r/mine.txt").write_text("of a flow called bundles")
    (old.states / LOCKS).unlink()
    shutil.copy(old.states / "good.sqlite", old.states / LOCKS)
    assert old.cli(*RUN).code == 0
    assert (old.work / "bundles/j/r/mine.txt").read_text() == "of a flow called bundles"
    with contextlib.closing(sqlite3.connect(old.states / LOCKS)) as db:
        assert db.execute("SELECT count(*) FROM step_runs").fetchone()[0]


def test_a_link_stays_a_link_and_a_damaged_store_is_moved_as_it_is(old: "Project") -> None:
    shared = old.folder / "shared.sqlite"
    shutil.move(old.states / LOCKS, shared)
    (old.states / LOCKS).symlink_to("../shared.sqlite")
    for path in old.states.glob("registry.sqlite*"):
        path.unlink()
    (old.states / "registry.sqlite").write_text("no database " * 500)
    assert old.cli(*RUN).code == 0
    assert (old.states / "engine" / LOCKS).resolve() == shared
    assert shared.exists()
    assert len(list(old.states.glob("engine/registry.sqlite.damaged-*"))) == 1
    assert {path.name for path in old.states.glob("*.sqlite")} == {"good.sqlite", "bad.sqlite", "ugly.sqlite"}
