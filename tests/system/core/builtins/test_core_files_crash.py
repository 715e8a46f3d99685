"""The file steps, killed at their failpoints: the same command again leaves what an undisturbed run leaves."""

import hashlib
import json
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from core_killed import attempt

from torture_tier import sample, sized

if TYPE_CHECKING:
    from core_project import Project

SAMPLE = sized(25, 10_000)
"""Points that are tried, of some hundred."""

FLOW = """\
version: 1
flow: {id: f, workspace: {cleanup_policy: never}}
jobs:
  - id: a
    steps:
      - {id: one, type: file_write, inputs: {path: in/one.csv, content: "1,2"}}
      - {id: two, type: file_write, inputs: {path: in/two.csv, content: [1, 2]}}
      - {id: tmp, type: file_write, inputs: {path: in/x.tmp, content: "gone"}}
      - {id: copy, type: file_copy, inputs: {src: "in/*.csv", dest_dir: copy, verify: sha256}}
      - {id: far, type: file_move, inputs: {src: "copy/*", dest_dir: "FAR"}}
      - {id: move, type: file_move, inputs: {src: "in/*.csv", dest_dir: done}}
      - {id: sums, type: file_hash, inputs: {path: "done/*", dest: done/SHA256SUMS, side_files: true}}
      - {id: check, type: file_hash, inputs: {path: "done/SHA256SUMS", verify: true}}
      - {id: drop, type: file_delete, inputs: {path: ["in/*.tmp", "never"]}, outputs: {gone: "{{result.deleted}}"}}
      - {id: tree, type: file_delete, inputs: {path: in, recursive: true}}
      - {id: left, type: file_find, inputs: {pattern: "**/*"}}
"""


def left(project: "Project", far: Path) -> dict[str, Any]:
    """All that must be equal: files, outputs, records of artifacts."""
    files = [path for root in (project.work, far) for path in sorted(root.rglob("*")) if path.is_file()]
    steps = "SELECT step_id, status, outputs, reason FROM step_runs s WHERE attempt = "
    steps += "(SELECT max(attempt) FROM step_runs t WHERE t.step_id = s.step_id) ORDER BY 1"
    outputs = {name: (status, json.loads(text), reason) for name, status, text, reason in project.rows(steps)}
    for record in outputs["left"][1]["files"]:
        del record["mtime"]
    return {
        "files": {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files},
        "steps": outputs,
        "artifacts": project.rows("SELECT path, step_id, size, sha256, gone_by FROM artifacts ORDER BY 1"),
    }


def forget(project: "Project", far: Path) -> None:
    for folder in (project.states, project.work, far):
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def far(project: "Project", other_device: Callable[[Path], Path]) -> Path:
    """A folder on another file system."""
    folder = other_device(project.folder)
    found = folder / "far"
    project.write(FLOW.replace("FAR", str(found)))
    (project.folder / "aetherflow.yaml").write_text(f"version: 1\npaths: {{write: ['{folder}']}}\n")
    return found


def test_kill_at_every_point(project: "Project", far: Path) -> None:
    assert attempt("") == 0, Path("stderr").read_text()  # and all modules are imported
    forget(project, far)
    log = project.folder / "points"
    assert attempt(f"log:{log}") == 0
    names = log.read_text().splitlines()
    expected = left(project, far)
    assert expected["steps"]["move"][1]["count"] == 2
    assert expected["steps"]["drop"][1]["missing"] == ["never"]
    forget(project, far)
    points = list(range(1, len(names) + 1))
    for point in sample(points, SAMPLE, "files_crash"):
        where = f"killed at {point}, {names[point - 1]}"
        assert attempt(f"{point}") == -signal.SIGKILL, where
        assert attempt("") == 0, f"{where}: {Path('stderr').read_text()}"
        found = left(project, far)
        for what, value in expected.items():
            assert found[what] == value, f"{what}, {where}"
        forget(project, far)


@pytest.mark.parametrize("fault", ["enospc", "eio"])
def test_a_disk_that_fails_at_any_point(project: "Project", far: Path, fault: str) -> None:
    assert attempt("") == 0
    expected = left(project, far)
    forget(project, far)
    log = project.folder / "points"
    assert attempt(f"log:{log}") == 0
    names = log.read_text().splitlines()
    forget(project, far)
    points = list(range(1, len(names) + 1))
    for point in sample(points, SAMPLE // 2, f"files_crash {fault}"):
        where = f"{fault} at {point}, {names[point - 1]}"
        assert attempt(f"{point}:{fault}") in (0, 1, 2, 4), where  # 0: what failed was no more than a hint
        assert attempt("") == 0, f"{where}: {Path('stderr').read_text()}"
        found = left(project, far)
        for what, value in expected.items():
            assert found[what] == value, f"{what}, {where}"
        forget(project, far)


def test_a_failure_between_two_files_is_gone_on_from(project: "Project", far: Path) -> None:
    assert attempt("") == 0
    expected = left(project, far)
    forget(project, far)
    log = project.folder / "points"
    assert attempt(f"log:{log}") == 0
    names = log.read_text().splitlines()
    forget(project, far)
    second = [number for number, name in enumerate(names, 1) if name == "move two.csv"][-1]
    assert attempt(f"{second}:enospc") == 1
    said = Path("stderr").read_text()
    assert "No space left" in said
    assert "  fix: free space on that disk" in said
    assert attempt("") == 0, Path("stderr").read_text()
    assert left(project, far)["steps"] == expected["steps"]


def test_a_copy_that_failed_is_made_of_what_is_there_now(project: "Project") -> None:
    project.flow("""\
        jobs:
          - id: a
            steps:
              - {id: one, type: file_write, inputs: {path: in/one.csv, content: "1"}}
              - {id: two, type: file_write, inputs: {path: in/two.csv, content: "2"}}
              - {id: copy, type: file_copy, inputs: {src: "in/*.csv", dest_dir: out}}
              - {id: stop, type: fail, inputs: {message: stop}}
        """)
    log = project.folder / "points"
    assert attempt(f"log:{log}") == 1
    names = log.read_text().splitlines()
    shutil.rmtree(project.states)
    shutil.rmtree(project.work)
    last = [number for number, name in enumerate(names, 1) if name == "write two.csv"][-1]
    assert attempt(f"{last}:enospc") == 1
    folder = project.artifacts("a", "r")
    assert (folder / "out/one.csv").read_text() == "1"
    (folder / "in/one.csv").write_text("longer")
    (folder / "in/three.csv").write_text("3")
    assert attempt("") == 1
    assert "AF5001 stop" in Path("stderr").read_text()
    assert [path.read_text() for path in sorted((folder / "out").iterdir())] == ["longer", "3", "2"]
