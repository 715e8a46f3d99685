"""The file steps, killed at their failpoints: the same command again leaves what an undisturbed run leaves."""

import contextlib
import hashlib
import io
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from aetherflow.core.cli import main
from aetherflow.core.durable import failpoint

if TYPE_CHECKING:
    from core_project import Project

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


def attempt(setting: str) -> int:
    """Run the flow in a forked process with one failpoint set; its exit code, or minus its signal."""
    child = os.fork()
    if child == 0:  # pragma: no cover
        code = 99
        try:
            failpoint.setting = setting
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()) as err:
                code = main(["run", "flow.yaml", "--run-id", "r"])
            Path("stderr").write_text(err.getvalue())
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


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


@pytest.fixture
def far(project: "Project", tmp_path: Path) -> Path:
    """A folder on another file system, where the project is in memory."""
    found = tmp_path / "far"
    project.write(FLOW.replace("FAR", str(found)))
    (project.folder / "aetherflow.yaml").write_text(f"version: 1\npaths: {{write: ['{tmp_path}']}}\n")
    return found


def test_what_is_done_again_on_purpose_looks_anew(project: "Project") -> None:
    project.flow("""\
        jobs:
          - id: a
            steps:
              - {id: one, type: file_write, inputs: {path: in/one.csv, content: "1"}}
              - {id: move, type: file_move, inputs: {src: "in/*.csv", dest_dir: done, overwrite: true}}
              - {id: stop, type: assert, inputs: {condition: run.attempt > 2}}
        """)
    assert project.cli("run", "flow.yaml", "--run-id", "r").code == 1
    folder = project.artifacts("a", "r")
    (folder / "in/two.csv").write_text("2")
    assert project.cli("run", "flow.yaml", "--run-id", "r", "--from", "a.move").code == 1
    assert sorted(path.name for path in (folder / "done").iterdir()) == ["one.csv", "two.csv"]
    rows = project.rows("SELECT status, outputs FROM step_runs WHERE step_id='move' ORDER BY attempt")
    assert [(status, json.loads(text)["count"]) for status, text in rows] == [("DISCARDED", 1), ("SUCCESS", 1)]
