"""Files that cannot be read: each command names the file and the reason, ends with exit code 4, types what helps."""

import contextlib
import html
import io
import json
import shlex
import sqlite3
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import warm
from docs_pages import ROOT
from torture_image import mounted, require_mounts

if TYPE_CHECKING:
    from core_project import Project, Result

PLAN = ("plan", "flow.yaml", "--run-id", "r")
STATE = (
    ("runs", "list"), ("runs", "list", "--flow", "f"), ("runs", "show", "r"), ("runs", "logs", "r"),
    ("runs", "diff", "r"), ("resume", "r"), PLAN,
    ("claims", "list"), ("claims", "list", "--flow", "f"), ("runs", "prune", "--keep-last", "0"),
)  # fmt: skip
"""Commands that read the state of a flow."""
LOOKUPS = (
    *STATE, ("runs", "ack", "refused-1", "--reason", "x"), ("runs", "ack", "--before", "0d", "--reason", "x"),
    ("runs", "resolve", "refused-1", "--as", "done", "--reason", "x"), ("state", "forget"),
)  # fmt: skip
"""Commands that look up runs, flows or refused starts."""


@pytest.fixture
def ran(project: "Project") -> "Project":
    project.write("version: 1\nflow: {id: f}\njobs: [{id: a, steps: [{id: s, type: fail, inputs: {message: no}}]}]\n")
    return project


def are_red(
    project: "Project",
    file: Path,
    reason: str,
    commands: list[str],
    *,
    others: tuple[tuple[str, ...], ...] = LOOKUPS,
    prefix: tuple[str, ...] = (),
) -> None:
    """`status` has one such row, with these commands, in each of its forms; the `others` report the same."""
    found = project.command("status", "--json", prefix=prefix)
    (need,) = [need for need in json.loads(found.out)["needs_person"] if need["status"] == "UNREADABLE"]
    assert (found.code, need["commands"]) == (4, commands), need
    page = project.folder / "status.html"
    assert project.command("status", "--html", str(page), prefix=prefix).code == 0
    assert str(file) in need["cause"]
    assert reason in need["cause"]
    told: list[tuple[object, str]] = [("--html", html.unescape(page.read_text()))]
    for command in (("status",), *others):
        result = project.command(*command, prefix=prefix)
        assert result.code == 4, (command, result)
        told.append((command, result.out + result.err))
    for where, words in told:
        text = " ".join(words.split())
        assert "Traceback" not in text, (where, text)
        for part in (str(file), reason, *commands):
            assert " ".join(part.split()) in text, (where, text)


def typed(project: "Project", command: str, prefix: tuple[str, ...] = ()) -> "subprocess.CompletedProcess[str]":
    """Type a command line in the folder of the project."""
    env = {**project.env, "PATH": f"{warm.shims()}:{project.env['PATH']}"}
    return subprocess.run(
        [*prefix, "bash", "-c", command], cwd=project.folder, env=env, capture_output=True, text=True, check=False
    )


def fail(project: "Project", run_id: str = "r") -> "Result":
    result = project.command("run", "flow.yaml", "--run-id", run_id, "-q")
    assert result.code == 1, result
    return result


INSTALL = f"python3 install.py --to {shlex.quote(sys.prefix)}  # in the folder of the newer release"


def make_newer(path: Path) -> str:
    """Let a newer engine have written a file; returns the command that installs that engine."""
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version=99")
    return INSTALL


def is_taken_by_the_installer(command: str) -> None:
    done = subprocess.run(["bash", "-c", command], cwd=ROOT / "deploy", capture_output=True, text=True, check=False)
    assert "run the install.py of a release" in done.stderr, done
    assert "unrecognized arguments" not in done.stderr


def test_a_newer_index(ran: "Project") -> None:
    fail(ran)
    command = make_newer(ran.states / "engine/registry.sqlite")
    for state in ran.states.glob("f*.sqlite"):
        state.unlink()  # the runs are known to the index alone
    are_red(ran, ran.states / "engine/registry.sqlite", "schema 99", [command])
    is_taken_by_the_installer(command)


def test_a_newer_state(ran: "Project") -> None:
    fail(ran)
    command = make_newer(ran.state)
    before = ran.state.read_bytes()
    others = (*STATE, ("run", "flow.yaml", "--run-id", "r"), ("run", "flow.yaml", "--run-id", "new"))
    are_red(ran, ran.state, "schema 99", [command], others=others)
    assert ran.state.read_bytes() == before
    (flow,) = json.loads(ran.command("status", "--json").out)["flows"]
    assert (flow["status"], flow["next"]) == ("unreadable", command)


def test_a_newer_lock_store(ran: "Project") -> None:
    assert ran.command("locks", "list").code == 0
    ran.write((ran.folder / "flow.yaml").read_text().replace("{id: f}", "{id: f, locks: {scope: flow}}"))
    fail(ran)
    command = make_newer(ran.states / "engine/locks.sqlite")
    for words in (("run", "flow.yaml"), ("locks", "list")):
        refused = ran.command(*words)
        assert (refused.code, "has schema 99, this engine knows up to" in refused.err) == (4, True), refused
        assert f"fix: install the release that wrote it: {command}" in refused.err
    is_taken_by_the_installer(command)


def test_a_newer_notification_store(ran: "Project") -> None:
    rule = "{events: [failed], command: [touch, told]}"
    ran.write(f"version: 1\nnotify: [{rule}]\n", "aetherflow.yaml")
    fail(ran)
    assert ran.command("status", "--notify").code == 1
    command = make_newer(ran.states / "engine/notify.sqlite")
    refused = ran.command("status", "--notify")
    assert f"fix: install the release that wrote it: {command}" in refused.err + refused.out


