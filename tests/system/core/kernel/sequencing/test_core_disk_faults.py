"""Defects that the torture suites found, each as the smallest case that shows it."""

import signal
from typing import TYPE_CHECKING

import pytest

from aetherflow.core.base import durable

if TYPE_CHECKING:
    from core_project import Project

LARGE = """
jobs:
  - id: a
    steps:
      - id: big
        type: external.process
        inputs: {command: [python3, -c, "print('x' * 400_000)"], log: {stdout: capture}}
"""
CLEANED = """\
version: 1
flow: {id: f, workspace: {cleanup_policy: always}}
jobs:
  - id: a
    steps:
      - id: s
        type: external.process
        inputs: {command: [echo, x], log: {stdout: file, file_path: out.txt, append: false}}
"""


def points(project: "Project") -> list[str]:
    names = project.folder / "points"
    setting = {"AETHERFLOW_TESTS_FAILPOINT": f"log:{names}"}
    assert project.command("run", "flow.yaml", "--run-id", "r", env=setting).code == 0
    durable.remove_tree(project.states)
    durable.remove_tree(project.work)
    return names.read_text().splitlines()


def kill_at(project: "Project", point: int) -> None:
    code = project.command("run", "flow.yaml", "--run-id", "r", env={"AETHERFLOW_TESTS_FAILPOINT": str(point)}).code
    assert code == -signal.SIGKILL


def test_an_unfinished_stored_output_of_a_dead_process_is_removed(project: "Project") -> None:
    project.flow(LARGE)
    renamed = [len(name) if name.startswith("rename ") else 0 for name in points(project)]
    kill_at(project, renamed.index(len("rename ") + 64) + 1)  # stored outputs are named by their sha256
    assert len(list(project.states.rglob("*.part"))) == 1
    assert project.command("run", "flow.yaml", "--run-id", "r").code == 0
    assert list(project.states.rglob("*.part")) == []


@pytest.mark.parametrize("cut", ["before the marker", "after the marker"])
def test_a_cleanup_that_was_cut_short_is_ended(project: "Project", cut: str) -> None:
    project.write(CLEANED)
    kill_at(project, points(project).index("rmtree r .aetherflow-run.json") + 1)
    folder = project.work / "f/a/r"
    assert [path.name for path in folder.iterdir()] == [".aetherflow-run.json"], "the marker outlives all the rest"
    if cut == "after the marker":
        (folder / ".aetherflow-run.json").unlink()
    assert project.command("run", "flow.yaml", "--run-id", "r").code == 0
    assert not folder.exists()


def test_a_lock_file_on_a_full_disk_is_a_state_error(project: "Project", unprivileged: tuple[str, ...]) -> None:
    project.flow("jobs: [{id: a, steps: [{id: s, type: check_items, inputs: {items: [1]}}]}]\n")
    assert project.command("run", "flow.yaml").code == 0
    full = project.states / "f.sqlite.d/runs/f/full.lock"
    full.symlink_to("/dev/full")
    result = project.command("run", "flow.yaml", "--run-id", "full", prefix=unprivileged)
    assert result.code == 4, result.err
    assert str(full) in result.err
