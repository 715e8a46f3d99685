"""`assert`, `fail` and `sleep`: what they say, where they are wrong, and that they stop."""

import signal
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from core_project import Project


@pytest.mark.parametrize("step", ["type: sleep, inputs: {seconds: 60}", "type: file_wait, inputs: {path: never}"])
def test_a_stop_ends_a_wait_at_once(project: "Project", step: str, wait_for: "Callable[..., None]") -> None:
    project.flow(f"jobs: [{{id: a, steps: [{{id: s, {step}}}]}}]")
    process = project.start("run", "flow.yaml", "--run-id", "r", env={"AETHERFLOW_STOP_GRACE_SECONDS": "600"})
    log = project.states / "f.sqlite.d/logs/f/r.jsonl"
    wait_for(lambda: log.exists() and "step_start" in log.read_text())
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=40)
    assert process.returncode == 143
    assert project.rows("SELECT status FROM step_runs") == [("INTERRUPTED",)]
