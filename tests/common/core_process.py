"""Helpers shared by the unit and the system tests of test_core_process.py."""

import json
import time
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from core_project import Project, Result

from typing import TYPE_CHECKING


def flow(project: "Project", inputs: dict[str, Any], **more: Any) -> None:
    step = {"id": "s", "type": "external.process", "inputs": inputs, **more}
    document = {"flow": {"id": "f", "workspace": {"cleanup_policy": "never"}}, "jobs": [{"id": "a", "steps": [step]}]}
    project.write(yaml.safe_dump(document, width=10**6))


def run(project: "Project", inputs: dict[str, Any], code: int = 0) -> "Result":
    flow(project, inputs)
    result = project.cli("run", "flow.yaml", "--run-id", f"r{time.monotonic_ns()}")
    assert result.code == code, result.err
    return result


MEASURED = ("wall_seconds", "cpu_seconds", "peak_memory_bytes")


def outputs(project: "Project", inputs: dict[str, Any]) -> dict[str, Any]:
    """Run the step and return its outputs without the measured time and memory."""
    return {name: value for name, value in all_outputs(project, inputs).items() if name not in MEASURED}


def all_outputs(project: "Project", inputs: dict[str, Any]) -> dict[str, Any]:
    """Run the step and return all of its outputs."""
    run(project, inputs)
    ((text, blob),) = project.rows("SELECT outputs, blob FROM step_runs ORDER BY started_at DESC LIMIT 1")
    if blob is not None:
        import zlib

        text = zlib.decompress(next((project.states / "f.sqlite.d/blobs").rglob(blob)).read_bytes())
    found: dict[str, Any] = json.loads(text)
    return found


def steps(project: "Project", *, state: str = "f") -> list[tuple[Any, ...]]:
    """Status, outputs and reason of the last step, as a list of one tuple."""
    del state
    found = project.rows("SELECT status, outputs, reason FROM step_runs ORDER BY started_at DESC LIMIT 1")
    return [(status, json.loads(text) if text else None, reason) for status, text, reason in found]
