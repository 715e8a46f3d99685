"""A store of notifications or locks, or a ledger, that cannot work: red in `status` and `doctor`, with what to type."""

import contextlib
import html
import json
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import warm
from torture_image import mounted, require_mounts

if TYPE_CHECKING:
    from core_project import Project, Result

FLOW = (
    "version: 1\nflow: {id: f, locks: {scope: flow}}\njobs: [{id: a, steps: [{id: s, type: TYPE, inputs: INPUTS}]}]\n"
)
NOTIFY = "version: 1\nnotify: [{command: [sh, -c, cat >> sent.txt], events: [failed]}]\n"
SCHEDULE = "version: 1\ntimezone: UTC\nitems: [{id: nightly, flow_yaml: flow.yaml, cron: 0 6 * * *}]\n"
STORES = {
    "notification store": "engine/notify.sqlite",
    "lock store": "engine/locks.sqlite",
    "senders' locks": "engine/notify.sqlite.d/locks.sqlite",
    "ledger": "engine/scheduler/scheduler-*.sqlite",
}


@pytest.fixture
def ran(project: "Project") -> "Project":
    """All stores are in use: a run that failed was notified of, one held a lock, a schedule has a ledger."""
    project.write(NOTIFY, "aetherflow.yaml")
    project.write(FLOW.replace("TYPE", "check_items").replace("INPUTS", "{items: [1]}"))
    project.write(FLOW.replace("TYPE", "fail").replace("INPUTS", "{message: no}").replace("id: f,", "id: b,"), "b.yaml")
    project.write(SCHEDULE, "scheduler.yaml")
    assert project.command("run", "flow.yaml", "-q").code == 0
    assert project.command("run", "b.yaml", "--run-id", "r", "-q").code == 1
    assert project.command("status", "--notify").code == 1
    assert project.command("runs", "ack", "r", "--reason", "known").code == 0
    assert (project.folder / "sent.txt").exists()
    tick(project)
    assert project.command("status").code == 0
    assert project.command("doctor", "flow.yaml").code == 0
    return project