def test_a_newer_backup(ran: "Project") -> None:
    fail(ran)
    assert ran.command("state", "backup", "flow.yaml", "--to", "f.tar").code == 0
    with tarfile.open(ran.folder / "f.tar") as old, tarfile.open(ran.folder / "newer.tar", "w") as new:
        for member in old:
            data = old.extractfile(member).read()  # type: ignore[union-attr]
            if member.name == "manifest.json":
                data = json.dumps(json.loads(data) | {"schema": 99}).encode()
                member.size = len(data)
            new.addfile(member, io.BytesIO(data))
    refused = ran.command("state", "restore", "flow.yaml", "--from", "newer.tar")
    assert (refused.code, "the backup was made by a newer engine" in refused.err) == (4, True), refused
    assert f"fix: install the release that wrote it: {INSTALL}" in refused.err


def test_a_root_that_is_missing(ran: "Project") -> None:
    fail(ran)
    typo = ran.folder / "staet"
    ran.env["AETHERFLOW_STATE_ROOT"] = str(typo)
    look, make = f"ls -l {ran.folder}", f"mkdir -p -m 700 {typo}"
    others = tuple(command for command in LOOKUPS if command != PLAN)  # a new run would make the root
    are_red(ran, typo, "there is no such folder; AETHERFLOW_STATE_ROOT names it", [look, make], others=others)
    assert ran.command(*PLAN).code == 0
    assert " state\n" in typed(ran, look).stdout
    assert typed(ran, make).returncode == 0
    assert typed(ran, "aetherflow status").returncode == 0


def test_a_root_that_a_project_file_names_from_elsewhere(ran: "Project") -> None:
    config = ran.write("version: 1\nroots: {state: nowhere}\n", "aetherflow.yaml")
    elsewhere = ran.folder.parent
    env = {name: value for name, value in ran.env.items() if name != "AETHERFLOW_STATE_ROOT"}
    for words in (("runs", "show", "r"), ("status",)):
        done = warm.run(
            ran.argv(*words, "--config", str(config)), cwd=elsewhere, env=env, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        assert done.returncode == 4, done
        told = " ".join((done.stdout + done.stderr).split())
        assert f"{ran.folder / 'nowhere'}: there is no such folder; the project file names it" in told


def test_a_full_disk(ran: "Project") -> None:
    """The start that the disk refuses leaves files that SQLite has to complete before it reads."""
    require_mounts(ran.folder, "tmpfs")
    ran.states.mkdir(mode=0o700, exist_ok=True)
    with mounted("tmpfs", "tmpfs", "size=2m,mode=0700", ran.states):
        fail(ran)
        with (ran.states / "filler").open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while file.write(b"x" * 4096):
                pass
        assert ran.command("run", "flow.yaml", "--run-id", "r2", "-q").code == 4
        are_red(ran, ran.states, "disk full", [f"df -h {ran.states}/engine"], others=LOOKUPS[:0])
        for command in LOOKUPS:
            assert "disk full" in (looked := ran.command(*command)).err, looked
        assert "100%" in typed(ran, f"df -h {ran.states}").stdout
        (ran.states / "filler").unlink()
        rows = json.loads(ran.command("status", "--json").out)["needs_person"]
        assert [row["status"] for row in rows] == ["FAILED"]


def test_a_root_of_another_account(ran: "Project", unprivileged: tuple[str, ...]) -> None:
    fail(ran)
    ran.states.chmod(0)
    command = f"namei -l {ran.states}"
    try:
        are_red(ran, ran.states, "permission denied", [command], prefix=unprivileged)
        shown = typed(ran, command, unprivileged)
    finally:
        ran.states.chmod(0o700)
    assert (shown.returncode, shown.stdout.splitlines()[-1].split()[0]) == (0, "d---------")


def test_a_root_in_a_folder_of_another_account(ran: "Project", unprivileged: tuple[str, ...]) -> None:
    closed = ran.folder / "closed"
    ran.env["AETHERFLOW_STATE_ROOT"] = str(root := closed / "state")
    fail(ran)
    closed.chmod(0)
    try:
        are_red(ran, root, "permission denied", [f"namei -l {closed}"], prefix=unprivileged)
        released = ran.command("locks", "release", "x", prefix=unprivileged)
    finally:
        closed.chmod(0o700)
    assert (released.code, "permission denied" in released.err) == (4, True), released


def test_a_damaged_state(ran: "Project") -> None:
    fail(ran)
    assert ran.command("state", "backup", "flow.yaml", "--to", "f.tar").code == 0
    ran.state.write_text("no database " * 500)
    command = f"aetherflow state restore {ran.state} --from FILE"
    are_red(ran, ran.state, "not a database", [command], others=(*STATE, ("run", "flow.yaml")))
    assert typed(ran, command.replace("FILE", "f.tar")).returncode == 0
    assert ran.command("status").code == 1
    assert ran.command("runs", "show", "r").code == 0


def test_a_file_that_is_no_state_keeps_its_fix(ran: "Project") -> None:
    """Nothing can be typed: the row says what to do."""
    fail(ran)
    ran.state.unlink()
    with contextlib.closing(sqlite3.connect(ran.state)) as db:
        db.execute("CREATE TABLE mine (x)")
    are_red(ran, ran.state, "that AetherFlow did not create; name another flow.state.path", [], others=())
