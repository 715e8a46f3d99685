"""`status` and `runs list`: what cannot be read is red, with its file and the reason, and never green."""

import contextlib
import json
import os
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from core_history import OK, flow

from aetherflow.core.kernel.state import unusable
from aetherflow.core.runtime import unreadable

if TYPE_CHECKING:
    from core_project import Project

BAD = "jobs: [{id: load, steps: [{id: orders, type: fail, inputs: {message: duplicate key}}]}]\n"


@pytest.fixture
def failed(project: "Project") -> "Project":
    flow(project, "f", BAD)
    assert project.cli("run", "f.yaml", "--run-id", "r").code == 1
    return project


def is_red(project: "Project", file: Path, reason: str) -> None:
    result = project.cli("status", "--json")
    document = json.loads(result.out)
    assert (result.code, document["ok"]) == (4, False)
    found = [need["cause"] for need in document["needs_person"] if need["status"] == "UNREADABLE"]
    assert any(str(file) in cause and reason in cause for cause in found), found
    listed = project.cli("runs", "list")
    assert listed.code == 4
    assert str(file) in listed.err
    assert reason in listed.err


def test_a_state_root_that_was_named_and_is_not_there(project: "Project", monkeypatch: pytest.MonkeyPatch) -> None:
    typo = project.folder / "staet"
    monkeypatch.setenv("AETHERFLOW_STATE_ROOT", str(typo))
    is_red(project, typo, "there is no such folder")


def test_the_default_root_may_be_missing(project: "Project", monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AETHERFLOW_STATE_ROOT")
    monkeypatch.setenv("XDG_STATE_HOME", str(project.folder / "nothing"))
    assert project.cli("status").code == 0
    assert project.cli("runs", "list").code == 0


def test_a_registry_of_a_newer_engine(failed: "Project") -> None:
    path = failed.states / "engine/registry.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version=99")
    is_red(failed, path, "schema 99")


def test_a_root_that_this_account_may_not_list(failed: "Project", monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(path: Path) -> list[str]:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(unreadable, "os", _Os(listdir=denied))
    is_red(failed, failed.states, "permission denied")


def test_a_registry_that_cannot_be_opened_since_the_disk_is_full(
    failed: "Project", monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: Path, __: object) -> object:
        raise sqlite3.OperationalError("unable to open database file")

    monkeypatch.setattr(unreadable, "read_registry", full)
    monkeypatch.setattr(unusable, "os", _Os(statvfs=lambda _: os.statvfs_result((1, 1, 1, 0, 0, 1, 1, 1, 0, 255))))
    is_red(failed, failed.states / "engine/registry.sqlite", "disk full")


def test_what_can_be_read_is_not_red(project: "Project") -> None:
    flow(project, "f", OK)
    assert project.cli("run", "f.yaml").code == 0
    assert project.cli("status").code == 0
    assert project.cli("runs", "list").code == 0


class _Os:
    """The module `os` with other functions."""

    def __init__(self, **functions: object) -> None:
        self.__dict__.update(functions)

    def __getattr__(self, name: str) -> object:
        return getattr(os, name)
