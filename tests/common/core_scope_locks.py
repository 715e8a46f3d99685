"""Helpers shared by the unit and the system tests of test_core_scope_locks.py."""

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aetherflow.core.api import Step, StepResult, register_step
from aetherflow.core.kernel.locks.records import Owner
from aetherflow.core.kernel.locks.store import LockStore

if TYPE_CHECKING:
    from core_project import Project

from typing import TYPE_CHECKING

OTHER = Owner("other", "o", 1)


@contextlib.contextmanager
def held(project: "Project", key: str) -> Iterator[None]:
    """Hold a lock as another run inside the block."""
    store = LockStore(project.states / "engine/locks.sqlite")
    try:
        store.acquire(key, OTHER)
        yield
    finally:
        store.close()


def flow(project: "Project", locks: str) -> None:
    project.write(
        f"""\
        flow: {{id: f, locks: {locks}}}
        jobs:
          - {{id: a, steps: [{{id: s, type: check_items, inputs: {{items: [1]}}}}]}}
          - {{id: b, steps: [{{id: s, type: check_items, inputs: {{items: [1]}}}}]}}
        """
    )


@register_step("inner_note")
class Note(Step[Any]):
    """Writes its id to the file EFFECTS."""

    def run(self) -> StepResult:
        with Path(self.ctx.env["EFFECTS"]).open("a") as file:
            file.write(f"{self.id}\n")
        return StepResult(output={"n": 5})


@register_step("inner_outer")
class Outer(Step[Any]):
    """Runs two inner steps; kills its process after the one whose number is in the file `die`."""

    def run(self) -> StepResult:
        die = Path(self.ctx.env["EFFECTS"]).with_name("die")
        for number in (1, 2):
            result = self.ctx.call_step("inner_note", {"number": number}, step_id=f"i{number}")
            if die.exists() and die.read_text() == str(number):
                die.unlink()
                os.kill(os.getpid(), signal.SIGKILL)
        return StepResult(output=dict(result.output or {}))
