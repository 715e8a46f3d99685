"""Artifacts between hosts that do not share the work root: copied to a resource of the project, fetched on resume."""

import contextlib
import hashlib
import json
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from core_project import Project
from services import Sshd

PROJECT = """\
version: 1
resources:
  lake: {kind: sftp, driver: local, config: {root: ROOT}}
artifacts: {resource: lake, path: etl/runs}
"""
FLOW = """\
version: 1
flow: {id: f}
jobs:
  - id: a
    steps:
      - {id: rows, type: file_write, inputs: {path: sub/rows.csv, content: "rows\\n"}}
      - {id: rest, type: file_write, inputs: {path: rest.csv, content: "rest\\n"}}
      - {id: note, type: external.process, inputs: {shell: true, command: "echo made >> $EFFECTS"}}
      - id: use
        type: external.process
        inputs: {shell: true, command: "test -e $GO && cat rest.csv sub/rows.csv >> $EFFECTS", env: {FILE: rest.csv}}
"""


def laid(project: Project, resource: str) -> None:
    project.env["GO"] = str(project.folder / "go")
    project.write(resource, "aetherflow.yaml")
    project.write(FLOW)


@pytest.fixture
def lake(project: Project) -> Path:
    """The folder that stands for a server."""
    found = project.folder / "lake"
    laid(project, PROJECT.replace("ROOT", str(found)))
    return found


def copies(lake: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in (lake / "etl/runs/f/r").glob("*")}


def fail(project: Project) -> None:
    """A run that has failed in its last step, at a host that is gone by now."""
    found = project.command("run", "flow.yaml", "--run-id", "r")
    assert found.code == 1
    assert "a.use" in found.err, found.err
    with contextlib.closing(sqlite3.connect(project.state)) as db, db:
        db.execute("UPDATE runs SET host='gone'")
    (project.folder / "go").touch()


def attempts(project: Project) -> list[Any]:
    return project.rows("SELECT step_id, attempt, status FROM step_runs WHERE attempt > 1")


def test_a_run_goes_on_at_a_host_with_another_work_root(project: Project, lake: Path) -> None:
    fail(project)
    assert copies(lake) == {hashlib.sha256(text.encode()).hexdigest(): text for text in ("rows\n", "rest\n")}
    shutil.rmtree(project.work)
    planned = project.command("resume", "r", "--dry-run")
    assert not project.work.exists(), planned.out
    found = project.command("resume", "r")
    assert found.code == 0, found.err
    assert "2 artifacts were fetched" in found.err
    assert project.lines() == ["made", "rest", "rows"], "no finished step ran again"
    assert attempts(project) == [("use", 2, "SUCCESS")]
    assert not list(lake.rglob("*.*")), "they are removed with the folders of the run"
    assert copies(lake) == {}
    assert not (lake / "etl/runs/f/r").exists()


@pytest.mark.usefixtures("lake")
def test_what_cannot_be_reached_is_said_before_anything_runs(project: Project) -> None:
    fail(project)
    shutil.rmtree(project.work)
    config = "config: {host: 127.0.0.1, port: 9, username: u, password: secret, known_hosts: known_hosts}"
    nobody = PROJECT.replace("driver: local, config: {root: ROOT}", f"driver: paramiko, {config}")
    project.write("", "known_hosts")
    project.write(nobody, "aetherflow.yaml")
    found = project.command("resume", "r", "--json")
    assert found.code == 1
    error = json.loads(found.out)["error"]
    assert error["code"] == "AF5201"
    assert error["message"].startswith("listing the copies of artifacts: resource lake: ")
    assert attempts(project) == []
    assert not project.work.exists()


def test_a_copy_that_is_damaged_is_not_used(project: Project, lake: Path) -> None:
    fail(project)
    shutil.rmtree(project.work)
    next(path for path in lake.rglob("*") if path.is_file() and path.read_text() == "rows\n").write_text("rowS\n")
    found = project.command("resume", "r")
    assert found.code == 1
    assert "rows.csv: resource lake: the copy has other content than was recorded" in found.err
    assert attempts(project) == []
    assert not list(project.work.rglob("rows.csv*"))


def test_an_older_file_that_stands_here_is_replaced(project: Project, lake: Path) -> None:
    fail(project)
    (project.artifacts("a", "r") / "rest.csv").write_text("stale")
    found = project.command("resume", "r")
    assert found.code == 0, found.err
    assert project.lines() == ["made", "rest", "rows"]


def test_a_step_whose_artifact_is_not_copied_has_failed(project: Project, lake: Path) -> None:
    lake.write_text("no folder")
    found = project.command("run", "flow.yaml", "--run-id", "r")
    assert found.code == 1
    assert "AF5201" in found.err
    assert "rows.csv: resource lake: " in found.err
    lake.unlink()
    (project.folder / "go").touch()
    assert project.command("resume", "r").code == 0


def test_over_a_real_server(project: Project, sshd: Sshd, tmp_path: Path) -> None:
    config = {
        "host": "127.0.0.1", "port": sshd.port, "username": sshd.user, "pkey_path": str(sshd.key),
        "known_hosts": str(sshd.known_hosts),
    }  # fmt: skip
    lake = {"kind": "sftp", "driver": "paramiko", "config": config}
    where = tmp_path / "lake"
    where.mkdir()
    laid(
        project,
        json.dumps({"version": 1, "resources": {"lake": lake}, "artifacts": {"resource": "lake", "path": str(where)}}),
    )
    fail(project)
    shutil.rmtree(project.work)
    found = project.command("resume", "r")
    assert found.code == 0, found.err
    assert "2 artifacts were fetched" in found.err
    assert project.lines() == ["made", "rest", "rows"]


def test_validate_knows_the_resource(project: Project, lake: Path) -> None:
    text = PROJECT.replace("ROOT", str(lake))
    project.write(text.replace("resource: lake", "resource: lakes"), "aetherflow.yaml")
    found = json.loads(project.command("validate", "aetherflow.yaml", "--json").out)["errors"]
    assert [(each["af"], each["loc"]) for each in found] == [("AF1209", "artifacts.resource")]
    project.write(
        text.replace("sftp, driver: local, config: {root:", "mail, driver: file, config: {folder:"), "aetherflow.yaml"
    )
    found = json.loads(project.command("validate", "aetherflow.yaml", "--json").out)["errors"]
    assert ("AF1210", "artifacts.resource") in [(each["af"], each["loc"]) for each in found]
