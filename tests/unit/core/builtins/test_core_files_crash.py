"""The file steps, killed at their failpoints: the same command again leaves what an undisturbed run leaves."""

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from core_project import Project


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
    assert project.cli("run", "flow.yaml", "--run-id", "r", "--from-step", "a.move").code == 1
    assert sorted(path.name for path in (folder / "done").iterdir()) == ["one.csv", "two.csv"]
    rows = project.rows("SELECT status, outputs FROM step_runs WHERE step_id='move' ORDER BY attempt")
    assert [(status, json.loads(text)["count"]) for status, text in rows] == [("DISCARDED", 1), ("SUCCESS", 1)]
