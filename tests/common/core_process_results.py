"""Helpers shared by the unit and the system tests of test_core_process_results.py."""

import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from core_project import Project, Result

from typing import TYPE_CHECKING


def flow(project: "Project", inputs: dict[str, Any], **more: Any) -> None:
    step = {"id": "s", "type": "external.process", "inputs": inputs, **more}
    document = {"flow": {"id": "f", "workspace": {"cleanup_policy": "never"}}, "jobs": [{"id": "a", "steps": [step]}]}
    project.write(yaml.safe_dump(document, width=10**6))


def run(project: "Project", inputs: dict[str, Any], code: int = 0, **more: Any) -> "Result":
    flow(project, inputs, **more)
    result = project.cli("run", "flow.yaml", "--run-id", f"r{time.monotonic_ns()}")
    assert result.code == code, result.err
    assert "internal error" not in result.err
    return result


def outputs(project: "Project", inputs: dict[str, Any]) -> dict[str, Any]:
    run(project, inputs)
    ((text,),) = project.rows("SELECT outputs FROM step_runs ORDER BY started_at DESC LIMIT 1")
    found: dict[str, Any] = json.loads(text)
    return found


def fill(folder: Path, word: str) -> None:
    (folder / "sub").mkdir(parents=True)
    for name in ("a", "sub/b"):
        (folder / name).write_text(word)
    (folder / "link").symlink_to("a")
    (folder / "dangling").symlink_to("nowhere")
    os.mkfifo(folder / "pipe")


def content(folder: Path) -> set[str]:
    return {path.read_text() for path in (folder / "a", folder / "sub/b", folder / "link")}
