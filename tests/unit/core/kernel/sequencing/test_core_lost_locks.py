"""A run whose lock was taken away ends the step under way, and begins no other."""

import contextlib
import sqlite3
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from aetherflow.core.api import Step, register_step

if TYPE_CHECKING:
    from core_project import Project


@register_step("lock_loser")
class Loser(Step[Any]):
    """Takes the locks of its own run away and waits until the run has seen it."""

    def run(self) -> None:
        path = Path(self.ctx.env["AETHERFLOW_STATE_ROOT"]) / "engine/locks.sqlite"
        with contextlib.closing(sqlite3.connect(path, timeout=30)) as connection, connection:
            connection.execute("DELETE FROM locks")
        deadline = time.monotonic() + 60
        while not self.ctx.cancelled:
            assert time.monotonic() < deadline, "nobody noticed"
            time.sleep(0.02)
        if self.inputs.get("attentive"):
            self.ctx.check_cancelled()


@pytest.mark.parametrize("scope", ["flow", "job"])
@pytest.mark.parametrize("attentive", ["true", "false"])
def test_a_lock_that_was_taken_away_ends_the_run(project: "Project", scope: str, attentive: str) -> None:
    project.write(
        f"""\
        flow: {{id: f, locks: {{scope: {scope}, ttl_seconds: 1}}}}
        jobs:
          - id: a
            steps:
              - {{id: loses, type: lock_loser, inputs: {{attentive: {attentive}}}}}
              - {{id: next, type: file_write, inputs: {{path: next.txt, content: x}}}}
        """
    )
    ended = project.cli("run", "flow.yaml", "--run-id", "r")
    assert ended.code != 0
    assert "AF5302" in ended.err
    assert f"{scope}/f" in ended.err
    assert project.rows("SELECT step_id FROM step_runs WHERE step_id = 'next'") == []
