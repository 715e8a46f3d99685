"""Copies of artifacts: what is copied, tried again after a lost connection, and made again without a copy."""

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from aetherflow.core.api import register_connector
from aetherflow.core.host import catalog
from aetherflow_builtins_transfer.connectors.local import SftpLocal

if TYPE_CHECKING:
    from core_project import Project

PROJECT = """\
version: 1
paths: {write: [FOLDER/out]}
resources:
  lake:
    kind: sftp
    driver: DRIVER
    config: {root: FOLDER/lake}
    options: {retry: {max_attempts: 3, backoff_seconds: 0.01}}
artifacts: {resource: lake, path: runs}
"""
FLOW = """\
jobs:
  - id: a
    steps:
      - {id: one, type: file_write, inputs: {path: one.csv, content: same}}
      - {id: two, type: file_write, inputs: {path: two.csv, content: same}}
      - {id: out, type: file_write, inputs: {path: FOLDER/out/three.csv, content: elsewhere}}
      - {id: bad, type: fail, inputs: {message: "no {{steps.one.path}}, {{steps.two.path}}, {{steps.out.path}}"}}
"""


class Falters(SftpLocal):
    """A folder to which the connection breaks, as often as `losses` says."""

    losses = 0

    def write(self, path: str, source: Callable[[int], bytes]) -> None:
        if Falters.losses:
            Falters.losses -= 1
            raise ConnectionResetError("the line broke")
        super().write(path, source)


def laid(project: "Project", driver: str = "local") -> Path:
    """The folder of the run in the one that stands for a server."""
    project.write(PROJECT.replace("FOLDER", str(project.folder)).replace("DRIVER", driver), "aetherflow.yaml")
    project.flow(FLOW.replace("FOLDER", str(project.folder)))
    return project.folder / "lake/runs/f/r"


def copies(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


SAME = {hashlib.sha256(b"same").hexdigest(): "same"}


def test_equal_files_have_one_copy_and_those_elsewhere_none(project: "Project") -> None:
    folder = laid(project)
    assert project.cli("run", "flow.yaml", "-q", "--run-id", "r").code == 1
    assert (project.folder / "out/three.csv").read_text() == "elsewhere"
    assert copies(folder) == SAME


@pytest.mark.parametrize("losses", [2, 3])
def test_a_lost_connection_is_tried_again(project: "Project", monkeypatch: pytest.MonkeyPatch, losses: int) -> None:
    monkeypatch.setattr(catalog, "_registered", {group: dict(each) for group, each in catalog._registered.items()})
    register_connector("sftp", "falters")(Falters)
    monkeypatch.setattr(Falters, "losses", losses)
    folder = laid(project, "falters")
    done = project.cli("run", "flow.yaml", "-q", "--run-id", "r")
    assert done.code == 1
    if losses == 2:
        assert copies(folder) == SAME
    else:
        assert "one.csv: resource lake: the line broke" in done.err
        assert project.rows("SELECT step_id, status FROM step_runs") == [("one", "FAILED")]


def test_a_file_that_has_no_copy_is_made_again(project: "Project") -> None:
    folder = laid(project)
    assert project.cli("run", "flow.yaml", "-q", "--run-id", "r").code == 1
    shutil.rmtree(project.work)
    shutil.rmtree(folder)
    assert project.cli("resume", "r", "-q").code == 1
    assert copies(folder) == SAME
    again = project.rows("SELECT step_id FROM step_runs WHERE attempt>1 ORDER BY step_id")
    assert again == [("bad",), ("one",), ("two",)], "the file elsewhere is still there"
