"""Commands that look up a run or a flow name the file that they cannot read, and end with exit code 4."""

import contextlib
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from torture_image import mounted, require_mounts

if TYPE_CHECKING:
    from core_project import Project

LOOKUPS = (
    ("runs", "show", "r"), ("runs", "logs", "r"), ("runs", "diff", "r"), ("resume", "r"),
    ("runs", "list", "--flow", "f"), ("claims", "list"), ("claims", "list", "--flow", "f"),
)  # fmt: skip


@pytest.fixture
def ran(project: "Project") -> "Project":
    project.write("version: 1\nflow: {id: f}\njobs: [{id: a, steps: [{id: s, type: fail, inputs: {message: no}}]}]\n")
    return project


def are_red(project: "Project", file: Path, reason: str, prefix: tuple[str, ...] = ()) -> None:
    for command in (("status",), ("runs", "list"), *LOOKUPS):
        result = project.command(*command, prefix=prefix)
        assert result.code == 4, (command, result)
        said = " ".join((result.out + result.err).split())
        assert str(file) in said, (command, said)
        assert reason in said, (command, said)
        assert "Traceback" not in said, (command, said)


def test_a_newer_index(ran: "Project") -> None:
    assert ran.command("run", "flow.yaml", "--run-id", "r", "-q").code == 1
    with contextlib.closing(sqlite3.connect(ran.states / "registry.sqlite")) as db:
        db.execute("PRAGMA user_version=99")
    for state in ran.states.glob("f*.sqlite"):
        state.unlink()  # the runs are known to the index alone
    are_red(ran, ran.states / "registry.sqlite", "schema 99")


def test_a_root_that_is_missing(ran: "Project") -> None:
    ran.env["AETHERFLOW_STATE_ROOT"] = str(ran.folder / "staet")
    are_red(ran, ran.folder / "staet", "there is no such folder")


def test_a_full_disk(ran: "Project") -> None:
    """The start that the disk refuses leaves files that SQLite has to complete before it reads."""
    require_mounts(ran.folder, "tmpfs")
    ran.states.mkdir(mode=0o700, exist_ok=True)
    with mounted("tmpfs", "tmpfs", "size=2m,mode=0700", ran.states):
        assert ran.command("run", "flow.yaml", "--run-id", "r", "-q").code == 1
        with (ran.states / "filler").open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while file.write(b"x" * 4096):
                pass
        assert ran.command("run", "flow.yaml", "--run-id", "r2", "-q").code == 4
        are_red(ran, ran.states, "disk full")


def test_a_root_of_another_account(ran: "Project", unprivileged: tuple[str, ...]) -> None:
    assert ran.command("run", "flow.yaml", "--run-id", "r", "-q").code == 1
    ran.states.chmod(0)
    try:
        are_red(ran, ran.states, "Permission denied", unprivileged)
    finally:
        ran.states.chmod(0o700)
