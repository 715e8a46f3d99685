"""Helpers shared by the unit and the system tests of test_core_hard_cases.py."""

import contextlib
import sqlite3
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aetherflow.core.api import Step, StepResult, register_step
from aetherflow.core.base.errors import LeaseLostError

if TYPE_CHECKING:
    from core_project import Project

from typing import TYPE_CHECKING

RUN = ("run", "flow.yaml", "--run-id", "r")


@register_step("hard_note")
class Note(Step[Any]):
    """Writes its id and `v` to EFFECTS; files next to it make the step fail, be skipped, or lose its lock."""

    def run(self) -> StepResult:
        effects = Path(self.ctx.env["EFFECTS"])
        with effects.open("a") as file:
            file.write(f"{self.id} {self.inputs.get('v', '')}\n")
        if effects.with_name(f"fail_{self.id}").exists():
            raise ValueError("told to fail")
        if effects.with_name(f"skip_{self.id}").exists():
            return StepResult("SKIPPED", reason="told to")
        if effects.with_name(f"lose_{self.id}").exists():
            effects.with_name(f"lose_{self.id}").unlink()
            self.ctx._attempt.control.cancel(LeaseLostError("the lock was lost"), "lost")  # type: ignore[attr-defined] # as a lease does
            raise ValueError("ended")
        if name := self.inputs.get("file"):
            with self.ctx.write_file(name) as out:
                out.write(b"x")
        return StepResult(output={"v": self.inputs.get("v"), "file": self.inputs.get("file")})


@register_step("hard_once")
class Once(Note):
    """Like `Note`, with an effect that must not be repeated."""

    effect = "once"


@register_step("hard_outer")
class Outer(Step[Any]):
    """Runs the step of its input `step` inside itself."""

    inner_steps = {"step": frozenset[str]()}  # noqa: RUF012 as plugins write it

    def run(self) -> StepResult:
        step = self.inputs["step"]
        return StepResult(output=self.ctx.call_step(step["type"], step["inputs"], step_id="inner").output)


@register_step("hard_deaf")
class Deaf(Step[Any]):
    """Ignores requests to stop: its first attempt sleeps for 2.5 seconds."""

    def run(self) -> StepResult:
        effects = Path(self.ctx.env["EFFECTS"])
        first = not effects.exists()
        effects.touch()
        if first:
            time.sleep(2.5)
            effects.write_text("woke up\n")
        return StepResult(output={"first": first})


def stored(project: "Project", secret: str) -> list[str]:
    """The names of the state files that contain a secret."""
    with contextlib.closing(sqlite3.connect(project.state)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    files = [path for path in project.states.rglob("*") if path.is_file()]
    return [path.name for path in files if secret.encode() in path.read_bytes()]


@register_step("hard_many")
class Many(Step[Any]):
    """Records 3000 files, and returns 3000 other names as output."""

    def run(self) -> StepResult:
        for number in range(3000):
            path = self.ctx.artifacts_dir(self.ctx.job_id) / f"{number}.txt"
            path.touch()
            self.ctx.files._record(path, 0, "")  # type: ignore[attr-defined]
        return StepResult(output={"names": [f"other {number}" for number in range(3000)]})
