"""Helpers shared by the unit and the system tests of test_core_files.py."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aetherflow.core.runtime.workspace.workspace import MARKER

if TYPE_CHECKING:
    from core_project import Project

from typing import TYPE_CHECKING

JOB = Path("work/f/a/r/artifacts")


def run(project: "Project", *steps: dict[str, Any], code: int = 0, run_id: str = "r", policy: str = "never") -> Any:
    """Run steps as job `a` of flow `f`; returns the parsed JSON summary."""
    flow = {"version": 1, "flow": {"id": "f", "workspace": {"cleanup_policy": policy}}}
    project.write(json.dumps({**flow, "jobs": [{"id": "a", "steps": list(steps)}]}))
    found = project.cli("run", "flow.yaml", "--run-id", run_id, "--json")
    assert found.code == code, found.err
    return json.loads(found.out)


def step(kind: str, step_id: str = "s", **inputs: Any) -> dict[str, Any]:
    return {"id": step_id, "type": kind, "inputs": inputs}


def outputs(project: "Project", step_id: str = "s") -> dict[str, Any]:
    query = f"SELECT outputs FROM step_runs WHERE step_id='{step_id}' ORDER BY attempt DESC LIMIT 1"
    found: dict[str, Any] = json.loads(project.rows(query)[0][0])
    return found


def lay(project: "Project", **files: str) -> Path:
    """Create files in the job's folder before it runs; `__` in a name stands for a slash, `_dot_` for a dot."""
    folder = project.folder / JOB
    folder.mkdir(parents=True, exist_ok=True)
    (folder.parent / MARKER).write_text(json.dumps({"flow_id": "f", "run_id": "r"}))
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder
