"""`assert`, `fail` and `sleep`: what they say, where they are wrong, and that they stop."""

import signal
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.core.conftest import Project


@pytest.mark.parametrize("step", ["type: sleep, inputs: {seconds: 60}", "type: file_wait, inputs: {path: never}"])
def test_a_stop_ends_a_wait_at_once(project: "Project", step: str, wait_for: "Callable[..., None]") -> None:
    project.flow(f"jobs: [{{id: a, steps: [{{id: s, {step}}}]}}]")
    process = project.start("run", "flow.yaml", "--run-id", "r")
    log = project.states / "f.sqlite.d/logs/f/r.jsonl"
    wait_for(lambda: log.exists() and "step_start" in log.read_text())
    started = time.monotonic()
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=20)
    assert process.returncode == 143
    assert time.monotonic() - started < 2
    assert project.rows("SELECT status FROM step_runs") == [("INTERRUPTED",)]