def tick(project: "Project") -> None:
    argv = [sys.executable, "-m", "aetherflow.scheduler", "tick", "scheduler.yaml"]
    done = warm.run(argv, cwd=project.folder, env=project.env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done


def store(project: "Project", name: str) -> Path:
    (found,) = project.states.glob(STORES[name])
    return found


def wipe(path: Path) -> None:
    for ending in ("", "-wal", "-shm"):
        Path(f"{path}{ending}").unlink(missing_ok=True)


def no_database(path: Path) -> None:
    wipe(path)
    path.write_text("no database " * 500)


def folder(path: Path) -> None:
    wipe(path)
    path.mkdir()


def newer(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version=99")


def of_another_program(path: Path) -> None:
    wipe(path)
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE mine (x)")


def of_another_program_that_counts(path: Path) -> None:
    """Its version happens to be ours."""
    with contextlib.closing(sqlite3.connect(path)) as db:
        version = db.execute("PRAGMA user_version").fetchone()[0]
    of_another_program(path)
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute(f"PRAGMA user_version={version}")


def damaged(path: Path) -> None:
    """All pages but the first are of something else."""
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    for ending in ("-wal", "-shm"):
        Path(f"{path}{ending}").unlink(missing_ok=True)
    data = path.read_bytes()
    path.write_bytes(data[:4096] + b"\xff" * (len(data) - 4096))


def link_to_nowhere(path: Path) -> None:
    wipe(path)
    path.symlink_to(path.parent / "disk2" / path.name)


AWAY = "mkdir -m 700 {path}.damaged && mv {path}"
REASONS: dict[Callable[[Path], None], tuple[str, str]] = {
    no_database: ("file is not a database", AWAY),
    folder: ("it is a folder", AWAY),
    newer: ("has schema 99", "python3 install.py --to "),
    of_another_program: ("is a database that ", AWAY),
    of_another_program_that_counts: ("is a database that ", AWAY),
    damaged: ("database disk image is malformed", AWAY),
}


def is_red(project: "Project", path: Path, reason: str, command: str, prefix: tuple[str, ...] = ()) -> str:
    """Every form of `status`, and `doctor`, names the file, the reason and a command, which is returned."""
    found = project.command("status", "--json", prefix=prefix)
    assert found.code == 4, found
    (need,) = [need for need in json.loads(found.out)["needs_person"] if need["status"] == "UNREADABLE"]
    page = project.folder / "status.html"
    assert project.command("status", "--html", str(page), prefix=prefix).code == 0
    numbers = project.command("status", "--format", "prometheus", prefix=prefix)
    assert f'open_failures{{flow="{need["name"]}"}} 1' in numbers.out, numbers
    doctor = project.command("doctor", "flow.yaml", prefix=prefix)
    assert doctor.code == 2, doctor
    assert "AF4001" in doctor.out
    text = project.command("status", prefix=prefix)
    assert text.code == 4
    for told in (need["cause"], html.unescape(page.read_text()), doctor.out, text.out):
        words = " ".join(told.split())
        assert str(path) in words, told
        assert reason in words, told
    if not command:
        return ""
    (typed,) = need["commands"]
    assert typed.startswith(command.format(path=path)), typed
    for told in (html.unescape(page.read_text()), doctor.out, text.out):
        assert " ".join(typed.split()) in " ".join(told.split()), told
    return str(typed)


def shell(project: "Project", command: str) -> "subprocess.CompletedProcess[str]":
    env = {**project.env, "PATH": f"{warm.shims()}:{project.env['PATH']}"}
    return subprocess.run(
        ["bash", "-c", command], cwd=project.folder, env=env, capture_output=True, text=True, check=False
    )


def is_well(project: "Project") -> None:
    """Everything works again: a run with a lock, a notification, a slot."""
    before = (project.folder / "sent.txt").read_text()
    assert project.command("run", "flow.yaml", "-q").code == 0
    other = (project.folder / "b.yaml").read_text().replace("id: b,", "id: c,")  # a cause is not sent twice
    project.write(other, "c.yaml")
    assert project.command("run", "c.yaml", "--run-id", "again", "-q").code == 1
    assert project.command("status", "--notify").code == 1
    assert project.command("runs", "ack", "again", "--reason", "known").code == 0
    assert len((project.folder / "sent.txt").read_text()) > len(before)
    tick(project)
    assert project.command("status").code == 0
    assert project.command("doctor", "flow.yaml").code == 0


@pytest.mark.parametrize("how", REASONS, ids=lambda how: how.__name__)
@pytest.mark.parametrize("name", STORES)
def test_a_store_that_cannot_work(ran: "Project", name: str, how: Callable[[Path], None]) -> None:
    path = store(ran, name)
    how(path)
    reason, command = REASONS[how]
    typed = is_red(ran, path, reason, command)
    if command is AWAY:
        done = shell(ran, typed)
        assert done.returncode == 0, done
        assert (path.parent / f"{path.name}.damaged" / path.name).exists()
        is_well(ran)


@pytest.mark.parametrize("name", STORES)
def test_a_link_to_a_folder_that_is_missing(ran: "Project", name: str) -> None:
    path = store(ran, name)
    link_to_nowhere(path)
    reason = "unable to open database file" if name == "ledger" else "whose folder is missing"
    is_red(ran, path, reason, "" if name == "ledger" else "ls -l {path}")


@pytest.mark.parametrize("mode", [0o000, 0o400])
@pytest.mark.parametrize("name", STORES)
def test_a_store_of_another_mode(ran: "Project", name: str, mode: int, unprivileged: tuple[str, ...]) -> None:
    path = store(ran, name)
    path.chmod(mode)
    verb = "write" if mode else "read"
    is_red(ran, path, f"cannot {verb} {path}", "namei -l {path}", unprivileged)
    path.chmod(0o600)
    assert ran.command("status", prefix=unprivileged).code == 0


@pytest.mark.parametrize("name", ["notification store", "lock store"])
def test_what_is_next_to_a_store_counts(ran: "Project", name: str) -> None:
    path = store(ran, name)
    side = Path(f"{path}.d")
    shutil.rmtree(side)
    side.write_text("")
    typed = is_red(ran, path, f"{side} is not a folder", f"mkdir -m 700 {side}.damaged && mv {side}")
    assert shell(ran, typed).returncode == 0
    is_well(ran)


def test_a_lock_store_of_another_program_stays_where_it_is(ran: "Project") -> None:
    """The setting names it: nothing of it is moved."""
    path = ran.folder / "app.sqlite"
    of_another_program(path)
    ran.env["AETHERFLOW_LOCK_STORE"] = str(path)
    is_red(ran, path, "that AetherFlow did not create", "")
    assert "name another file in AETHERFLOW_LOCK_STORE" in " ".join(ran.command("status").out.split())


def test_a_damaged_page_that_no_look_meets_is_found_by_doctor(ran: "Project") -> None:
    path = store(ran, "notification store")
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.executemany(
            "INSERT INTO notifications (id, at, event, body) VALUES (?, 0, 'late', ?)",
            [(f"n{number:05}", "x" * 900) for number in range(500)],
        )
        db.commit()
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        last = db.execute("PRAGMA page_count").fetchone()[0]
    for ending in ("-wal", "-shm"):
        Path(f"{path}{ending}").unlink(missing_ok=True)
    with path.open("r+b") as file:
        file.seek((last - 2) * 4096)
        file.write(b"\xff" * 4096)
    doctor = ran.command("doctor", "flow.yaml")
    assert doctor.code == 2
    assert f"notification store {path}: " in doctor.out
    assert "malformed" in doctor.out


@pytest.mark.parametrize("text", ["", "{", "[]", "{}"])
def test_a_note_of_a_schedule_that_cannot_be_read(ran: "Project", text: str) -> None:
    (note,) = ran.states.glob("engine/scheduler/schedules/*.json")
    note.write_text(text)
    typed = is_red(ran, note, "doesn't say where the ledger of a schedule is", "mv {path} {path}.damaged")
    assert shell(ran, typed).returncode == 0
    tick(ran)
    assert note.exists()
    is_well(ran)


def test_an_empty_ledger(ran: "Project") -> None:
    path = store(ran, "ledger")
    wipe(path)
    path.touch()
    is_red(ran, path, "is empty: what it recorded is gone", "")
    tick(ran)
    is_well(ran)


@pytest.mark.parametrize("name", ["notification store", "lock store", "senders' locks"])
def test_an_empty_store_is_made_again(ran: "Project", name: str) -> None:
    path = store(ran, name)
    wipe(path)
    path.touch()
    is_well(ran)


def test_a_run_under_way_is_shown_with_a_lock_store_that_cannot_work(
    ran: "Project", wait_for: Callable[..., None]
) -> None:
    ran.write(FLOW.replace("TYPE", "external.process").replace("INPUTS", "{command: [sleep, '60']}"), "long.yaml")
    process = ran.start("run", "long.yaml", "--run-id", "long")
    try:
        wait_for(lambda: json.loads(ran.command("status", "--json").out)["running"])
        no_database(store(ran, "lock store"))
        result: Result = ran.command("status")
        assert (result.code, "UNREADABLE locks.sqlite" in result.out) == (4, True), result
        assert "running" in result.out
    finally:
        process.kill()
        process.communicate()


def test_a_read_only_file_system(ran: "Project") -> None:
    require_mounts(ran.folder, "tmpfs")
    whole = ran.folder / "whole"
    ran.states.rename(whole)
    ran.states.mkdir(mode=0o700)
    with mounted("tmpfs", "tmpfs", "size=16m,mode=0700", ran.states):
        shutil.copytree(whole, ran.states, dirs_exist_ok=True)
        subprocess.run(["mount", "-o", "remount,ro", ran.states], check=True)
        told = ran.command("status")
        words = " ".join(told.out.split())
        assert told.code == 4, told
        for name in ("notification store", "lock store"):
            assert f"{store(ran, name)}: read-only file system" in words, told
        assert f"findmnt -T {ran.states}" in words, told
